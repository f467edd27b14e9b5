"""Samples of the families that are read at a scrape: stored statuses, pods, last reports."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scaling_operator.api.experiment import Budget, Trials
from scaling_operator.api.names import LABEL_SCALE, Phase, TrialKey, TrialState
from scaling_operator.api.policy import PolicyStatus
from scaling_operator.api.status import Condition, ExperimentStatus, ScaleStatus
from scaling_operator.core.conditions import stops_work
from scaling_operator.core.reports import Report
from scaling_operator.metrics import families
from scaling_operator.metrics.families import Family
from scaling_operator.metrics.operator_metrics import Owner

SECONDS_PER_HOUR = 3600.0


class Sample(NamedTuple):
    """A value of a family, with the labels in the family's order."""

    family: Family
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """The parts of a stored experiment that the metrics show."""

    owner: Owner
    status: ExperimentStatus
    budget: Budget
    trials: Trials


def read_experiment(experiment: Mapping[str, Any]) -> StoredExperiment:
    """Read a stored experiment. Raises ValueError (pydantic's) where it cannot be read."""
    metadata: Mapping[str, Any] = experiment["metadata"]
    spec: Mapping[str, Any] = experiment.get("spec", {})
    return StoredExperiment(
        (metadata["namespace"], metadata["name"]),
        ExperimentStatus.model_validate(experiment.get("status", {})),
        Budget.model_validate(spec.get("budget", {})),
        Trials.model_validate(spec.get("trials", {})),
    )


def samples_of_experiment(view: StoredExperiment, now_seconds: float) -> Iterator[Sample]:
    """Give all samples of one experiment."""
    owner, status = view.owner, view.status
    yield Sample(families.PHASE, (*owner, status.phase.value), 1)
    yield from _conditions(families.CONDITION, owner, status.conditions)
    yield Sample(families.PATIENCE, owner, view.trials.timeout.total_seconds())
    if status.start_time is not None:
        yield Sample(families.START, owner, status.start_time.timestamp())
    for scale in status.scales:
        yield from _scale(owner, scale)
    yield from _fit(owner, status)
    yield from _budget(view, now_seconds)


def samples_of_policy(policy: Mapping[str, Any]) -> Iterator[Sample]:
    """Give all samples of a policy. Raises ValueError (pydantic's) where it cannot be read."""
    status = PolicyStatus.model_validate(policy.get("status") or {})
    owner = (str(policy["metadata"]["name"]),)
    yield from _conditions(families.POLICY_CONDITION, owner, status.conditions)


def _conditions(
    family: Family, owner: tuple[str, ...], conditions: Iterable[Condition]
) -> Iterator[Sample]:
    for condition in conditions:
        is_true = condition.status == "True"
        if is_true or stops_work(condition):
            yield Sample(family, (*owner, condition.type, condition.reason), float(is_true))


def phases(views: Iterable[StoredExperiment]) -> Iterator[Sample]:
    """Count experiments by phase, in each namespace that has any."""
    counts: dict[str, dict[Phase, int]] = {}
    for view in views:
        of_namespace = counts.setdefault(view.owner[0], dict.fromkeys(Phase, 0))
        of_namespace[view.status.phase] += 1
    for namespace, of_namespace in counts.items():
        for phase, count in of_namespace.items():
            yield Sample(families.EXPERIMENTS, (namespace, phase.value), count)


def _scale(owner: Owner, scale: ScaleStatus) -> Iterator[Sample]:
    labels = (*owner, str(scale.index))
    for state in TrialState:
        count = int(getattr(scale.counts, state.value.lower()))
        yield Sample(families.TRIALS, (*labels, state.value), count)
    yield Sample(families.TRIALS_PLANNED, labels, scale.counts.max)
    if scale.best is not None:
        yield Sample(families.BEST, labels, scale.best.values[0])
        if scale.best.model_parameters is not None:
            yield Sample(families.MODEL_PARAMETERS, labels, scale.best.model_parameters)
    if scale.predicted is not None:
        yield Sample(families.PREDICTED, labels, scale.predicted.value)
    yield from _sizing(labels, scale)


def _sizing(labels: tuple[str, ...], scale: ScaleStatus) -> Iterator[Sample]:
    sizing = scale.sizing
    if sizing is None:
        return
    yield Sample(families.GPU_SECONDS, labels, sizing.used_gpu_hours * SECONDS_PER_HOUR)
    yield Sample(families.COST, labels, sizing.used_cost)
    planned_hours = sizing.planned_gpu_hours
    samples = (
        (families.GPU_SECONDS_PLANNED, labels, _times(planned_hours, SECONDS_PER_HOUR)),
        (families.COST_PLANNED, labels, sizing.planned_cost),
        (families.MEMORY_ESTIMATED, (*labels, "device"), sizing.estimated_device_bytes),
        (families.MEMORY_ESTIMATED, (*labels, "host"), sizing.estimated_host_bytes),
        (families.MEMORY_MEASURED, (*labels, "device"), sizing.measured_device_bytes),
        (families.MEMORY_MEASURED, (*labels, "host"), sizing.measured_host_bytes),
    )
    yield from (Sample(*sample) for sample in samples if sample[2] is not None)  # pyright: ignore[reportArgumentType]


def _fit(owner: Owner, status: ExperimentStatus) -> Iterator[Sample]:
    fit = status.fit
    if fit is not None:
        yield Sample(families.FIT_POINTS, owner, fit.points)
        for name, value in fit.parameters.items():
            yield Sample(families.FIT, (*owner, name), value)
        for name, intervals in fit.intervals.items():
            whole = intervals.interval95
            ends = () if whole is None else (("low", whole.low), ("high", whole.high))
            for bound, end in ends:
                if end is not None:
                    yield Sample(families.FIT_BOUND, (*owner, name, bound), end)
    for place, recommendation in enumerate(status.recommendations):
        if recommendation.parameters is not None:
            yield Sample(families.RECOMMENDED, (*owner, str(place)), recommendation.parameters)


