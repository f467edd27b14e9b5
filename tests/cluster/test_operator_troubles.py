"""Every trouble of a pod ends in a named reason, in an Event, and within its bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from testbed.documents import Change, played
from testbed.installation import Ground, Installation
from testbed.nodes import DOOMED, SMALL, add, lose, remove

BOUND_SECONDS = 30.0
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What befalls a trial, and what becomes of it."""

    name: str
    environment: Json
    state: str
    reason: str | None
    attempts: tuple[str | None, ...]
    """Reasons of its attempts in order; None: it ended with a value, or runs."""
    counted: bool = False
    """Whether it uses up `maxFailed`: the experiment has failed then, since none may."""
    changes: tuple[Change, ...] = ()
    event: str = ""
    messages: tuple[str, ...] = field(default=())


def _message(text: str) -> Json:
    return {"PLAY": "message", "PLAY_MESSAGE": text}


NOWHERE: Change = ("spec/resources", {"fixed": {"gpus": 1024}})
SHORT: Change = ("spec/trials/timeout", "2s")
PENDING: Change = ("spec/trials/pendingTimeout", "3s")
FEW: Change = ("spec/trials/maxInterruptions", 1)
TROUBLES = (
    Trouble(
        *("image", {"PLAY": "image"}, "Failed", "ImagePullFailed", ("ImagePullFailed",)),
        counted=True,
        messages=("played",),
    ),
    Trouble(
        *("config", {"PLAY": "config"}, "Failed", "ConfigError", ("ConfigError",)),
        counted=True,
        messages=("nowhere",),
    ),
    Trouble(
        *("exit", {"PLAY": "exit-3"}, "Failed", "TrainerFailed", ("TrainerFailed",)),
        counted=True,
        messages=("3",),
    ),
    Trouble(*("oom", {"PLAY": "oom"}, "Failed", "OOMKilled", ("OOMKilled",)), counted=True),
    Trouble(
        *("device-oom", {"PLAY": "exit-86"}, "Failed", "AcceleratorOOM", ("AcceleratorOOM",)),
        counted=True,
    ),
    Trouble(*("diverged", {"PLAY": "exit-87"}, "Failed", "Diverged", ("Diverged",))),
    Trouble(
        *("silent", {"PLAY": "silent"}, "Failed", "NoResult", ("NoResult",)),
        counted=True,
    ),
    Trouble(
        *("nan", _message('{"v":1,"value":NaN}'), "Failed", "InvalidResult", ("InvalidResult",)),
        counted=True,
    ),
    Trouble(
        *("text", _message("done, loss 0.3"), "Failed", "InvalidResult", ("InvalidResult",)),
        counted=True,
    ),
    Trouble(
        *("arity", _message('{"v":1,"values":[1,2]}'), "Failed", "InvalidResult"),
        ("InvalidResult",),
        counted=True,
    ),
    Trouble(
        *("other-metric", _message('{"v":1,"metrics":{"accuracy":1}}'), "Failed"),
        *("InvalidResult", ("InvalidResult",)),
        counted=True,
        messages=("loss",),
    ),
    Trouble(
        *("timeout", {"PLAY": "hang"}, "Failed", "TimedOut", ("TimedOut",)),
        counted=True,
        changes=(SHORT,),
    ),
    Trouble(
        *("nowhere", {"PLAY": "succeed"}, "Failed", "Unschedulable", ("Unschedulable",)),
        counted=True,
        changes=(NOWHERE, PENDING),
    ),
    Trouble(
        *("evicted", {"PLAY": "evict,succeed"}, "Succeeded", None, ("Evicted", None)),
        event="Evicted",
    ),
    Trouble(
        *("evicted-again", {"PLAY": "evict"}, "Failed", "Evicted", ("Evicted", "Evicted")),
        changes=(FEW,),
    ),
)


@pytest.fixture(scope="module")
def troubled(ground: Ground) -> Iterator[Installation]:
    """An operator, and all troubles at once: what one waits for, the others use."""
    with ground.installed() as one:
        one.site.apply(
            *(
                played(
                    trouble.name,
                    ("spec/trials/maxFailed", 0),
                    *trouble.changes,
                    **trouble.environment,
                )
                for trouble in TROUBLES
            )
        )
        yield one


def attempts(trial: Json) -> tuple[str | None, ...]:
    return tuple(each.get("reason") for each in trial["status"].get("attempts", []))


@pytest.mark.parametrize("trouble", TROUBLES, ids=[trouble.name for trouble in TROUBLES])
def test_a_trouble_ends_in_its_reason(troubled: Installation, trouble: Trouble) -> None:
    site = troubled.site

    site.wait_end(trouble.name, BOUND_SECONDS)

    trial = site.trial(trouble.name, 0)
    status = trial["status"]
    assert (status["state"], status.get("reason")) == (trouble.state, trouble.reason), status
    assert attempts(trial) == trouble.attempts
    for word in trouble.messages:
        assert word in status["message"]
    failed = site.condition(trouble.name, "Failed")
    assert (failed["reason"] == "TooManyFailures") == trouble.counted


