"""An experiment with its trials, from which its table and its report are made; and the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_trainer.csv_cells import disarmed


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """An experiment with its trials, in order of scale and number."""

    name: str
    uid: str
    spec: ExperimentSpec
    status: ExperimentStatus
    trials: tuple[ScalingTrial, ...]


def table(trials: Iterable[ScalingTrial]) -> str:
    """Write trials.csv: a row per trial; a column per parameter, metric and figure.

    Where a parameter or metric has the name of an earlier column, its column is `parameters.NAME`
    or `metrics.NAME`. No text is a formula in a spreadsheet.
    """
    listed = tuple(trials)
    parameters = {name for trial in listed for name in trial.spec.parameters}
    rows = [_row(trial, parameters) for trial in listed]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["trial"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(trial: ScalingTrial, parameters: Collection[str]) -> dict[str, Any]:
    spec, status = trial.spec, trial.status
    figures = status.model_dump(
        mode="json", by_alias=True, exclude={"values", "metrics", "curve", "attempts"}
    )
    first = {
        "trial": spec.trial_id,
        "scale": spec.scale,
        "number": spec.number,
        "state": status.state.value,
        "reason": status.reason.value if status.reason is not None else "",
        **{f"value{index or ''}": value for index, value in enumerate(status.values)},
    }
    last = {**figures, "attempts": _attempts(trial), "seed": spec.seed}
    columns = {*first, *last}
    row: dict[str, Any] = {
        **first,
        **_renamed(spec.parameters, "parameters", columns),
        **_renamed(status.metrics, "metrics", columns | {*parameters}),
        **last,
    }
    return {name: disarmed(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


def _renamed(cells: Mapping[str, Any], kind: str, taken: Collection[str]) -> dict[str, Any]:
    return {f"{kind}.{name}" if name in taken else name: cell for name, cell in cells.items()}


def _attempts(trial: ScalingTrial) -> int:
    """Count the attempts: the last one is recorded only where its machine is."""
    attempts = trial.status.attempts
    has_last = bool(attempts) and attempts[-1].completion_time == trial.status.completion_time
    return len(attempts) + (0 if trial.status.state.ended and has_last else 1)
