"""Points from other experiments of the namespace, and what nobody finds out by asking for them."""

from __future__ import annotations

from typing import Any

import pytest
from fake_kubelet import succeed
from shell import TEAM, Shell
from testbed.documents import played

from scaling_operator.api.names import ConditionType, Phase
from scaling_operator.kube.client.kinds import EXPERIMENTS

PATH = "spec/search/warmStart"


def warmed(name: str, *sources: str) -> dict[str, Any]:
    """An experiment that begins from others; of its own it would draw another number than they."""
    seed = ("spec/search/algorithm", {"name": "random", "seed": 8})
    return played(name, seed, (PATH, {"from": list(sources), "topK": 1}))


async def finished(shell: Shell, name: str) -> float:
    """Run an experiment of one trial to its end; give what it tried."""
    shell.cluster.add(EXPERIMENTS, TEAM, played(name))
    await shell.settle()
    succeed(shell.cluster, TEAM, f"{name}-0-0-0", loss=0.25)
    await shell.until(lambda: shell.status(name).phase is Phase.SUCCEEDED)
    return float(shell.trials(name)[0].spec.parameters["x"])


def said(shell: Shell, name: str) -> str:
    (accepted,) = (
        condition
        for condition in shell.status(name).conditions
        if condition.type == ConditionType.ACCEPTED
    )
    assert accepted.status == "False"
    return accepted.message


async def test_the_best_of_another_experiment_is_tried_first(shell: Shell) -> None:
    best = await finished(shell, "first")
    shell.cluster.add(EXPERIMENTS, TEAM, warmed("second", "first"))
    await shell.settle()
    assert shell.trials("second")[0].spec.parameters == {"x": best}


@pytest.mark.parametrize(
    "name", ["../../team-b/scalingexperiments/theirs", "../scalingexperiments?watch=true&a=", "A"]
)
async def test_what_is_no_name_of_an_experiment_is_refused_and_never_asked_for(
    shell: Shell, name: str
) -> None:
    shell.cluster.add(EXPERIMENTS, "team-b", played("theirs"))
    await shell.settle()
    shell.cluster.requests.clear()
    shell.cluster.add(EXPERIMENTS, TEAM, warmed("second", name))
    await shell.settle()
    assert said(shell, "second").startswith("spec.search.warmStart.from[0]: ")
    assert not [
        request for request in shell.cluster.requests if request.startswith(("get", "list"))
    ]


async def test_an_experiment_that_does_not_exist_is_named(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, warmed("second", "first"))
    await shell.settle()
    assert "from[0]: there is no experiment 'first' in this namespace" in said(shell, "second")


async def test_an_experiment_that_is_not_accepted_itself_is_named_with_its_first_problem(
    shell: Shell,
) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("first", ("spec/search/pruner", {"name": "what"})))
    shell.cluster.add(EXPERIMENTS, TEAM, warmed("second", "first"))
    await shell.settle()
    words = "from[0]: first is not accepted itself: spec.search.pruner.name: "
    assert words in said(shell, "second")


async def test_the_trials_of_a_deleted_experiment_of_the_same_name_are_not_its_own(
    shell: Shell,
) -> None:
    before = await finished(shell, "first")
    shell.cluster.remove(EXPERIMENTS, TEAM, "first")
    shell.cluster.add(EXPERIMENTS, TEAM, played("first", ("spec/suspend", True)))
    shell.cluster.add(EXPERIMENTS, TEAM, warmed("second", "first"))
    await shell.settle()
    assert shell.trials("second")[0].spec.parameters != {"x": before}
