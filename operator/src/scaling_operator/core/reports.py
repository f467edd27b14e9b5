"""What running trials report and are told: the words of the protocol, without its web."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """Whose report it is."""

    scale: int
    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics after a step; `seq` counts the attempt's reports from 1.

    `figures` tell of the attempt so far, for people who watch: samples, seconds, peakHostBytes,
    peakDeviceBytes, as far as the trainer knows them; `phase` is that of the learning rate's
    schedule, where it says so.
    """

    seq: int
    step: int
    metrics: dict[str, float]
    figures: dict[str, float] = field(default_factory=dict[str, float])
    phase: str | None = None


STABLE = "stable"


def is_comparable(phase: str | None) -> bool:
    """Whether a report may be held against those of other trials.

    A value on a decaying rate is lower than one before it by the decay alone: it says nothing of
    which trial is better. Trainers that name no phase are taken to compare like with like.
    """
    return phase is None or phase == STABLE


class Answer(StrEnum):
    """What the trainer is told."""

    CONTINUE = "continue"
    PRUNE = "prune"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Reply:
    """What follows from a report. `durable`: the last one that outlives whoever heard it."""

    answer: Answer
    durable: int