@pytest.mark.parametrize("trouble", TROUBLES, ids=[trouble.name for trouble in TROUBLES])
def test_a_trouble_is_told_in_an_event(troubled: Installation, trouble: Trouble) -> None:
    site = troubled.site
    site.wait_end(trouble.name, BOUND_SECONDS)
    expected = trouble.event or trouble.reason

    def told() -> list[Json]:
        return [event for event in site.events(trouble.name) if event["reason"] == expected]

    site.wait(told, 5, f"an Event {expected} of {trouble.name}")
    assert told()[0]["type"] == "Warning"
    assert told()[0]["message"]


def test_a_waiting_trial_is_queued_and_says_why(troubled: Installation) -> None:
    site = troubled.site
    site.apply(played("waits", NOWHERE, ("spec/trials/pendingTimeout", "1h")))

    site.wait(
        lambda: site.trial("waits", 0).get("status", {}).get("state") == "Queued", 15, "Queued"
    )

    status = site.trial("waits", 0)["status"]
    assert status["reason"] == "Unschedulable"
    assert "nvidia.com/gpu" in status["message"]
    site.wait(lambda: site.status("waits")["counts"].get("queued") == 1, 5, "it is counted")


def test_quota_is_waited_for_and_used_as_soon_as_there_is_some(ground: Ground) -> None:
    with ground.installed() as one:
        site = one.site
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
        site.apply(quota | {"spec": {"hard": {"pods": "0"}}})
        site.wait(lambda: site.kubectl("get", "quota", "-o", "jsonpath={..used}"), 20, "a quota")
        site.apply(
            played("frugal", PLAY="succeed"),
            played("impatient", PENDING, ("spec/trials/maxFailed", 0), PLAY="succeed"),
        )

        site.wait(
            lambda: site.trial("frugal", 0).get("status", {}).get("state") == "Queued", 15, "Queued"
        )
        status = site.wait_end("impatient", BOUND_SECONDS)

        assert site.trial("frugal", 0)["status"]["reason"] == "QuotaExceeded"
        assert status["phase"] == "Failed"
        assert site.trial("impatient", 0)["status"]["reason"] == "QuotaExceeded"

        site.apply(quota | {"spec": {"hard": {"pods": "5"}}})
        status = site.wait_end("frugal", BOUND_SECONDS)
        assert status["phase"] == "Succeeded"
        assert attempts(site.trial("frugal", 0)) in ((None,), ())


def run_alone(one: Installation, name: str, **node: str) -> Json:
    """Start one trial that runs until it is disturbed; its second attempt succeeds."""
    pod: tuple[Change, ...] = (("spec/trainer/pod", {"nodeSelector": node}),) if node else ()
    one.site.apply(played(name, *pod, PLAY="hang,succeed"))

    def runs() -> bool:
        return any(pod["status"]["phase"] == "Running" for pod in one.site.pods(name))

    one.site.wait(runs, 15, "its pod runs")
    return one.site.pods(name)[0]["metadata"]


def assert_repeated(one: Installation, name: str, reason: str) -> None:
    status = one.site.wait_end(name, BOUND_SECONDS)
    assert status["phase"] == "Succeeded", status
    assert attempts(one.site.trial(name, 0)) == (reason, None)


def test_a_pod_that_is_deleted_by_hand_is_repeated(troubled: Installation) -> None:
    pod = run_alone(troubled, "by-hand")

    troubled.site.kubectl("delete", "pod", pod["name"])

    assert_repeated(troubled, "by-hand", "PodDeleted")


def test_a_drained_pod_is_repeated(troubled: Installation) -> None:
    pod = run_alone(troubled, "drained")
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["name"], "namespace": troubled.site.namespace},
    }

    path = f"/api/v1/namespaces/{troubled.site.namespace}/pods/{pod['name']}/eviction"
    troubled.site.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=body)

    assert_repeated(troubled, "drained", "Evicted")


def test_a_preempted_pod_is_repeated(troubled: Installation, ground: Ground) -> None:
    add(ground.cluster, "narrow-0", {**SMALL, "pods": "1"}, {"narrow": "yes"})
    run_alone(troubled, "preempted", narrow="yes")
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "urgent"},
        "value": 1000,
    }
    urgent = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "urgent"},
        "spec": {
            "priorityClassName": "urgent",
            "nodeSelector": {"narrow": "yes"},
            "containers": [{"name": "urgent", "image": "played"}],
        },
    }

    troubled.site.apply(priority, urgent)

    site = troubled.site
    site.wait(
        lambda: "Preempted" in attempts(site.trial("preempted", 0)), BOUND_SECONDS, "Preempted"
    )
    site.wait(lambda: site.kubectl("get", "pods", "urgent").count("Completed"), 15, "room again")
    site.kubectl("delete", "pod", "urgent")
    assert_repeated(troubled, "preempted", "Preempted")
    remove(ground.cluster, "narrow-0")


def test_a_lost_nodes_trial_goes_on_elsewhere(troubled: Installation, ground: Ground) -> None:
    add(ground.cluster, DOOMED, SMALL, {"doomed": "yes"})
    run_alone(troubled, "lost", doomed="yes")
    site = troubled.site

    lose(ground.cluster, DOOMED)

    site.wait(lambda: attempts(site.trial("lost", 0))[:1] == ("NodeLost",), 40, "NodeLost")
    # The experiment still asks for the lost node's label: another such node comes.
    add(ground.cluster, "healthy-0", SMALL, {"doomed": "yes"})
    assert_repeated(troubled, "lost", "NodeLost")
    remove(ground.cluster, DOOMED)
    remove(ground.cluster, "healthy-0")
