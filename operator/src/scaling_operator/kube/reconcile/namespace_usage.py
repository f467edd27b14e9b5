"""Experiments of one namespace that share its limits: who holds what, and who waits for more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from scaling_operator.kube.client.index import Key
from scaling_operator.kube.reconcile.holdings import Holdings
from scaling_operator.kube.reconcile.naming import attempt_of
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.runtime.state import Book
from scaling_operator.runtime.tasks import Flight
from scaling_operator.sizing.admission import NOTHING, Beside, Demand, Neighbour, total


@dataclass(frozen=True, slots=True)
class Peer:
    """An experiment in memory: what it is about to ask for, and whether it waits for more."""

    sizer: Sizer
    flight: Flight

    @property
    def asked(self) -> Demand:
        """What trials will hold that are being created."""
        return total(self.sizer.demand_of_scale(ask.scale) for ask in self.flight.asks)


@dataclass(slots=True)
class Sharing:
    """Counts what all hold; fairness asks those alone that are in memory."""

    holdings: Holdings
    peers: dict[Key, Peer] = field(default_factory=dict[Key, Peer])
    _told: dict[Key, tuple[Demand, bool]] = field(default_factory=dict[Key, tuple[Demand, bool]])

    def beside(self, key: Key, book: Book) -> Beside:
        """Give what stands beside an experiment's live trials: its older workloads, and others'."""

        def is_left(name: str) -> bool:
            attempt = attempt_of(key, name)
            return attempt is None or not book.is_current(attempt)

        return Beside(self.holdings.of(key, is_left), tuple(self._neighbours(key)))

    def hungry(self, key: Key) -> list[Key]:
        """Name those who wait for what an experiment gives back."""
        return [
            other
            for other, peer in self.peers.items()
            if other != key and other.namespace == key.namespace and peer.sizer.is_hungry
        ]

    def calm(self, key: Key) -> None:
        """Have nobody make way for an experiment: it cannot start anything now."""
        peer = self.peers.get(key)
        if peer is not None:
            peer.sizer.is_hungry = False

    def has_changed(self, key: Key) -> bool:
        """Whether an experiment holds something else, or waits no more, since this was asked."""
        peer = self.peers.get(key)
        now = self.holdings.of(key), peer is not None and peer.sizer.is_hungry
        before = self._told.pop(key, (NOTHING, False))
        if now != (NOTHING, False):
            self._told[key] = now
        return now != before

    def _neighbours(self, key: Key) -> Iterator[Neighbour]:
        holders = set(self.holdings.experiments(key.namespace))
        waiters = {other for other in self.peers if other.namespace == key.namespace}
        for other in sorted((holders | waiters) - {key}):
            held, peer = self.holdings.of(other), self.peers.get(other)
            if peer is not None:
                held = held + peer.asked
            yield Neighbour(held, is_hungry=peer is not None and peer.sizer.is_hungry)
