"""`scaling run`: the core behind a folder and local processes; gather, plan, apply, until done.

Everything that decides is in the core; this module only looks and does. The order of writes is
that of a cluster: sample → trial file → process → result → trial file → tell → forget the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Phase, Reason, TrialState
from scaling_operator.api.search import NoPruner
from scaling_operator.api.status import ExperimentStatus, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.actions import (
    Action,
    AddScales,
    Ask,
    Discard,
    EndAttempt,
    Finish,
    Launch,
    OpenScale,
    SetState,
)
from scaling_operator.core.curve import is_kept
from scaling_operator.core.outcome import attempt_ended, finished, state_set
from scaling_operator.core.plan import plan
from scaling_operator.core.reports import Answer, AttemptKey, Report
from scaling_operator.core.samples import samples_of
from scaling_operator.local.attempts import Attempts
from scaling_operator.local.store import Identity
from scaling_operator.local.watcher import Watcher
from scaling_operator.local.world import World
from scaling_operator.search.lanes import Lane, record_of
from scaling_operator.search.seed import slot_seed
from scaling_operator.search.study import Record, StudySettings
from scaling_trainer.contract import Assignment
from scaling_trainer.results import Result


@dataclass(slots=True)
class Runner:
    """One local run of one experiment."""

    identity: Identity
    world: World
    attempts: Attempts
    watcher: Watcher
    data_folder: Path
    lanes: dict[int, Lane] = field(default_factory=dict[int, Lane])
    report_url: str = ""
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    clock: Callable[[], float] = time.time

    @property
    def spec(self) -> ExperimentSpec:
        """What is asked."""
        return self.world.spec

    async def run(self) -> ExperimentStatus:
        """Run until the experiment is over or suspended."""
        while True:
            self.woken.clear()
            self.attempts.raise_failures()
            decided = plan(self.world.observe(self.attempts, self.clock()))
            for action in decided.actions:
                await self.apply(action)
            if decided.actions:
                continue
            self._publish(decided.status)
            if decided.status.phase not in (Phase.RUNNING, Phase.PENDING) and not self.world.live:
                return decided.status
            if decided.status.phase is Phase.SUSPENDED:
                return decided.status
            await self._wait(decided.wake_at_seconds)

    async def release(self) -> None:
        """Stop cleanly: end what runs and record it, so that the next run goes on from here."""
        for (scale, number), trial in list(self.world.live.items()):
            attempt = len(trial.status.attempts)
            if self.world.store.was_launched(scale, number, attempt):
                await self.apply(
                    EndAttempt(scale, number, attempt, Reason.SUSPENDED, "stopped by the user")
                )
        await self.attempts.close()
        self._publish(self._planned_status())

    async def apply(self, action: Action) -> None:
        """Do one action of a plan."""
        match action:
            case AddScales() | OpenScale():
                self.world.scaled(action)
                self._publish(self._planned_status())
            case Ask():
                await self._ask(action)
            case Launch():
                self._launch(action)
            case SetState():
                trial = self.world.live[(action.scale, action.number)]
                self._change(trial, state_set(trial.status, action))
            case EndAttempt():
                trial = self.world.live[(action.scale, action.number)]
                self._change(trial, attempt_ended(trial.status, action, self.clock()))
            case Finish():
                await self._finish(action)
            case Discard():
                await self.attempts.discard(AttemptKey(action.scale, action.number, action.attempt))
            case _:
                assert_never(action)

    async def report(self, key: AttemptKey, report: Report) -> Answer:
        """Take an intermediate report; a decision to prune is committed before it is answered."""
        slot = (key.scale, key.number)
        trial = self.world.live.get(slot)
        if trial is None or len(trial.status.attempts) != key.attempt:
            return Answer.STOP
        self.watcher.reported(key, report)
        value = report.metrics.get(self.spec.all_objectives[0].metric)
        if value is None or len(self.spec.all_objectives) > 1:
            return Answer.CONTINUE
        self.world.last_points[slot] = (report.step, value)
        # A repeated step, or one that an earlier attempt has had, adds nothing: the first stays.
        known = trial.status.curve and report.step <= trial.status.curve[-1].step
        if known or not is_kept(report.step):
            return Answer.CONTINUE
        return await self._weigh(key, report, value)

    async def _weigh(self, key: AttemptKey, report: Report, value: float) -> Answer:
        """Store a point of the curve, and ask the pruner what it means."""
        slot = (key.scale, key.number)
        pruned_at_all = not isinstance(self.spec.search.pruner, NoPruner)
        self.world.reported(slot, report.step, value, durable=pruned_at_all)
        if not pruned_at_all:
            return Answer.CONTINUE
        if not await self.lane(key.scale).report(key.number, report.step, value):
            return Answer.CONTINUE
        self.world.pruned_seconds[key] = self.clock()
        message = f"pruned after step {report.step}"
        result = Result(metrics=report.metrics, steps=report.step)
        await self._finish(
            Finish(
                *(key.scale, key.number, TrialState.PRUNED, None, message, result),
                values=(value,),
            )
        )
        self.woken.set()
        return Answer.PRUNE

    def lane(self, scale: int) -> Lane:
        """Open the study of a scale at its first use."""
        if scale not in self.lanes:
            self.lanes[scale] = Lane(
                StudySettings(
                    name=f"{self.identity.name}-{scale}",
                    search=self.spec.search,
                    directions=tuple(goal.direction for goal in self.spec.all_objectives),
                    base_seed=self._base_seed(),
                    scale=scale,
                    ranges=self.world.scales[scale].ranges,
                ),
                lambda: self._records(scale),
            )
        return self.lanes[scale]

    async def _ask(self, action: Ask) -> None:
        scale = self.world.scales[action.scale].scale
        proposal = await self.lane(action.scale).ask(action.number, action.point)
        parameters = {**scale.parameters, **proposal.parameters}
        self.world.created(
            ScalingTrial(
                spec=TrialSpec(
                    experiment=ExperimentReference(name=self.identity.name, uid=self.identity.uid),
                    scale=action.scale,
                    number=action.number,
                    parameters=parameters,
                    searched=tuple(proposal.parameters),
                    sampler_attributes=dict(proposal.attributes),
                    seed=slot_seed(self._base_seed(), action.scale, action.number),
                    samples=samples_of(self.spec, scale, parameters),
                )
            ),
            self.clock(),
        )

    def _launch(self, action: Launch) -> None:
        trial = self.world.live[(action.scale, action.number)].spec
        folder = self.world.store.trial_folder(action.scale, action.number).absolute()
        checkpoint = folder / "checkpoint"
        checkpoint.mkdir(exist_ok=True)
        built_in = self.spec.trainer.built_in
        self.attempts.launch(
            Assignment(
                experiment=self.identity.name,
                scale=trial.scale,
                trial=trial.number,
                attempt=action.attempt,
                seed=trial.seed,
                parameters=trial.parameters,
                result_file=folder / f"attempt-{action.attempt}.result.json",
                checkpoint_dir=checkpoint,
                data_dir=self.data_folder,
                config=None
                if built_in is None
                else built_in.model_dump(mode="json", exclude_unset=True),
                samples=trial.samples,
                report_url=self.report_url,
                report_token_file=folder / "token",
            ),
            folder,
        )

    async def _finish(self, action: Finish) -> None:
        trial = self.world.live.get((action.scale, action.number))
        if trial is None:  # it was pruned while the plan was made: the first end stays
            return
        curve = tuple((point.step, point.value) for point in trial.status.curve)
        last = self.world.last_points.get((action.scale, action.number))
        if last is not None and (not curve or last[0] > curve[-1][0]):
            curve = (*curve, last)
        status = finished(trial.status, action, curve, self.clock())
        trial = trial.model_copy(update={"status": status})
        self.world.ended(trial)
        await self.lane(action.scale).tell(record_of(trial, self.spec.search))
        self.watcher.ended(trial)

    def _change(self, trial: ScalingTrial, status: TrialStatus) -> None:
        self.world.changed(trial.model_copy(update={"status": status}))

    def _records(self, scale: int) -> list[Record]:
        return [
            record_of(trial, self.spec.search)
            for trial in self.world.store.trials()
            if trial.spec.scale == scale
        ]

    def _base_seed(self) -> int | str:
        seed = self.spec.search.algorithm.seed
        return self.identity.uid if seed is None else seed

    def _planned_status(self) -> ExperimentStatus:
        return plan(self.world.observe(self.attempts, self.clock())).status

    def _publish(self, status: ExperimentStatus) -> None:
        self.world.status = status
        self.world.store.write_status(self.identity.name, status)
        self.watcher.status(status)

    async def _wait(self, wake_at_seconds: float | None) -> None:
        timeout = None if wake_at_seconds is None else max(0.0, wake_at_seconds - self.clock())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.woken.wait(), timeout)
