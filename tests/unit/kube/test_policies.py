"""Which policy an experiment follows, what its status says, and one that comes later."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from fake_cluster import CHANGED, FORBIDDEN, MISSING, Fault, Object
from shell import TEAM, Shell
from testbed.documents import Change, changed, played, policy

from scaling_operator.api.policy import ResourcePolicy
from scaling_operator.kube.client.errors import ClusterBusy, ClusterForbidden, Conflict
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, NAMESPACES, NODES, PODS, POLICIES
from scaling_operator.kube.reconcile.policies import Policies, read_policy

ESTIMATE: Change = ("spec/resources/estimate", {"deviceMemory": "1Gi", "hostMemory": "1Gi"})


def following(name: str) -> Object:
    return played("study", ("spec/resources/policy", name), ESTIMATE)


def conditions(shell: Shell, name: str) -> dict[str, tuple[str, str]]:
    stored: list[Object] = shell.cluster.one(POLICIES, None, name)["status"]["conditions"]
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in stored}


def node(name: str, **allocatable: str) -> Object:
    return {"metadata": {"name": name, "labels": {}}, "status": {"allocatable": allocatable}}


async def test_a_good_policy_is_said_to_be_ready_and_offered_once(shell: Shell) -> None:
    shell.cluster.add(NODES, None, node("n1", **{"nvidia.com/gpu": "8"}))
    shell.cluster.add(POLICIES, None, policy("gpus"))
    await shell.settle()
    assert conditions(shell, "gpus") == {
        "Ready": ("True", "ValidPolicy"),
        "Offered": ("True", "ShapesOffered"),
    }
    shell.wake(Key("", "gpus"))
    await shell.settle()
    writes = [request for request in shell.cluster.requests if request.startswith("patch")]
    assert writes == ["patch resourcepolicies/status gpus"]


async def test_a_shape_that_no_node_has_is_named(shell: Shell) -> None:
    shell.cluster.add(NODES, None, node("n1", cpu="8"))
    shell.cluster.add(POLICIES, None, policy("gpus"))
    await shell.settle()
    assert conditions(shell, "gpus")["Offered"] == ("False", "ShapeNotOffered")
    (_, offered) = shell.cluster.one(POLICIES, None, "gpus")["status"]["conditions"]
    assert "a100" in offered["message"]


async def test_without_a_look_at_the_nodes_nothing_is_said_of_them(shell: Shell) -> None:
    shell.cluster.faults.append(Fault("list", NODES, answer=FORBIDDEN, times=100))
    shell.cluster.add(POLICIES, None, policy("gpus"))
    await shell.settle()
    assert set(conditions(shell, "gpus")) == {"Ready"}


async def test_a_policy_that_cannot_be_used_says_all_that_is_wrong(shell: Shell) -> None:
    wrong = changed(policy("odd"), ("spec/headroomPercent", -1), ("spec/shapes", []))
    shell.cluster.add(POLICIES, None, wrong)
    await shell.settle()
    assert conditions(shell, "odd") == {"Ready": ("False", "PolicyInvalid")}
    (ready,) = shell.cluster.one(POLICIES, None, "odd")["status"]["conditions"]
    assert "headroomPercent" in ready["message"]
    assert "shapes" in ready["message"]
    shell.cluster.edit(
        POLICIES, None, "odd", lambda document: document.update(spec=policy("x")["spec"])
    )
    await shell.settle()
    assert conditions(shell, "odd")["Ready"] == ("True", "ValidPolicy")
    assert shell.cluster.one(POLICIES, None, "odd")["status"]["observedGeneration"] == 2


async def test_a_policy_that_changes_while_it_is_judged_is_judged_again(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, policy("gpus"))
    shell.cluster.faults.append(Fault("patch", POLICIES, answer=CHANGED))
    with pytest.raises(Conflict):
        await shell.settle()
    await shell.settle()
    assert conditions(shell, "gpus")["Ready"] == ("True", "ValidPolicy")


async def test_a_policy_that_goes_while_it_is_judged_is_no_fault(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, policy("gpus"))
    shell.cluster.faults.append(Fault("patch", POLICIES, answer=MISSING))
    await shell.settle()
    shell.cluster.remove(POLICIES, None, "gpus")
    await shell.settle()
    assert not shell.index.policies


async def test_an_experiment_waits_for_its_policy_and_goes_on_when_it_comes(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, following("gpus"))
    await shell.settle()
    assert not shell.pods()
    sized = {condition.type: condition for condition in shell.status("study").conditions}["Sized"]
    assert (sized.status, sized.reason) == ("False", "PolicyNotFound")
    assert "gpus: there is no such ResourcePolicy" in str(sized.message)

    shell.cluster.add(POLICIES, None, policy("gpus"))
    await shell.until(shell.pods)
    (container,) = shell.cluster.one(PODS, TEAM, "study-0-0-0")["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


async def test_an_experiment_waits_while_its_policy_is_wrong(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, changed(policy("gpus"), ("spec/shapes", [])))
    shell.cluster.add(EXPERIMENTS, TEAM, following("gpus"))
    await shell.settle()
    assert not shell.pods()
    sized = {condition.type: condition for condition in shell.status("study").conditions}["Sized"]
    assert (sized.status, sized.reason) == ("False", "PolicyInvalid")
    shell.cluster.edit(
        POLICIES, None, "gpus", lambda document: document.update(spec=policy("x")["spec"])
    )
    await shell.until(shell.pods)


def namespace(**labels: str) -> Object:
    return {"metadata": {"name": TEAM, "labels": labels}}


def selective(**labels: str) -> Object:
    return changed(policy("gpus"), ("spec/namespaceSelector", {"matchLabels": labels}))


async def test_a_policy_is_followed_in_the_namespaces_that_it_selects(shell: Shell) -> None:
    shell.cluster.add(NAMESPACES, None, namespace(team="blue"))
    shell.cluster.add(POLICIES, None, selective(team="blue"))
    shell.cluster.add(EXPERIMENTS, TEAM, following("gpus"))
    await shell.until(shell.pods)


async def test_a_policy_of_others_starts_nothing_until_the_namespace_is_let_in(
    shell: Shell,
) -> None:
    shell.cluster.add(NAMESPACES, None, namespace(team="red"))
    shell.cluster.add(POLICIES, None, selective(team="blue"))
    shell.cluster.add(EXPERIMENTS, TEAM, following("gpus"))
    await shell.settle()
    assert not shell.pods()
    sized = {condition.type: condition for condition in shell.status("study").conditions}["Sized"]
    assert (sized.status, sized.reason) == ("False", "PolicyNotAllowed")
    assert f"it is not for namespace {TEAM}" in str(sized.message)
    assert "team=blue" in str(sized.message)

    shell.cluster.edit(
        NAMESPACES, None, TEAM, lambda document: document.update(namespace(team="blue"))
    )
    await shell.until(shell.pods)


async def test_a_namespace_that_is_shut_out_starts_no_further_trial(shell: Shell) -> None:
    shell.cluster.add(NAMESPACES, None, namespace(team="blue"))
    shell.cluster.add(POLICIES, None, selective(team="blue"))
    shell.cluster.add(EXPERIMENTS, TEAM, following("gpus"))
    await shell.until(shell.pods)
    shell.cluster.edit(NAMESPACES, None, TEAM, lambda document: document.update(namespace()))
    await shell.settle()
    sized = {condition.type: condition for condition in shell.status("study").conditions}["Sized"]
    assert sized.reason == "PolicyNotAllowed"


async def test_of_a_namespace_that_no_watch_has_shown_nothing_is_said(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, selective(team="blue"))
    shell.cluster.add(EXPERIMENTS, TEAM, following("gpus"))
    with pytest.raises(ClusterBusy, match="namespace team has not been seen yet"):
        await shell.settle()
    assert not shell.pods()


async def test_only_those_who_name_a_policy_look_again_when_it_changes(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("other"))
    shell.cluster.add(EXPERIMENTS, TEAM, following("gpus"))
    await shell.settle()
    shell.cluster.add(POLICIES, None, policy("gpus"))
    await shell.reconcile(Key("", "gpus"))
    assert Key(TEAM, "study") in shell.woken
    assert Key(TEAM, "other") not in shell.woken
    await shell.settle()


async def test_without_any_policy_nobody_is_sized(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    (container,) = shell.cluster.one(PODS, TEAM, "study-0-0-0")["spec"]["containers"]
    assert not container.get("resources", {}).get("limits")


async def test_the_default_is_for_those_who_name_none(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, policy("default"))
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", ESTIMATE))
    await shell.until(shell.pods)
    (container,) = shell.cluster.one(PODS, TEAM, "study-0-0-0")["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


async def test_another_state_of_a_policy_or_of_what_is_asked_for_is_told_apart(
    shell: Shell,
) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, following("gpus"))
    study = shell.cluster.one(EXPERIMENTS, TEAM, "study")
    policies = Policies(shell.index)
    versions: list[Any] = [policies.sizing_inputs(study)]
    shell.cluster.add(POLICIES, None, policy("gpus"))
    versions.append(policies.sizing_inputs(study))
    shell.cluster.edit(
        POLICIES, None, "gpus", lambda document: document["spec"].update(queue="other")
    )
    versions.append(policies.sizing_inputs(study))
    shell.cluster.remove(POLICIES, None, "gpus")
    shell.cluster.add(POLICIES, None, policy("gpus"))
    versions.append(policies.sizing_inputs(study))
    asked = changed(study, ("spec/resources/estimate/hostMemory", "2Gi"))
    versions.append(policies.sizing_inputs(asked))
    assert all(first != second for first, second in combinations(versions, 2))


def test_what_is_stored_beside_the_spec_is_no_mistake() -> None:
    stored = changed(policy("gpus"), ("metadata/uid", "1"), ("status", {"observedGeneration": 1}))
    assert isinstance(read_policy(stored), ResourcePolicy)


async def test_a_server_that_forbids_the_status_is_told_of(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, policy("gpus"))
    shell.cluster.faults.append(Fault("patch", POLICIES, answer=FORBIDDEN))
    with pytest.raises(ClusterForbidden):
        await shell.settle()
