"""Trials that run, by what they report: an experiment's aggregates, no series per trial."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scaling_operator.core.reports import Report
from scaling_operator.metrics import families
from scaling_operator.metrics.operator_metrics import Owner
from scaling_operator.metrics.stored_state import Sample

Slot = tuple[int, int]
LOSS = "train_loss"


@dataclass(slots=True)
class _Latest:
    """The last of a running trial."""

    loss: float | None = None
    samples: float | None = None
    seconds: float | None = None
    samples_per_second: float | None = None
    peaks: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(slots=True)
class RunningTrials:
    """What the running trials of each experiment have reported last."""

    _trials: dict[Owner, dict[Slot, _Latest]] = field(
        default_factory=dict[Owner, dict[Slot, _Latest]]
    )

    def reported(self, owner: Owner, slot: Slot, report: Report, objective: str) -> None:
        """Take a report."""
        latest = self._trials.setdefault(owner, {}).setdefault(slot, _Latest())
        loss = report.metrics.get(LOSS, report.metrics.get(objective))
        latest.loss = latest.loss if loss is None else loss
        _note_rate(latest, report.figures)
        for memory, name in (("device", "peakDeviceBytes"), ("host", "peakHostBytes")):
            if name in report.figures:
                latest.peaks[memory] = report.figures[name]

    def ended(self, owner: Owner, slot: Slot) -> None:
        """Forget a trial that is over, or one of whose attempts is."""
        self._trials.get(owner, {}).pop(slot, None)

    def forget(self, owner: Owner) -> None:
        """Forget an experiment."""
        self._trials.pop(owner, None)

    def samples(self) -> Iterator[Sample]:
        """Give the aggregates of each experiment with running trials that report."""
        for owner, trials in self._trials.items():
            yield from _aggregates(owner, trials)


def _note_rate(latest: _Latest, figures: Mapping[str, float]) -> None:
    samples, seconds = figures.get("samples"), figures.get("seconds")
    if samples is None or seconds is None:
        return
    before = (latest.samples or 0.0, latest.seconds or 0.0)
    if seconds <= before[1]:  # another attempt, which counts anew
        before = (0.0, 0.0)
    if seconds > before[1] and samples >= before[0]:
        latest.samples_per_second = (samples - before[0]) / (seconds - before[1])
    latest.samples, latest.seconds = samples, seconds


def _aggregates(owner: Owner, trials: Mapping[Slot, _Latest]) -> Iterator[Sample]:
    latest = list(trials.values())
    yield Sample(families.REPORTING, owner, len(latest))
    losses = [each.loss for each in latest if each.loss is not None]
    if losses:
        yield Sample(families.TRAINING_LOSS, (*owner, "min"), min(losses))
        yield Sample(families.TRAINING_LOSS, (*owner, "mean"), statistics.fmean(losses))
        yield Sample(families.TRAINING_LOSS, (*owner, "max"), max(losses))
    rates = [each.samples_per_second for each in latest if each.samples_per_second is not None]
    if rates:
        yield Sample(families.TRAINING_RATE, owner, sum(rates))
    for memory in ("device", "host"):
        peaks = [each.peaks[memory] for each in latest if memory in each.peaks]
        if peaks:
            yield Sample(families.TRAINING_MEMORY, (*owner, memory), max(peaks))
