"""Conditions: when their status changes, and that one of them leaves the others alone."""

from __future__ import annotations

from datetime import UTC, datetime

from scaling_operator.api.names import ConditionReason, ConditionType
from scaling_operator.api.status import Condition, ExperimentStatus
from scaling_operator.core.status import failing, spec_refused

EARLY, LATE = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
COMPLETE = Condition(type="Complete", status="False", reason="TrialsRemain")
BEFORE = ExperimentStatus(observed_generation=1, conditions=(COMPLETE,))


def test_a_fault_of_our_own_is_said_and_nothing_else_changes() -> None:
    status = failing(BEFORE, "KeyError: 'x'", 2, EARLY.timestamp())

    (said, kept) = status.conditions
    assert (said.type, said.status, said.reason) == (
        ConditionType.INTERNAL_ERROR,
        "True",
        ConditionReason.INTERNAL_ERROR,
    )
    assert (said.message, said.last_transition_time) == ("KeyError: 'x'", EARLY)
    assert kept == COMPLETE
    # The generation was not acted on.
    assert status.observed_generation == 1


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    first = failing(BEFORE, "one", 2, EARLY.timestamp())
    second = failing(first, "another", 2, LATE.timestamp())

    assert second.conditions[0].last_transition_time == EARLY
    assert second.conditions[0].message == "another"


def test_a_condition_that_turns_has_a_new_time() -> None:
    accepted = Condition(
        type="Accepted", status="True", reason="ValidSpec", last_transition_time=EARLY
    )
    before = ExperimentStatus(conditions=(accepted,))

    after = spec_refused(before, ConditionReason.INVALID_SPEC, "no", 2, LATE.timestamp())
    assert after.conditions[0].last_transition_time == LATE


def test_a_message_is_as_long_as_a_status_may_hold() -> None:
    assert len(failing(BEFORE, "x" * 5000, 2, 0.0).conditions[0].message) == 1024
