"""The operator's controller over an API server in memory: a replica without network and threads.

    shell.cluster.add(EXPERIMENTS, "team", played("study"))
    await shell.settle()                                    # its first pod exists
    succeed(shell.cluster, "team", "study-0-0-0", loss=0.5)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)

Events reach the index at once, unless `loses_events`. Time stands still but for `advance` and
`until`, which move the cluster's clock. Another `Shell` over the same cluster is the next leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from fake_cluster import FakeCluster, Object

from scaling_operator.api.problems import Problem
from scaling_operator.api.search import Search
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS, TRIALS, Kind
from scaling_operator.kube.client.watch import WATCHED_WITH_JOBS
from scaling_operator.kube.reconcile.controller import Controller
from scaling_operator.kube.reconcile.events import EventRecorder
from scaling_operator.kube.reconcile.loader import Loader, status_of
from scaling_operator.kube.reconcile.stale_workloads import Sweeper
from scaling_operator.kube.reconcile.trials import read_trial
from scaling_operator.kube.recorder import Recorder
from scaling_operator.kube.settings import PodSettings
from scaling_operator.kube.workloads.attempt_spec import WorkloadSettings
from scaling_operator.law.fit_worker import FitRunner, ThreadFits
from scaling_operator.metrics.operator_metrics import OperatorMetrics, new_registry
from scaling_operator.processes.workers import Workers
from scaling_operator.search.study_worker import StudyHost, ThreadHost
from scaling_operator.validation.checks import check_document

TEAM = "team"
START_SECONDS = 1_800_000_000.0
TURNS = 1000
"""More than any test needs: an experiment that never settles is a fault."""


@dataclass(slots=True)
class Clock:
    """Seconds since the epoch; tests move it."""

    seconds: float = START_SECONDS

    def __call__(self) -> float:
        return self.seconds


class Threads:
    """Workers in threads of the test: the same work, without the start of processes."""

    async def check(self, namespace: str, document: Mapping[str, Any]) -> tuple[Problem, ...]:
        del namespace
        return await asyncio.to_thread(check_document, document)

    def studies(self, namespace: str, search: Search) -> StudyHost:
        del namespace, search
        return ThreadHost()

    def fits(self, namespace: str) -> FitRunner:
        del namespace
        return ThreadFits()


@dataclass(slots=True)
class Shell:
    """A replica that leads. `settings` are those of all pods."""

    cluster: FakeCluster
    settings: PodSettings = field(default_factory=lambda: PodSettings(trainer_image="trainer:1"))
    workers: Workers = field(default_factory=Threads)
    loses_events: bool = False
    """Whether events are lost."""
    leads: bool = True
    index: Index = field(default_factory=Index)
    client: Client = field(init=False)
    sweeper: Sweeper = field(init=False)
    controller: Controller = field(init=False)
    woken: dict[Key, None] = field(default_factory=dict[Key, None])
    due: dict[Key, float] = field(default_factory=dict[Key, float])
    """When an experiment is to be reconciled again."""

    def __post_init__(self) -> None:
        clock = self.cluster.clock
        self.client = self.cluster.client(may_write=lambda: self.leads)
        recorder = Recorder(OperatorMetrics(new_registry("0")), self.index)
        self.index.on_put = recorder.put
        self.sweeper = Sweeper(self.client, self.index)
        workloads = WorkloadSettings(trainer_image=self.settings.trainer_image)
        loader = Loader(
            client=self.client,
            index=self.index,
            sweeper=self.sweeper,
            settings=self.settings,
            workload_settings=lambda: workloads,
            wake=self.wake,
            clock=clock,
            workers=self.workers,
        )
        events = EventRecorder(self.client, "operator-0")
        self.controller = Controller(self.index, loader, events, recorder, clock)
        for kind in WATCHED_WITH_JOBS:
            for object_ in self.cluster.all(kind):
                self.on_event("ADDED", kind, object_)
        self.cluster.many_hooks.append(self.on_event)

    def on_event(self, event: str, kind: Kind, object_: Object) -> None:
        """Take in an event of a watch."""
        if self.loses_events or kind not in WATCHED_WITH_JOBS:
            return
        key = (self.index.drop if event == "DELETED" else self.index.put)(kind, object_)
        if key is not None:
            self.wake(key)

    def wake(self, key: Key) -> None:
        """Have an experiment reconciled."""
        self.woken[key] = None
        self.controller.notify(key)

    async def settle(self) -> None:
        """Reconcile all woken keys until none is left. A fault is raised; its key stays woken."""
        for _ in range(TURNS):
            if not self.woken:
                return
            await self.reconcile(next(iter(self.woken)))
        message = f"it never comes to rest: {', '.join(map(str, self.woken))}"
        raise AssertionError(message)

    async def reconcile(self, key: Key) -> float | None:
        """Reconcile once; return when to reconcile again."""
        self.woken.pop(key, None)
        try:
            again_seconds = await self.controller.reconcile(key)
        except Exception:
            self.woken[key] = None
            raise
        self.due.pop(key, None)
        if again_seconds is not None:
            self.due[key] = again_seconds
        return again_seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass; then delete queued workloads, and reconcile all due or woken keys."""
        clock = cast("Clock", self.cluster.clock)
        clock.seconds += seconds
        for key, due_seconds in list(self.due.items()):
            if due_seconds <= clock.seconds:
                self.wake(key)
        await self.sweeper.once()
        await self.settle()

    async def until(self, is_so: Callable[[], object], seconds: float = 3600.0) -> None:
        """Let time pass in steps of a second until a condition holds. Fails where it never does."""
        end = self.cluster.clock() + seconds
        await self.settle()
        while not is_so():
            assert self.cluster.clock() < end, f"not within {seconds} s"
            await self.advance(1.0)

    def status(self, name: str) -> ExperimentStatus:
        """Read an experiment's stored status."""
        return status_of(self.cluster.one(EXPERIMENTS, TEAM, name))

    def trials(self, name: str) -> list[ScalingTrial]:
        """Read an experiment's stored trials, by scale and number."""
        all_trials = [read_trial(stored) for stored in self.cluster.all(TRIALS, TEAM)]
        ours = [trial for trial in all_trials if trial.spec.experiment.name == name]
        return sorted(ours, key=lambda trial: trial.spec.key)

    def pods(self) -> list[str]:
        """Give the names of all pods."""
        return [pod["metadata"]["name"] for pod in self.cluster.all(PODS, TEAM)]

    def close(self) -> None:
        """End the threads, and take no more events of the cluster."""
        self.cluster.many_hooks.remove(self.on_event)
        for key in list(self.controller.loaded):
            self.controller.close(key)
