"""What each reason means, said again by hand: to change the table is to change behaviour."""

from __future__ import annotations

import pytest

from scaling_operator.api.names import Reason, StopReason
from scaling_operator.core.reasons import EFFECTS, Next, counts, meaning_of, next_of, ranks_last

REPEATED = {
    *(Reason.EVICTED, Reason.PREEMPTED, Reason.NODE_LOST, Reason.POD_DELETED, Reason.STORAGE_FULL)
}
ESCALATED = {Reason.OOM_KILLED, Reason.ACCELERATOR_OOM}
QUEUED = {Reason.UNSCHEDULABLE, Reason.QUOTA_EXCEEDED}
WORST = {Reason.DIVERGED, Reason.INFEASIBLE}
UNCOUNTED = {*REPEATED, *WORST, Reason.SUSPENDED}


def test_every_reason_has_its_effect() -> None:
    assert set(EFFECTS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_means_what_users_were_told(reason: Reason) -> None:
    follows = {
        Next.REPEAT: reason in REPEATED,
        Next.ESCALATE: reason in ESCALATED,
        Next.WAIT: reason in QUEUED,
        Next.RESUME: reason is Reason.SUSPENDED,
    }
    assert [after for after, is_so in follows.items() if is_so] in ([next_of(reason)], [])
    assert (next_of(reason) is Next.FAIL) == (not any(follows.values()))
    assert counts(reason) == (reason not in UNCOUNTED)
    assert ranks_last(reason) == (reason in WORST)


@pytest.mark.parametrize("reason", [None, *StopReason])
def test_what_is_no_reason_of_an_attempt_counts_and_is_not_ranked_last(
    reason: StopReason | None,
) -> None:
    assert counts(reason)
    assert not ranks_last(reason)


def test_every_reason_has_a_meaning() -> None:
    meanings = [meaning_of(reason) for reason in (*Reason, *StopReason)]
    assert all(meanings)
    assert len(set(meanings)) == len(meanings)
