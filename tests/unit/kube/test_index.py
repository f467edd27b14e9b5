"""The index of what the watches have shown, and what the resync makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from scaling_operator.api.names import Reason
from scaling_operator.core.observed import AttemptPhase
from scaling_operator.kube.client.index import MAX_DELETED, Index, Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS
from scaling_operator.kube.reconcile.workload_kinds import POD_KIND
from scaling_operator.kube.workloads.attempt_spec import GracePeriods

KEY = Key("team", "study")


def pod(name: str, version: int, uid: str = "1", **metadata: Any) -> dict[str, Any]:
    labels = {"scaling-operator.dev/experiment": "study"}
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": uid,
            "resourceVersion": str(version),
            "labels": labels,
            **metadata,
        }
    }


def versions(index: Index) -> dict[str, str]:
    return {
        workload["metadata"]["name"]: workload["metadata"]["resourceVersion"]
        for workload in index.workloads_of(PODS, KEY)
    }


def test_a_pod_is_found_by_its_experiment_and_by_its_name() -> None:
    index = Index()
    assert index.put(PODS, pod("study-0-1-0", 5)) == KEY
    assert index.workload(PODS, KEY, "study-0-1-0") is index.pod("team", "study-0-1-0")


def test_the_same_name_in_two_namespaces_is_two_experiments() -> None:
    index = Index()
    index.put(EXPERIMENTS, {"metadata": {"name": "study", "namespace": "a", "uid": "1"}})
    index.put(EXPERIMENTS, {"metadata": {"name": "study", "namespace": "b", "uid": "2"}})
    assert set(index.experiments) == {Key("a", "study"), Key("b", "study")}


def test_a_pod_without_our_label_is_none_of_ours() -> None:
    assert Index().put(PODS, pod("other", 1, labels={})) is None


def test_managed_fields_are_not_kept() -> None:
    index = Index()
    index.put(PODS, pod("a", 1, managedFields=[{}]))
    stored = index.workload(PODS, KEY, "a")
    assert stored is not None
    assert "managedFields" not in stored["metadata"]


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param(pod("a", 6), "6", id="a newer version is taken"),
        pytest.param(pod("a", 4), "5", id="an older one, which kopf passes on, is not"),
        pytest.param(pod("a", 4, uid="2"), "4", id="another object of the name is taken"),
    ],
)
def test_versions_only_go_up(later: dict[str, Any], expected: str) -> None:
    index = Index()
    index.put(PODS, pod("a", 5))
    index.put(PODS, later)
    assert versions(index) == {"a": expected}


def test_what_our_own_write_has_brought_back_is_no_news_from_the_watch() -> None:
    index = Index()
    assert index.put(PODS, pod("study-0-0-0", 5)) == Key("team", "study")
    assert index.put(PODS, pod("study-0-0-0", 5)) is None
    assert index.put(PODS, pod("study-0-0-0", 5, uid="2")) == Key("team", "study")
    assert index.put(PODS, pod("study-0-0-0", 6, uid="2")) == Key("team", "study")


def test_a_late_deletion_does_not_take_the_next_object_of_its_name() -> None:
    index = Index()
    index.put(PODS, pod("a", 9, uid="new"))
    index.drop(PODS, pod("a", 8, uid="old"))
    assert versions(index) == {"a": "9"}


def test_a_resync_mends_what_events_were_lost_and_names_whom_it_concerns() -> None:
    index = Index()
    index.put(PODS, pod("stale", 1))
    index.put(PODS, pod("gone", 2, uid="2"))
    index.put(PODS, pod("same", 3, uid="3"))
    before = index.snapshot(PODS)
    listed = [pod("stale", 7), pod("new", 8, uid="4"), pod("same", 3, uid="3")]
    assert index.repair(PODS, listed, before) == {KEY}
    assert versions(index) == {"stale": "7", "new": "8", "same": "3"}


def test_a_resync_that_finds_nothing_wrong_names_nobody() -> None:
    index = Index()
    index.put(PODS, pod("a", 3))
    assert index.repair(PODS, [pod("a", 3)], index.snapshot(PODS)) == set()


def test_what_was_made_after_the_list_was_asked_for_is_not_taken_for_gone() -> None:
    index = Index()
    before = index.snapshot(PODS)
    index.put(PODS, pod("fresh", 4))
    assert index.repair(PODS, [], before) == set()
    assert versions(index) == {"fresh": "4"}


def test_what_went_away_between_list_and_comparison_is_no_miss() -> None:
    index = Index()
    index.put(PODS, pod("a", 3))
    before = index.snapshot(PODS)
    index.drop(PODS, pod("a", 3))
    assert index.repair(PODS, [], before) == set()


def test_what_a_list_shows_and_went_since_does_not_come_back() -> None:
    index = Index()
    index.put(PODS, pod("a", 3))
    before = index.snapshot(PODS)
    index.drop(PODS, pod("a", 5))
    assert index.repair(PODS, [pod("a", 3), pod("a", 4)], before) == set()
    assert versions(index) == {}


def test_the_answer_to_a_write_that_comes_behind_the_deletion_is_old_news() -> None:
    index = Index()
    index.put(PODS, pod("a", 3))
    index.drop(PODS, pod("a", 5))
    assert index.put(PODS, pod("a", 4)) is None
    assert versions(index) == {}


def test_what_lost_our_label_and_has_it_again_is_taken_in() -> None:
    index = Index()
    index.put(PODS, pod("a", 3))
    index.drop(PODS, pod("a", 5))
    assert index.put(PODS, pod("a", 6)) == KEY


def test_of_those_that_went_so_many_are_remembered() -> None:
    index = Index()
    for number in range(MAX_DELETED + 1):
        index.drop(PODS, pod("a", 1, uid=str(number)))
    assert not index.is_deleted(pod("a", 1, uid="0"))
    assert index.is_deleted(pod("a", 1, uid="1"))


def status_of(workload: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {**workload, "status": status}


def ended(message: str) -> list[dict[str, Any]]:
    state = {"terminated": {"exitCode": 0, "message": message}}
    return [{"name": "trainer", "state": state}]


DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
LAST_STATES = [
    pytest.param({"phase": "Running"}, AttemptPhase.LOST, Reason.POD_DELETED, id="it just ran"),
    pytest.param(
        {"phase": "Running", "conditions": DISRUPTED},
        AttemptPhase.LOST,
        Reason.PREEMPTED,
        id="who ended it is told by its condition",
    ),
    pytest.param(
        {"phase": "Succeeded", "containerStatuses": ended('{"v":1,"value":2}')},
        AttemptPhase.EXITED,
        None,
        id="it had ended well: its result counts",
    ),
]


@pytest.mark.parametrize(("last", "phase", "reason"), LAST_STATES)
def test_what_a_pod_was_last_tells_how_it_ended(
    last: dict[str, Any], phase: AttemptPhase, reason: Reason | None
) -> None:
    index = Index()
    index.put(PODS, status_of(pod("a", 3), phase="Running"))
    index.drop(PODS, status_of(pod("a", 4), **last))
    view = POD_KIND.parting_view(index, index.last_states[PODS, KEY]["a"], GracePeriods(), 100.0)
    assert (view.phase, view.reason) == (phase, reason)


def test_what_is_gone_is_kept_as_long_as_somebody_waits_for_its_end() -> None:
    index = Index()
    for name in ("awaited", "over", "again"):
        index.put(PODS, pod(name, 1))
        index.drop(PODS, pod(name, 1))
    index.put(PODS, pod("again", 2, uid="2"))
    index.forget_unawaited(PODS, KEY, lambda name: name != "over")
    assert set(index.last_states[PODS, KEY]) == {"awaited"}
    index.forget(KEY)
    assert not index.last_states
