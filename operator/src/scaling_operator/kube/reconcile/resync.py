"""The resync: what the watches have shown is compared with what there is, every minute or two.

It bounds the harm of every event that was lost, on whatever way. A watch that is behind by more
than a moment is dead, whatever it says of itself, and is started again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from scaling_operator.api.names import LABEL_EXPERIMENT
from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.errors import ClusterError, NotFound
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import (
    EXPERIMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    POLICIES,
    TRIALS,
    Kind,
)
from scaling_operator.kube.client.queue import WorkQueue
from scaling_operator.kube.client.watch import Watches
from scaling_operator.kube.reconcile.controller import Controller
from scaling_operator.kube.workloads.identity import experiment_selector

log = logging.getLogger(__name__)
GRACE_SECONDS = 2.0
"""What an event may take from the API server to the index."""


@dataclass(slots=True)
class Resync:
    """Compares, mends, and wakes every experiment."""

    client: Client
    index: Index
    queue: WorkQueue[Key]
    controller: Controller
    watches: Watches
    leads: Callable[[], bool]
    period_seconds: float
    namespaces: Sequence[str] = ()
    misses: int = 0
    """Resyncs in a row in which the watches were behind."""

    async def run(self) -> None:
        """Resync for ever, with jitter."""
        while True:
            await asyncio.sleep(self.period_seconds * random.uniform(0.9, 1.1))  # noqa: S311
            try:
                await self.once()
            except ClusterError as error:
                log.warning("no resync this time: %s", error)

    async def once(self) -> None:
        """Compare once."""
        wrong: set[Key] = set()
        for kind in self.watches.kinds:
            wrong |= await self._repair(kind)
        self.misses = self.misses + 1 if wrong else 0
        if wrong:
            log.warning("the watches missed changes of %d objects' owners", len(wrong))
            self.watches.restart()
        for key in wrong:
            self.queue.add(key)
        if self.leads():
            await self._look_at_trials()

    async def _repair(self, kind: Kind) -> set[Key]:
        before = self.index.snapshot(kind)
        listed: list[Object] = []
        read = self._experiments if kind is EXPERIMENTS else self.client.list
        labels = LABEL_EXPERIMENT if kind in (PODS, JOBS) else ""
        everywhere = kind in (POLICIES, NAMESPACES) or not self.namespaces  # they lie in none
        for namespace in (None,) if everywhere else self.namespaces:
            listed += await read(kind, namespace, labels)
        await asyncio.sleep(GRACE_SECONDS)
        return self.index.repair(kind, listed, before)

    async def _experiments(self, kind: Kind, namespace: str | None, labels: str) -> list[Object]:
        """Read those alone that are another than is known: one may be a megabyte."""
        listed: list[Object] = []
        for metadata in await self.client.metadata(kind, namespace, labels):
            key = Key(metadata["namespace"], metadata["name"])
            known = self.index.experiments.get(key)
            if known is not None and _is_version_of(known, metadata):
                listed.append(known)
                continue
            with suppress(NotFound):  # it has gone since
                listed.append(await self.client.get(kind, *key))
        return listed

    async def _look_at_trials(self) -> None:
        for key, loaded in list(self.controller.loaded.items()):
            loaded.backend.retry_deletions()
            labels = experiment_selector(key.name)
            there = await self.client.names(TRIALS, key.namespace, labels)
            gone = loaded.backend.missing(loaded.engine.state, there)
            if gone:
                log.warning("%s: deleted by somebody: %s", key, ", ".join(gone[:10]))
                self.controller.invalidate([key])
            self.queue.add(key)


def _is_version_of(known: Object, metadata: Object) -> bool:
    return all(known["metadata"].get(name) == metadata[name] for name in ("uid", "resourceVersion"))
