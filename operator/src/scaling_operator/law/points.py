"""The measured points of a fit, and the declared rules that leave points out.

Notation: N parameters, D training tokens (or samples), C training FLOPs, L loss; all float64. C is
6 N D where nothing better was counted. Integers are cast before anything is multiplied: int64 holds
at most 9.22e18, which 6 N D exceeds for a model of 1.4e9 parameters on 1.1e9 tokens.

This module does not judge the points; `law.refusals` does, with values instead of exceptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

STRAIGHT = 0.02
"""Largest sd of ln D about a line over ln N at which runs count as lying on one line."""

Array = NDArray[np.float64]
Values = Sequence[float] | NDArray[Any]

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0


@dataclass(frozen=True, slots=True)
class Points:
    """Runs, one per row. Every array has the shape (n,); absent columns are None.

    `group` is the compute budget (FLOPs) that a run belongs to in an IsoFLOP design, `cluster` a
    label of what must be resampled together: a run with several checkpoints, or a size. `row` is
    the position among the points that the caller gave, for messages; `name` is the name of a run,
    where runs have names.
    """

    N: Array
    L: Array
    row: NDArray[np.int64]
    D: Array | None = None
    C: Array | None = None
    group: Array | None = None
    cluster: Array | None = None
    name: NDArray[np.str_] | None = None
    quantity: Literal["loss", "error"] = "loss"

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.N)


def points_from_tokens(
    parameters: Values, tokens: Values, loss: Values, *, flops: Values | None = None
) -> Points:
    """Build points from parameters and tokens; C is 6 N D unless counted FLOPs are given.

    Raises ValueError where the columns differ in length.
    """
    size, data = _column(parameters), _column(tokens)
    _same_length(len(size), data, "D")
    with np.errstate(over="ignore", invalid="ignore"):
        compute = FLOPS_PER_PARAMETER_AND_TOKEN * size * data if flops is None else _column(flops)
    return _points(size, loss, tokens=data, flops=compute)


def points_from_flops(parameters: Values, flops: Values, loss: Values) -> Points:
    """Build points from parameters and training FLOPs: D = C / (6 N). Raises ValueError."""
    size, compute = _column(parameters), _column(flops)
    _same_length(len(size), compute, "C")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        data = compute / (FLOPS_PER_PARAMETER_AND_TOKEN * size)
    return _points(size, loss, tokens=data, flops=compute)


def points_from_sizes(parameters: Values, loss: Values) -> Points:
    """Build points of a ladder of which only the sizes are known. Raises ValueError."""
    return _points(_column(parameters), loss, tokens=None, flops=None)


def grouped(points: Points, group: Values) -> Points:
    """Add the compute budget (FLOPs) of each run. Raises ValueError on another length."""
    return replace(points, group=_same_length(len(points), _column(group), "group"))


def clustered(points: Points, labels: Sequence[object] | NDArray[Any]) -> Points:
    """Add labels of what is resampled together. Raises ValueError on another length."""
    _, codes = np.unique(np.asarray(labels), return_inverse=True)
    return replace(points, cluster=_same_length(len(points), _column(codes), "cluster"))


def named(points: Points, names: Sequence[str]) -> Points:
    """Give each run a name for messages and plots. Raises ValueError on another length."""
    if len(names) != len(points):
        message = f"{len(names)} names are given for {len(points)} points; they must agree"
        raise ValueError(message)
    return replace(points, name=np.array(names, dtype=np.str_))


def mentioned(points: Points, mask: NDArray[np.bool_], most: int = 10) -> str:
    """Name the runs where `mask` is true, at most `most`: `rows 3, 7`, or `3-7, 4-0`."""
    if points.name is not None:
        return ", ".join(str(name) for name in points.name[mask][:most])
    rows = ", ".join(str(row) for row in points.row[mask][:most])
    return f"{'row' if mask.sum() == 1 else 'rows'} {rows}"


def error_of_score(score: Values) -> Array:
    """Turn a score such as accuracy or F1, best at 1, into the error 1 - score that is fitted.

    An error that is not positive has no logarithm; the points are then refused by name.
    """
    return 1.0 - _column(score)


def as_error(points: Points) -> Points:
    """Mark L as an error, 1 - score, so that messages name it."""
    return replace(points, quantity="error")


def drop_worst(points: Points, count: int) -> tuple[Points, tuple[int, ...]]:
    """Drop every run whose loss is at or above the `count`-th largest; also return their rows.

    This is the outlier rule of Besiroglu et al. 2024 (count 5 for the Chinchilla points). Ties
    with the `count`-th largest are dropped too. Raises ValueError on a negative count.
    """
    if count < 0:
        message = f"drop_worst is {count}; it must be 0 or more"
        raise ValueError(message)
    if count == 0 or not len(points):
        return points, ()
    threshold = np.sort(points.L)[::-1][min(count, len(points)) - 1]
    kept = threshold > points.L
    return select(points, kept), tuple(int(row) for row in points.row[~kept])


def keep_best(points: Points) -> tuple[Points, tuple[int, ...]]:
    """Keep the lowest loss of each (N, D); also return the rows left out.

    Seeds and tuning give several runs per (N, D), of which one may enter a fit.
    """
    best: dict[tuple[float, ...], int] = {}
    for index, key in enumerate(keys(points)):
        if key not in best or points.L[index] < points.L[best[key]]:
            best[key] = index
    kept = np.isin(np.arange(len(points)), list(best.values()))
    return select(points, kept), tuple(int(row) for row in points.row[~kept])


def seed_noise(points: Points) -> float | None:
    """Return the pooled sd of ln L over runs that share (N, D); None where none do."""
    members: dict[tuple[float, ...], list[int]] = {}
    for index, key in enumerate(keys(points)):
        members.setdefault(key, []).append(index)
    repeated = [rows for rows in members.values() if len(rows) > 1]
    if not repeated:
        return None
    squares = sum(float(np.var(np.log(points.L[rows]))) * len(rows) for rows in repeated)
    return float(np.sqrt(squares / sum(len(rows) - 1 for rows in repeated)))


def keys(points: Points) -> list[tuple[float, ...]]:
    """Return what makes a run a duplicate of another: (N, D), or N alone, to nine digits."""
    columns = [points.N] if points.D is None else [points.N, points.D]
    return [tuple(float(f"{value:.9g}") for value in row) for row in zip(*columns, strict=True)]


def select(points: Points, mask: NDArray[np.bool_]) -> Points:
    """Keep the rows where `mask`, of shape (n,), is true."""
    columns = {field.name: getattr(points, field.name) for field in fields(points)}
    return replace(
        points,
        **{name: value[mask] for name, value in columns.items() if isinstance(value, np.ndarray)},
    )


def _points(size: Array, loss: Values, *, tokens: Array | None, flops: Array | None) -> Points:
    for name, column in (("D", tokens), ("C", flops)):
        if column is not None:
            _same_length(len(size), column, name)
    losses = _same_length(len(size), _column(loss), "L")
    return Points(N=size, L=losses, row=np.arange(len(size), dtype=np.int64), D=tokens, C=flops)


def _column(values: Values) -> Array:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        message = f"a column has {column.ndim} dimensions; it must have 1"
        raise ValueError(message)
    return column


def _same_length(length: int, column: Array, name: str) -> Array:
    if len(column) != length:
        message = f"column {name} has {len(column)} rows where N has {length}; they must agree"
        raise ValueError(message)
    return column


@dataclass(frozen=True, slots=True)
class RunPath:
    """How compute and data follow from size: per point C = k N D, and along a ladder a line.

    `flops_factor` is k, the geometric mean over the points of C / (N D). Where the runs lie on
    one line, ln D = tokens_at_one + tokens_slope ln N and ln C likewise; None elsewhere.
    """

    flops_factor: float = FLOPS_PER_PARAMETER_AND_TOKEN
    tokens: tuple[float, float] | None = None
    flops: tuple[float, float] | None = None


def run_path_of(points: Points) -> RunPath:
    """Read off the points how compute and data follow from size."""
    if points.D is None or points.C is None:
        return RunPath()
    factor = float(np.exp(np.mean(np.log(points.C) - np.log(points.N) - np.log(points.D))))
    if not on_one_line(points):
        return RunPath(flops_factor=factor)
    log_size = np.log(points.N)
    return RunPath(factor, _line(log_size, np.log(points.D)), _line(log_size, np.log(points.C)))


def on_one_line(points: Points) -> bool:
    """Whether D is unknown, constant, or a power of N, as along a plain ladder."""
    if points.D is None or not len(points):
        return True
    log_size, log_data = np.log(points.N), np.log(points.D)
    intercept, slope = _line(log_size, log_data)
    return float(np.std(log_data - intercept - slope * log_size)) < STRAIGHT


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Return intercept and slope of y over x by least squares."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (y - y.mean())) / spread if spread > 0 else 0.0
    return float(y.mean()) - slope * float(x.mean()), slope
