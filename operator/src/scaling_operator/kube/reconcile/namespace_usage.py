"""Experiments of one namespace that share its limits: who holds what, and who waits for more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from scaling_operator.kube.client.index import Key
from scaling_operator.kube.reconcile.holdings import HeldMachines
from scaling_operator.kube.reconcile.naming import attempt_of
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.runtime.state import ExperimentState
from scaling_operator.runtime.tasks import InFlight
from scaling_operator.sizing.admission import NOTHING, Demand, Peers, PeerUsage, total


@dataclass(frozen=True, slots=True)
class Peer:
    """An experiment in memory: what it is about to ask for, and whether it waits for more."""

    sizer: Sizer
    in_flight: InFlight

    @property
    def asked(self) -> Demand:
        """What trials will hold that are being created."""
        return total(self.sizer.demand_of_scale(ask.scale) for ask in self.in_flight.asks)


@dataclass(slots=True)
class NamespaceUsage:
    """Counts what all hold; fairness asks those alone that are in memory."""

    held_machines: HeldMachines
    peers: dict[Key, Peer] = field(default_factory=dict[Key, Peer])
    _told: dict[Key, tuple[Demand, bool]] = field(default_factory=dict[Key, tuple[Demand, bool]])

    def peers_of(self, key: Key, state: ExperimentState) -> Peers:
        """Give what stands beside an experiment's live trials: its older workloads, and others'."""

        def is_left(name: str) -> bool:
            attempt = attempt_of(key, name)
            return attempt is None or not state.is_current(attempt)

        return Peers(self.held_machines.of(key, is_left), tuple(self._neighbours(key)))

    def waiting(self, key: Key) -> list[Key]:
        """Name those who wait for what an experiment gives back."""
        return [
            other
            for other, peer in self.peers.items()
            if other != key and other.namespace == key.namespace and peer.sizer.is_waiting
        ]

    def stop_waiting(self, key: Key) -> None:
        """Have nobody make way for an experiment: it cannot start anything now."""
        peer = self.peers.get(key)
        if peer is not None:
            peer.sizer.is_waiting = False

    def has_changed(self, key: Key) -> bool:
        """Whether an experiment holds something else, or waits no more, since this was asked."""
        peer = self.peers.get(key)
        now = self.held_machines.of(key), peer is not None and peer.sizer.is_waiting
        before = self._told.pop(key, (NOTHING, False))
        if now != (NOTHING, False):
            self._told[key] = now
        return now != before

    def _neighbours(self, key: Key) -> Iterator[PeerUsage]:
        holders = set(self.held_machines.experiments(key.namespace))
        waiters = {other for other in self.peers if other.namespace == key.namespace}
        for other in sorted((holders | waiters) - {key}):
            held, peer = self.held_machines.of(other), self.peers.get(other)
            if peer is not None:
                held = held + peer.asked
            yield PeerUsage(held, is_waiting=peer is not None and peer.sizer.is_waiting)
