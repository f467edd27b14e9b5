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
    peakDeviceBytes, as far as the trainer knows them.
    """

    seq: int
    step: int
    metrics: dict[str, float]
    figures: dict[str, float] = field(default_factory=dict[str, float])


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
