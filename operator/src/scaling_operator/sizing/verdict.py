"""Whether an experiment may start on the machines that there are."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.names import ConditionReason


@dataclass(frozen=True, slots=True)
class StartCheck:
    """Whether an experiment may start, and why not."""

    reason: ConditionReason
    message: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it may."""
        return self.reason in (ConditionReason.PLANNED, ConditionReason.FIXED_RESOURCES)
