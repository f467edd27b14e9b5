"""What an experiment has come to: all that its table and its report are made from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial


@dataclass(frozen=True, slots=True)
class Outcome:
    """An experiment with its trials, in order of scale and number."""

    name: str
    uid: str
    spec: ExperimentSpec
    status: ExperimentStatus
    trials: tuple[ScalingTrial, ...]


def table(trials: Iterable[ScalingTrial]) -> str:
    """Write trials.csv: a row per trial; a column per parameter, metric and figure."""
    rows = [_row(trial) for trial in trials]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["trial"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(trial: ScalingTrial) -> dict[str, Any]:
    spec, status = trial.spec, trial.status
    figures = status.model_dump(
        mode="json", by_alias=True, exclude={"values", "metrics", "curve", "attempts"}
    )
    return {
        "trial": f"{spec.scale}-{spec.number}",
        "scale": spec.scale,
        "number": spec.number,
        "state": status.state.value,
        "reason": status.reason.value if status.reason is not None else "",
        **{f"value{index or ''}": value for index, value in enumerate(status.values)},
        **spec.parameters,
        **status.metrics,
        **figures,
        "attempts": _attempts(trial),
        "seed": spec.seed,
    }


def _attempts(trial: ScalingTrial) -> int:
    """Count its attempts: the last one is recorded only where its machine is."""
    attempts = trial.status.attempts
    has_last = bool(attempts) and attempts[-1].completion_time == trial.status.completion_time
    return len(attempts) + (0 if trial.status.state.ended and has_last else 1)
