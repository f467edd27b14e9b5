"""The state of one experiment in memory: live trials, totals by scale, records for the studies.

The state is a cache of what is stored. A change is stored first; then the cache follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Reason, TrialKey, trial_name
from scaling_operator.api.status import CurvePoint, ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.actions import AddScales, OpenScale
from scaling_operator.core.fit_types import FitView
from scaling_operator.core.ladder import Scale, running_order, scales_of
from scaling_operator.core.observed import (
    AttemptView,
    LiveTrial,
    Observed,
    Point,
    Rules,
    ScaleView,
    StaleWorkload,
)
from scaling_operator.core.reports import AttemptKey
from scaling_operator.core.tally import Tally, add
from scaling_operator.core.trial_status import Machine
from scaling_operator.runtime.tasks import InFlight
from scaling_operator.search.optuna_trials import Record, record_of
from scaling_operator.validation.grid import points_without_repeats

NOTHING = InFlight()


class Machines(Protocol):
    """Adds machines to what is observed."""

    def note(self, trial: ScalingTrial) -> None:
        """Take in a stored trial."""
        ...

    async def prepare(self, scales: Iterable[Scale]) -> None:
        """Compute what takes long before a plan needs it."""
        ...

    def complete(
        self,
        observed: Observed,
        live: tuple[ScalingTrial, ...],
    ) -> Observed:
        """Add what a plan needs to know of machines; `live` are the observed trials, in order."""
        ...

    def machine(self, view: AttemptView) -> Machine | None:
        """Give the machine that an attempt had; None where that was not recorded."""
        ...


@dataclass(frozen=True, slots=True)
class _Observed:
    """A live trial as it was observed for the plan before."""

    trial: ScalingTrial
    key: AttemptKey
    live: LiveTrial


@dataclass(slots=True)
class ExperimentState:
    """The state of one experiment."""

    spec: ExperimentSpec
    rules: Rules
    status: ExperimentStatus
    scales: dict[int, ScaleView]
    generation: int | None = None
    started_seconds: float | None = None
    warm_points: tuple[Point, ...] = ()
    fit: FitView | None = None
    live: dict[TrialKey, ScalingTrial] = field(default_factory=dict[TrialKey, ScalingTrial])
    records: dict[int, dict[int, Record]] = field(default_factory=dict[int, dict[int, Record]])
    last_points: dict[TrialKey, tuple[int, float]] = field(
        default_factory=dict[TrialKey, tuple[int, float]]
    )
    pruned_seconds: dict[AttemptKey, float] = field(default_factory=dict[AttemptKey, float])
    machines: Machines | None = None
    _observed_before: dict[TrialKey, _Observed] = field(default_factory=dict[TrialKey, _Observed])

    def observe(
        self,
        view: Callable[[ScalingTrial, AttemptKey], AttemptView],
        stale_workloads: Iterable[StaleWorkload],
        now_seconds: float,
        under_way: InFlight = NOTHING,
    ) -> Observed:
        """Put together everything that a plan needs; `view` shows a live trial's attempt."""
        order = running_order(tuple(view.scale for view in self.scales.values()))
        observed = Observed(
            now_seconds=now_seconds,
            spec=self.spec,
            rules=self.rules,
            scales=tuple(self.scales[scale.index] for scale in order),
            live=tuple(self._observed(trial_key, view) for trial_key in self.live),
            stale=tuple(
                workload
                for workload in stale_workloads
                if _key_of(workload) not in under_way.discarding
            ),
            changing=frozenset(under_way.changing),
            asking=under_way.asking,
            started_seconds=self.started_seconds,
            warm_points=self.warm_points,
            status=self.status,
            generation=self.generation,
            fit=self.fit,
        )
        if self.machines is None:
            return observed
        return self.machines.complete(observed, tuple(self.live.values()))

    async def prepare(self) -> None:
        """Have computed what takes long before `observe` needs it."""
        if self.machines is not None:
            await self.machines.prepare(view.scale for view in self.scales.values())

    def _forget_live(self, trial_key: TrialKey) -> None:
        self.live.pop(trial_key, None)
        self.last_points.pop(trial_key, None)
        self._observed_before.pop(trial_key, None)

    def _observed(
        self, trial_key: TrialKey, view: Callable[[ScalingTrial, AttemptKey], AttemptView]
    ) -> LiveTrial:
        """Observe a live trial; return the same value where neither it nor its attempt changed."""
        trial, before = self.live[trial_key], self._observed_before.get(trial_key)
        if before is None or before.trial is not trial:
            key = AttemptKey(*trial_key, len(trial.status.attempts))
            before = _Observed(trial, key, _live_trial(trial, key, view(trial, key)))
        else:
            new_view = view(trial, before.key)
            if new_view is before.live.view:
                return before.live
            before = replace(before, live=replace(before.live, view=new_view))
        self._observed_before[trial_key] = before
        return before.live

    def is_current(self, key: AttemptKey) -> bool:
        """Whether this is the current attempt of a live trial."""
        trial = self.live.get(key.trial)
        return trial is not None and len(trial.status.attempts) == key.attempt

    def note_scales(self, action: AddScales | OpenScale) -> None:
        """Note scales that are added, or what a scale starts with; the status stores both."""
        if isinstance(action, AddScales):
            self.scales |= {scale.index: ScaleView(scale, Tally()) for scale in action.scales}
            return
        self.scales[action.scale] = replace(
            self.scales[action.scale],
            open=True,
            ranges=action.ranges,
            points=action.points,
            predicted=action.predicted,
            space_points=points_without_repeats(self.spec.search, action.ranges),
        )

    def note(self, trial: ScalingTrial, now_seconds: float) -> None:
        """Note a stored trial: that it is new, has changed, or has ended, which counts once."""
        scale, number = trial_key = trial.spec.key
        if self.started_seconds is None:
            self.started_seconds = now_seconds
        view = self.scales[scale]
        is_recorded = number in self.records.setdefault(scale, {})
        if trial.status.state.ended and (trial_key in self.live or not is_recorded):
            view = replace(view, tally=add(view.tally, trial, self.spec.all_objectives))
            self._forget_live(trial_key)
        elif not trial.status.state.ended:
            self.live[trial_key] = trial
        self.records[scale][number] = record_of(trial, self.spec.search)
        if self.machines is not None:
            self.machines.note(trial)
        self.scales[scale] = replace(view, created=max(view.created, number + 1))

    def forget(self, trial_key: TrialKey) -> None:
        """Note that a stored trial is gone; its number stays used."""
        self._forget_live(trial_key)
        self.records.get(trial_key[0], {}).pop(trial_key[1], None)

    def add_point(
        self, trial_key: TrialKey, step: int, value: float, phase: str | None = None
    ) -> ScalingTrial:
        """Add a point to a live trial's curve; return the trial, which has yet to be stored."""
        trial = self.live[trial_key]
        point = CurvePoint(step=step, value=value, phase=phase)
        status = trial.status.model_copy(update={"curve": (*trial.status.curve, point)})
        self.live[trial_key] = trial = trial.model_copy(update={"status": status})
        return trial

    def curve(self, trial_key: TrialKey) -> tuple[tuple[int, float], ...]:
        """Give a live trial's curve, always with the last point that was reported."""
        points = self.live[trial_key].status.curve
        curve = tuple((point.step, point.value) for point in points)
        last = self.last_points.get(trial_key)
        return (*curve, last) if last and (not curve or last[0] > curve[-1][0]) else curve

    def names(self, experiment: str) -> dict[str, TrialKey]:
        """Name all trials that should be stored, with their slots."""
        return {
            trial_name(experiment, scale, number): (scale, number)
            for scale, records in self.records.items()
            for number in records
        }

    def records_of(self, scale: int) -> list[Record]:
        """Give the scale's records in order of number, to rebuild its study from."""
        records = self.records.get(scale, {})
        return [records[number] for number in sorted(records)]


