"""What each scale needs and gets of machines, reckoned once for each state of what is known.

A ladder of a hundred sizes may take a second, which the event loop must not: `prepare` does it in
a thread. What is learnt meanwhile counts from the next time on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scaling_operator.core.ladder import Scale
from scaling_operator.sizing.scale_plan import ScalePlan

Look = Callable[[Scale], ScalePlan]
"""Reckons a scale; it must not change while a thread uses it."""


@dataclass(slots=True)
class ScalePlans:
    """The outlooks of an experiment's scales."""

    _known: dict[int, ScalePlan] = field(default_factory=dict[int, ScalePlan])
    _is_old: bool = False

    def get(self, scale: int) -> ScalePlan | None:
        """Give what is known of a scale."""
        return self._known.get(scale)

    def of(self, scale: Scale, look: Look) -> ScalePlan:
        """Give what is known of a scale; one that nobody has prepared is reckoned now."""
        if scale.index not in self._known:
            self._known[scale.index] = look(scale)
        return self._known[scale.index]

    def invalidate(self) -> None:
        """Have all reckoned anew at the next `prepare`: something was learnt."""
        self._is_old = True

    def forget(self) -> None:
        """Have all reckoned anew before they are used: they are others now."""
        self._known = {}

    async def prepare(self, scales: Iterable[Scale], look: Look) -> bool:
        """Reckon in a thread what is not known, or is old.

        False where all was forgotten meanwhile: `look` is of before that, and another is needed.
        """
        known = self._known
        lacking = [each for each in scales if self._is_old or each.index not in self._known]
        if not lacking:
            return True
        self._is_old = False
        found = await asyncio.to_thread(lambda: [look(scale) for scale in lacking])
        known.update((each.scale.index, each) for each in found)
        return self._known is known
