"""How a condition is made. Its transition time stays for as long as its status does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from scaling_operator.api.names import ConditionType
from scaling_operator.api.status import Condition, ExperimentStatus

MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition is to say."""

    kind: ConditionType
    is_true: bool
    reason: str
    message: str = ""

    @property
    def status(self) -> str:
        """The word of a condition's status."""
        return "True" if self.is_true else "False"


def as_condition(
    finding: Finding, before: Iterable[Condition], generation: int | None, now_seconds: float
) -> Condition:
    """Make a finding a condition, given the conditions before it."""
    old = next((each for each in before if each.type == finding.kind), None)
    same = old is not None and old.status == finding.status
    return Condition(
        type=finding.kind,
        status=finding.status,
        reason=finding.reason,
        message=finding.message[:MAX_MESSAGE],
        last_transition_time=old.last_transition_time
        if same and old is not None
        else moment(now_seconds),
        observed_generation=generation,
    )


def with_finding(
    before: ExperimentStatus, finding: Finding, generation: int | None, now_seconds: float
) -> ExperimentStatus:
    """Put one condition into a status; all else stays as it was found."""
    condition = as_condition(finding, before.conditions, generation, now_seconds)
    others = tuple(each for each in before.conditions if each.type != finding.kind)
    return before.model_copy(update={"conditions": (condition, *others)})


def moment(seconds: float | None) -> datetime | None:
    """Give a time as conditions have it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
