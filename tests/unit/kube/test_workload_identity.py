"""Whose reports a pod may send: labels that somebody wrote do not make it an attempt."""

from __future__ import annotations

from typing import Any

import pytest

from scaling_operator.core.reports import AttemptKey
from scaling_operator.kube.workloads.identity import attempt_of_pod, finished_experiment

PREFIX = "scaling-operator.dev"
LABELS = {
    f"{PREFIX}/experiment": "study",
    f"{PREFIX}/scale": "1",
    f"{PREFIX}/trial": "study-1-7",
    f"{PREFIX}/attempt": "2",
}


def pod(name: str, labels: dict[str, str], *owners: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels, "ownerReferences": list(owners)}}


def owner(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "controller": True}


ATTEMPT = ("study", AttemptKey(1, 7, 2))


@pytest.mark.parametrize(
    ("document", "in_jobs", "expected"),
    [
        pytest.param(pod("study-1-7-2", LABELS), False, ATTEMPT, id="the pod of an attempt"),
        pytest.param(
            pod("study-1-7-2-x8k2p", LABELS, owner("Job", "study-1-7-2")),
            True,
            ATTEMPT,
            id="the pod of an attempt's Job",
        ),
        pytest.param(
            pod("study-1-7-2-x8k2p", LABELS, owner("Job", "study-1-7-2")),
            False,
            None,
            id="a Job's pod where attempts are pods",
        ),
        pytest.param(pod("mine", LABELS), False, None, id="somebody's pod with our labels"),
        pytest.param(
            pod("mine", LABELS, owner("ScalingTrial", "study-1-7")),
            False,
            None,
            id="somebody's pod that names a trial as its owner",
        ),
        pytest.param(
            pod("study-1-7-2", {**LABELS, f"{PREFIX}/attempt": "3"}),
            False,
            None,
            id="an older attempt with the label of a newer one",
        ),
        pytest.param(
            pod("study-1-7-2", {**LABELS, f"{PREFIX}/scale": "one"}), False, None, id="no number"
        ),
        pytest.param(pod("study-1-7-2", {}), False, None, id="no labels"),
    ],
)
def test_an_attempt_is_known_by_the_name_of_its_workload(
    *, document: dict[str, Any], in_jobs: bool, expected: tuple[str, AttemptKey] | None
) -> None:
    assert attempt_of_pod(document, in_jobs=in_jobs) == expected


def test_a_finisher_is_known_by_its_name() -> None:
    labels = {f"{PREFIX}/experiment": "study", f"{PREFIX}/finishes": "0-3"}
    assert finished_experiment(pod("study-finish", labels)) == "study"
    assert finished_experiment(pod("mine", labels)) is None
    assert finished_experiment(pod("study-finish", {})) is None
