"""The record: trials in a table, what failed and why, conditions, the question as it was asked."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ruamel.yaml import YAML

from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import Reason, StopReason, TrialState
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.reasons import meaning_of
from scaling_operator.report.blocks import Block, Cell, Code, Details, Section, Table
from scaling_operator.report.data import ReportInput, in_state, sign
from scaling_operator.report.formatting import (
    NOTHING,
    duration,
    number,
    plural,
    quantity,
    scalar,
    short_names,
    shortened,
)

_TOP_ROWS = 10
_ROWS_OF_MANY = 100
_MAX_ROWS = 2000
_MAX_COLUMNS = 24


def table(report: ReportInput) -> Section | None:
    """List the best trials; below them all trials, or the first hundred of very many."""
    if not report.trials:
        return None
    order = _in_order(report)
    columns = _Columns(report)
    first = Table(columns.names, tuple(columns.row(trial) for trial in order[:_TOP_ROWS]))
    blocks: list[Block] = [first]
    lead = "Best first, then those without a final value."
    if len(order) > _MAX_ROWS:
        many = order[:_ROWS_OF_MANY]
        summary = f"The first {len(many)} of {plural(len(order), 'trial')}; trials.csv has them all"
        blocks.append(Details(summary, columns.table(many)))
    elif len(order) > _TOP_ROWS:
        summary = f"All {plural(len(order), 'trial')}; a click on a heading sorts"
        blocks.append(Details(summary, columns.table(order)))
    return Section("trials", "Trials", lead, tuple(blocks))


def _in_order(report: ReportInput) -> list[ScalingTrial]:
    direction = sign(report.spec.all_objectives[0])

    def key(trial: ScalingTrial) -> tuple[bool, float]:
        status = trial.status
        value = direction * status.values[0] if status.values else math.inf
        return status.state is not TrialState.SUCCEEDED, value

    return sorted(report.trials, key=key)


class _Columns:
    """Which columns this report's trials need, and how a trial fills them."""

    __slots__ = ("_metrics", "_parameters", "_sized", "names")

    def __init__(self, report: ReportInput) -> None:
        self._metrics = tuple(objective.metric for objective in report.spec.all_objectives)
        used = {name for trial in report.trials for name in trial.spec.parameters}
        first = (name for name in report.spec.search.parameters if name in used)
        self._parameters = tuple(dict.fromkeys((*first, *sorted(used))))[:_MAX_COLUMNS]
        self._sized = any(trial.status.model_parameters for trial in report.trials)
        short = short_names(self._parameters)
        self.names: tuple[str, ...] = (
            "trial",
            "state",
            *self._metrics,
            *(short[name] for name in self._parameters),
            *(("N",) if self._sized else ()),
            "training",
        )

    def table(self, trials: Sequence[ScalingTrial]) -> Table:
        return Table(self.names, tuple(self.row(trial) for trial in trials), sortable=True)

    def row(self, trial: ScalingTrial) -> tuple[Cell, ...]:
        status, spec = trial.status, trial.spec
        values = (status.values[i : i + 1] for i in range(len(self._metrics)))
        size = status.model_parameters
        sized = (Cell(NOTHING if size is None else quantity(size), size),) if self._sized else ()
        reason = f" · {status.reason}" if status.reason else ""
        return (
            Cell(trial.spec.trial_id, spec.scale * 1e6 + spec.number),
            Cell(f"{status.state.lower()}{reason}"),
            *(Cell(number(value[0]), value[0]) if value else Cell(NOTHING) for value in values),
            *(_parameter_cell(spec.parameters.get(name)) for name in self._parameters),
            *sized,
            Cell(NOTHING if status.seconds is None else duration(status.seconds), status.seconds),
        )


def _parameter_cell(value: Scalar | None) -> Cell:
    if value is None:
        return Cell(NOTHING)
    order = None if isinstance(value, str) else float(value)
    return Cell(shortened(scalar(value), 40), order)


def failures(report: ReportInput) -> Section | None:
    """Trials without a result and repeated attempts by reason, each reason with an example."""
    blocks: list[Block] = []
    lost = [*in_state(report, TrialState.FAILED), *in_state(report, TrialState.STOPPED)]
    if lost:
        blocks.append(_reasons_table(lost))
    repeated = Counter(
        attempt.reason
        for trial in report.trials
        for attempt in trial.status.attempts[:-1]
        if attempt.reason is not None
    )
    if repeated:
        rows = tuple(
            (Cell(reason), Cell(f"{count:,}"), Cell(meaning_of(reason)))
            for reason, count in repeated.most_common()
        )
        blocks.append(Table(("attempts repeated after", "count", "meaning"), rows))
    if not blocks:
        return None
    lead = "Why they ended, with the message of the first of each kind."
    return Section("failures", "Trials without a result", lead, tuple(blocks))


def _reasons_table(trials: Sequence[ScalingTrial]) -> Table:
    firsts: dict[tuple[TrialState, Reason | StopReason | None], ScalingTrial] = {}
    counts = Counter((trial.status.state, trial.status.reason) for trial in trials)
    for trial in trials:
        firsts.setdefault((trial.status.state, trial.status.reason), trial)
    rows = tuple(
        (
            Cell(f"{state.lower()} · {reason or 'no reason given'}"),
            Cell(f"{count:,}"),
            Cell("" if reason is None else meaning_of(reason)),
            Cell(_example(firsts[state, reason])),
        )
        for (state, reason), count in counts.most_common()
    )
    return Table(("reason", "count", "meaning", "example"), rows)


def _example(trial: ScalingTrial) -> str:
    message = trial.status.message or next(
        (attempt.message for attempt in reversed(trial.status.attempts) if attempt.message), ""
    )
    words = f": {shortened(message, 500)}" if message else ""
    return f"trial {trial.spec.trial_id}{words}"


def conditions(report: ReportInput) -> Section | None:
    """Show the conditions of the experiment's status."""
    listed = report.status.conditions
    if not listed:
        return None
    rows = tuple(
        (
            Cell(condition.type),
            Cell(condition.status),
            Cell(condition.reason),
            Cell(condition.message),
            Cell(
                ""
                if condition.last_transition_time is None
                else f"{condition.last_transition_time:%Y-%m-%d %H:%M:%S %Z}".strip()
            ),
        )
        for condition in listed
    )
    lead = "The experiment's conditions, as its status holds them."
    columns = ("condition", "status", "reason", "message", "since")
    return Section("conditions", "Conditions", lead, (Table(columns, rows),))


def question(report: ReportInput) -> Section:
    """Show the experiment's spec as its author wrote it."""
    document = report.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    text = _yaml({"spec": document})
    lead = "What was asked; fields that were not set have their defaults."
    details = Details("The experiment's specification", Code(text))
    return Section("question", "The question", lead, (details,))


def _yaml(document: Mapping[str, Any]) -> str:
    # Its types are incomplete: attributes that take a bool are declared None.
    writer = cast("Any", YAML(typ="safe", pure=True))
    writer.default_flow_style = False
    writer.width = 100
    writer.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    writer.dump(document, stream)
    return stream.getvalue()
