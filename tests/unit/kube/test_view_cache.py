"""A view that is remembered says what a fresh look would say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scaling_operator.core.observed import AttemptPhase
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.reconcile.view_cache import ViewCache
from scaling_operator.kube.reconcile.workload_kinds import POD_KIND
from scaling_operator.kube.workloads.attempt_spec import GracePeriods

CREATED = "2026-11-24T12:00:00Z"
EPOCH = 1795521600.0
BOUNDS = GracePeriods(
    image_pull_grace_seconds=120, config_error_grace_seconds=30, deletion_grace_seconds=60
)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return EPOCH + self.seconds


def pod(state: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "study-0-0-0", "creationTimestamp": CREATED, **metadata},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Pending" if "waiting" in state else "Running",
            "startTime": CREATED,
            "containerStatuses": [{"name": "trainer", "state": state}],
        },
    }


RUNNING = {"running": {"startedAt": CREATED}}
PULLING = {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}


@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(pod(RUNNING), id="time changes nothing while it runs"),
        pytest.param(pod(PULLING), id="an image that does not come is a trouble after its grace"),
        pytest.param(
            pod({"waiting": {"reason": "CreateContainerConfigError"}}),
            id="a config error is one after its grace",
        ),
        pytest.param(
            pod(RUNNING, deletionTimestamp="2026-11-24T12:00:30Z"),
            id="a deletion that nobody confirms is a loss after its grace",
        ),
    ],
)
def test_at_any_time_it_says_what_a_fresh_look_says(workload: dict[str, Any]) -> None:
    clock = Clock()
    kept = ViewCache(Index(), Key("team", "study"), POD_KIND, BOUNDS, clock)
    for second in range(0, 200, 5):
        clock.seconds = float(second)
        fresh = replace(kept, _views={})
        assert kept.at(workload).phase is fresh.at(workload).phase
        assert kept.at(workload).reason is fresh.at(workload).reason


def test_another_state_of_a_workload_is_looked_at_anew() -> None:
    kept = ViewCache(Index(), Key("team", "study"), POD_KIND, BOUNDS, Clock())
    before, after = pod(PULLING), pod(RUNNING)
    assert kept.at(before).phase is AttemptPhase.WAITING
    assert kept.at(before) is kept.at(before)
    assert kept.at(after).phase is AttemptPhase.RUNNING


def test_workloads_that_are_gone_are_not_kept_in_memory() -> None:
    kept = ViewCache(Index(), Key("team", "study"), POD_KIND, BOUNDS, Clock())
    workload = pod(RUNNING)
    first = kept.at(workload)
    kept.keep({"study-0-0-0"})
    assert kept.at(workload) is first
    kept.keep(set())
    assert kept.at(workload) is not first
