"""What people hear of conditions, over an API server: an Event for each that stops work."""

from __future__ import annotations

from typing import Any

from fake_kubelet import end
from shell import TEAM, Shell
from testbed.documents import played, policy

from scaling_operator.kube.client.kinds import EVENTS, EXPERIMENTS, POLICIES

NOWHERE = ("spec/resources", {"policy": "none"})
NAMED = ("spec/resources", {"policy": "gpus"})


def events_about(shell: Shell, name: str = "study") -> list[tuple[str, str]]:
    events = shell.cluster.all(EVENTS, TEAM)
    about: list[Any] = [event for event in events if event["regarding"]["name"] == name]
    return [(event["type"], event["reason"]) for event in about]


async def test_a_policy_that_there_is_not_is_an_event(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", NOWHERE))

    await shell.settle()

    assert ("Warning", "PolicyNotFound") in events_about(shell)
    await shell.advance(100.0)
    assert events_about(shell).count(("Warning", "PolicyNotFound")) == 1


async def test_a_trial_that_fits_nowhere_is_an_event(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, policy("gpus"))
    much = {"policy": "gpus", "estimate": {"parameters": 1e6, "deviceMemory": "500Gi"}}
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", ("spec/resources", much)))

    await shell.settle()

    assert ("Warning", "NothingFits") in events_about(shell)


async def test_what_is_wrong_with_a_policy_is_told_to_those_who_name_it(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", NAMED))
    shell.cluster.add(EXPERIMENTS, TEAM, played("other", ("spec/suspend", True)))
    await shell.settle()
    before = events_about(shell, "other")

    shell.cluster.add(POLICIES, None, policy("gpus"))
    await shell.settle()

    assert ("Warning", "ShapeNotOffered") in events_about(shell)
    assert events_about(shell, "other") == before


async def test_a_suspension_that_was_asked_for_is_no_warning(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", ("spec/suspend", True)))

    await shell.settle()

    assert ("Normal", "Suspended") in events_about(shell)


async def test_too_many_failures_are_a_warning(shell: Shell) -> None:
    document = played("study", ("spec/trials", {"max": 3, "maxFailed": 0}))
    shell.cluster.add(EXPERIMENTS, TEAM, document)
    await shell.settle()

    end(shell.cluster, TEAM, "study-0-0-0", code=3)

    await shell.until(lambda: ("Warning", "TooManyFailures") in events_about(shell))
