"""Leadership by a Lease: one replica acts, the others wait.

Every write is safe under two leaders (names, resourceVersions); the Lease keeps them from working
against each other. A holder trusts the Lease only for two thirds of its duration since the last
renewal began. The holder's clock also runs while its process is stopped: a paused leader that wakes
up knows that it no longer leads.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scaling_operator.kube.client.client import Client, micro_time
from scaling_operator.kube.client.errors import AlreadyExists, ClusterError, Conflict, NotFound
from scaling_operator.kube.client.kinds import LEASES
from scaling_operator.kube.settings import LeaseSettings

log = logging.getLogger(__name__)
STANDBY_POLL_SECONDS = 1.0


@dataclass(slots=True)
class Leadership:
    """Until when this replica leads, by a monotonic clock. The Lease's holder moves that moment."""

    held_until_seconds: float = 0.0

    def leads(self) -> bool:
        """Whether this replica may act now."""
        return time.monotonic() < self.held_until_seconds


@dataclass(slots=True)
class Lease:
    """Takes and keeps the Lease. `on_change` is called at each gain and loss."""

    client: Client
    namespace: str
    identity: str
    settings: LeaseSettings
    on_change: Callable[[bool], None]
    leadership: Leadership = field(default_factory=Leadership)
    _led: bool = False
    _seen: tuple[str, float] = ("", 0.0)
    """The last version of another holder's Lease, and since when it has not changed."""
    _answered_seconds: float = -math.inf
    """When the API server has last answered who holds the Lease."""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def in_touch(self) -> bool:
        """Whether this replica knows the holder of the Lease: it leads, or stands by."""
        return time.monotonic() - self._answered_seconds < self.settings.duration_seconds

    def leads(self) -> bool:
        """Whether this replica may act now."""
        return self.leadership.leads()

    async def run(self) -> None:
        """Take the Lease when it is free and renew it, until `stop`; then release it."""
        while not self._stop.is_set():
            try:
                await self._step()
            except ClusterError as error:
                log.warning("the Lease %s cannot be renewed: %s", self.settings.name, error)
            else:
                self._answered_seconds = time.monotonic()
            self._announce()
            await self._pause()
        if self.leads():
            await self._release()
        self.leadership.held_until_seconds = 0.0
        self._announce()

    def stop(self) -> None:
        """Release the Lease and end."""
        self._stop.set()

    async def _pause(self) -> None:
        """Wait for the next step, and announce a Lease that has run out meanwhile."""
        seconds = self.settings.renew_seconds if self._led else STANDBY_POLL_SECONDS
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            self._announce()

    async def _step(self) -> None:
        started = time.monotonic()
        try:
            lease = await self.client.get(LEASES, self.namespace, self.settings.name)
        except NotFound:
            await self._take(None, started)
            return
        if lease["spec"].get("holderIdentity") == self.identity or self._is_free(lease):
            await self._take(lease, started)

    def _is_free(self, lease: dict[str, Any]) -> bool:
        if not lease["spec"].get("holderIdentity"):
            return True
        # Clocks of two machines differ: the time counts in which this replica saw no renewal.
        version = str(lease["metadata"]["resourceVersion"])
        if version != self._seen[0]:
            self._seen = (version, time.monotonic())
        duration = float(lease["spec"].get("leaseDurationSeconds") or 0)
        return time.monotonic() - self._seen[1] >= duration

    async def _take(self, lease: dict[str, Any] | None, started: float) -> None:
        try:
            if lease is None:
                body = self._body({"name": self.settings.name}, transitions=0)
                await self.client.create(LEASES, self.namespace, body)
            else:
                held = lease["spec"].get("holderIdentity") == self.identity
                transitions = int(lease["spec"].get("leaseTransitions") or 0) + (not held)
                body = self._body(lease["metadata"], transitions=transitions)
                await self.client.replace(LEASES, self.namespace, self.settings.name, body)
        except (AlreadyExists, Conflict):
            return  # another replica was faster
        self.leadership.held_until_seconds = started + self.settings.duration_seconds * 2 / 3

    async def _release(self) -> None:
        try:
            lease = await self.client.get(LEASES, self.namespace, self.settings.name)
            if lease["spec"].get("holderIdentity") == self.identity:
                lease["spec"]["holderIdentity"] = ""
                await self.client.replace(LEASES, self.namespace, self.settings.name, lease)
        except ClusterError as error:
            log.warning("the Lease could not be given back, it runs out by itself: %s", error)

    def _body(self, metadata: dict[str, Any], *, transitions: int) -> dict[str, Any]:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.name,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": round(self.settings.duration_seconds),
                "renewTime": micro_time(),
                "leaseTransitions": transitions,
            },
        }

    def _announce(self) -> None:
        leads = self.leads()
        if leads != self._led:
            self._led = leads
            log.info("this replica %s", "leads" if leads else "does not lead")
            self.on_change(leads)
