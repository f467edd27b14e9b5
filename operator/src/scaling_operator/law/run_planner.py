"""What the runs that a law recommends need of machines: at sizes that were never trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from scaling_operator.api.fields import Scalar
from scaling_operator.api.scaling import Scaling
from scaling_operator.core.edges import number_of
from scaling_operator.core.fit_types import FitInput, TunedPoint
from scaling_operator.law.experiment_points import COUNTED, ExperimentPoints
from scaling_operator.law.unstarted import along
from scaling_operator.sizing.need import Need, UnknownNeed, need_of
from scaling_operator.sizing.run_plan import KnownMachines, RunPlan, plan_run, run_constraints

LARGEST_SIZE = 1e12
"""Beyond it whole numbers outgrow what can be counted, and no ladder's parameter goes there."""


@dataclass(frozen=True, slots=True)
class RunPlanner:
    """Plans runs of an experiment's own kind."""

    fit_input: FitInput
    prepared: ExperimentPoints
    scaling: Scaling
    machines: KnownMachines

    def plan(self, parameters: float, samples: float | None, flops: float | None) -> RunPlan:
        """Say what a run of N on D with C FLOPs takes; what trials have fixed does not bind it."""
        spec = self.fit_input.spec
        need = self._need(parameters, samples)
        if isinstance(need, Need) and flops is not None:
            need = replace(need, flops=flops)
        return plan_run(need, run_constraints(spec, self.machines))

    def _need(self, parameters: float, samples: float | None) -> Need | UnknownNeed:
        """Take the need at the ladder's parameter; else that of the nearest size, made as large."""
        spec, unknown = self.fit_input.spec, self.machines.policy.unknown
        nearest = self._nearest(parameters)
        for size in self._sizes(parameters):
            point: dict[str, Scalar] = {**nearest.parameters, size[0]: size[1]}
            found = need_of(spec, point, samples, unknown)
            if isinstance(found, Need):
                return self._of_size(found, parameters)
        at = {**nearest.parameters, **nearest.scale.parameters}
        found = need_of(spec, at, samples, unknown)
        return self._of_size(found, parameters) if isinstance(found, Need) else found

    def _nearest(self, parameters: float) -> TunedPoint:
        sizes = zip(self.prepared.points.N, self.prepared.used, strict=True)
        return min(sizes, key=lambda each: abs(math.log(each[0] / parameters)))[1]

    def _sizes(self, parameters: float) -> Iterator[tuple[str, Scalar]]:
        """Give what to set the ladder's parameter to, best first: whole sizes stay whole."""
        size = ladder_size(parameters, self.prepared, self.scaling)
        name = self.scaling.parameter
        if size is None or name is None or not size < LARGEST_SIZE:
            return
        if not all(isinstance(each, int) for each in self.scaling.sizes):
            yield name, size
            return
        unit = math.gcd(*(int(each) for each in self.scaling.sizes))
        yield name, max(1, round(size))
        yield name, max(1, round(size / unit)) * unit

    def _of_size(self, need: Need, parameters: float) -> Need:
        """Give the need as many parameters as the law means, where it counts parameters."""
        if self.prepared.size != COUNTED:
            return need
        stored = need.parameters * parameters / (need.counted or need.parameters or 1.0)
        return replace(need, parameters=stored or parameters, counted=parameters)


def ladder_size(parameters: float, prepared: ExperimentPoints, scaling: Scaling) -> float | None:
    """Read off the ladder which value of its parameter has this N."""
    if prepared.size != COUNTED:
        return parameters
    if scaling.parameter is None:
        return None
    numbers = np.array([number_of(point.scale) for point in prepared.used])
    return along(parameters, prepared.points.N, numbers) if (numbers > 0).all() else None
