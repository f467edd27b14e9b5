"""What follows from an intermediate report: a point of the curve, perhaps the trial's end.

A decision to prune is stored before the trainer is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scaling_operator.api.names import TrialKey, TrialState
from scaling_operator.core.actions import EndTrial
from scaling_operator.core.curve import is_kept
from scaling_operator.core.reports import Answer, AttemptKey, Reply, Report, is_comparable
from scaling_operator.runtime.engine import Engine
from scaling_trainer.results import Result


@dataclass(slots=True)
class Unsaved:
    """Points of a live trial's curve that are noted and not stored yet."""

    since_seconds: float
    seq: int


@dataclass(slots=True)
class Reports:
    """Takes the reports of one experiment's attempts.

    With a pruner, points are stored, so that a restart prunes alike: at once, or together after
    `save_after_seconds`. Until then replies say that the points are not durable, and the trainer
    keeps them. Without a pruner a curve is stored at the trial's end.
    """

    engine: Engine
    wake: Callable[[], None]
    save_after_seconds: float = 0.0
    unsaved: dict[TrialKey, Unsaved] = field(default_factory=dict[TrialKey, Unsaved])
    _durable: dict[AttemptKey, int] = field(default_factory=dict[AttemptKey, int])

    async def take(self, key: AttemptKey, report: Report) -> Reply:
        """Take a report. Reports may come in any order, and more than once."""
        trial_key = key.trial
        async with self.engine.lock(trial_key):
            if not self.engine.state.is_current(key):
                return Reply(Answer.STOP, report.seq)
            self.engine.hooks.reported(key, report)
            objectives = self.engine.state.spec.all_objectives
            value = report.metrics.get(objectives[0].metric)
            if value is None or len(objectives) > 1:
                return Reply(Answer.CONTINUE, report.seq)
            answer = await self._answer(key, report, value)
            return Reply(answer, self._durable_seq(key, report))

    async def save_due(self, now_seconds: float) -> None:
        """Store the curves whose time has come."""
        due = [trial_key for trial_key in self.unsaved if now_seconds >= self._due(trial_key)]
        for trial_key in due:
            async with self.engine.lock(trial_key):
                await self._save(trial_key)

    @property
    def wake_at_seconds(self) -> float | None:
        """The time when the next curve has to be stored; None where none waits."""
        return min((self._due(trial_key) for trial_key in self.unsaved), default=None)

    def _due(self, trial_key: TrialKey) -> float:
        return self.unsaved[trial_key].since_seconds + self.save_after_seconds

    def _durable_seq(self, key: AttemptKey, report: Report) -> int:
        if key.trial in self.unsaved:
            return self._durable.get(key, 0)
        return report.seq

    async def _answer(self, key: AttemptKey, report: Report, value: float) -> Answer:
        trial_key = key.trial
        state = self.engine.state
        curve = state.live[trial_key].status.curve
        last = state.last_points.get(trial_key)
        if last is None or report.step > last[0]:
            state.last_points[trial_key] = (report.step, value)
        # A step that was reported before, perhaps by an earlier attempt, adds nothing.
        if (curve and report.step <= curve[-1].step) or not is_kept(report.step):
            return Answer.CONTINUE
        state.add_point(trial_key, report.step, value, report.phase)
        if not self.engine.prunes:
            return Answer.CONTINUE
        self.unsaved.setdefault(
            trial_key, Unsaved(self.engine.clock(), report.seq)
        ).seq = report.seq
        if not self.save_after_seconds:
            await self._save(trial_key)
        if trial_key not in state.live:  # the trial was deleted, or its curve could not be stored
            return Answer.STOP
        if not await self._should_prune(key, report, value):
            self.wake()
            return Answer.CONTINUE
        await self._prune(key, report, value)
        return Answer.PRUNE

    async def _should_prune(self, key: AttemptKey, report: Report, value: float) -> bool:
        if not is_comparable(report.phase):
            return False
        return await self.engine.study_worker(key.scale).report(key.number, report.step, value)

    async def _save(self, trial_key: TrialKey) -> None:
        unsaved = self.unsaved.pop(trial_key, None)
        trial = self.engine.state.live.get(trial_key)
        if unsaved is None or trial is None:
            return
        await self.engine.commit(trial, trial.status)
        self._durable[AttemptKey(*trial_key, len(trial.status.attempts))] = unsaved.seq

    async def _prune(self, key: AttemptKey, report: Report, value: float) -> None:
        self.engine.state.pruned_seconds[key] = self.engine.clock()
        end = EndTrial(
            scale=key.scale,
            number=key.number,
            state=TrialState.PRUNED,
            message=f"pruned after step {report.step}",
            result=Result(metrics=report.metrics, steps=report.step),
            values=(value,),
        )
        self.engine.hooks.decided(end)
        await self.engine.finish(end)
        self.unsaved.pop(key.trial, None)
        self.wake()
