"""Experiments of one namespace that share its limits: who holds what, and who waits for more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scaling_operator.cluster.index import Key
from scaling_operator.cluster.opening import Opened
from scaling_operator.core.sizing.admission import NOTHING, Demand, Neighbour
from scaling_operator.engine.sizer import Sizer


@dataclass(frozen=True, slots=True)
class Sharing:
    """A look at the experiments in memory."""

    opened: Mapping[Key, Opened]

    def neighbours(self, key: Key) -> tuple[Neighbour, ...]:
        """Give the others of a namespace: what they hold, and whether they wait for more."""
        others = self._beside(key)
        return tuple(Neighbour(sizer.held, is_hungry=sizer.is_hungry) for _, sizer in others)

    def hungry(self, key: Key) -> Iterator[Key]:
        """Name those who wait for what an experiment gives back."""
        return (other for other, sizer in self._beside(key) if sizer.is_hungry)

    def held(self, key: Key) -> Demand:
        """Give what an experiment's workloads hold, as far as it is sized."""
        opened = self.opened.get(key)
        sizer = None if opened is None else opened.backend.sizer
        return NOTHING if sizer is None else sizer.held

    def _beside(self, key: Key) -> Iterator[tuple[Key, Sizer]]:
        for other, opened in self.opened.items():
            if other != key and other.namespace == key.namespace and opened.backend.sizer:
                yield other, opened.backend.sizer