def read_state(
    spec: ExperimentSpec, rules: Rules, status: ExperimentStatus, trials: Iterable[ScalingTrial]
) -> ExperimentState:
    """Rebuild the state from what is stored."""
    before = {scale.index: scale for scale in status.scales}
    views: dict[int, ScaleView] = {}
    whole = points_without_repeats(spec.search)
    for scale in scales_of(spec, status.scales):
        stored = before.get(scale.index)
        views[scale.index] = ScaleView(
            scale,
            Tally(),
            open=stored is not None and stored.open,
            ranges=stored.ranges if stored is not None else {},
            points=stored.points if stored is not None else (),
            predicted=stored.predicted if stored is not None else None,
            space_points=points_without_repeats(spec.search, stored.ranges)
            if stored is not None and stored.ranges
            else whole,
        )
    state = ExperimentState(spec, rules, status, views)
    if status.start_time is not None:
        state.started_seconds = status.start_time.timestamp()
    for trial in trials:
        state.note(trial, state.started_seconds or 0.0)
    return state


def _key_of(stale: StaleWorkload) -> AttemptKey:
    return AttemptKey(stale.scale, stale.number, stale.attempt)


def _live_trial(trial: ScalingTrial, key: AttemptKey, view: AttemptView) -> LiveTrial:
    ended = tuple(attempt.reason or Reason.SUSPENDED for attempt in trial.status.attempts)
    last = trial.status.attempts[-1].completion_time if trial.status.attempts else None
    queued = trial.status.queued_time
    return LiveTrial(
        scale=key.scale,
        number=key.number,
        state=trial.status.state,
        ended_attempts=ended,
        view=view,
        last_ended_seconds=None if last is None else last.timestamp(),
        queued_seconds=None if queued is None else queued.timestamp(),
    )
