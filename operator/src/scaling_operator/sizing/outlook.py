"""What is planned for each scale, and for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scaling_operator.core.ladder import Scale
from scaling_operator.sizing.allocation import Allocation
from scaling_operator.sizing.choice import Choice, NoMachine
from scaling_operator.sizing.need import Need, Unknown
from scaling_operator.sizing.verdict import StartCheck


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """One scale: its most demanding trial, the machine for it, and all its trials' cost.

    `found` says which machine, or why there is none; None where the experiment fixes it. `note`
    says which trials of the search space get none, where others do.
    """

    scale: Scale
    need: Need | Unknown
    found: Choice | NoMachine | None
    allocation: Allocation | None
    trials: int
    note: str = ""

    @property
    def hours(self) -> float | None:
        """Hours of one trial; None where they are not known."""
        return self.found.hours if isinstance(self.found, Choice) else None

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of all its trials."""
        if isinstance(self.found, Choice) and self.found.count == 0:
            return 0.0
        if self.hours is None or self.allocation is None:
            return None
        return self.hours * self.allocation.count * self.trials

    @property
    def cost(self) -> float | None:
        """Cost of all its trials."""
        if not isinstance(self.found, Choice) or self.found.cost is None:
            return None
        return self.found.cost * self.trials


@dataclass(frozen=True, slots=True)
class ResourcePlan:
    """All scales in running order, and the verdict."""

    scales: tuple[ScalePlan, ...]
    start_check: StartCheck

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of everything; None where those of a scale are not known."""
        return sum_of(scale.gpu_hours for scale in self.scales)

    @property
    def cost(self) -> float | None:
        """Cost of everything; None where that of a scale is not known."""
        return sum_of(scale.cost for scale in self.scales)


def sum_of(values: Iterable[float | None]) -> float | None:
    """Sum up; None where a part is not known."""
    found = list(values)
    return None if any(value is None for value in found) else sum(value or 0.0 for value in found)
