"""`spec.scaling`.

The family of sizes, how results move from one to the next, and the question to answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from scaling_operator.api.fields import ApiSection, CheckedSection, ParameterName, Scalar
from scaling_operator.api.names import MAX_SCALES
from scaling_operator.api.problems import Problem
from scaling_operator.api.rules import Rule, is_given, is_unique, length
from scaling_operator.api.search import BoundedScalar

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


_AIMS = ("flops", "parameters", "loss", "cost")
_GIVEN_AIMS = f"[{', '.join(f'has(self.{aim})' for aim in _AIMS)}]"
_STANDS_ALONE = "stands alone or beside flops or loss"


def _aims(target: Target) -> tuple[str, ...]:
    return tuple(aim for aim in _AIMS if getattr(target, aim) is not None)


def _has_one_aim(target: Target) -> bool:
    aims = _aims(target)
    return len(aims) == 1 or (not aims and bool(target.inference_tokens))


def _can_be_served(target: Target) -> bool:
    if target.inference_tokens is None or not _has_one_aim(target):
        return True
    return not set(_aims(target)) & {"parameters", "cost"}


class Target(CheckedSection):
    """A budget or aim to recommend a size for: one of the first four, or inferenceTokens."""

    RULES: ClassVar[tuple[Rule[Target], ...]] = (
        Rule(
            holds=_has_one_aim,
            cel=f"{_GIVEN_AIMS}.exists_one(each, each) || "
            f"(has(self.inferenceTokens) && !{_GIVEN_AIMS}.exists(each, each))",
            message=f"set exactly one of {', '.join(_AIMS)}, or inferenceTokens",
        ),
        Rule(
            holds=_can_be_served,
            sentence=lambda target: f"{_STANDS_ALONE}, not beside {_aims(target)[0]}",
            cel="!has(self.inferenceTokens) || !(has(self.parameters) || has(self.cost))",
            message=f"inferenceTokens {_STANDS_ALONE}",
            field="inferenceTokens",
        ),
    )

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


ListField = Literal["sizes", "data", "budgets"]


def _pairs(scaling: Scaling, field: ListField) -> Iterator[tuple[str, float, float]]:
    """Give each value with the one before it, and its path."""
    values: Sequence[float] = getattr(scaling, field)
    for index, (before, after) in enumerate(pairwise(values), start=1):
        yield f"{field}[{index}]", before, after


def _ascend(field: ListField) -> tuple[Rule[Scaling], ...]:
    """Ask for a list that ascends, and for each value once."""

    def are_ordered(scaling: Scaling) -> Iterator[Problem]:
        for path, before, after in _pairs(scaling, field):
            if after < before:
                yield Problem(path, f"{after:g} follows {before:g}; they must ascend")

    def differ(scaling: Scaling) -> Iterator[Problem]:
        for path, before, after in _pairs(scaling, field):
            if after == before:
                yield Problem(path, f"{after:g} stands twice; each may stand once")

    return (
        Rule(
            check=are_ordered,
            cel=f"!has(self.{field}) || self.{field}.isSorted()",  # of Kubernetes' list library
            message=f"{field} must ascend",
            field=field,
        ),
        Rule(
            check=differ,
            cel=f"!has(self.{field}) || {is_unique(field)}",
            message=f"each of {field} may stand once",
            field=field,
        ),
    )


def _goes_with(design: str, field: Literal["data", "budgets"]) -> Rule[Scaling]:
    def sentence(scaling: Scaling) -> str:
        if scaling.design == design:
            return f"is empty: design {design} needs at least one"
        return f"goes with design {design} only, not with {scaling.design}"

    return Rule(
        holds=lambda scaling: (scaling.design == design) == bool(getattr(scaling, field)),
        sentence=sentence,
        cel=f"(has(self.design) && self.design == '{design}') == {is_given(field)}",
        message=f"design {design} and {field} go together",
        field=field,
    )


def _sizes_or_rungs(scaling: Scaling) -> Iterator[Problem]:
    if scaling.rungs:
        if scaling.parameter is not None or scaling.sizes:
            sentence = "rungs stand instead of parameter and sizes; leave one of them out"
            yield Problem("rungs", sentence)
        return
    if scaling.parameter is None:
        sentence = "is missing: name the parameter that sets the size, or rungs"
        yield Problem("parameter", sentence)
    if not scaling.sizes:
        yield Problem("sizes", "is empty: give at least one size, or rungs")


def _rungs_are_alike(scaling: Scaling) -> Iterator[Problem]:
    if any(rung.keys() != scaling.rungs[0].keys() for rung in scaling.rungs):
        yield Problem("rungs", "every rung must set the same parameters")


def _rungs_differ(scaling: Scaling) -> Iterator[Problem]:
    for index, rung in enumerate(scaling.rungs):
        if rung in scaling.rungs[:index]:
            yield Problem(f"rungs[{index}]", "repeats an earlier rung; each may stand once")


_ONLY_SIZES = "sizes can only be added to parameter and sizes, not to rungs"


def _only_sizes_are_added(scaling: Scaling) -> Iterator[Problem]:
    if scaling.rungs and scaling.refine.max_sizes:
        yield Problem("refine.maxSizes", f"{_ONLY_SIZES}; set it to 0")


def _scales_are_few(scaling: Scaling) -> Iterator[Problem]:
    sizes = max(len(scaling.sizes), len(scaling.rungs)) + scaling.refine.max_sizes
    scales = sizes * max(len(scaling.data), len(scaling.budgets), 1)
    if scales > MAX_SCALES:
        sentence = f"{scales} scales in all, refined ones included; at most {MAX_SCALES} may be"
        yield Problem("rungs" if scaling.rungs else "sizes", sentence)


_SCALES = " * ".join(
    (
        f"({length('sizes')} + {length('rungs')} + "
        "(has(self.refine) && has(self.refine.maxSizes) ? self.refine.maxSizes : 0))",
        f"[{length('data')}, {length('budgets')}, 1].max()",  # of Kubernetes' list library
    )
)


class Scaling(CheckedSection):
    """The ladder of sizes."""

    RULES: ClassVar[tuple[Rule[Scaling], ...]] = (
        Rule(
            check=_sizes_or_rungs,
            cel=f"{is_given('rungs')} ? !has(self.parameter) && !{is_given('sizes')} : "
            f"has(self.parameter) && {is_given('sizes')}",
            message="set parameter and sizes, or rungs",
            field="parameter",
        ),
        Rule(check=_rungs_are_alike),  # CEL does not see values that have no one type
        Rule(check=_rungs_differ),
        *_ascend("sizes"),
        *_ascend("data"),
        *_ascend("budgets"),
        _goes_with("grid", "data"),
        _goes_with("isoflop", "budgets"),
        Rule(
            check=_only_sizes_are_added,
            cel=f"!{is_given('rungs')} || !has(self.refine) || !has(self.refine.maxSizes) || "
            "self.refine.maxSizes == 0",
            message=_ONLY_SIZES,
            field="refine",
        ),
        Rule(
            check=_scales_are_few,
            cel=f"{_SCALES} <= {MAX_SCALES}",
            message=f"at most {MAX_SCALES} scales in all, refined ones included",
            field="sizes",
        ),
    )

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

    @property
    def all_rungs(self) -> tuple[Mapping[str, Scalar], ...]:
        """What each rung of the ladder sets."""
        if self.parameter is None:
            return self.rungs
        return tuple({self.parameter: size} for size in self.sizes)

    @property
    def scaled(self) -> tuple[str, ...]:
        """Names of the parameters that the ladder sets."""
        if self.parameter is not None:
            return (self.parameter,)
        return tuple(self.rungs[0]) if self.rungs else ()
