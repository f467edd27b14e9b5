"""A command line of `scaling fit`, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names of the columns that hold N, D, C, L and the budget."""

    parameters: str
    tokens: str | None
    flops: str | None
    loss: str
    group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """What a user asks of `scaling fit`.

    Without `out` the page gets a name of our own; `plot` false draws no page.
    """

    points: Path
    columns: Columns
    form: Literal["auto", "chinchilla", "tied", "power"]
    method: Literal["parametric", "isoflop", "both"]
    optimum: Literal["quadratic", "akima"]
    drop_worst: int
    duplicates: Literal["refuse", "best"]
    bootstrap: int
    seed: int
    target_flops: tuple[str, ...]
    target_cost: tuple[str, ...]
    policy: Path | None
    predict: tuple[str, ...]
    json: bool
    plot: bool
    out: Path | None
