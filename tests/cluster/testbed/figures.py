"""What a run of many short trials cost, read from the audit log alone: the same for everybody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from testbed.audit import Entry


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. Gaps are seconds from a pod's end to the creation that took its slot."""

    trials: int
    seconds: float
    gaps_seconds: tuple[float, ...]
    own_writes: int
    all_writes: int
    quarters_per_minute: tuple[float, ...]

    @property
    def trials_per_minute(self) -> float:
        """Throughput, from the first creation to the last pod's end."""
        return self.trials / self.seconds * 60

    def gap_seconds(self, percent: int) -> float:
        """A percentile of the gaps; 0 where nothing had to wait for a slot."""
        if not self.gaps_seconds:
            return 0.0
        ordered = sorted(self.gaps_seconds)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def figures_of(
    entries: Iterable[Entry],
    namespace: str,
    writer: str,
    workload: Literal["pods", "jobs"] = "pods",
) -> Figures:
    """Count the writes of `writer` (its user agent or its account) and measure the slots.

    Slots are matched first in, first out: the k-th creation after the first `parallel` ones is the
    answer to the k-th end. With n creations and n ends, that is the (parallel + k)-th of all.
    """
    own, everybody = 0, 0
    created: list[float] = []
    ends: dict[str, float] = {}
    for entry in entries:
        is_own = writer in (entry.agent, entry.user)
        if not entry.is_write or not (is_own or entry.namespace == namespace):
            continue
        own += is_own
        everybody += 1
        if entry.namespace == namespace and (entry.verb, entry.resource) == ("create", workload):
            created.append(entry.received_seconds)
        if entry.resource == "pods/status" and entry.agent == "kwok-controller":
            ends[entry.name] = max(entry.answered_seconds, ends.get(entry.name, 0.0))
    created.sort()
    ended = sorted(ends.values())
    return Figures(
        len(ended),
        ended[-1] - created[0],
        _gaps(created, ended),
        own,
        everybody,
        _quarters(ended, created[0]),
    )


def _gaps(created: Sequence[float], ended: Sequence[float]) -> tuple[float, ...]:
    first = sum(moment < ended[0] for moment in created)
    return tuple(
        max(0.0, moment - end) for moment, end in zip(created[first:], ended, strict=False)
    )


def _quarters(ended: Sequence[float], start: float) -> tuple[float, ...]:
    count = len(ended) // 4
    if count == 0:
        return ()
    marks = [start, *(ended[count * (quarter + 1) - 1] for quarter in range(4))]
    return tuple(count / (marks[i + 1] - marks[i]) * 60 for i in range(4))
