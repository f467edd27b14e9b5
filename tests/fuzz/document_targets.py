"""What people write: experiments, policies, tables of points, expressions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from targets import check_words, of_files

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.expressions import ExpressionError, check, evaluate
from scaling_operator.api.fields import Scalar
from scaling_operator.api.policy import ResourcePolicy
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.cli.fit_csv import MAX_ROWS, SHOWN_PROBLEMS, read_points
from scaling_operator.cli.fit_request import Columns
from scaling_operator.law.points import Points
from scaling_operator.law.refusals import invalid_points
from scaling_operator.validation.errors import MOST_PROBLEMS
from scaling_operator.validation.load import (
    load_experiment,
    load_policy,
    parse_experiment,
    parse_policy,
)
from scaling_trainer.foreign_text import one_line

PARAMETERS: dict[str, Scalar] = {
    "model.width": 64,
    "model.layers": 2.0,
    "lr": 1e-3,
    "name": "adam",
    "flag": True,
    "lr.decay": 5,
}


def _in_a_file(written: bytes, name: str, read: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(written)
        return read(path)


def check_problems(refused: InvalidSpec, most: int = MOST_PROBLEMS + 5) -> None:
    """Check that each problem says where it is, and that nobody is told more than they read."""
    assert 0 < len(refused.problems) <= most
    for problem in refused.problems:
        assert problem.path, f"nobody knows where: {problem.message}"
        check_words(problem.message, 2000)


def check_an_experiment(written: bytes) -> bool:
    """An experiment that is taken reads back equal after it was written out."""

    def again(experiment: ScalingExperiment) -> ScalingExperiment:
        return parse_experiment(_as_json(experiment), "again.json")

    return _check_document(written, load_experiment, again)


def check_a_policy(written: bytes) -> bool:
    """A policy that is taken reads back equal after it was written out."""

    def again(policy: ResourcePolicy) -> ResourcePolicy:
        return parse_policy(_as_json(policy), "again.json")

    return _check_document(written, load_policy, again)


def _as_json(document: ScalingExperiment | ResourcePolicy) -> str:
    return json.dumps(document.model_dump(mode="json", exclude_none=True), allow_nan=False)


def _check_document(
    written: bytes, load: Callable[[Path], Any], again: Callable[[Any], Any]
) -> bool:
    try:
        document = _in_a_file(written, "my.yaml", load)
    except InvalidSpec as refused:
        check_problems(refused)
        return False
    assert again(document).spec == document.spec
    return True


WAYS = (
    Columns(parameters="n", tokens="d", flops="c", loss="loss", group="c"),
    Columns(parameters="n", tokens=None, flops="c", loss="loss", group=None),
    Columns(parameters="n", tokens=None, flops=None, loss="loss", group="group"),
)


def check_a_table(written: bytes) -> bool:
    """Points that are read can be judged, and read back equal after they were written out."""
    taken = False
    for columns in WAYS:
        try:
            points = _in_a_file(written, "points.csv", lambda path: read_points(path, columns))  # noqa: B023 - called at once
        except InvalidSpec as refused:
            check_problems(refused, SHOWN_PROBLEMS + 1)
            continue
        taken = True
        _check_points(points)
        for condition in invalid_points(points):
            check_words(condition.message)
    return taken


def _check_points(points: Points) -> None:
    columns = {"n": points.N, "loss": points.L, "d": points.D, "c": points.C}
    present = {name: column for name, column in columns.items() if column is not None}
    assert {len(column) for column in present.values()} == {len(points.row)}
    assert 0 < len(points) <= MAX_ROWS
    rows = zip(*present.values(), strict=True)
    lines = [",".join(present), *(",".join(repr(float(value)) for value in row) for row in rows)]
    way = Columns(
        parameters="n",
        tokens="d" if "d" in present else None,
        flops="c" if "c" in present else None,
        loss="loss",
        group=None,
    )
    text = "\n".join(lines).encode()
    again = _in_a_file(text, "again.csv", lambda path: read_points(path, way))
    for original, reread in ((points.N, again.N), (points.L, again.L), (points.C, again.C)):
        if original is not None and reread is not None:
            assert np.array_equal(original, reread, equal_nan=True)


def check_an_expression(written: bytes) -> bool:
    """An expression gives an amount that can be asked of a node, or a refusal in words."""
    text = written.decode(errors="replace")
    try:
        check(text)
        amount = evaluate(text, PARAMETERS)
    except ExpressionError as error:
        check_words(one_line(str(error)))  # a problem's words are made visible where they are told
        return False
    assert 0 <= amount <= 1e30
    assert evaluate(text, PARAMETERS) == amount
    return True


TARGETS = (
    of_files("experiments", check_an_experiment, 60),
    of_files("policies", check_a_policy, 60),
    of_files("tables-of-points", check_a_table),
    of_files("expressions", check_an_expression, 500),
)
