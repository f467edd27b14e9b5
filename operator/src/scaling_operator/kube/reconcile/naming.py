"""Names of an experiment's workloads, and back from a name to the attempt."""

from __future__ import annotations

from functools import lru_cache

from scaling_operator.api.names import attempt_name
from scaling_operator.core.reports import AttemptKey
from scaling_operator.kube.client.index import Key

NUMBERS = 3
"""Of an attempt: scale, trial, attempt."""
KNOWN_NAMES = 10_000
"""A plan reads the name of every workload that is there."""


@lru_cache(maxsize=KNOWN_NAMES)
def workload_name(experiment: Key, key: AttemptKey) -> str:
    """Name the workload of an attempt."""
    return attempt_name(experiment.name, key.scale, key.number, key.attempt)


@lru_cache(maxsize=KNOWN_NAMES)
def attempt_of(experiment: Key, name: str) -> AttemptKey | None:
    """Read which attempt a workload is, from its name; None where it is none of ours."""
    parts = name.removeprefix(f"{experiment.name}-").split("-")
    if len(parts) != NUMBERS or not all(part.isdecimal() for part in parts):
        return None
    return AttemptKey(*(int(part) for part in parts))
