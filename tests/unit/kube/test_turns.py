"""The event loop is never kept for long by one experiment: others, the Lease and probes go on."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_cluster import FakeCluster
from fake_kubelet import succeed_always
from shell import TEAM, Shell
from testbed.documents import API_VERSION, changed, played, policy

from scaling_operator.api.names import Phase
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, POLICIES, TRIALS

LONGEST_SECONDS = 0.1
ENDED = 4_000


@pytest.fixture(autouse=True)
def _frozen() -> Iterator[None]:
    """As the operator does at its start: what there was before is not the measured code's."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Ticker:
    """Measures the processor time of this thread between two turns of the event loop.

    What the API server in memory takes is not counted: a real one is another process.
    """

    def __init__(self, fake: FakeCluster) -> None:
        self.longest_seconds = 0.0
        self._fake = fake
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        before = self._now()
        while True:
            await asyncio.sleep(0)
            now = self._now()
            self.longest_seconds = max(self.longest_seconds, now - before)
            before = now

    def _now(self) -> float:
        return time.thread_time() - self._fake.busy_seconds

    async def stop(self) -> float:
        await asyncio.sleep(0)
        self._task.cancel()
        await asyncio.wait({self._task})
        return self.longest_seconds


def a_trial(uid: str, number: int) -> dict[str, Any]:
    """Write a trial that has ended well, with a curve."""
    curve = [{"step": step, "value": 1.0 / step} for step in range(1, 33)]
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingTrial",
        "metadata": {
            "name": f"study-0-{number}",
            "labels": {"scaling-operator.dev/experiment": "study"},
            "ownerReferences": [{"uid": uid, "controller": True}],
        },
        "spec": {
            "experiment": {"name": "study", "uid": uid},
            "scale": 0,
            "number": number,
            "parameters": {"x": number / ENDED},
            "searched": ["x"],
            "seed": number,
        },
        "status": {"state": "Succeeded", "values": [number / ENDED], "curve": curve},
    }


@pytest.mark.slow
async def test_reading_thousands_of_trials_keeps_the_loop_for_moments_only(
    fake: FakeCluster,
) -> None:
    most = ("spec/trials", {"max": ENDED + 4, "parallel": 4})
    stored = fake.add(EXPERIMENTS, TEAM, played("study", most))
    for number in range(ENDED):
        fake.add(TRIALS, TEAM, a_trial(stored["metadata"]["uid"], number))
    shell = Shell(fake)
    gc.collect()
    gc.freeze()
    ticker = Ticker(fake)
    await shell.reconcile(Key(TEAM, "study"))
    longest_seconds = await ticker.stop()

    assert len(shell.pods()) == 4, "it goes on where it was"
    assert longest_seconds < LONGEST_SECONDS
    shell.close()


@pytest.mark.slow
async def test_hundreds_of_live_trials_keep_the_loop_for_moments_only(fake: FakeCluster) -> None:
    fake.add(EXPERIMENTS, TEAM, played("study", ("spec/trials", {"max": 400, "parallel": 400})))
    shell = Shell(fake)
    ticker = Ticker(fake)
    succeed_always(fake, lambda _: {"loss": 0.5})
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    assert await ticker.stop() < LONGEST_SECONDS
    shell.close()


def the_dearest_ladder() -> dict[str, Any]:
    """Write a hundred sizes whose every amount is as long an expression as there may be."""
    term = "max(0.0, min(1000.0, parameters['size']))"
    expression = " + ".join([term] * 23)
    amounts = ("parameters", "samples", "flops", "batchSize", "activationBytes", "hostMemory")
    estimate = {name: expression for name in amounts} | {"honours": ["microBatch", "recompute"]}
    return played(
        "study",
        ("spec/scaling", {"parameter": "size", "sizes": [10 * (at + 1) for at in range(100)]}),
        ("spec/resources", {"estimate": estimate}),
        ("spec/trials", {"max": 100, "parallel": 2}),
    )


def many_machines() -> dict[str, Any]:
    shapes = [
        {
            "name": f"g{at}", "resource": "nvidia.com/gpu", "memory": f"{at + 1}Gi",
            "flops": 1e14, "pricePerHour": at + 1, "maxPerPod": 64,
        }
        for at in range(50)
    ]  # fmt: skip
    return changed(policy("default"), ("spec/shapes", shapes))


@pytest.mark.slow
async def test_the_dearest_ladder_is_sized_away_from_the_loop(fake: FakeCluster) -> None:
    fake.add(POLICIES, None, many_machines())
    fake.add(EXPERIMENTS, TEAM, the_dearest_ladder())
    shell = Shell(fake)
    ticker = Ticker(fake)
    await shell.reconcile(Key(TEAM, "study"))
    longest_seconds = await ticker.stop()

    assert len(shell.status("study").scales) == 100
    assert len(shell.pods()) == 2
    assert longest_seconds < LONGEST_SECONDS
    shell.close()
