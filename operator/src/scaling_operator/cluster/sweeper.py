"""Deletes the workloads of ended trials, together: one request a second for many of them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from scaling_operator.api.names import LABEL_TRIAL
from scaling_operator.cluster.client import Client
from scaling_operator.cluster.errors import ClusterError
from scaling_operator.cluster.kinds import Kind

log = logging.getLogger(__name__)
PERIOD_SECONDS = 1.0
NAMES_IN_A_REQUEST = 80
"""A selector is part of the address, which servers and proxies bound to some 8 kB."""


@dataclass(slots=True)
class Sweeper:
    """Collects names of ended trials and deletes their pods or jobs."""

    client: Client
    _waiting: dict[tuple[Kind, str], set[str]] = field(
        default_factory=dict[tuple[Kind, str], set[str]]
    )

    def add(self, kind: Kind, namespace: str, trial: str) -> None:
        """Have all workloads of an ended trial deleted soon."""
        self._waiting.setdefault((kind, namespace), set()).add(trial)

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
            batch = sorted(trials)[:NAMES_IN_A_REQUEST]
            trials.difference_update(batch)
            if not trials:
                del self._waiting[(kind, namespace)]
            await self._sweep(kind, namespace, batch)

    async def _sweep(self, kind: Kind, namespace: str, trials: list[str]) -> None:
        try:
            selector = f"{LABEL_TRIAL} in ({','.join(trials)})"
            await self.client.delete_collection(kind, namespace, selector)
        except ClusterError as error:
            log.warning("%d trials' workloads stay for now: %s", len(trials), error)
            self._waiting.setdefault((kind, namespace), set()).update(trials)
