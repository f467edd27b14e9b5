"""`spec.scaling`.

The family of sizes, how results move from one to the next, and the question to answer.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema, model_validator

from scaling_operator.api.fields import ApiSection, ParameterName
from scaling_operator.api.names import MAX_SCALES
from scaling_operator.api.search import BoundedScalar
from scaling_trainer.config.base import SectionError

Size = Annotated[
    int | float, Field(gt=0), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
]
Rung = Annotated[dict[ParameterName, BoundedScalar], Field(min_length=1, max_length=20)]


Aim = Literal["flops", "parameters", "loss", "cost"]


class Transfer(ApiSection):
    """What a scale hands to the next one."""

    top_k: int = Field(default=3, ge=0, le=50, description="Its best points, tried first there.")
    shrink: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The range about where the best should be, relative to the scale before.",
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
    optimum: Literal["quadratic", "akima"] = Field(
        default="quadratic",
        description="Curve through the sizes of a budget; akima for runs with hardly any noise.",
    )
    hyperparameter_edge: Literal["leave-out", "keep"] = Field(
        default="leave-out",
        description="Scales whose best value lies at an end of its search range.",
    )
    unique_samples: float | None = Field(
        default=None,
        gt=0,
        description="Distinct samples or tokens to train on; D seen again counts for less.",
    )


class Refine(ApiSection):
    """Sizes that may be added where the best lies at the edge of the ladder."""

    max_sizes: int = Field(default=0, ge=0, le=10, description="How many at most.")


class Target(ApiSection):
    """A budget or aim to recommend a size for: one of the first four, or inferenceTokens."""

    flops: float | None = Field(default=None, gt=0, description="Training FLOPs to spend.")
    parameters: float | None = Field(default=None, gt=0, description="Size of the model.")
    loss: float | None = Field(
        default=None, gt=0, description="Loss to reach; of a score, 1 - score."
    )
    cost: float | None = Field(
        default=None, gt=0, description="Money to spend, in the policy's currency."
    )
    inference_tokens: float | None = Field(
        default=None,
        gt=0,
        description="Tokens to serve afterwards, at 2 FLOPs per parameter: with flops, the budget "
        "pays for both; with loss (alone: the best loss seen), both together cost least.",
    )

    @model_validator(mode="after")
    def _one_aim(self) -> Target:
        aims = ("flops", "parameters", "loss", "cost")
        given = [aim for aim in aims if getattr(self, aim) is not None]
        if len(given) > 1 or not (given or self.inference_tokens):
            sentence = "set exactly one of flops, parameters, loss, cost, or inferenceTokens"
            raise SectionError(("", sentence))
        if self.inference_tokens is not None and given and given[0] in ("parameters", "cost"):
            sentence = f"stands alone or beside flops or loss, not beside {given[0]}"
            raise SectionError(("inferenceTokens", sentence))
        return self

    @property
    def kind(self) -> Aim:
        """Which aim is set; a loss, where tokens to serve stand alone."""
        aims: tuple[Aim, ...] = ("flops", "parameters", "cost")
        for aim in aims:
            if getattr(self, aim) is not None:
                return aim
        return "loss"

    @property
    def value(self) -> float:
        """The amount of the aim; NaN where tokens to serve stand alone: no loss is named yet."""
        amount: float | None = getattr(self, self.kind)
        return math.nan if amount is None else amount

    @property
    def served(self) -> float:
        """Tokens to serve, 0 where none are."""
        return self.inference_tokens or 0.0


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
            raise SectionError(*problems)
        return self


def _sizes_problems(scaling: Scaling) -> list[tuple[str, str]]:
    if scaling.rungs:
        return _rungs_problems(scaling)
    found: list[tuple[str, str]] = []
    if scaling.parameter is None:
        found.append(("parameter", "is missing: name the parameter that sets the size, or rungs"))
    if not scaling.sizes:
        found.append(("sizes", "is empty: give at least one size, or rungs"))
    return found + _ascending("sizes", scaling.sizes)


def _rungs_problems(scaling: Scaling) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if scaling.parameter is not None or scaling.sizes:
        sentence = "rungs stand instead of parameter and sizes; leave one of them out"
        found.append(("rungs", sentence))
    if any(rung.keys() != scaling.rungs[0].keys() for rung in scaling.rungs):
        found.append(("rungs", "every rung must set the same parameters"))
    for index, rung in enumerate(scaling.rungs):
        if rung in scaling.rungs[:index]:
            found.append((f"rungs[{index}]", "repeats an earlier rung; each may stand once"))
    if scaling.refine.max_sizes:
        sentence = "sizes can only be added to parameter and sizes, not to rungs; set it to 0"
        found.append(("refine.maxSizes", sentence))
    return found


def _design_problems(scaling: Scaling) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for design, field in (("grid", "data"), ("isoflop", "budgets")):
        given = bool(scaling.data if field == "data" else scaling.budgets)
        if scaling.design == design and not given:
            found.append((field, f"is empty: design {design} needs at least one"))
        if scaling.design != design and given:
            found.append((field, f"goes with design {design} only, not with {scaling.design}"))
    found += _ascending("data", scaling.data) + _ascending("budgets", scaling.budgets)
    sizes = max(len(scaling.sizes), len(scaling.rungs)) + scaling.refine.max_sizes
    scales = sizes * max(len(scaling.data), len(scaling.budgets), 1)
    if scales > MAX_SCALES:
        sentence = f"{scales} scales in all, refined ones included; at most {MAX_SCALES} may be"
        found.append(("rungs" if scaling.rungs else "sizes", sentence))
    return found


def _ascending(name: str, values: tuple[float, ...]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for index, (before, after) in enumerate(pairwise(values), start=1):
        if after == before:
            found.append((f"{name}[{index}]", f"{after:g} stands twice; each may stand once"))
        elif after < before:
            found.append((f"{name}[{index}]", f"{after:g} follows {before:g}; they must ascend"))
    return found
