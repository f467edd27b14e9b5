"""Every trouble of a pod ends in a named reason, in an Event, and within its bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from testbed.documents import Change, played
from testbed.installation import Installation, Installer
from testbed.nodes import DOOMED, SMALL, add, lose, remove

BOUND_SECONDS = 45.0
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What befalls a trial, and what becomes of it."""

    name: str
    environment: Json
    reason: str | None
    """The trial fails with it; None: another attempt succeeds."""
    changes: tuple[Change, ...] = ()
    counted: bool = True
    """Whether it uses up `maxFailed`: the experiment has failed then, since none may."""
    repeated: tuple[str, ...] = ()
    """Reasons of the attempts before the last one."""
    word: str = ""
    """What the message names."""


def _says(text: str) -> Json:
    return {"PLAY": "message", "PLAY_MESSAGE": text}


NOWHERE: Change = ("spec/resources", {"fixed": {"gpus": 1024}})
PENDING: Change = ("spec/trials/pendingTimeout", "3s")
SHORT: Change = ("spec/trials/timeout", "2s")
FEW: Change = ("spec/trials/maxInterruptions", 1)
UNUSABLE: Json = {"PLAY": "exit-88", "PLAY_MESSAGE": "rows.csv: column kind is not there"}
INVALID = "InvalidResult"
TROUBLES = (
    Trouble("image", {"PLAY": "image"}, "ImagePullFailed", word="played"),
    Trouble("config", {"PLAY": "config"}, "ConfigError", word="nowhere"),
    Trouble("exit", {"PLAY": "exit-3"}, "TrainerFailed", word="3"),
    Trouble("oom", {"PLAY": "oom"}, "OOMKilled"),
    Trouble("device-oom", {"PLAY": "exit-86"}, "AcceleratorOOM"),
    Trouble("diverged", {"PLAY": "exit-87"}, "Diverged", counted=False),
    Trouble("silent", {"PLAY": "silent"}, "NoResult"),
    Trouble("nan", _says('{"v":1,"value":NaN}'), INVALID, word="nan"),
    Trouble("text", _says("done, loss 0.3"), INVALID, word="JSON"),
    Trouble("arity", _says('{"v":1,"values":[1,2]}'), INVALID),
    Trouble("other-metric", _says('{"v":1,"metrics":{"accuracy":1}}'), INVALID, word="loss"),
    Trouble("timeout", {"PLAY": "hang"}, "TimedOut", (SHORT,)),
    Trouble("nowhere", {"PLAY": "succeed"}, "Unschedulable", (NOWHERE, PENDING), word="gpu"),
    Trouble("evicted", {"PLAY": "evict,succeed"}, None, repeated=("Evicted",)),
    Trouble("full", {"PLAY": "exit-89,succeed"}, None, repeated=("StorageFull",)),
    Trouble(
        "data", UNUSABLE, "DataError", (("spec/trials/max", 5),), counted=False, word="rows.csv"
    ),
    Trouble(
        "evicted-again", {"PLAY": "evict"}, "Evicted", (FEW,), counted=False, repeated=("Evicted",)
    ),
)
IDS = [trouble.name for trouble in TROUBLES]


@pytest.fixture(scope="module")
def troubled(installer: Installer) -> Iterator[Installation]:
    """An operator, and all troubles at once: what one waits for, the others use."""
    add(installer.cluster, DOOMED, SMALL, {"doomed": "yes"})
    with installer.installed() as installation:
        run_alone(installation, "lost", doomed="yes")
        lose(installer.cluster, DOOMED)
        strict: Change = ("spec/trials/maxFailed", 0)
        installation.site.apply(
            *(
                played(trouble.name, strict, *trouble.changes, **trouble.environment)
                for trouble in TROUBLES
            )
        )
        yield installation


def repeated(trial: Json) -> tuple[str, ...]:
    """Reasons of the attempts that were followed by another: the last one's is the trial's."""
    return tuple(
        attempt["reason"] for attempt in trial["status"].get("attempts", []) if "reason" in attempt
    )


