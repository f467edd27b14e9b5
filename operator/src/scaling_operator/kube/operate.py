"""One operator process: builds its parts, starts them, and ends them in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from scaling_operator.kube.client.client import Client, Request
from scaling_operator.kube.client.connection import connect
from scaling_operator.kube.client.errors import (
    ClusterBusy,
    ClusterError,
    ClusterForbidden,
    Invalid,
    OutdatedDefinition,
)
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.lease import Leadership, Lease
from scaling_operator.kube.client.queue import WorkQueue
from scaling_operator.kube.client.watch import WATCHED, WATCHED_WITH_JOBS, Watches
from scaling_operator.kube.dashboard import Dashboard
from scaling_operator.kube.health import Health, serve_health
from scaling_operator.kube.logs import about
from scaling_operator.kube.metrics_port import serve_metrics
from scaling_operator.kube.reconcile.controller import Controller
from scaling_operator.kube.reconcile.events import EventRecorder
from scaling_operator.kube.reconcile.loader import Loader
from scaling_operator.kube.reconcile.resync import Resync
from scaling_operator.kube.reconcile.stale_workloads import Sweeper
from scaling_operator.kube.recorder import Recorder
from scaling_operator.kube.report_service.service import ReportService
from scaling_operator.kube.settings import Settings
from scaling_operator.kube.state_collector import StateCollector
from scaling_operator.metrics.exposition import Exposition
from scaling_operator.metrics.operator_metrics import OperatorMetrics, new_registry
from scaling_operator.processes.workers import WorkerProcesses, Workers

log = logging.getLogger(__name__)
WORKERS = 16
WORKERS_PER_NAMESPACE = 8
"""However many experiments of one namespace wait, other namespaces go on."""
BUGS_TO_REPORT = 3
"""Failures in a row: then the fault does not pass, and the experiment's status says so."""
FORBIDDEN_PAUSE_SECONDS = 30.0
FRESH_SECONDS = 0.5
"""Scrapes within this time get the same answer."""
SHORTEST_PAUSE_SECONDS = 0.05
"""A due time that has passed without effect must not keep the event loop busy."""


class Connect(Protocol):
    """Makes the client: `connect`, or a client of another server."""

    def __call__(
        self,
        kubeconfig: Path | None,
        *,
        may_write: Callable[[], bool],
        observe: Callable[[Request], None],
    ) -> AbstractAsyncContextManager[Client]:
        """Connect for the length of a block."""
        ...


