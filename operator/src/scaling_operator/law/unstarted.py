"""N and D of scales that have no trial yet, so that the law can say what to expect of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import ValidationError

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.core.edges import number_of
from scaling_operator.core.fit_types import FitInput
from scaling_operator.core.ladder import Scale
from scaling_operator.core.samples import samples_of
from scaling_operator.law.experiment_points import COUNTED, ExperimentPoints
from scaling_operator.law.points import Array
from scaling_trainer.config.builtin import with_parameters
from scaling_trainer.counting import count, dimensions_of


def expected_runs(
    fit_input: FitInput, prepared: ExperimentPoints
) -> Mapping[int, tuple[float, float | None]]:
    """Give (N, D) by the index of each untried scale of which both can be told."""
    found: dict[int, tuple[float, float | None]] = {}
    if not prepared.used:
        return found
    for scale in fit_input.untried:
        nearest = min(
            prepared.used, key=lambda point: abs(number_of(point.scale) - number_of(scale))
        )
        parameters = {**nearest.parameters, **scale.parameters}
        size = _expected_size(fit_input.spec, prepared, scale, parameters)
        if size is None:
            continue
        samples = _expected_samples(fit_input.spec, prepared, scale, (parameters, size))
        if samples is not None or prepared.points.D is None:
            found[scale.index] = (size, samples)
    return found


def along(x: float, places: Array, values: Array) -> float | None:
    """Read a value off the pieces between (ln place, ln value), going on beyond the ends.

    None where fewer than two places differ.
    """
    order = np.argsort(places)
    _, first = np.unique(places[order], return_index=True)
    log_x, log_y = np.log(places[order][first]), np.log(values[order][first])
    if len(log_x) < 2:  # noqa: PLR2004 - a line needs two
        return None
    at = float(np.log(x))
    piece = int(np.clip(np.searchsorted(log_x, at) - 1, 0, len(log_x) - 2))
    slope = (log_y[piece + 1] - log_y[piece]) / (log_x[piece + 1] - log_x[piece])
    return float(np.exp(log_y[piece] + slope * (at - log_x[piece])))


def _expected_size(
    spec: ExperimentSpec, prepared: ExperimentPoints, scale: Scale, parameters: Mapping[str, Scalar]
) -> float | None:
    if prepared.size != COUNTED:
        value = scale.parameters.get(prepared.size)
        return None if value is None or isinstance(value, bool | str) else float(value)
    counted = _counted_by_formula(spec, parameters) or _named_by_rung(
        prepared, scale, prepared.points.N
    )
    if counted is not None:
        return counted
    if len(scale.parameters) != 1:
        return None
    numbers = np.array([number_of(point.scale) for point in prepared.used])
    return along(number_of(scale), numbers, prepared.points.N)


def _named_by_rung(prepared: ExperimentPoints, scale: Scale, column: Array) -> float | None:
    """Give the parameter of the rung that was N, or D, in every scale that was tried."""
    for name, value in scale.parameters.items():
        tried = [point.scale.parameters.get(name) for point in prepared.used]
        numbers = [each for each in tried if isinstance(each, int | float)]
        if len(numbers) == len(column) and np.allclose(numbers, column, rtol=1e-6, atol=0.0):
            return None if isinstance(value, bool | str) else float(value)
    return None


def _counted_by_formula(spec: ExperimentSpec, parameters: Mapping[str, Scalar]) -> float | None:
    """Count a model by formula, where the built-in trainer trains it on data of known shape."""
    if spec.trainer.built_in is None:
        return None
    try:
        config = with_parameters(spec.trainer.built_in, parameters)
    except ValidationError:
        return None
    dimensions = dimensions_of(config.dataset.model_dump(mode="json"))
    if dimensions is None:
        return None
    return float(count(config.model.model_dump(mode="json"), dimensions).parameters)


def _expected_samples(
    spec: ExperimentSpec,
    prepared: ExperimentPoints,
    scale: Scale,
    found: tuple[Mapping[str, Scalar], float],
) -> float | None:
    parameters, size = found
    if scale.samples is not None or scale.budget_flops is not None:
        return samples_of(spec, scale, parameters)
    if prepared.points.D is None:
        return None
    named = _named_by_rung(prepared, scale, prepared.points.D)
    if named is not None:
        return named
    lasts = _last_of_each_scale(prepared)
    return along(size, prepared.points.N[lasts], prepared.points.D[lasts])


def _last_of_each_scale(prepared: ExperimentPoints) -> Sequence[int]:
    """Of several points of a run, the one at its end."""
    last: dict[int, int] = {}
    tokens = prepared.points.D
    for row, point in enumerate(prepared.used):
        index = point.scale.index
        if tokens is not None and (index not in last or tokens[row] > tokens[last[index]]):
            last[index] = row
    return list(last.values())
