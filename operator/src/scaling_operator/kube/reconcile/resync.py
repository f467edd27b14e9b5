"""The resync compares the index with the API server every minute or two.

It limits the harm of lost events, however they were lost. Watches that are behind by more than a
moment are dead, whatever they report, and are started again.
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
"""Time that an event may take from the API server to the index."""


@dataclass(slots=True)
class Resync:
    """Compares and repairs the index, and wakes every experiment."""

    client: Client
    index: Index
    queue: WorkQueue[Key]
    controller: Controller
    watches: Watches
    leads: Callable[[], bool]
    period_seconds: float
    namespaces: Sequence[str] = ()
    misses: int = 0
    """Resyncs in a row that found the watches behind."""

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
        outdated: set[Key] = set()
        for kind in self.watches.kinds:
            outdated |= await self._repair(kind)
        self.misses = self.misses + 1 if outdated else 0
        if outdated:
            log.warning("the watches missed changes of %d objects' owners", len(outdated))
            self.watches.restart()
        for key in outdated:
            self.queue.add(key)
        if self.leads():
            await self._check_trials()

    async def _repair(self, kind: Kind) -> set[Key]:
        before = self.index.snapshot(kind)
        listed: list[Object] = []
        read = self._experiments if kind is EXPERIMENTS else self.client.list
        labels = LABEL_EXPERIMENT if kind in (PODS, JOBS) else ""
        everywhere = (
            kind in (POLICIES, NAMESPACES) or not self.namespaces
        )  # these kinds have no namespace
        for namespace in (None,) if everywhere else self.namespaces:
            listed += await read(kind, namespace, labels)
        await asyncio.sleep(GRACE_SECONDS)
        return self.index.repair(kind, listed, before)

    async def _experiments(self, kind: Kind, namespace: str | None, labels: str) -> list[Object]:
        """Read only experiments that differ from the index: one may have a megabyte."""
        listed: list[Object] = []
        for metadata in await self.client.metadata(kind, namespace, labels):
            key = Key(metadata["namespace"], metadata["name"])
            indexed = self.index.experiments.get(key)
            if indexed is not None and _is_version_of(indexed, metadata):
                listed.append(indexed)
                continue
            with suppress(NotFound):  # it was deleted since
                listed.append(await self.client.get(kind, *key))
        return listed

    async def _check_trials(self) -> None:
        for key, loaded in list(self.controller.loaded.items()):
            loaded.backend.retry_deletions()
            labels = experiment_selector(key.name)
            stored = await self.client.names(TRIALS, key.namespace, labels)
            gone = loaded.backend.missing(loaded.engine.state, stored)
            if gone:
                log.warning("%s: deleted by somebody: %s", key, ", ".join(gone[:10]))
                self.controller.invalidate([key])
            self.queue.add(key)


def _is_version_of(indexed: Object, metadata: Object) -> bool:
    return all(
        indexed["metadata"].get(name) == metadata[name] for name in ("uid", "resourceVersion")
    )
