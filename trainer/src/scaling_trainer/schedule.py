"""How the learning rate moves with the steps; standard library and configuration alone."""

from __future__ import annotations

import math
from typing import assert_never

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
            rise, fall = round(warmup * total_steps), round(decay * total_steps)
            if step < rise:
                return (step + 1) / rise
            # Haegele 2024: 1 - sqrt beats a straight line and matches a cosine of the same length.
            progress = (step - (total_steps - fall)) / fall if fall else 0.0
            return 1.0 if progress <= 0 else 1 - math.sqrt(progress)
        case _:
            assert_never(schedule)
