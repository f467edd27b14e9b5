"""What is believed of a scale's trials: formulas, corrected by what was measured and what ran out.

Built by `knowledge` from ended trials; before any, it is the formulas with the first margin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling_operator.sizing.parts import (
    AS_COMPUTED,
    HOST_AS_COMPUTED,
    Correction,
    HostCorrection,
)


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of a step: a part that is always there, and one by its FLOPs."""

    overhead_seconds: float
    seconds_per_flop: float


Place = tuple[str, int, str]
"""A shape, how many of it, and the recomputation."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """What to reckon with for the next trials of a scale.

    `margin` and `host_margin` are shares of the estimate. `corrections` and `step_times` are by
    shape, `raised` too: by how much the formulas must be multiplied since a trial of this scale ran
    out of memory there. `host_floor_bytes` is the least host memory since one did so on a host.
    `startup_seconds` is, by shape, how long a machine is held beside the training. `hours` are
    those of a trial of this very scale, by place, where some have ended.
    """

    margin: float
    host_margin: float
    corrections: Mapping[str, Correction] = field(default_factory=dict[str, Correction])
    pooled: Correction = AS_COMPUTED
    host: HostCorrection = HOST_AS_COMPUTED
    raised: Mapping[str, float] = field(default_factory=dict[str, float])
    host_floor_bytes: float = 0.0
    step_times: Mapping[str, StepTime] = field(default_factory=dict[str, StepTime])
    startup_seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    hours: Mapping[Place, float] = field(default_factory=dict[Place, float])

    def correction(self, shape: str) -> Correction:
        """Give the correction for a shape, or the one over all shapes."""
        return self.corrections.get(shape, self.pooled)


def first_estimates(margin_percent: float) -> Estimates:
    """Take the formulas as they are, with the margin of what nothing was measured for."""
    return Estimates(margin_percent / 100, margin_percent / 100)
