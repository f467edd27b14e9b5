"""The bound of everything that repeats or waits; the operating guide has the same table."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.names import MAX_ATTEMPTS

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0
"""The longest pause between two tries to create a refused workload.

`trials.pendingTimeout` ends the tries.
"""
MAX_BACKOFF_DOUBLINGS = 6
"""An interrupted attempt begins again after `--retry-backoff`, or at most 64 times as long."""
RESERVED_SECONDS = 300.0
"""How long room is kept for a workload whose create request got no answer.

A request may take 30 s, and a resync follows within two minutes; after both the index has the
workload.
"""


REQUEST_SECONDS = 5.0
"""For a trainer's request to the endpoint.

This number and the next three are the trainer's own: a test compares them.
"""
LONGEST_PAUSE_SECONDS = 30.0
LAST_VALUES_SECONDS = 10.0
MOST_VALUES = 1000
_NOT_SAVED = "`Exported` is false and says why; the answer stays"


@dataclass(frozen=True, slots=True)
class Bound:
    """Something that repeats or waits, what bounds it, and what happens at the bound."""

    what: str
    bound: str
    then: str


BOUNDS = (
    Bound(
        "a trial that waits for room: a limit, a quota, another trial's pod",
        "`trials.pendingTimeout`",
        "the trial fails, counts",
    ),
    Bound("a pod that waits for its node", "`trials.pendingTimeout`", "the trial fails, counts"),
    Bound("an attempt that runs", "`trials.timeout`", "the trial fails, counts"),
    Bound(
        "interruptions in a row",
        "`trials.maxInterruptions`",
        "the trial fails, does not count",
    ),
    Bound(
        "attempts with more memory",
        "`escalation.maxEscalations` of the policy",
        "the trial fails, counts",
    ),
    Bound(
        "attempts of a trial, whatever ended them; suspensions too",
        f"{MAX_ATTEMPTS}",
        "the trial fails by the last one's reason",
    ),
    Bound(
        "the pause before an interrupted attempt begins again",
        f"`trials.retryBackoff`, doubled {MAX_BACKOFF_DOUBLINGS} times at most",
        "the attempt begins",
    ),
    Bound(
        "the pause before a pod that was refused is tried again",
        f"{FIRST_RETRY_SECONDS:.0f} s, doubled up to {LONGEST_RETRY_SECONDS:.0f} s",
        "it is tried again",
    ),
    Bound(
        "room that is kept for a pod whose creation got no answer",
        f"{RESERVED_SECONDS:.0f} s",
        "others may have it",
    ),
    Bound(
        "an experiment that is suspended, refused or not sized",
        "a person's change",
        "its trials begin to wait anew",
    ),
    Bound(
        "a finisher that waits for room, its name or its node",
        "`trials.pendingTimeout`",
        _NOT_SAVED,
    ),
    Bound("a finisher that runs", "`trials.timeout`", _NOT_SAVED),
    Bound(
        "a finisher that is interrupted and made again",
        "`trials.pendingTimeout` and `trials.timeout` together, from the experiment's end",
        _NOT_SAVED,
    ),
    Bound(
        "a trainer's request to the report endpoint",
        f"{REQUEST_SECONDS:.0f} s",
        f"it is tried again, after pauses up to {LONGEST_PAUSE_SECONDS:.0f} s, while it trains",
    ),
    Bound(
        "values that wait in a trainer while the endpoint is away",
        f"{MOST_VALUES:,}",
        "the oldest are dropped",
    ),
    Bound(
        "a trainer that has ended, for an endpoint that asks to come later",
        f"{LAST_VALUES_SECONDS:.0f} s",
        "the last values are dropped; the result is not",
    ),
)
