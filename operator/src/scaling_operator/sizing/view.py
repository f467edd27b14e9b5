"""What a plan is told of machines: the verdict, what trials hold and want, and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling_operator.api.policy import PolicyLimits
from scaling_operator.api.status_sizing import Ledger, ScaleSizing
from scaling_operator.sizing.admission import NOTHING, Demand, Peers, Slot
from scaling_operator.sizing.usage import NONE_USED, Usage
from scaling_operator.sizing.verdict import StartCheck

NO_LIMITS = PolicyLimits()
NO_PEERS = Peers()


@dataclass(frozen=True, slots=True)
class SizingView:
    """Machines as they stand now.

    `demands` holds what each live trial has or would get, `scale_demands` what a new trial of a
    scale would. `used` is everything until now, `rate` what the next hour adds.
    """

    start_check: StartCheck
    scales: Mapping[int, ScaleSizing] = field(default_factory=dict[int, ScaleSizing])
    ledger: Ledger | None = None
    demands: Mapping[Slot, Demand] = field(default_factory=dict[Slot, Demand])
    scale_demands: Mapping[int, Demand] = field(default_factory=dict[int, Demand])
    limits: PolicyLimits = NO_LIMITS
    is_queued: bool = False
    """Whether a queue such as Kueue's holds workloads back: it may see as many as there are."""
    peers: Peers = NO_PEERS
    used: Usage = NONE_USED
    rate: Usage = NONE_USED

    def demand_of(self, slot: Slot) -> Demand:
        """Give what a live trial has or would get."""
        return self.demands.get(slot, NOTHING)

    def of_scale(self, scale: int) -> Demand:
        """Give what a new trial of a scale would get."""
        return self.scale_demands.get(scale, NOTHING)


def seconds_left(view: SizingView, gpu_hours: float | None, cost: float | None) -> float | None:
    """Give how long the budget lasts at the present rate; None where it does for ever."""
    found: list[float] = []
    for most, used, rate in (
        (gpu_hours, view.used.gpu_hours, view.rate.gpu_hours),
        (cost, view.used.cost, view.rate.cost),
    ):
        if most is None:
            continue
        if used >= most:
            return 0.0
        if rate > 0:
            found.append((most - used) / rate * 3600)
    return min(found, default=None)
