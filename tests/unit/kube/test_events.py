"""How many Events are sent: enough to be told, too few to flood."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, TRIALS, Kind
from scaling_operator.kube.reconcile.events import (
    BURST,
    MAX_EXPERIMENTS,
    REFILL_SECONDS,
    Event,
    EventRecorder,
    ObjectReference,
)


class Sent:
    """Stands for the API server's list of Events."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def create(self, kind: Kind, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        del kind, namespace
        self.bodies.append(body)
        return body


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.sent = Sent()
        client = cast("Client", self.sent)
        self.events = EventRecorder(client, "operator-0", clock=lambda: self.now)

    def fail_trials(self, experiment: str, count: int) -> int:
        before = len(self.sent.bodies)
        for number in range(count):
            trial = ObjectReference(TRIALS, "team", f"{experiment}-0-{number}", "1")
            self.events.add(Key("team", experiment), Event(trial, "TrainerFailed", "exit code 3"))
        asyncio.run(self.events.send())
        return len(self.sent.bodies) - before


def test_a_thousand_failures_are_a_few_events() -> None:
    assert World().fail_trials("bad", 1000) == BURST


def test_one_experiments_failures_do_not_silence_another() -> None:
    world = World()
    world.fail_trials("bad", 1000)
    assert world.fail_trials("good", 1) == 1


def test_after_a_while_there_may_be_another() -> None:
    world = World()
    world.fail_trials("bad", 1000)
    world.now += REFILL_SECONDS
    assert world.fail_trials("bad", 10) == 1


def test_an_experiment_and_its_trials_share_a_rate() -> None:
    world = World()
    world.fail_trials("bad", BURST)
    experiment = ObjectReference(EXPERIMENTS, "team", "bad", "1")
    event = Event(experiment, "TooManyFailures", "failed trials: 6")
    world.events.add(Key("team", "bad"), event)
    asyncio.run(world.events.send())
    assert len(world.sent.bodies) == BURST


def test_many_experiments_do_not_fill_the_memory() -> None:
    world = World()
    for number in range(MAX_EXPERIMENTS * 2):
        world.now += REFILL_SECONDS
        world.fail_trials(f"study{number}", 1)
    throttle = world.events._throttle  # pyright: ignore[reportPrivateUsage]
    assert len(throttle._tokens) <= MAX_EXPERIMENTS  # pyright: ignore[reportPrivateUsage]
