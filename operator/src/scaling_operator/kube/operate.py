"""One operator process: its parts put together, started, and ended in order."""

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
from scaling_operator.kube.client.lease import Lease
from scaling_operator.kube.client.queue import WorkQueue
from scaling_operator.kube.client.watch import WATCHED, WATCHED_WITH_JOBS, Watches
from scaling_operator.kube.dashboard import Dashboard
from scaling_operator.kube.health import Health, serving
from scaling_operator.kube.logs import about
from scaling_operator.kube.metrics_port import exposed
from scaling_operator.kube.reconcile.controller import Controller
from scaling_operator.kube.reconcile.events import Events
from scaling_operator.kube.reconcile.loader import Loader
from scaling_operator.kube.reconcile.resync import Resync
from scaling_operator.kube.reconcile.stale_workloads import Sweeper
from scaling_operator.kube.recorder import Recorder
from scaling_operator.kube.report_service.service import ReportService
from scaling_operator.kube.settings import Settings
from scaling_operator.kube.state_collector import StateCollector
from scaling_operator.metrics.exposition import Exposition
from scaling_operator.metrics.operator_metrics import OperatorMetrics, new_registry
from scaling_operator.processes.workers import WorkerProcesses

log = logging.getLogger(__name__)
WORKERS = 16
WORKERS_PER_NAMESPACE = 8
"""However many of a namespace's experiments wait for something, other namespaces go on."""
BUGS_TO_TELL = 3
"""So many times in a row: then it is no passing state, and the experiment says so."""
FORBIDDEN_PAUSE_SECONDS = 30.0
FRESH_SECONDS = 0.5
"""Scrapes within it get one answer."""
SHORTEST_PAUSE_SECONDS = 0.05
"""A moment that has passed and changed nothing must not keep the event loop busy."""


class Connected(Protocol):
    """Makes the client: `connect`, or one of another server."""

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
    """The parts of a process."""

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
    """How often in a row work on an experiment has failed by a fault of this operator's."""

    def stop(self) -> None:
        """End; the Lease is given back, so that a standby goes on at once."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`, or until a part that should never end ends."""
        async with AsyncExitStack() as stack:
            settings = self.settings
            turned_away = self.recorder.operator_metrics.turned_away
            ports = (
                serving(
                    *(self.health, settings.address, settings.health_port), turned_away("health")
                ),
                exposed(self.exposition, settings, self.client, turned_away("metrics")),
            )
            for port in ports:
                await stack.enter_async_context(port)
            await stack.enter_async_context(self.report_service)
            await stack.enter_async_context(self.dashboard)
            watching = asyncio.create_task(self.watches.run())
            leading = asyncio.create_task(self.lease.run())
            stopping = asyncio.create_task(self._stopping.wait())
            others = [asyncio.create_task(each) for each in self._endless()]
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
        others = (self.sweeper, self.resync, self.health, self.dashboard)
        return [*workers, *(each.run() for each in others)]

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            if self.lease.leads():
                await self._turn(key)
            else:
                self.queue.done(key)  # whoever gains the Lease begins with everything

    async def _turn(self, key: Key) -> None:
        started = time.perf_counter()
        result = await self._reconcile(key)
        self.recorder.operator_metrics.reconciled(result, time.perf_counter() - started)

    async def _reconcile(self, key: Key) -> str:
        """Look at an experiment once, and say in a word how that went."""
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
        except (Invalid, OutdatedDefinition) as refused:  # the same would be refused at once again
            await self._tell(key, refused)
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
            await self._note_bug(key, error)
            self.queue.failed(key)
            return "bug"
        self._bugs.pop(key, None)
        self.queue.done(key)
        if again_seconds is not None:
            pause = max(again_seconds - time.time(), SHORTEST_PAUSE_SECONDS)
            self.queue.add_after(key, pause)
        return "ok"

    async def _note_bug(self, key: Key, error: Exception) -> None:
        """Tell the experiment of a fault that does not pass."""
        self._bugs[key] += 1
        if self._bugs[key] >= BUGS_TO_TELL:  # each time: telling may fail, a plan may take it back
            await self._tell(key, error)

    async def _tell(self, key: Key, error: Exception) -> None:
        """Say in an experiment's status what goes wrong with it, if that can be said."""
        try:
            await self.controller.tell_fault(key, error)
        except ClusterError as unsaid:
            log.info("the fault is not told yet: %s", unsaid, extra=about(key))
        except Exception:  # nor may a bug in the telling
            log.exception("the fault cannot be told", extra=about(key))


async def build(
    settings: Settings, stack: AsyncExitStack, connected: Connected = connect
) -> Operator:
    """Put an operator together; `stack` closes what it opens."""
    index = Index()
    registry = new_registry(version("scaling-operator"))
    recorder = Recorder(OperatorMetrics(registry), index)
    index.heard = recorder.put
    queue: WorkQueue[Key] = WorkQueue(
        time.monotonic, lambda key: key.namespace, WORKERS_PER_NAMESPACE
    )
    workers = WorkerProcesses()
    holder: list[Lease] = []

    def leads() -> bool:
        return bool(holder) and holder[0].leads()

    connection = connected(settings.kubeconfig, may_write=leads, observe=recorder.requested)
    client = await stack.enter_async_context(connection)
    sweeper = Sweeper(client, index)
    report_service = ReportService(settings, client, index, leads, recorder.operator_metrics)

    def wake(key: Key) -> None:
        queue.add(key)
        controller.notify(key)

    loader = Loader(
        *(client, index, sweeper, settings.pods, report_service.workload_settings, wake),
        clock=time.time,
        workers=workers,
    )
    controller = Controller(index, loader, Events(client, settings.name), recorder, time.time)
    report_service.controller = controller

    def on_change(gained: bool) -> None:  # noqa: FBT001 - a Lease is held or not
        controller.invalidate(controller.loaded)
        controller.namespace_usage.held_machines.look_again()
        queue.clear()
        sweeper.clear()
        recorder.lead_changed()
        if gained:
            for key in list(index.experiments):
                queue.add(key)

    holder.append(Lease(client, settings.namespace, settings.name, settings.lease, on_change))
    watches = Watches(
        *(index, wake, client.access),
        kinds=WATCHED_WITH_JOBS if settings.pods.kind == "job" else WATCHED,
        namespaces=settings.watch_namespaces,
        seen=recorder.seen,
    )
    resync = Resync(
        *(client, index, queue, controller, watches, leads),
        period_seconds=settings.resync_seconds,
        namespaces=settings.watch_namespaces,
    )
    health = Health(queue, watches, resync, leads, holder[0].in_touch, time.monotonic)
    return Operator(
        *(settings, client, index, queue, holder[0], watches, controller, sweeper),
        *(resync, health, report_service, recorder),
        dashboard=Dashboard(
            *(index, controller.loaded, settings.address, settings.dashboard_port),
            recorder.operator_metrics.turned_away("dashboard"),
            settings.dashboard_names,
        ),
        exposition=Exposition(
            *(registry, StateCollector(index, health, recorder).samples),
            fresh_seconds=FRESH_SECONDS,
        ),
        workers=workers,
    )


def _raise_failures(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Raise what ended a part that should not have ended."""
    for task in tasks:
        if task.done():
            task.result()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
