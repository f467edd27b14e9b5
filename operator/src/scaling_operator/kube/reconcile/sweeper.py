"""Deletes the workloads of ended trials, together: one request a second for many of them.

Such a request names labels, which anybody may have copied. So it is made for those trials alone
whose labels nothing else carries, as far as the index shows; the workloads of the others are
deleted one by one, each by its uid.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from scaling_operator.api.names import LABEL_EXPERIMENT, LABEL_TRIAL
from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.errors import ClusterError, Conflict, NotFound
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import TRIALS, Kind
from scaling_operator.kube.client.ownership import is_owned

log = logging.getLogger(__name__)
PERIOD_SECONDS = 1.0
NAMES_IN_A_REQUEST = 60
"""A selector is part of the address, which servers and proxies bound to some 8 kB."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A trial that has ended: its name, its experiment, its uid."""

    name: str
    experiment: Key
    uid: str


@dataclass(slots=True)
class Sweeper:
    """Collects ended trials and deletes their pods or jobs."""

    client: Client
    index: Index
    _waiting: dict[tuple[Kind, str], dict[str, _Ended]] = field(
        default_factory=dict[tuple[Kind, str], dict[str, _Ended]]
    )

    def add(self, kind: Kind, experiment: Key, trial: str, uid: str) -> None:
        """Have all workloads of an ended trial deleted soon."""
        waiting = self._waiting.setdefault((kind, experiment.namespace), {})
        waiting[trial] = _Ended(trial, experiment, uid)

    def clear(self) -> None:
        """Forget what waits: whoever leads next finds it by itself."""
        self._waiting.clear()

    async def run(self) -> None:
        """Sweep once a second, for ever."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self.once()

    async def once(self) -> None:
        """Sweep: one request for each namespace and kind where something waits."""
        for (kind, namespace), trials in list(self._waiting.items()):
            batch = {name: trials.pop(name) for name in sorted(trials)[:NAMES_IN_A_REQUEST]}
            if not trials:
                del self._waiting[(kind, namespace)]
            await self._sweep(kind, namespace, batch)

    async def _sweep(self, kind: Kind, namespace: str, batch: dict[str, _Ended]) -> None:
        shared = {name for name, _ in self._labelled(kind, batch, owned=False)}
        alone = sorted(batch.keys() - shared)
        try:
            if alone:
                experiments = {batch[name].experiment.name for name in alone}
                selector = (
                    f"{LABEL_EXPERIMENT} in ({','.join(sorted(experiments))}),"
                    f"{LABEL_TRIAL} in ({','.join(alone)})"
                )
                await self.client.delete_collection(kind, namespace, selector)
            for name, workload in self._labelled(kind, batch, owned=True):
                if name in shared:
                    await self._delete(kind, workload)
        except ClusterError as error:
            log.warning("%d trials' workloads stay for now: %s", len(batch), error)
            self._waiting.setdefault((kind, namespace), {}).update(batch)

    def _labelled(
        self, kind: Kind, batch: dict[str, _Ended], *, owned: bool
    ) -> Iterator[tuple[str, Object]]:
        """Give the workloads with the label of a trial of the batch that it owns, or does not."""
        for experiment in {each.experiment for each in batch.values()}:
            for workload in self.index.workloads_of(kind, experiment):
                ended = batch.get(workload["metadata"]["labels"].get(LABEL_TRIAL, ""))
                if ended is not None and is_owned(workload, TRIALS, ended.uid) is owned:
                    yield ended.name, workload

    async def _delete(self, kind: Kind, workload: Object) -> None:
        metadata = workload["metadata"]
        try:
            await self.client.delete(
                kind, metadata["namespace"], metadata["name"], uid=metadata["uid"]
            )
        except (NotFound, Conflict):
            self.index.drop(kind, workload)
