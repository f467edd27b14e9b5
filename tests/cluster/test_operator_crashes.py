"""Killed before and after each of its writes, the operator ends where an undisturbed one does.

The sweep is exhaustive: each write of a fault-free run is a crash point, twice (before the API
server has it, and after, so that its answer is lost), and once more as a lost reply alone. Several
sites, each with an operator of its own, go through the points of their share side by side.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from testbed.api_request import ApiRequest
from testbed.documents import played
from testbed.effects import Effect, Kill, Reset, once
from testbed.installation import Installation, Installer
from testbed.writes import Write, at, trace

TRIALS = 6
SITES = 3
END_SECONDS = 60.0
QUIET_SECONDS = 4.0
EFFECTS: tuple[Effect, ...] = (Kill(forwarded=False), Kill(forwarded=True), Reset(forwarded=True))
# Which shared writes there are, and how many, is a matter of moments: one may never come.
SHARED = ("deletecollection", "scalingexperiments/status", "events")
Json = dict[str, Any]
Outcome = tuple[tuple[Any, ...], ...]

# With one trial at a time each proposal follows from all results before. With two, what a sampler
# knew is a matter of moments: random search asks the slot alone.
CASES: tuple[tuple[str, int, Json], ...] = (
    ("one-at-a-time", 1, {"name": "tpe", "seed": 7, "startupTrials": 2}),
    ("two-at-a-time", 2, {"name": "random", "seed": 7}),
)


@dataclass(frozen=True, slots=True)
class Point:
    """Where the operator is disturbed, and how."""

    write: Write
    effect: Effect

    def __str__(self) -> str:
        return f"{self.effect} at {self.write}"


@dataclass(slots=True)
class Lane:
    """One site that works through crash points, one experiment each."""

    installation: Installation
    name: str
    parallel: int
    algorithm: Json
    numbers: Iterator[int] = field(default_factory=count)

    def undisturbed(self) -> tuple[str, Outcome]:
        """Run an experiment without a fault; give its name and its outcome."""
        name = f"{self.name}r{next(self.numbers)}"
        self._run(name, None)
        return name, self._outcome(name)

    def disturbed(self, point: Point) -> tuple[bool, Outcome]:
        """Run an experiment with a fault; tell whether the point was reached, and the outcome."""
        name = f"{self.name}c{next(self.numbers)}"
        hit = threading.Event()
        self._run(name, at(name, point.write, point.effect, hit.set))
        if not hit.is_set():
            # Shared writes come up to a second after the end.
            hit.wait(QUIET_SECONDS)
            self._keep_alive(lambda: True)
        outcome = self._outcome(name)
        self.installation.site.kubectl("delete", "sx", name, "--wait=false")
        return hit.is_set(), outcome

    def _run(self, name: str, rule: Any) -> None:
        between, site = self.installation.between, self.installation.site
        between.pass_on()
        if rule is not None:
            between.rule = rule
        site.apply(
            played(
                name,
                ("spec/trials", {"max": TRIALS, "parallel": self.parallel}),
                ("spec/search/algorithm", self.algorithm),
                PLAY_SECONDS="0.05",
            )
        )
        self._keep_alive(lambda: site.status(name).get("phase") in ("Succeeded", "Failed"))
        # The last pods are deleted once a second.
        self._keep_alive(lambda: not site.pods(name))

    def _keep_alive(self, holds: Callable[[], bool]) -> None:
        """Start the operator again whenever it has ended, as a kubelet does, until all is well."""

        def well() -> bool:
            if not self.installation.operator.is_alive:
                self.installation.operator.start()
                return False
            return holds()

        self.installation.site.wait(
            well, END_SECONDS, f"{self.name} goes on\n{self.installation.operator.log_end()}"
        )

    def _outcome(self, name: str) -> Outcome:
        """Tell all that must not depend on crashes; times and attempts' moments may."""
        site = self.installation.site
        rows: list[tuple[Any, ...]] = []
        for trial in site.trials(name):
            spec, status = trial["spec"], trial["status"]
            attempts = [
                attempt["reason"] for attempt in status.get("attempts", []) if "reason" in attempt
            ]
            row = (spec["scale"], spec["number"], spec["seed"], sorted(spec["parameters"].items()))
            end = (status["state"], status.get("values"), status.get("reason"), attempts)
            rows.append((*row, *end))
        status = site.status(name)
        rows.append((status["phase"], sorted(status["counts"].items()), status["best"]["trial"]))
        return tuple(rows)

    def created_pods(self) -> Counter[str]:
        """Count how often the API server has created each pod."""
        return Counter(
            passed.request.name
            for passed in self.installation.between.writes()
            if (passed.request.verb, passed.request.resource) == ("create", "pods")
            and passed.code == 201
        )


