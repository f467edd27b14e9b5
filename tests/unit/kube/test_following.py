"""Whatever of a spec or a policy may change is followed at once, and the status tells it then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fake_cluster import Object
from shell import TEAM, Shell
from sized import SHAPE, policy, sized

from scaling_operator.api.experiment import (
    Artifacts,
    Budget,
    ExperimentSpec,
    Resources,
    Trials,
)
from scaling_operator.api.policy import PolicySpec
from scaling_operator.kube.client.kinds import EXPERIMENTS, NAMESPACES, POLICIES
from scaling_operator.validation.immutable import changed_parts, fixed_parts, free_fields

STUDY = "study"


def edit(shell: Shell, section: str, **values: Any) -> None:
    shell.cluster.edit(
        EXPERIMENTS, TEAM, STUDY, lambda study: study["spec"].setdefault(section, {}).update(values)
    )


def observed(shell: Shell) -> bool:
    """Whether the status tells of the generation that is stored."""
    stored = shell.cluster.one(EXPERIMENTS, TEAM, STUDY)
    return shell.status(STUDY).observed_generation == stored["metadata"]["generation"]


def condition(shell: Shell, kind: str) -> tuple[str, str]:
    (stated,) = [entry for entry in shell.status(STUDY).conditions if entry.type == kind]
    return stated.status, stated.reason


async def test_another_policy_is_followed_at_once(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, policy("none", {**SHAPE, "memory": "1Gi"}))
    shell.cluster.add(POLICIES, None, policy("good"))
    shell.cluster.add(EXPERIMENTS, TEAM, sized(STUDY, by="none"))
    await shell.settle()
    await shell.advance(1.0)
    assert condition(shell, "Sized") == ("False", "NothingFits")

    edit(shell, "resources", policy="good")
    await shell.settle()
    await shell.advance(1.0)

    assert shell.pods() == ["study-0-0-0"]
    assert condition(shell, "Sized") == ("True", "Planned")
    assert observed(shell)


async def test_no_generation_is_told_that_was_not_acted_on(shell: Shell) -> None:
    """The verdict and the generation come from one reading of the spec."""
    shell.cluster.add(POLICIES, None, policy("good"))
    shell.cluster.add(EXPERIMENTS, TEAM, sized(STUDY, by="good"))
    await shell.settle()
    edit(shell, "resources", policy="missing")
    statuses: list[tuple[int | None, str]] = []

    def hear(event: str, kind: Any, document: Object) -> None:
        del event
        if kind is EXPERIMENTS and document.get("status", {}).get("conditions"):
            conditions = {entry["type"]: entry for entry in document["status"]["conditions"]}
            sized_by = conditions.get("Sized", {}).get("reason", "")
            statuses.append((document["status"].get("observedGeneration"), sized_by))

    shell.cluster.many_hooks.append(hear)
    await shell.settle()
    await shell.advance(1.0)

    assert (2, "Planned") not in statuses
    assert statuses[-1] == (2, "PolicyNotFound")


POLICY_CHANGES: dict[str, Any] = {
    "shapes": [{**SHAPE, "memory": "1Gi"}],
    "headroom_percent": 90.0,
    "first_margin_percent": 399.0,
    "margin_percent": 50.0,
    "min_efficiency": 0.1,
    "escalation": {"maxEscalations": 0},
    "limits": {"trial": {"gpus": 0}},
    "unknown": {"memory": "4Gi"},
    "sharing": "hpoOnly",
    "backend": "dra",
    "queue": "team",
    "priority_class": "low",
    "namespace_selector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]},
}


@pytest.mark.parametrize("field", PolicySpec.model_fields)
async def test_every_field_of_a_policy_is_followed_at_once(shell: Shell, field: str) -> None:
    assert field in POLICY_CHANGES, f"{field} is new: say here how it may change"
    name = PolicySpec.model_fields[field].alias or field
    shape = {**SHAPE, "deviceClass": "gpu.example.com"}
    shell.cluster.add(NAMESPACES, None, {"metadata": {"name": TEAM}})
    shell.cluster.add(POLICIES, None, policy("default", shape))
    shell.cluster.add(EXPERIMENTS, TEAM, sized(STUDY))
    await shell.settle()

    shell.cluster.edit(
        POLICIES,
        None,
        "default",
        lambda stored: stored["spec"].update({name: POLICY_CHANGES[field]}),
    )
    await shell.settle()

    (loaded,) = shell.controller.loaded.values()
    sizer = loaded.backend.sizer
    assert sizer is not None
    document = {**policy("default", shape)["spec"], name: POLICY_CHANGES[field]}
    assert sizer.policy == PolicySpec.model_validate(document)
    assert loaded.engine.state.rules.max_escalations == sizer.policy.escalation.max_escalations


SPEC_CHANGES: dict[str, Any] = {
    "trials/max": 7,
    "trials/parallel": 3,
    "trials/maxFailed": 9,
    "trials/timeout": "2h",
    "trials/pendingTimeout": "2h",
    "trials/maxInterruptions": 3,
    "budget/duration": "9h",
    "budget/gpuHours": 1e6,
    "budget/cost": 1e6,
    "budget/onExceeded": "suspend",
    "resources/policy": "default",
    "resources/estimate": {"deviceMemory": "9Gi", "hostMemory": "1Gi"},
    "resources/fixed": {"gpus": 1},
    "artifacts/persistentVolumeClaim": {"claimName": "models"},
    "artifacts/emptyDir": {},
    "scaling/targets": [{"flops": 1e20}],
    "scaling/fit": {"bootstrap": 500},
    "scaling/refine": {"maxSizes": 1},
    "trainer/pod": {"nodeSelector": {"zone": "a"}},
    "suspend": True,
}


def changeable() -> Iterator[str]:
    """Name what may change: what the rule of immutable parts leaves, a section field by field."""
    sections = {"trials": Trials, "budget": Budget, "resources": Resources, "artifacts": Artifacts}
    for name, field in ExperimentSpec.model_fields.items():
        alias = field.alias or name
        if name in sections:
            below = sections[name].model_fields.items()
            yield from (f"{alias}/{part.alias or inner}" for inner, part in below)
        elif alias in fixed_parts():
            yield from (f"{alias}/{inner}" for inner in free_fields(alias))
        else:
            yield alias


def with_ladder() -> Object:
    ladder = {"parameter": "size", "sizes": [1, 2]}
    return sized(STUDY, ("spec/scaling", ladder), ("spec/trials", {"max": 2}))


@pytest.mark.parametrize("path", list(changeable()))
async def test_every_changeable_part_of_a_spec_is_followed_at_once(shell: Shell, path: str) -> None:
    assert path in SPEC_CHANGES, f"{path} is new: say here how it may change"
    shell.cluster.add(POLICIES, None, policy("default"))
    shell.cluster.add(EXPERIMENTS, TEAM, with_ladder())
    await shell.settle()
    await shell.advance(1.0)
    before = ExperimentSpec.model_validate(shell.cluster.one(EXPERIMENTS, TEAM, STUDY)["spec"])

    shell.cluster.edit(EXPERIMENTS, TEAM, STUDY, lambda study: write(study["spec"], path))
    await shell.settle()
    await shell.advance(1.0)

    after = ExperimentSpec.model_validate(shell.cluster.one(EXPERIMENTS, TEAM, STUDY)["spec"])
    assert changed_parts(before, after) == ()
    (loaded,) = shell.controller.loaded.values()
    sizer = loaded.backend.sizer
    assert sizer is not None
    assert loaded.engine.state.spec == loaded.backend.spec == sizer.spec == after
    assert sizer.trials_per_scale == loaded.engine.state.rules.max_trials == after.trials.max
    assert observed(shell)
    assert shell.status(STUDY).phase == ("Suspended" if path == "suspend" else "Running")


def write(spec: Object, path: str) -> None:
    *sections, last = path.split("/")
    for section in sections:
        spec = spec.setdefault(section, {})
    if last == "fixed":
        spec.pop("estimate")  # one of the two
    spec[last] = SPEC_CHANGES[path]
