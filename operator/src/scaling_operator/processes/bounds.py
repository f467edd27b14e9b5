"""How much one piece of work may take, and what becomes of one that takes more."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkBounds:
    """Bounds of one piece of work; `memory_bytes` counts what it adds to its process."""

    cpu_seconds: int
    memory_bytes: int

    @property
    def wall_seconds(self) -> float:
        """After how long the process is ended, however little of a processor it got."""
        return 10.0 * self.cpu_seconds + 30.0


CHECK = WorkBounds(cpu_seconds=10, memory_bytes=192 * MIB)
"""Checking one experiment: the largest that the API takes needs less than half a second."""
STUDY = WorkBounds(cpu_seconds=30, memory_bytes=192 * MIB)
"""One ask, tell or report, or building a study anew: with 10,000 trials that takes seconds."""
GP_STUDY = WorkBounds(cpu_seconds=120, memory_bytes=1024 * MIB)
"""The same with a Gaussian process: it loads PyTorch, and its ask is cubic in the trials."""
FIT = WorkBounds(cpu_seconds=60, memory_bytes=192 * MIB)
"""One fit with its resamples: 240 points and 1,000 resamples need a quarter of a second."""


class WorkExceeded(RuntimeError):
    """A piece of work took more than its bounds: again it would take as much."""


class WorkFailed(RuntimeError):
    """A piece of work broke, or its process ended by itself."""
