"""The finisher's pod: made once for each best trial, waited for, made again, deleted."""

from __future__ import annotations

import pytest
from fake_cluster import INVALID, NO_QUOTA, NO_SUCH_POD, Fault
from fake_kubelet import end, start, succeed
from shell import TEAM, Shell
from testbed.documents import Change, played

from scaling_operator.api.names import Phase
from scaling_operator.kube.client.errors import ClusterBusy
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS

ON_A_CLAIM: Change = ("spec/artifacts", {"persistentVolumeClaim": {"claimName": "kept"}})
FINISHER = "study-finish"


async def succeeded(shell: Shell, *changes: Change) -> None:
    """Run an experiment on a claim to its success."""
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", ON_A_CLAIM, *changes))
    await shell.settle()
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)


def exported(shell: Shell) -> tuple[bool, str] | None:
    export = shell.status("study").export
    return None if export is None else (export.saved, str(export.message))


async def test_the_best_model_is_saved_once_and_its_scores_are_told(shell: Shell) -> None:
    await succeeded(shell)
    await shell.until(lambda: FINISHER in shell.pods())
    pod = shell.cluster.one(PODS, TEAM, FINISHER)
    assert pod["metadata"]["labels"]["scaling-operator.dev/finishes"] == "0-0"
    start(shell.cluster, TEAM, FINISHER)
    await shell.advance(30.0)
    assert exported(shell) is None
    succeed(shell.cluster, TEAM, FINISHER, accuracy=0.75)
    await shell.until(lambda: exported(shell))
    assert exported(shell) == (True, "saved on the claim, with the report")
    best = shell.status("study").best
    assert best is not None
    assert best.test_metrics == {"accuracy": 0.75}
    await shell.until(lambda: not shell.pods())
    await shell.until(lambda: not shell.controller.loaded)
    assert (
        sum(request.startswith("create pods team/study-fin") for request in shell.cluster.requests)
        == 1
    )


async def test_without_a_claim_there_is_no_finisher(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    await shell.advance(60.0)
    assert FINISHER not in shell.pods()


async def test_the_reply_to_its_create_is_lost_and_it_is_adopted(shell: Shell) -> None:
    shell.cluster.faults.append(Fault("create", PODS, name=FINISHER, is_lost=True))
    with pytest.raises(ClusterBusy):
        await succeeded(shell)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    await shell.settle()
    succeed(shell.cluster, TEAM, FINISHER, accuracy=0.75)
    await shell.until(lambda: exported(shell))


async def test_an_interrupted_one_is_made_again(shell: Shell) -> None:
    await succeeded(shell)
    await shell.until(lambda: FINISHER in shell.pods())
    first = shell.cluster.one(PODS, TEAM, FINISHER)["metadata"]["uid"]
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"}
    end(shell.cluster, TEAM, FINISHER, code=137, reason="Error")
    shell.cluster.edit(PODS, TEAM, FINISHER, lambda pod: pod["status"].update(evicted))

    def is_another() -> bool:
        pods = {pod["metadata"]["name"]: pod for pod in shell.cluster.all(PODS, TEAM)}
        return FINISHER in pods and pods[FINISHER]["metadata"]["uid"] != first

    await shell.until(is_another, seconds=60.0)
    assert exported(shell) is None


async def test_one_that_fails_says_why(shell: Shell) -> None:
    await succeeded(shell)
    await shell.until(lambda: FINISHER in shell.pods())
    end(shell.cluster, TEAM, FINISHER, code=1, message="no space left on device")
    await shell.until(lambda: exported(shell))
    assert exported(shell) == (False, "no space left on device")
    assert shell.status("study").phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("answer", "says"), [(NO_SUCH_POD, "violates PodSecurity"), (INVALID, "Invalid value")]
)
async def test_one_that_can_never_be_says_why(
    shell: Shell, answer: tuple[int, str], says: str
) -> None:
    shell.cluster.faults.append(Fault("create", PODS, name=FINISHER, answer=answer))
    await succeeded(shell)
    await shell.until(lambda: exported(shell))
    export = exported(shell)
    assert export is not None
    assert export[0] is False
    assert says in export[1]


async def test_quota_is_waited_for_as_long_as_a_trial_waits_for_a_machine(shell: Shell) -> None:
    fault = Fault("create", PODS, name=FINISHER, answer=NO_QUOTA, times=10**6)
    shell.cluster.faults.append(fault)
    await succeeded(shell, ("spec/trials/pendingTimeout", "10m"))
    await shell.advance(540.0)
    assert exported(shell) is None
    await shell.until(lambda: exported(shell), seconds=90.0)
    export = exported(shell)
    assert export is not None
    assert "exceeded quota" in export[1]


async def test_quota_that_comes_free_lets_it_begin(shell: Shell) -> None:
    shell.cluster.faults.append(Fault("create", PODS, name=FINISHER, answer=NO_QUOTA, times=3))
    await succeeded(shell)
    await shell.until(lambda: FINISHER in shell.pods(), seconds=60.0)


async def test_a_new_leader_goes_on_with_the_pod_that_there_is(shell: Shell) -> None:
    await succeeded(shell)
    await shell.until(lambda: FINISHER in shell.pods())
    following = Shell(shell.cluster)
    shell.loses_events = True
    succeed(shell.cluster, TEAM, FINISHER, accuracy=0.75)
    await following.until(lambda: exported(following))
    assert (
        sum(request.startswith("create pods team/study-fin") for request in shell.cluster.requests)
        == 1
    )
    following.close()
