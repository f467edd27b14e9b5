"""What people hear of conditions, over an API server: an Event for each that stops work."""

from __future__ import annotations

from typing import Any

from fake_kubelet import end
from shell import TEAM, Shell
from testbed.documents import played, policy

from scaling_operator.kube.client.kinds import EVENTS, EXPERIMENTS, POLICIES

NOWHERE = ("spec/resources", {"policy": "none"})
NAMED = ("spec/resources", {"policy": "gpus"})


def told(shell: Shell, name: str = "study") -> list[tuple[str, str]]:
    events = shell.cluster.all(EVENTS, TEAM)
    about: list[Any] = [each for each in events if each["regarding"]["name"] == name]
    return [(each["type"], each["reason"]) for each in about]


async def test_a_policy_that_there_is_not_is_an_event(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", NOWHERE))

    await shell.settle()

    assert ("Warning", "PolicyNotFound") in told(shell)
    await shell.advance(100.0)
    assert told(shell).count(("Warning", "PolicyNotFound")) == 1


async def test_a_trial_that_fits_nowhere_is_an_event(shell: Shell) -> None:
    shell.cluster.add(POLICIES, None, policy("gpus"))
    much = {"policy": "gpus", "estimate": {"parameters": 1e6, "deviceMemory": "500Gi"}}
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", ("spec/resources", much)))

    await shell.settle()

    assert ("Warning", "NothingFits") in told(shell)


async def test_what_is_wrong_with_a_policy_is_told_to_those_who_name_it(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", NAMED))
    shell.cluster.add(EXPERIMENTS, TEAM, played("other", ("spec/suspend", True)))
    await shell.settle()
    before = told(shell, "other")

    shell.cluster.add(POLICIES, None, policy("gpus"))
    await shell.settle()

    assert ("Warning", "ShapeNotOffered") in told(shell)
    assert told(shell, "other") == before


async def test_a_suspension_that_was_asked_for_is_no_warning(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", ("spec/suspend", True)))

    await shell.settle()

    assert ("Normal", "Suspended") in told(shell)


async def test_too_many_failures_are_a_warning(shell: Shell) -> None:
    document = played("study", ("spec/trials", {"max": 3, "maxFailed": 0}))
    shell.cluster.add(EXPERIMENTS, TEAM, document)
    await shell.settle()

    end(shell.cluster, TEAM, "study-0-0-0", code=3)

    await shell.until(lambda: ("Warning", "TooManyFailures") in told(shell))
