"""The resync finds what the watches have missed, and has everybody look again."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from fake_cluster import BUSY, FORBIDDEN, Fault
from fake_kubelet import start, succeed
from shell import TEAM, Shell
from testbed.documents import changed, played, policy

from scaling_operator.api.names import Phase, TrialState
from scaling_operator.kube.client.errors import ClusterBusy, NotFound
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS, POLICIES, TRIALS
from scaling_operator.kube.client.queue import WorkQueue
from scaling_operator.kube.client.watch import WATCHED, Watches
from scaling_operator.kube.reconcile import resync
from scaling_operator.kube.reconcile.resync import Resync

STUDY = Key(TEAM, "study")


class World:
    """A replica whose watches have died without a word, and its resync."""

    def __init__(self, shell: Shell, *namespaces: str) -> None:
        self.shell = shell
        self.queue: WorkQueue[Key] = WorkQueue(time.monotonic)
        client = shell.client
        self.watches = Watches(shell.index, shell.wake, client.access, WATCHED)
        self.resync = Resync(
            client=client,
            index=shell.index,
            queue=self.queue,
            controller=shell.controller,
            watches=self.watches,
            leads=lambda: shell.leads,
            period_seconds=0.001,
            namespaces=namespaces,
        )

    async def once(self) -> list[Key]:
        """Resync once; have those look again who are to, and name them."""
        await self.resync.once()
        keys: list[Key] = []
        while len(self.queue):
            keys.append(await self.queue.get())
            self.queue.done(keys[-1])
        for key in keys:
            self.shell.wake(key)
        await self.shell.settle()
        return keys

    @property
    def is_restarted(self) -> bool:
        return self.watches._restart.is_set()  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def world(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(resync, "GRACE_SECONDS", 0.0)
    return World(shell)


async def test_an_experiment_whose_event_was_lost_begins(world: World) -> None:
    world.shell.loses_events = True
    world.shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await world.shell.settle()
    assert not world.shell.pods()
    assert await world.once() == [STUDY]
    assert world.shell.pods() == ["study-0-0-0"]
    assert world.is_restarted


async def test_a_pod_whose_end_was_lost_is_read(world: World) -> None:
    shell = world.shell
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    shell.loses_events = True
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.advance(60.0)
    assert not shell.trials("study")[0].status.state.ended
    await world.once()
    await shell.until(lambda: shell.trials("study")[0].status.state is TrialState.SUCCEEDED)


async def test_a_pod_whose_deletion_was_lost_is_made_again(world: World) -> None:
    shell = world.shell
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    start(shell.cluster, TEAM, "study-0-0-0")
    await shell.settle()
    shell.loses_events = True
    shell.cluster.remove(PODS, TEAM, "study-0-0-0")
    await world.once()
    await shell.until(lambda: shell.pods() == ["study-0-0-1"])


async def test_a_changed_spec_and_a_policy_whose_events_were_lost_are_followed(
    world: World,
) -> None:
    shell = world.shell
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    shell.loses_events = True
    shell.cluster.edit(
        EXPERIMENTS, TEAM, "study", lambda study: study["spec"]["trials"].update(suspend=True)
    )
    shell.cluster.add(POLICIES, None, policy("gpus"))
    assert set(await world.once()) == {STUDY, Key("", "gpus")}
    assert shell.status("study").observed_generation == 2
    assert shell.cluster.one(POLICIES, None, "gpus")["status"]["observedGeneration"] == 1


async def test_an_experiment_whose_deletion_was_lost_is_closed(world: World) -> None:
    shell = world.shell
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    shell.loses_events = True
    shell.cluster.remove(EXPERIMENTS, TEAM, "study")
    await world.once()
    assert not shell.controller.loaded
    assert not shell.index.experiments


async def test_of_experiments_those_alone_are_read_that_are_others_than_is_known(
    world: World,
) -> None:
    shell = world.shell
    for name in ("study", "other", "third"):
        shell.cluster.add(EXPERIMENTS, TEAM, played(name, ("spec/suspend", True)))
    await shell.settle()
    shell.loses_events = True
    shell.cluster.edit(EXPERIMENTS, TEAM, "other", lambda study: study["spec"].pop("suspend"))
    del shell.cluster.requests[:]
    await world.resync.once()
    reads = [
        request
        for request in shell.cluster.requests
        if request.startswith("get scalingexperiments")
    ]
    assert reads == [f"get scalingexperiments {TEAM}/other"]


async def test_an_experiment_that_is_deleted_while_all_is_compared_does_not_begin_again(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync, "GRACE_SECONDS", 0.02)
    world = World(shell)
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    comparing = asyncio.create_task(world.once())
    while "list scalingexperiments" not in shell.cluster.requests:
        await asyncio.sleep(0)
    shell.cluster.remove(EXPERIMENTS, TEAM, "study")
    await comparing
    assert not shell.controller.loaded
    assert not shell.index.experiments
    assert not world.is_restarted


async def test_an_experiment_of_whose_deletion_no_watch_has_told_is_closed_at_the_next_write(
    world: World,
) -> None:
    shell = world.shell
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    pod = shell.cluster.one(PODS, TEAM, "study-0-0-0")
    shell.loses_events = True
    shell.cluster.remove(EXPERIMENTS, TEAM, "study")
    shell.loses_events = False
    shell.on_event("DELETED", PODS, pod)
    with pytest.raises(NotFound):
        await shell.settle()
    shell.wake(STUDY)
    await shell.settle()
    assert not shell.controller.loaded


async def test_where_nothing_was_missed_nothing_starts_again(world: World) -> None:
    world.shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await world.shell.settle()
    for _ in range(3):
        assert await world.once() == [STUDY]  # it looks again all the same
    assert world.resync.misses == 0
    assert not world.is_restarted


async def test_misses_in_a_row_are_counted(world: World) -> None:
    shell = world.shell
    shell.loses_events = True
    for number in range(3):
        shell.cluster.add(EXPERIMENTS, TEAM, played(f"study{number}"))
        await world.once()
        shell.loses_events = True
    assert world.resync.misses == 3
    await world.once()
    assert world.resync.misses == 0


async def test_what_is_made_while_the_list_is_read_is_not_taken_for_gone(world: World) -> None:
    shell = world.shell

    async def make() -> None:
        shell.cluster.add(EXPERIMENTS, TEAM, played("study"))

    shell.cluster.faults.append(Fault("list", EXPERIMENTS, before=make))
    await world.once()
    assert STUDY in shell.index.experiments
    assert world.resync.misses == 0


async def test_a_trial_that_somebody_deleted_is_noticed(world: World) -> None:
    shell = world.shell
    document = played("study", ("spec/trials", {"max": 2, "parallel": 2}))
    shell.cluster.add(EXPERIMENTS, TEAM, document)
    await shell.settle()
    first = shell.cluster.one(TRIALS, TEAM, "study-0-1")["metadata"]["uid"]
    shell.cluster.remove(TRIALS, TEAM, "study-0-1")
    assert shell.pods() == ["study-0-0-0"]  # its pod went with it
    await world.once()
    assert shell.pods() == ["study-0-0-0", "study-0-1-0"]
    assert shell.cluster.one(TRIALS, TEAM, "study-0-1")["metadata"]["uid"] != first


async def test_a_trial_that_somebody_made_anew_is_not_taken_for_the_old_one(world: World) -> None:
    shell = world.shell
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    body = shell.cluster.one(TRIALS, TEAM, "study-0-0")
    shell.cluster.remove(TRIALS, TEAM, "study-0-0", orphan=True)
    copy = changed(body, ("metadata", {"name": "study-0-0", "labels": body["metadata"]["labels"]}))
    renewed = shell.cluster.add(TRIALS, TEAM, copy)
    await world.once()
    (loaded,) = shell.controller.loaded.values()
    assert loaded.engine.state.live[0, 0].metadata["uid"] == renewed["metadata"]["uid"]


async def test_a_deletion_that_was_lost_is_asked_for_again(world: World) -> None:
    shell = world.shell
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    sweeps = Fault("deletecollection", PODS, answer=(200, "done, it says, and nothing is"))
    shell.cluster.faults.append(sweeps)
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.until(lambda: not sweeps.times)
    await shell.advance(30.0)
    assert shell.pods() == ["study-0-0-0"]
    await world.once()
    await shell.until(lambda: not shell.pods(), seconds=5.0)
    assert shell.status("study").phase is Phase.SUCCEEDED


async def test_a_standby_repairs_its_index_and_asks_for_no_trials(world: World) -> None:
    shell = world.shell
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    shell.leads = False
    shell.cluster.requests.clear()
    await world.resync.once()
    assert not [request for request in shell.cluster.requests if "scalingtrials" in request]


async def test_it_lists_the_namespaces_that_are_served_and_policies_of_the_cluster(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync, "GRACE_SECONDS", 0.0)
    await World(shell, "a", "b").resync.once()
    assert shell.cluster.requests == [
        *("list scalingexperiments a", "list scalingexperiments b"),
        *("list pods a", "list pods b"),
        *("list resourcepolicies", "list namespaces"),
    ]


async def test_a_resync_that_fails_is_told_and_the_next_one_comes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    lists = [Fault("list", EXPERIMENTS, answer=BUSY), Fault("list", EXPERIMENTS, answer=FORBIDDEN)]
    world.shell.cluster.faults += lists
    world.shell.loses_events = True
    world.shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    running = asyncio.create_task(world.resync.run())
    while STUDY not in world.shell.index.experiments:
        await asyncio.sleep(0.001)
    running.cancel()
    assert caplog.text.count("no resync this time") == 2


async def test_a_fault_half_way_leaves_the_rest_for_the_next_time(world: World) -> None:
    world.shell.loses_events = True
    world.shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    world.shell.cluster.faults.append(Fault("list", PODS, answer=BUSY))
    with pytest.raises(ClusterBusy):
        await world.once()
    await world.once()
    assert STUDY in world.shell.index.experiments