@pytest.mark.parametrize("trouble", TROUBLES, ids=IDS)
def test_a_trouble_ends_in_its_reason(troubled: Installation, trouble: Trouble) -> None:
    site = troubled.site

    site.wait_end(trouble.name, BOUND_SECONDS)

    trial = site.trial(trouble.name, 0)
    status = trial["status"]
    assert status["state"] == ("Failed" if trouble.reason else "Succeeded"), status
    assert status.get("reason") == trouble.reason
    assert repeated(trial) == trouble.repeated
    assert trouble.word in status["message"]
    failed = site.condition(trouble.name, "Failed")
    assert (failed["reason"] == "TooManyFailures") == (trouble.counted and bool(trouble.reason))


@pytest.mark.parametrize("trouble", TROUBLES, ids=IDS)
def test_a_trouble_is_told_in_an_event(troubled: Installation, trouble: Trouble) -> None:
    site = troubled.site
    site.wait_end(trouble.name, BOUND_SECONDS)
    expected = trouble.reason or trouble.repeated[0]

    def matching_events() -> list[Json]:
        return [event for event in site.events(trouble.name) if event["reason"] == expected]

    site.wait(matching_events, 5, f"an Event {expected} of {trouble.name}")
    assert matching_events()[0]["type"] == "Warning"
    assert matching_events()[0]["message"]


def test_data_that_cannot_be_used_end_the_experiment_at_the_first_trial(
    troubled: Installation,
) -> None:
    site = troubled.site
    site.wait_end("data", BOUND_SECONDS)

    failed = site.condition("data", "Failed")

    assert (failed["status"], failed["reason"]) == ("True", "DataError")
    assert "rows.csv: column kind is not there" in failed["message"]
    assert len(site.trials("data")) == 1


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


def test_quota_is_waited_for_and_used_as_soon_as_there_is_some(installer: Installer) -> None:
    with installer.installed() as installation:
        site = installation.site
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
        assert repeated(site.trial("frugal", 0)) == ()


def run_alone(installation: Installation, name: str, **node: str) -> Json:
    """Start one trial that runs until it is disturbed; its second attempt succeeds."""
    pod: tuple[Change, ...] = (("spec/trainer/pod", {"nodeSelector": node}),) if node else ()
    installation.site.apply(played(name, *pod, PLAY="hang,succeed"))

    def runs() -> bool:
        return any(pod["status"]["phase"] == "Running" for pod in installation.site.pods(name))

    installation.site.wait(runs, 15, "its pod runs")
    return installation.site.pods(name)[0]["metadata"]


def assert_repeated(installation: Installation, name: str, reason: str) -> None:
    status = installation.site.wait_end(name, BOUND_SECONDS)
    assert status["phase"] == "Succeeded", status
    assert repeated(installation.site.trial(name, 0)) == (reason,)


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


def test_a_preempted_pod_is_repeated(troubled: Installation, installer: Installer) -> None:
    add(installer.cluster, "narrow-0", {**SMALL, "pods": "1"}, {"narrow": "yes"})
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
        lambda: "Preempted" in repeated(site.trial("preempted", 0)), BOUND_SECONDS, "Preempted"
    )
    site.wait(lambda: site.kubectl("get", "pods", "urgent").count("Completed"), 15, "room again")
    site.kubectl("delete", "pod", "urgent")
    assert_repeated(troubled, "preempted", "Preempted")
    remove(installer.cluster, "narrow-0")


def test_a_lost_nodes_trial_goes_on_elsewhere(troubled: Installation, installer: Installer) -> None:
    site = troubled.site

    # 30 s in which a pod may end by itself, and 60 s more in which its node may confirm it.
    site.wait(lambda: repeated(site.trial("lost", 0)) == ("NodeLost",), 120, "NodeLost")

    # The experiment still asks for the lost node's label: another such node comes.
    add(installer.cluster, "healthy-0", SMALL, {"doomed": "yes"})
    assert_repeated(troubled, "lost", "NodeLost")
    remove(installer.cluster, DOOMED)
    remove(installer.cluster, "healthy-0")
