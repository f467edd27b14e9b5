"""Which experiment and attempt an object belongs to: written as names and labels, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from scaling_operator.api.names import (
    LABEL_ATTEMPT,
    LABEL_EXPERIMENT,
    LABEL_FINISHES,
    LABEL_SCALE,
    LABEL_TRIAL,
    attempt_name,
    finisher_name,
)
from scaling_operator.core.reports import AttemptKey


def attempt_of_pod(pod: Mapping[str, Any], *, in_jobs: bool) -> tuple[str, AttemptKey] | None:
    """Name the experiment and the attempt that a pod claims to run; None where it claims none.

    `in_jobs`: attempts are Jobs here, whose pods have names of their own.
    """
    metadata: Mapping[str, Any] = pod["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    experiment = labels.get(LABEL_EXPERIMENT)
    number = labels.get(LABEL_TRIAL, "").rpartition("-")[2]
    digits = (labels.get(LABEL_SCALE, ""), number, labels.get(LABEL_ATTEMPT, ""))
    if experiment is None or not all(each.isascii() and each.isdecimal() for each in digits):
        return None
    key = AttemptKey(*(int(each) for each in digits))
    expected = attempt_name(experiment, key.scale, key.number, key.attempt)
    name = _job_name(metadata) if in_jobs else metadata["name"]
    return (experiment, key) if name == expected else None


def finishes(pod: Mapping[str, Any]) -> str | None:
    """Name the experiment that a pod claims to finish; None where it claims none."""
    metadata: Mapping[str, Any] = pod["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    experiment = labels.get(LABEL_EXPERIMENT)
    if experiment is None or LABEL_FINISHES not in labels:
        return None
    return experiment if metadata["name"] == finisher_name(experiment) else None


def _job_name(metadata: Mapping[str, Any]) -> str | None:
    """Name of the Job that controls a pod."""
    owners = metadata.get("ownerReferences") or ()
    jobs = (each["name"] for each in owners if each.get("controller") and each["kind"] == "Job")
    return next(jobs, None)


NUMBERS = 3
"""Of an attempt: scale, trial, attempt."""
KNOWN_NAMES = 10_000
"""A plan reads the name of every workload that is there."""


@lru_cache(maxsize=KNOWN_NAMES)
def workload_name(experiment: str, key: AttemptKey) -> str:
    """Name the workload of an attempt."""
    return attempt_name(experiment, key.scale, key.number, key.attempt)


@lru_cache(maxsize=KNOWN_NAMES)
def attempt_of_name(experiment: str, name: str) -> AttemptKey | None:
    """Read which attempt a workload is, from its name; None where it is none of ours."""
    parts = name.removeprefix(f"{experiment}-").split("-")
    if len(parts) != NUMBERS or not all(part.isdecimal() for part in parts):
        return None
    return AttemptKey(*(int(part) for part in parts))
