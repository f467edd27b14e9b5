"""How a condition is made, and which conditions stop work.

Users are told of everything that stops work: `STOPS_WORK` decides the Event, the metric and the
alert.
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
"""For each condition: work stops where it is true, where it is false, or (None) never.

Complete never stops work: completion is an answer. A fit's refusal is an answer too.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition should say."""

    kind: ConditionType
    is_true: bool
    reason: str
    message: str = ""

    @property
    def status(self) -> str:
        """The condition's status: `True` or `False` as text."""
        return "True" if self.is_true else "False"


def as_condition(
    finding: Finding, before: Iterable[Condition], generation: int | None, now_seconds: float
) -> Condition:
    """Make a finding a condition; its transition time stays where its status stays."""
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
    """Put one condition into a status; the rest of the status stays."""
    condition = as_condition(finding, before.conditions, generation, now_seconds)
    others = tuple(condition for condition in before.conditions if condition.type != finding.kind)
    return before.model_copy(update={"conditions": (condition, *others)})


def stops_work(condition: Condition) -> bool:
    """Whether work cannot go on until a person acts, or the cluster changes."""
    stopping = {kind.value: status for kind, status in STOPS_WORK.items()}.get(condition.type)
    return stopping is not None and condition.status == str(stopping)


def is_requested(condition: Condition) -> bool:
    """Whether work stops because a person has asked for it."""
    return condition.reason == ConditionReason.SUSPENDED


def news(before: Iterable[Condition], after: Iterable[Condition]) -> tuple[Condition, ...]:
    """Select the conditions that an Event should tell of.

    They are the conditions that have become true, and those that stop work, newly or again.
    """
    previous = {(condition.type, condition.status): condition for condition in before}
    return tuple(
        condition
        for condition in after
        if (condition.status == "True" or stops_work(condition))
        and _is_new(condition, previous.get((condition.type, condition.status)))
    )


def _is_new(condition: Condition, old: Condition | None) -> bool:
    """Whether no Event has told of a condition yet.

    A condition that stops work is new again where a changed spec did not help.
    """
    if old is None or not stops_work(condition):
        return old is None
    previous = old.reason, old.observed_generation
    return previous != (condition.reason, condition.observed_generation)


def moment(seconds: float | None) -> datetime | None:
    """Convert seconds since the epoch to a time as a status has it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
