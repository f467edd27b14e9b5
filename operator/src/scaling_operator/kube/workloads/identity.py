"""Which experiment and attempt an object belongs to: written as name, labels and owner; read back.

Anybody can write a name or a label. The uid of the object's owner proves them
(client/ownership.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from scaling_operator.api.names import (
    API_VERSION,
    GROUP,
    LABEL_ATTEMPT,
    LABEL_EXPERIMENT,
    LABEL_FINISHES,
    LABEL_SCALE,
    LABEL_TRIAL,
    attempt_name,
    finisher_name,
    trial_id,
    trial_name,
)
from scaling_operator.core.reports import AttemptKey

NUMBERS = 3
"""Of an attempt: scale, trial, attempt."""
CACHED_NAMES = 10_000
"""A plan reads the name of every workload that exists."""
MANAGED_BY = {"app.kubernetes.io/managed-by": GROUP.partition(".")[0]}


@lru_cache(maxsize=CACHED_NAMES)
def workload_name(experiment: str, key: AttemptKey) -> str:
    """Name the workload of an attempt."""
    return attempt_name(experiment, key.scale, key.number, key.attempt)


@lru_cache(maxsize=CACHED_NAMES)
def attempt_of_name(experiment: str, name: str) -> AttemptKey | None:
    """Read which attempt a workload runs, from its name; None where the name is no attempt's."""
    parts = name.removeprefix(f"{experiment}-").split("-")
    if len(parts) != NUMBERS or not all(part.isdecimal() for part in parts):
        return None
    scale, number, attempt = map(int, parts)
    return AttemptKey(scale, number, attempt)


def trial_labels(experiment: str, scale: int, number: int) -> dict[str, str]:
    """Write the labels of a ScalingTrial; the trial's label is the object's name."""
    return {
        LABEL_EXPERIMENT: experiment,
        LABEL_SCALE: str(scale),
        LABEL_TRIAL: trial_name(experiment, scale, number),
    }


def attempt_labels(experiment: str, key: AttemptKey) -> dict[str, str]:
    """Write the labels that the Job and every pod of an attempt have."""
    return {
        **MANAGED_BY,
        **trial_labels(experiment, key.scale, key.number),
        LABEL_ATTEMPT: str(key.attempt),
    }


def finisher_labels(experiment: str, scale: int, number: int) -> dict[str, str]:
    """Write the labels of the finisher that saves the model of a trial."""
    return {**MANAGED_BY, LABEL_EXPERIMENT: experiment, LABEL_FINISHES: trial_id(scale, number)}


def experiment_selector(experiment: str) -> str:
    """Select the objects of an experiment by their label."""
    return f"{LABEL_EXPERIMENT}={experiment}"


def trials_selector(experiments: Collection[str], trials: Collection[str]) -> str:
    """Select the workloads of trials by their labels; both are named, and neither is empty."""
    return (
        f"{LABEL_EXPERIMENT} in ({','.join(sorted(experiments))}),"
        f"{LABEL_TRIAL} in ({','.join(sorted(trials))})"
    )


def owner_reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    """Write the reference to the ScalingExperiment or ScalingTrial that controls an object."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        # The owner may go at once; what it owns follows by garbage collection.
        "blockOwnerDeletion": False,
    }


def attempt_of_pod(pod: Mapping[str, Any], *, in_jobs: bool) -> tuple[str, AttemptKey] | None:
    """Name the experiment and the attempt that a pod claims to run; None where it claims none.

    The labels must match the name. `in_jobs`: attempts are Jobs here, whose pods have names of
    their own; then the name of the Job must match.
    """
    metadata: Mapping[str, Any] = pod["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    experiment = labels.get(LABEL_EXPERIMENT)
    number = labels.get(LABEL_TRIAL, "").rpartition("-")[2]
    digits = (labels.get(LABEL_SCALE, ""), number, labels.get(LABEL_ATTEMPT, ""))
    if experiment is None or not all(text.isascii() and text.isdecimal() for text in digits):
        return None
    scale, number, attempt = map(int, digits)
    key = AttemptKey(scale, number, attempt)
    name = _job_name(metadata) if in_jobs else metadata["name"]
    return (experiment, key) if name == workload_name(experiment, key) else None


def finished_experiment(pod: Mapping[str, Any]) -> str | None:
    """Name the experiment whose finisher a pod claims to be; None where it claims to be none."""
    metadata: Mapping[str, Any] = pod["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    experiment = labels.get(LABEL_EXPERIMENT)
    if experiment is None or LABEL_FINISHES not in labels:
        return None
    return experiment if metadata["name"] == finisher_name(experiment) else None


def _job_name(metadata: Mapping[str, Any]) -> str | None:
    """Name of the Job that controls a pod."""
    owners = metadata.get("ownerReferences") or ()
    jobs = (owner["name"] for owner in owners if owner.get("controller") and owner["kind"] == "Job")
    return next(jobs, None)
