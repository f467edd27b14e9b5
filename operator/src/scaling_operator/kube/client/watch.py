"""kopf as the watch multiplexer: events fill the index and wake the queue, nothing else.

kopf ends its operator on many faults of an API server (an error inside a stream, HTTP 410, a cut
line). It runs embedded here, so that such an end restarts the watches alone: the studies stay in
memory.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import kopf

from scaling_operator.api.names import LABEL_EXPERIMENT
from scaling_operator.kube.client.client import Access
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, JOBS, NAMESPACES, PODS, POLICIES, Kind
from scaling_operator.kube.client.kopf_tasks import StartedTasks, tracked_tasks

log = logging.getLogger(__name__)

SERVER_TIMEOUT_SECONDS = 300
"""A whole number: the API server refuses a decimal point."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""Watches that lasted so long have recovered: the next pause is short again."""


class Backoffs:
    """Endless delays for kopf's own retries; each iteration starts anew."""

    def __iter__(self) -> Iterator[float]:
        for attempt in itertools.count():
            yield min(LONGEST_PAUSE_SECONDS, 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311


def _keep_signals() -> None:
    """Take no signals: the watches are not in a process of their own."""


def _ignore(*arguments: object) -> None:
    del arguments


@dataclass(slots=True)
class Watches:
    """Keeps the watches alive. `access` gives kopf the credentials of the client."""

    index: Index
    wake: Callable[[Key], None]
    access: Callable[[], Awaitable[Access]]
    kinds: Sequence[Kind]
    namespaces: Sequence[str] = ()
    on_event: Callable[[Kind, bool, dict[str, Any]], None] = _ignore
    """Called with each event: kind, whether the object is gone, the object."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    """Ends in a row, each soon after the start."""
    restarts: dict[str, int] = field(default_factory=dict[str, int])
    """All ends so far, by cause."""
    take_signals: Callable[[], None] = _keep_signals
    """Called after each start of kopf, which takes the process's signals for itself."""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _restart: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Watch until `stop`; start again after every fault, with pauses that grow."""
        with tracked_tasks():
            await self._run()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            started = loop.time()
            cause = await self._run_once()
            if self._stop.is_set():
                return
            self.failures = 0 if loop.time() - started > HEALTHY_SECONDS else self.failures + 1
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures, 10), LONGEST_PAUSE_SECONDS)
            log.warning("the watches ended (%s); they start again in %.1f s", cause, pause)
            self.restarts[cause] = self.restarts.get(cause, 0) + 1
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311

    def stop(self) -> None:
        """End the watches."""
        self._stop.set()
        self._restart.set()

    def restart(self) -> None:
        """End the watches and start them again: they have missed events."""
        self._restart.set()

    async def _run_once(self) -> str:
        self._restart.clear()
        operator = asyncio.create_task(self._operator())
        restart = asyncio.create_task(self._restart.wait())
        await asyncio.wait({operator, restart}, return_when=asyncio.FIRST_COMPLETED)
        restart.cancel()
        if not operator.done():
            operator.cancel()
            await asyncio.gather(operator, return_exceptions=True)
            return "Missed"
        error = operator.exception()
        return "Ended" if error is None else type(error).__name__

    async def _operator(self) -> None:
        """Run kopf until one of its tasks ends, and raise the task's error.

        `kopf.operator` would cancel every task that was started after it, ours too.
        """
        started_tasks = StartedTasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=not self.namespaces,
            namespaces=list(self.namespaces),
            ready_flag=self.ready,
        )
        self.take_signals()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await started_tasks.end()
        for task in done:
            task.result()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            access = await self.access()
            return kopf.ConnectionInfo(
                server=access.server,
                ca_path=access.ca_file,
                insecure=not access.verifies,
                token=access.token,
                certificate_path=access.certificate_file,
                private_key_path=access.key_file,
            )

        del login
        for kind in self.kinds:
            self._register(registry, kind)
        return registry

    def _register(self, registry: kopf.OperatorRegistry, kind: Kind) -> None:
        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)
        async def event(event: Any, **_: Any) -> None:
            object_ = dict(event["object"])
            gone = event["type"] == "DELETED"
            self.on_event(kind, gone, object_)
            key = (self.index.drop if gone else self.index.put)(kind, object_)
            if key is not None:
                self.wake(key)

        del event


class NoDiffStorage(kopf.DiffBaseStorage):
    """Stores nothing about an object: no handler of ours asks what has changed."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        """Give an empty essence: nothing is compared."""
        del body, extra_fields
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Give nothing."""
        del body

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""
        del body, patch, essence


WATCHED: tuple[Kind, ...] = (EXPERIMENTS, PODS, POLICIES, NAMESPACES)
WATCHED_WITH_JOBS: tuple[Kind, ...] = (*WATCHED, JOBS)


def _settings() -> kopf.OperatorSettings:
    """Make kopf's settings; each deviation from its defaults has its reason."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # no rights to list CRDs and namespaces
    settings.posting.enabled = False  # no Events for log lines
    settings.persistence.diffbase_storage = NoDiffStorage()  # else it copies each object thrice
    settings.networking.error_backoffs = Backoffs()  # else 54 s of 5xx end it
    settings.watching.server_timeout = SERVER_TIMEOUT_SECONDS
    settings.watching.client_timeout = SERVER_TIMEOUT_SECONDS + 10
    for kind in (PODS, JOBS):
        # The presence of the label selects.
        settings.watching.label_selectors[kind.plural] = LABEL_EXPERIMENT
    return settings