@dataclass(slots=True)
class Operator:
    """The parts of one process."""

    settings: Settings
    client: Client
    index: Index
    queue: WorkQueue[Key]
    lease: Lease
    watches: Watches
    controller: Controller
    sweeper: Sweeper
    resync: Resync
    health: Health
    report_service: ReportService
    recorder: Recorder
    exposition: Exposition
    dashboard: Dashboard
    workers: WorkerProcesses
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _bugs: Counter[Key] = field(default_factory=Counter[Key])
    """Faults of this operator in a row, by experiment."""

    def stop(self) -> None:
        """End the process. It releases the Lease, so that a standby takes over at once."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`, or until a part that should never end ends."""
        async with AsyncExitStack() as stack:
            settings = self.settings
            turned_away = self.recorder.operator_metrics.turned_away
            ports = (
                serve_health(
                    self.health, settings.address, settings.health_port, turned_away("health")
                ),
                serve_metrics(self.exposition, settings, self.client, turned_away("metrics")),
            )
            for port in ports:
                await stack.enter_async_context(port)
            await stack.enter_async_context(self.report_service)
            await stack.enter_async_context(self.dashboard)
            watching = asyncio.create_task(self.watches.run())
            leading = asyncio.create_task(self.lease.run())
            stopping = asyncio.create_task(self._stopping.wait())
            others = [asyncio.create_task(coroutine) for coroutine in self._endless()]
            try:
                await asyncio.wait(
                    {watching, leading, stopping, *others}, return_when=asyncio.FIRST_COMPLETED
                )
                _raise_failures([watching, leading, *others])
            finally:
                await _cancel([*others, stopping])
                self.lease.stop()
                self.watches.stop()
                await asyncio.gather(watching, leading, return_exceptions=True)
                for key in list(self.controller.loaded):
                    self.controller.close(key)
                await self.workers.close()

    def _endless(self) -> list[Coroutine[Any, Any, None]]:
        workers = [self._work() for _ in range(WORKERS)]
        loops = (self.sweeper, self.resync, self.health, self.dashboard)
        return [*workers, *(loop.run() for loop in loops)]

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            if self.lease.leads():
                await self._reconcile_timed(key)
            else:
                self.queue.done(key)  # a replica that gains the Lease reconciles every experiment

    async def _reconcile_timed(self, key: Key) -> None:
        started = time.perf_counter()
        result = await self._reconcile(key)
        self.recorder.operator_metrics.reconciled(result, time.perf_counter() - started)

    async def _reconcile(self, key: Key) -> str:
        """Reconcile an experiment once; return the result as the metric has it."""
        try:
            again_seconds = await self.controller.reconcile(key)
        except ClusterBusy as busy:
            pause = self.queue.failed(key, busy.retry_after_seconds)
            log.info("again in %.1f s: %s", pause, busy, extra=about(key))
            return "busy"
        except ClusterForbidden as forbidden:
            pause = self.queue.failed(key, FORBIDDEN_PAUSE_SECONDS)
            log.warning("again in %.0f s: %s", pause, forbidden, extra=about(key))
            return "forbidden"
        except (
            Invalid,
            OutdatedDefinition,
        ) as refused:  # the API server would refuse the same again
            await self._report_fault(key, refused)
            pause = self.queue.failed(key, FORBIDDEN_PAUSE_SECONDS)
            log.warning("again in %.0f s: %s", pause, refused, extra=about(key))
            return "error"
        except ClusterError as error:
            pause = self.queue.failed(key)
            log.info("again in %.1f s: %s", pause, error, extra=about(key))
            return "error"
        except Exception as error:  # a bug must not end the work on other experiments
            self.controller.invalidate([key])
            log.exception("a fault of this operator; read anew", extra=about(key))
            await self._count_bug(key, error)
            self.queue.failed(key)
            return "bug"
        self._bugs.pop(key, None)
        self.queue.done(key)
        if again_seconds is not None:
            pause = max(again_seconds - time.time(), SHORTEST_PAUSE_SECONDS)
            self.queue.add_after(key, pause)
        return "ok"

    async def _count_bug(self, key: Key, error: Exception) -> None:
        """Count a fault in a row, and report it in the experiment's status from the third on."""
        self._bugs[key] += 1
        if self._bugs[key] >= BUGS_TO_REPORT:  # each time: a report may fail, a plan may undo it
            await self._report_fault(key, error)

    async def _report_fault(self, key: Key, error: Exception) -> None:
        """Report a fault in an experiment's status, if that can be written."""
        try:
            await self.controller.report_fault(key, error)
        except ClusterError as not_written:
            log.info("the fault is not told yet: %s", not_written, extra=about(key))
        except Exception:  # a bug in the report ends no worker either
            log.exception("the fault cannot be told", extra=about(key))


@dataclass(frozen=True, slots=True)
class _Shared:
    """The parts that most other parts need."""

    settings: Settings
    client: Client
    index: Index
    recorder: Recorder
    leadership: Leadership
    queue: WorkQueue[Key]


