"""What running trials report and what they are answered: the protocol's values, without HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scaling_operator.api.names import TrialKey, trial_id


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """One attempt of one trial."""

    scale: int
    number: int
    attempt: int

    @property
    def trial(self) -> TrialKey:
        """The attempt's trial."""
        return self.scale, self.number

    @property
    def trial_id(self) -> str:
        """Name of the trial within its experiment."""
        return trial_id(self.scale, self.number)


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics after a step; `seq` counts the attempt's reports from 1.

    `figures` describe the attempt so far, for people who watch: samples, seconds, peakHostBytes,
    peakDeviceBytes, as far as the trainer knows them. `phase` is the phase of the learning rate's
    schedule, where the trainer names it.
    """

    seq: int
    step: int
    metrics: dict[str, float]
    figures: dict[str, float] = field(default_factory=dict[str, float])
    phase: str | None = None


STABLE = "stable"


def is_comparable(phase: str | None) -> bool:
    """Whether a report may be compared with those of other trials.

    While the learning rate decays, values fall by the decay alone: they do not say which trial is
    better. The reports of a trainer that names no phase count as comparable.
    """
    return phase is None or phase == STABLE


class Answer(StrEnum):
    """What the trainer should do."""

    CONTINUE = "continue"
    PRUNE = "prune"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a report. `durable` is the last report that a restart of the shell keeps."""

    answer: Answer
    durable: int