def _budget(view: StoredExperiment, now_seconds: float) -> Iterator[Sample]:
    budget, status = view.budget, view.status
    used_hours = 0.0 if status.ledger is None else status.ledger.used_gpu_hours
    used_cost = 0.0 if status.ledger is None else status.ledger.used_cost
    elapsed = 0.0
    if status.start_time is not None:
        end = status.completion_time
        end_seconds = now_seconds if end is None else end.timestamp()
        elapsed = end_seconds - status.start_time.timestamp()
    duration = None if budget.duration is None else budget.duration.total_seconds()
    shares = (
        ("duration", elapsed, duration),
        ("gpuHours", used_hours, budget.gpu_hours),
        ("cost", used_cost, budget.cost),
    )
    for name, used, limit in shares:
        if limit is not None:
            yield Sample(families.BUDGET_USED, (*view.owner, name), used / limit)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


UNSHAPED = "none"
"""The label of experiments with fixed resources, which have no shape of a policy."""


def samples_of_machines(
    view: StoredExperiment, pods: Iterable[Mapping[str, Any]]
) -> Iterator[Sample]:
    """Sum up accelerators by shape, over pods that have not ended."""
    shapes = {str(scale.index): scale.sizing for scale in view.status.scales}
    requested: dict[str, float] = {}
    in_use: dict[str, float] = {}
    for pod in pods:
        count = accelerators(pod)
        phase = pod.get("status", {}).get("phase")
        if not count or phase in ("Succeeded", "Failed"):
            continue
        sizing = shapes.get(pod["metadata"].get("labels", {}).get(LABEL_SCALE, ""))
        shape = (None if sizing is None else sizing.shape) or UNSHAPED
        requested[shape] = requested.get(shape, 0) + count
        in_use[shape] = in_use.get(shape, 0) + (count if phase == "Running" else 0)
    for shape, count in requested.items():
        yield Sample(families.GPUS_REQUESTED, (*view.owner, shape), count)
        yield Sample(families.GPUS_IN_USE, (*view.owner, shape), in_use[shape])


def accelerators(pod: Mapping[str, Any]) -> int:
    """Count the extended resources of a pod's containers: those with a domain in their name."""
    total = 0
    for container in pod.get("spec", {}).get("containers", ()):
        limits: Mapping[str, Any] = container.get("resources", {}).get("limits", {})
        total += sum(int(count) for name, count in limits.items() if "/" in name)
    return total


LOSS = "train_loss"


@dataclass(slots=True)
class LastReport:
    """The latest figures of a running trial."""

    loss: float | None = None
    samples: float | None = None
    seconds: float | None = None
    samples_per_second: float | None = None
    peaks: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(slots=True)
class RunningTrials:
    """The latest reports of the running trials of each experiment."""

    _trials: dict[Owner, dict[TrialKey, LastReport]] = field(
        default_factory=dict[Owner, dict[TrialKey, LastReport]]
    )

    def reported(self, owner: Owner, trial_key: TrialKey, report: Report, objective: str) -> None:
        """Take in a report."""
        latest = self._trials.setdefault(owner, {}).setdefault(trial_key, LastReport())
        loss = report.metrics.get(LOSS, report.metrics.get(objective))
        latest.loss = latest.loss if loss is None else loss
        _note_rate(latest, report.figures)
        for memory, name in (("device", "peakDeviceBytes"), ("host", "peakHostBytes")):
            if name in report.figures:
                latest.peaks[memory] = report.figures[name]

    def ended(self, owner: Owner, trial_key: TrialKey) -> None:
        """Forget a trial that has ended, or that begins another attempt."""
        self._trials.get(owner, {}).pop(trial_key, None)

    def forget(self, owner: Owner) -> None:
        """Forget an experiment."""
        self._trials.pop(owner, None)

    def samples(self) -> Iterator[Sample]:
        """Give the aggregates of each experiment: no series per trial."""
        for owner, trials in self._trials.items():
            yield from _aggregates(owner, trials)


def _note_rate(latest: LastReport, figures: Mapping[str, float]) -> None:
    samples, seconds = figures.get("samples"), figures.get("seconds")
    if samples is None or seconds is None:
        return
    before = (latest.samples or 0.0, latest.seconds or 0.0)
    if seconds <= before[1]:  # another attempt counts from 0
        before = (0.0, 0.0)
    if seconds > before[1] and samples >= before[0]:
        latest.samples_per_second = (samples - before[0]) / (seconds - before[1])
    latest.samples, latest.seconds = samples, seconds


def _aggregates(owner: Owner, trials: Mapping[TrialKey, LastReport]) -> Iterator[Sample]:
    reports = list(trials.values())
    yield Sample(families.REPORTING, owner, len(reports))
    losses = [report.loss for report in reports if report.loss is not None]
    if losses:
        yield Sample(families.TRAINING_LOSS, (*owner, "min"), min(losses))
        yield Sample(families.TRAINING_LOSS, (*owner, "mean"), statistics.fmean(losses))
        yield Sample(families.TRAINING_LOSS, (*owner, "max"), max(losses))
    rates = [
        report.samples_per_second for report in reports if report.samples_per_second is not None
    ]
    if rates:
        yield Sample(families.TRAINING_RATE, owner, sum(rates))
    for memory in ("device", "host"):
        peaks = [report.peaks[memory] for report in reports if memory in report.peaks]
        if peaks:
            yield Sample(families.TRAINING_MEMORY, (*owner, memory), max(peaks))
