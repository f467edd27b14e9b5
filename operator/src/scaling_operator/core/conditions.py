"""How a condition is made, and which ones stop work.

Whatever stops work is told: an Event, a metric and an alert follow from `STOPS_WORK`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from scaling_operator.api.names import FIT_CONDITIONS, ConditionReason, ConditionType
from scaling_operator.api.status import Condition, ExperimentStatus
from scaling_trainer.foreign_text import as_message

STOPS_WORK: Mapping[ConditionType, bool | None] = {
    ConditionType.ACCEPTED: False,
    ConditionType.SUSPENDED: True,
    ConditionType.COMPLETE: None,
    ConditionType.FAILED: True,
    ConditionType.EXPORTED: False,
    ConditionType.SIZED: False,
    ConditionType.READY: False,
    ConditionType.OFFERED: False,
    ConditionType.INTERNAL_ERROR: True,
    **dict.fromkeys(FIT_CONDITIONS, None),
}
"""For each condition, whether work stops where it is true or where it is false; None: never.

Completion is an answer, and a fit that refuses is one too.
"""


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
    old = next((condition for condition in before if condition.type == finding.kind), None)
    same = old is not None and old.status == finding.status
    return Condition(
        type=finding.kind,
        status=finding.status,
        reason=finding.reason,
        message=as_message(finding.message),
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
    others = tuple(condition for condition in before.conditions if condition.type != finding.kind)
    return before.model_copy(update={"conditions": (condition, *others)})


def stops_work(condition: Condition) -> bool:
    """Whether something cannot go on until somebody acts, or the world changes."""
    worse = {kind.value: status for kind, status in STOPS_WORK.items()}.get(condition.type)
    return worse is not None and condition.status == str(worse)


def is_wished(condition: Condition) -> bool:
    """Whether work stops because somebody has asked for it."""
    return condition.reason == ConditionReason.SUSPENDED


def news(before: Iterable[Condition], after: Iterable[Condition]) -> tuple[Condition, ...]:
    """Pick what a person should hear: what has become true, and what stops work or does so anew."""
    were = {(condition.type, condition.status): condition for condition in before}
    return tuple(
        condition
        for condition in after
        if (condition.status == "True" or stops_work(condition))
        and _is_new(condition, were.get((condition.type, condition.status)))
    )


def _is_new(condition: Condition, old: Condition | None) -> bool:
    """Whether it was not said before; what stops work is new where a changed spec did not help."""
    if old is None or not stops_work(condition):
        return old is None
    told_before = old.reason, old.observed_generation
    return told_before != (condition.reason, condition.observed_generation)


def moment(seconds: float | None) -> datetime | None:
    """Give a time as conditions have it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
