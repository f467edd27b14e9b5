"""What an experiment may name is what the platform's patterns allow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from testbed.attempt_specs import EVERYTHING, attempt_spec

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.problems import Problem
from scaling_operator.kube.workloads.allowed import Allowed, disallowed_names
from scaling_operator.kube.workloads.attempt_spec import platform_problems

CONTAINER = "spec.trainer.container."
POD = "spec.trainer.pod."
NOTHING = Allowed((), (), (), ())
AFFINITY = f"{POD}affinity.nodeAffinity"


def everything() -> ExperimentSpec:
    """Read an experiment that names one of each."""
    spec = attempt_spec(EVERYTHING).spec
    kept = {"persistentVolumeClaim": {"claimName": "experiments"}}
    return ExperimentSpec.model_validate({**spec.model_dump(mode="json"), "artifacts": kept})


def test_by_default_everything_is_allowed() -> None:
    assert list(disallowed_names(everything(), Allowed())) == []


def test_everything_that_is_named_is_found_with_its_path() -> None:
    assert [(problem.path, problem.message.split(" is ")[0]) for problem in _of(NOTHING)] == [
        (f"{CONTAINER}env[1].valueFrom.secretKeyRef.name", "hub"),
        (f"{CONTAINER}volumes[4].secret.secretName", "key"),
        (f"{POD}imagePullSecrets[0].name", "registry"),
        ("spec.artifacts.persistentVolumeClaim.claimName", "experiments"),
        (f"{CONTAINER}volumes[0].persistentVolumeClaim.claimName", "data"),
        (f"{POD}tolerations[0].key", "dedicated"),
        (f"{POD}nodeSelector.kubernetes.io/arch", "kubernetes.io/arch"),
        (f"{POD}nodeSelector.gpu", "gpu"),
        (AFFINITY, "gpu"),
        (AFFINITY, "gpu"),
    ]


def _of(allowed: Allowed) -> list[Problem]:
    return list(disallowed_names(everything(), allowed))


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        pytest.param(Allowed(secrets=("hub", "key", "registry")), [], id="each by its name"),
        pytest.param(Allowed(secrets=("h*", "reg*")), ["key"], id="those that begin so"),
        pytest.param(Allowed(claims=("data",)), ["experiments"], id="data, and no artifacts"),
        pytest.param(Allowed(tolerations=("gpu",)), ["dedicated"], id="another taint"),
        pytest.param(
            Allowed(node_labels=("kubernetes.io/*",)), ["gpu", "gpu", "gpu"],
            id="a domain of labels: selectors and affinities alike",
        ),
    ],
)  # fmt: skip
def test_patterns_say_what_is_allowed(allowed: Allowed, left: list[str]) -> None:
    assert [problem.message.split(" is ")[0] for problem in _of(allowed)] == left


def test_who_tolerates_every_taint_needs_to_be_allowed_everything() -> None:
    attempt = attempt_spec({**EVERYTHING, "pod": {"tolerations": [{"operator": "Exists"}]}})
    (problem,) = disallowed_names(attempt.spec, Allowed(tolerations=("spot", "gpu-*")))
    assert problem.message == (
        "every taint is not for experiments; taints that the platform allows: spot, gpu-*"
    )
    assert list(disallowed_names(attempt.spec, Allowed())) == []


def test_an_empty_list_allows_nothing_and_says_so() -> None:
    # A chart's empty list becomes one empty pattern.
    problems = _of(Allowed(secrets=("",)))
    assert {problem.message.partition("; ")[2] for problem in problems} == {
        "Secrets that the platform allows: none"
    }


def test_what_is_not_allowed_is_refused_before_any_trial() -> None:
    attempt = attempt_spec(EVERYTHING)
    narrow = replace(attempt.settings, allowed=Allowed(secrets=()))
    assert len(list(platform_problems(attempt.spec, narrow))) == 3