@pytest.fixture(params=CASES, ids=[case[0] for case in CASES])
def lanes(request: pytest.FixtureRequest, installer: Installer) -> Iterator[list[Lane]]:
    name, parallel, algorithm = request.param
    del name
    with ExitStack() as stack:
        yield [
            Lane(
                stack.enter_context(installer.installed(through_proxy=True)),
                f"e{index}",
                parallel,
                algorithm,
            )
            for index in range(SITES)
        ]


def points_of(lane: Lane, experiment: str) -> list[Point]:
    requests = [passed.request for passed in lane.installation.between.writes()]
    return [Point(write, effect) for write in trace(requests, experiment) for effect in EFFECTS]


@pytest.mark.timeout(900, func_only=True)
def test_a_crash_at_any_write_changes_nothing(
    lanes: list[Lane], capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(SITES) as pool:
        references = list(pool.map(Lane.undisturbed, lanes))
    name, expected = references[0]
    assert all(outcome == expected for _, outcome in references), references
    points = points_of(lanes[0], name)

    def sweep(index: int) -> list[tuple[Point, bool, Outcome]]:
        return [(point, *lanes[index].disturbed(point)) for point in points[index::SITES]]

    with ThreadPoolExecutor(SITES) as pool:
        results = [result for share in pool.map(sweep, range(SITES)) for result in share]

    wrong = [f"{point}:\n{outcome}" for point, _, outcome in results if outcome != expected]
    assert not wrong, f"expected\n{expected}\n" + "\n".join(wrong)
    for lane in lanes:
        twice = [pod for pod, times in lane.created_pods().items() if times > 1]
        assert not twice, "pods that were created twice"
        assert all(pod.endswith("-0") for pod in lane.created_pods()), "attempts that were repeated"
    missed = [point for point, hit, _ in results if not hit]
    assert all(point.write.resource in SHARED or point.write.verb in SHARED for point in missed)
    with capsys.disabled():
        sys.stdout.write(
            said(points, missed, sum(lane.installation.operator.starts for lane in lanes))
        )


def said(points: Sequence[Point], missed: Sequence[Point], starts: int) -> str:
    kills = sum(isinstance(point.effect, Kill) for point in points)
    return (
        f"\n{len(points) // len(EFFECTS)} writes, {kills} crash points and {len(points) - kills} "
        f"lost replies; never reached: {len(missed)} of shared writes; {starts} starts\n"
    )


@pytest.mark.parametrize("effect", EFFECTS, ids=str)
def test_a_crash_around_the_lease_changes_nothing(installer: Installer, effect: Effect) -> None:
    def is_lease(request: ApiRequest) -> bool:
        return request.is_write and request.resource == "leases"

    with installer.installed(through_proxy=True, started=False) as installation:
        installation.between.rule = once(is_lease, effect)
        installation.site.apply(played("begins", ("spec/trials", {"max": 2})))
        installation.operator.start()
        if isinstance(effect, Kill):
            installation.site.wait(lambda: not installation.operator.is_alive, 20, "it was killed")
            installation.operator.start()

        assert installation.site.wait_end("begins")["counts"]["succeeded"] == 2