async def build(
    settings: Settings, stack: AsyncExitStack, connected: Connect = connect
) -> Operator:
    """Put an operator together; `stack` closes what it opens."""
    index = Index()
    registry = new_registry(version("scaling-operator"))
    recorder = Recorder(OperatorMetrics(registry), index)
    index.on_put = recorder.put
    leadership = Leadership()
    client = await stack.enter_async_context(
        connected(settings.kubeconfig, may_write=leadership.leads, observe=recorder.requested)
    )
    queue = WorkQueue[Key](
        clock=time.monotonic,
        group=lambda key: key.namespace,
        most_per_group=WORKERS_PER_NAMESPACE,
    )
    shared = _Shared(settings, client, index, recorder, leadership, queue)
    sweeper, workers = Sweeper(client, index), WorkerProcesses()
    report_service = ReportService(
        settings=settings,
        client=client,
        index=index,
        leads=leadership.leads,
        operator_metrics=recorder.operator_metrics,
    )
    controller = _controller(shared, sweeper, report_service, workers)
    report_service.controller = controller
    watches, resync = _watches(shared, controller)
    lease = Lease(
        client=client,
        namespace=settings.namespace,
        identity=settings.name,
        settings=settings.lease,
        on_change=_LeadChange(controller, queue, sweeper, recorder),
        leadership=leadership,
    )
    health = Health(
        queue=queue,
        watches=watches,
        resync=resync,
        leads=leadership.leads,
        in_touch=lease.in_touch,
        clock=time.monotonic,
    )
    return Operator(
        settings=settings,
        client=client,
        index=index,
        queue=queue,
        lease=lease,
        watches=watches,
        controller=controller,
        sweeper=sweeper,
        resync=resync,
        health=health,
        report_service=report_service,
        recorder=recorder,
        exposition=Exposition(
            registry=registry,
            read_state=StateCollector(index, health, recorder).samples,
            fresh_seconds=FRESH_SECONDS,
        ),
        dashboard=Dashboard(
            index=index,
            loaded=controller.loaded,
            address=settings.address,
            port=settings.dashboard_port,
            refused=recorder.operator_metrics.turned_away("dashboard"),
            names=settings.dashboard_names,
        ),
        workers=workers,
    )


def _controller(
    shared: _Shared, sweeper: Sweeper, report_service: ReportService, workers: Workers
) -> Controller:
    def wake(key: Key) -> None:
        shared.queue.add(key)
        controller.notify(key)

    loader = Loader(
        client=shared.client,
        index=shared.index,
        sweeper=sweeper,
        settings=shared.settings.pods,
        workload_settings=report_service.workload_settings,
        wake=wake,
        clock=time.time,
        workers=workers,
    )
    controller = Controller(
        index=shared.index,
        loader=loader,
        events=EventRecorder(shared.client, shared.settings.name),
        recorder=shared.recorder,
        clock=time.time,
    )
    return controller


def _watches(shared: _Shared, controller: Controller) -> tuple[Watches, Resync]:
    settings = shared.settings
    watches = Watches(
        index=shared.index,
        wake=controller.loader.wake,
        access=shared.client.access,
        kinds=WATCHED_WITH_JOBS if settings.pods.kind == "job" else WATCHED,
        namespaces=settings.watch_namespaces,
        on_event=shared.recorder.watched,
    )
    resync = Resync(
        client=shared.client,
        index=shared.index,
        queue=shared.queue,
        controller=controller,
        watches=watches,
        leads=shared.leadership.leads,
        period_seconds=settings.resync_seconds,
        namespaces=settings.watch_namespaces,
    )
    return watches, resync


@dataclass(frozen=True, slots=True)
class _LeadChange:
    """Drops what this replica has cached when the Lease changes: a new leader reads all anew."""

    controller: Controller
    queue: WorkQueue[Key]
    sweeper: Sweeper
    recorder: Recorder

    def __call__(self, leads: bool) -> None:  # noqa: FBT001 - a Lease is held or not
        self.controller.invalidate(self.controller.loaded)
        self.controller.namespace_usage.held_machines.list_again()
        self.queue.clear()
        self.sweeper.clear()
        self.recorder.lead_changed()
        if leads:
            for key in list(self.controller.index.experiments):
                self.queue.add(key)


def _raise_failures(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Raise the error of a task that should not have ended."""
    for task in tasks:
        if task.done():
            task.result()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
