"""What running trials report and are told: the words of the protocol, without its web."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """Whose report it is."""

    scale: int
    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics after a step; `seq` counts the attempt's reports from 1."""

    seq: int
    step: int
    metrics: dict[str, float]


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
