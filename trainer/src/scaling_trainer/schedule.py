"""How the learning rate moves with the steps; standard library and configuration alone."""

from __future__ import annotations

import math
from typing import Literal, assert_never

from scaling_trainer.config.training import Constant, Cosine, Schedule, WarmupStableDecay


def factor(schedule: Schedule, step: int, total_steps: int) -> float:
    """Share of the full learning rate at a step counted from 0, over all `total_steps`.

    The first step of a warm-up already moves; the last step of a decay still does.
    """
    match schedule:
        case Constant():
            return 1.0
        case Cosine(warmup=warmup):
            rise = round(warmup * total_steps)
            if step < rise:
                return (step + 1) / rise
            return 0.5 * (1 + math.cos(math.pi * (step - rise) / (total_steps - rise)))
        case WarmupStableDecay(warmup=warmup, decay=decay):
            rise = round(warmup * total_steps)
            if step < rise:
                return (step + 1) / rise
            end = next(end for end in ends(schedule, total_steps) if step < end)
            fall = round(decay * end)
            # Haegele 2024: 1 - sqrt beats a straight line and matches a cosine of the same length.
            progress = (step - (end - fall)) / fall if fall else 0.0
            return 1.0 if progress <= 0 else 1 - math.sqrt(progress)
        case _:
            assert_never(schedule)


def ends(schedule: Schedule, total_steps: int) -> tuple[int, ...]:
    """List the steps after which the rate has fallen, ascending; the last ends the training."""
    if not isinstance(schedule, WarmupStableDecay):
        return (total_steps,)
    early = {max(1, round(share * total_steps)) for share in schedule.early_decays}
    return (*sorted(early - {total_steps}), total_steps)


Phase = Literal["warmup", "stable", "decay"]
GRACE = 0.1
"""Share of the steps after a warm-up, or an early decay, that counts as one for comparisons."""


def phase(schedule: Schedule, steps: int, total_steps: int) -> Phase | None:
    """Name the phase after so many steps; None where a schedule has none.

    Only what is stable may be compared with other trainings: a decay lowers the loss by itself.
    """
    if not isinstance(schedule, WarmupStableDecay):
        return None
    every = ends(schedule, total_steps)
    end = next(end for end in every if steps <= end)
    if steps > end - round(schedule.decay * end):
        return "decay"
    risen = max([round(schedule.warmup * total_steps), *(each for each in every if each < steps)])
    return "warmup" if steps <= risen + GRACE * total_steps else "stable"
