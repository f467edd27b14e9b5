"""`spec.scaling`.

The family of sizes, how results move from one to the next, and the question to answer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaling_operator.api.fields import ApiSection, ParameterName
from scaling_operator.api.names import MAX_SCALES
from scaling_operator.api.search import BoundedScalar

Size = Annotated[int | float, Field(gt=0)]
Rung = Annotated[dict[ParameterName, BoundedScalar], Field(min_length=1, max_length=20)]


class Transfer(ApiSection):
    """What a scale hands to the next one."""

    top_k: int = Field(default=3, ge=0, le=50, description="Its best points, tried first there.")
    shrink: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="The range about the best point, relative to the whole.",
    )


class Fit(ApiSection):
    """How performance against size is fitted."""

    form: Literal["auto", "chinchilla", "tied", "power"] = Field(
        default="auto", description="chinchilla: E + A/N^a + B/D^b; tied: a = b; power: E + A/N^a."
    )
    bootstrap: int = Field(
        default=1000, ge=100, le=100_000, description="Resamples behind the intervals."
    )
    drop_worst: int = Field(
        default=0, ge=0, le=100, description="Points of highest loss to leave out."
    )
    flat_percent: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="Sizes within this of the best loss count as as good.",
    )


class Refine(ApiSection):
    """Sizes that may be added where the best lies at the edge of the ladder."""

    max_sizes: int = Field(default=0, ge=0, le=10, description="How many at most.")


class Target(ApiSection):
    """A budget or aim to recommend a size for: exactly one of the fields."""

    flops: float | None = Field(default=None, gt=0, description="Training FLOPs to spend.")
    parameters: float | None = Field(default=None, gt=0, description="Size of the model.")
    loss: float | None = Field(default=None, gt=0, description="Loss to reach.")
    cost: float | None = Field(
        default=None, gt=0, description="Money to spend, in the policy's currency."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Target:
        if len(self.model_fields_set) != 1:
            message = "set exactly one of flops, parameters, loss, cost"
            raise ValueError(message)
        return self


class Scaling(ApiSection):
    """The ladder of sizes."""

    parameter: ParameterName | None = Field(
        default=None, description="The parameter that sets the size."
    )
    sizes: tuple[Size, ...] = Field(
        default=(), max_length=MAX_SCALES, description="Its values, ascending."
    )
    rungs: tuple[Rung, ...] = Field(
        default=(),
        max_length=MAX_SCALES,
        description="Instead of parameter and sizes: several parameters that grow together.",
    )
    design: Literal["ladder", "grid", "isoflop"] = Field(
        default="ladder",
        description="ladder: sizes alone; grid: sizes x data; isoflop: sizes x budgets.",
    )
    data: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(),
        max_length=MAX_SCALES,
        description="Samples or tokens to train for (grid), ascending.",
    )
    budgets: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(), max_length=MAX_SCALES, description="Training FLOPs (isoflop), ascending."
    )
    transfer: Transfer | None = Field(
        default=None, description="Absent: every size is tuned on its own."
    )
    fit: Fit = Field(default=Fit(), description="How performance against size is fitted.")
    refine: Refine = Field(default=Refine(), description="Whether sizes may be added.")
    targets: tuple[Target, ...] = Field(
        default=(), max_length=20, description="What to recommend a size for."
    )

    @model_validator(mode="after")
    def _ladder_is_sound(self) -> Scaling:
        problems = [*_sizes_problems(self), *_design_problems(self)]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _sizes_problems(scaling: Scaling) -> list[str]:
    problems: list[str] = []
    if scaling.rungs:
        if scaling.parameter is not None or scaling.sizes:
            problems.append("rungs stand instead of parameter and sizes; leave one of them out")
        if any(rung.keys() != scaling.rungs[0].keys() for rung in scaling.rungs):
            problems.append("every rung must set the same parameters")
        if any(rung in scaling.rungs[:index] for index, rung in enumerate(scaling.rungs)):
            problems.append("rungs repeat; each may stand once")
    else:
        if scaling.parameter is None:
            problems.append("parameter is missing: name the parameter that sets the size")
        if not scaling.sizes:
            problems.append("sizes is empty; give at least one, or rungs")
        problems += _ascending("sizes", scaling.sizes)
    return problems


def _design_problems(scaling: Scaling) -> list[str]:
    problems: list[str] = []
    if (scaling.design == "grid") != bool(scaling.data):
        problems.append("design grid and data go together")
    if (scaling.design == "isoflop") != bool(scaling.budgets):
        problems.append("design isoflop and budgets go together")
    problems += _ascending("data", scaling.data) + _ascending("budgets", scaling.budgets)
    scales = max(len(scaling.sizes), len(scaling.rungs)) * max(
        len(scaling.data), len(scaling.budgets), 1
    )
    if scales > MAX_SCALES:
        problems.append(f"{scales} scales in all; at most {MAX_SCALES} are allowed")
    return problems


def _ascending(name: str, values: tuple[float, ...]) -> list[str]:
    for before, after in pairwise(values):
        if after == before:
            return [f"{name} has {after:g} twice; each may stand once"]
        if after < before:
            return [f"{name} must ascend: {after:g} follows {before:g}"]
    return []
