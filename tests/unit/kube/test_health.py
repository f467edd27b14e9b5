"""Probes tell whether things move: each thing that can stand still has its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from shell import Clock, Shell

from scaling_operator.kube import health
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.queue import WorkQueue
from scaling_operator.kube.client.watch import WATCHED, Watches
from scaling_operator.kube.health import Health, serve_health
from scaling_operator.kube.reconcile.resync import Resync

HOST = "127.0.0.1"


@dataclass(slots=True)
class World:
    """A process that is well, until a test says else."""

    shell: Shell
    clock: Clock = field(default_factory=Clock)
    leads: bool = True
    is_in_touch: bool = True
    health: Health = field(init=False)

    def __post_init__(self) -> None:
        shell = self.shell
        queue: WorkQueue[Key] = WorkQueue(self.clock)
        watches = Watches(shell.index, shell.wake, shell.client.access, WATCHED)
        watches.ready.set()
        resync = Resync(
            client=shell.client,
            index=shell.index,
            queue=queue,
            controller=shell.controller,
            watches=watches,
            leads=lambda: self.leads,
            period_seconds=90.0,
        )
        self.health = Health(
            queue=queue,
            watches=watches,
            resync=resync,
            leads=lambda: self.leads,
            in_touch=lambda: self.is_in_touch,
            clock=self.clock,
        )


@pytest.fixture
def world(shell: Shell) -> World:
    return World(shell)


def stall(world: World) -> None:
    world.health.queue.add(Key("team", "study"))
    world.clock.seconds += 301


def lose_watches(world: World) -> None:
    world.health.watches.failures = 9


def miss(world: World) -> None:
    world.health.resync.misses = 3


SICK: list[Any] = [
    pytest.param(stall, "had its turn for 301 s", id="nobody has had a turn"),
    pytest.param(lose_watches, "the watches failed 9 times", id="the watches fail"),
    pytest.param(miss, "behind in 3 resyncs", id="the watches are behind"),
]


async def asked(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{HOST}:{port}{path}") as answer,
    ):
        return answer.status, (await answer.text()).strip()


@pytest.mark.parametrize(("harm", "says"), SICK)
async def test_what_stands_still_makes_it_sick(
    world: World, harm: Callable[[World], None], says: str
) -> None:
    async with serve_health(world.health, HOST, 0) as server:
        assert await asked(server.port, "/healthz") == (200, "ok")
        assert await asked(server.port, "/readyz") == (200, "leading")
        harm(world)
        for path in ("/healthz", "/readyz"):
            status, text = await asked(server.port, path)
            assert status == 500
            assert says in text


async def test_a_standby_is_ready_and_its_queue_does_not_matter(world: World) -> None:
    world.leads = False
    stall(world)
    assert world.health.unhealthy() is None
    async with serve_health(world.health, HOST, 0) as server:
        assert await asked(server.port, "/readyz") == (200, "standing by")


async def test_a_replica_out_of_touch_is_unready_and_not_restarted(world: World) -> None:
    world.is_in_touch = False
    async with serve_health(world.health, HOST, 0) as server:
        assert await asked(server.port, "/healthz") == (200, "ok")
        status, text = await asked(server.port, "/readyz")
        assert (status, text) == (500, "the API server does not tell whose the Lease is")


def test_before_the_watches_have_begun_it_is_unready(world: World) -> None:
    world.health.watches.ready.clear()
    assert world.health.unready() == "the watches have not begun yet"
    assert world.health.unhealthy() is None


async def test_a_loop_that_lags_is_sick_and_well_again_afterwards(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [0.0, 5.1, 0.0]

    async def sleep(seconds: float) -> None:
        if not late:
            raise KeyboardInterrupt
        world.clock.seconds += seconds + late.pop(0)

    troubles: list[str | None] = []

    async def look(seconds: float) -> None:
        troubles.append(world.health.unhealthy())
        await sleep(seconds)

    monkeypatch.setattr(health, "asyncio", SimpleNamespace(sleep=look))
    with pytest.raises(KeyboardInterrupt):
        await world.health.run()
    assert troubles == [None, None, "the event loop lags 5.1 s", None]


async def test_a_loop_that_has_not_come_back_lags_by_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter((None,))

    async def sleep(seconds: float) -> None:
        next(ticks)
        world.clock.seconds += seconds

    monkeypatch.setattr(health, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await world.health.run()
    assert world.health.unhealthy() is None
    world.clock.seconds += 6.0
    assert cast("str", world.health.unhealthy()) == "the event loop lags 5.5 s"
