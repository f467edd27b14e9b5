"""What a local run knows: live trials, totals by scale, curves. Read from the folder at the start.

The dictionaries here are a cache of the folder; every change is written there first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Reason
from scaling_operator.api.status import CurvePoint, ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.actions import AddScales, OpenScale
from scaling_operator.core.ladder import running_order, scales_of
from scaling_operator.core.law import FitView
from scaling_operator.core.observed import (
    ABSENT,
    AttemptPhase,
    AttemptView,
    Leftover,
    LiveTrial,
    Observed,
    Point,
    Rules,
    ScaleView,
)
from scaling_operator.core.reports import AttemptKey
from scaling_operator.core.tally import Tally, add
from scaling_operator.local.attempts import Attempts
from scaling_operator.local.store import Store

Slot = tuple[int, int]
INTERRUPTED = AttemptView(
    AttemptPhase.LOST, Reason.NODE_LOST, "the run was interrupted while the attempt ran"
)


@dataclass(slots=True)
class World:
    """The state of one local run."""

    spec: ExperimentSpec
    store: Store
    rules: Rules
    status: ExperimentStatus
    scales: dict[int, ScaleView]
    live: dict[Slot, ScalingTrial] = field(default_factory=dict[Slot, ScalingTrial])
    last_points: dict[Slot, tuple[int, float]] = field(
        default_factory=dict[Slot, tuple[int, float]]
    )
    pruned_seconds: dict[AttemptKey, float] = field(default_factory=dict[AttemptKey, float])
    started_seconds: float | None = None
    warm_points: tuple[Point, ...] = ()
    fit: FitView | None = None

    def observe(self, attempts: Attempts, now_seconds: float) -> Observed:
        """Gather everything a plan needs."""
        order = running_order(tuple(view.scale for view in self.scales.values()))
        return Observed(
            now_seconds=now_seconds,
            spec=self.spec,
            rules=self.rules,
            scales=tuple(self.scales[scale.index] for scale in order),
            live=tuple(self._live_trial(trial, attempts) for trial in self.live.values()),
            leftovers=tuple(self._leftovers(attempts)),
            started_seconds=self.started_seconds,
            warm_points=self.warm_points,
            status=self.status,
            fit=self.fit,
        )

    def scaled(self, action: AddScales | OpenScale) -> None:
        """Remember scales that are added, or what one starts with; the status keeps it."""
        if isinstance(action, AddScales):
            self.scales |= {scale.index: ScaleView(scale, Tally()) for scale in action.scales}
            return
        self.scales[action.scale] = replace(
            self.scales[action.scale],
            open=True,
            ranges=action.ranges,
            points=action.points,
            predicted=action.predicted,
        )

    def created(self, trial: ScalingTrial, now_seconds: float) -> None:
        """Commit a new trial; the first one starts the experiment's clock."""
        if self.started_seconds is None:
            self.started_seconds = now_seconds
        self.store.write_trial(trial)
        scale, number = slot = _slot(trial)
        self.live[slot] = trial
        view = self.scales[scale]
        self.scales[scale] = replace(view, created=max(view.created, number + 1))

    def changed(self, trial: ScalingTrial) -> None:
        """Commit a change of a live trial."""
        self.store.write_trial(trial)
        self.live[_slot(trial)] = trial

    def ended(self, trial: ScalingTrial) -> None:
        """Commit a trial's end and count it."""
        self.live.pop(_slot(trial), None)
        self.last_points.pop(_slot(trial), None)
        self.store.write_trial(trial)
        self.count(trial)
        self._forget_weights(trial)

    def reported(self, slot: Slot, step: int, value: float, *, durable: bool) -> None:
        """Add a point to a live trial's curve.

        Where there is a pruner the point is written at once, so that a resumed run prunes alike;
        else it may wait for the trial's end.
        """
        trial = self.live[slot]
        point = CurvePoint(step=step, value=value)
        status = trial.status.model_copy(update={"curve": (*trial.status.curve, point)})
        trial = trial.model_copy(update={"status": status})
        if durable:
            self.store.write_trial(trial)
        self.live[slot] = trial

    def count(self, trial: ScalingTrial) -> None:
        """Add an ended trial to its scale's totals."""
        view = self.scales[trial.spec.scale]
        tally = add(view.tally, trial, self.spec.all_objectives)
        self.scales[trial.spec.scale] = replace(view, tally=tally)

    def _forget_weights(self, trial: ScalingTrial) -> None:
        """Keep weights only of trials that may still be the best one."""
        tally = self.scales[trial.spec.scale].tally
        kept = {best.number for best in (*tally.best[:1], *tally.front)}
        rivals = {best.number for best in tally.best[1:2]}
        for number in ({trial.spec.number} | rivals) - kept:
            self.store.forget_checkpoint(trial.spec.scale, number)

    def _live_trial(self, trial: ScalingTrial, attempts: Attempts) -> LiveTrial:
        scale, number = _slot(trial)
        ended = tuple(attempt.reason or Reason.SUSPENDED for attempt in trial.status.attempts)
        key = AttemptKey(scale, number, len(ended))
        if key in attempts.running:
            view = attempts.running[key].view
        elif self.store.was_launched(scale, number, key.attempt):
            view = INTERRUPTED
        else:
            view = ABSENT
        return LiveTrial(scale, number, trial.status.state, ended, view)

    def _leftovers(self, attempts: Attempts) -> list[Leftover]:
        left: list[Leftover] = []
        for key, running in attempts.running.items():
            trial = self.live.get((key.scale, key.number))
            if trial is not None and len(trial.status.attempts) == key.attempt:
                continue
            told = self.pruned_seconds.get(key)
            left.append(
                Leftover(
                    *(key.scale, key.number, key.attempt, running.view),
                    told_to_stop=told is not None,
                    told_seconds=told or 0.0,
                )
            )
        return left


def read_world(spec: ExperimentSpec, store: Store, rules: Rules) -> World:
    """Rebuild the state from the folder."""
    status = store.status()
    before = {scale.index: scale for scale in status.scales}
    views: dict[int, ScaleView] = {}
    for scale in scales_of(spec, status.scales):
        known = before.get(scale.index)
        views[scale.index] = ScaleView(
            scale,
            Tally(),
            open=known is not None and known.open,
            ranges=known.ranges if known is not None else {},
            points=known.points if known is not None else (),
            predicted=known.predicted if known is not None else None,
        )
    world = World(spec, store, rules, status, views)
    if status.start_time is not None:
        world.started_seconds = status.start_time.timestamp()
    for trial in store.trials():
        view = views[trial.spec.scale]
        views[trial.spec.scale] = replace(view, created=max(view.created, trial.spec.number + 1))
        if trial.status.state.ended:
            world.count(trial)
        else:
            world.live[_slot(trial)] = trial
    return world


def _slot(trial: ScalingTrial) -> Slot:
    return trial.spec.scale, trial.spec.number
