"""Algorithms and pruners of `spec.search`: what proposes points, and what stops trials early."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scaling_operator.api.fields import ApiSection, CheckedSection
from scaling_operator.api.rules import Rule, value_or


class Seeded(ApiSection):
    """What every algorithm shares."""

    seed: int | None = Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="The same seed proposes the same; absent: the experiment's uid.",
    )


class RandomAlgorithm(Seeded):
    """Independent random points."""

    name: Literal["random"]


class GridAlgorithm(Seeded):
    """Every combination: categorical and int parameters, and floats that have a step."""

    name: Literal["grid"]


class TpeAlgorithm(Seeded):
    """Tree-structured Parzen estimator."""

    name: Literal["tpe"]
    startup_trials: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Random trials before the first estimate. Absent: 10, or half of trials.max "
        "where that is less.",
    )


class GpAlgorithm(Seeded):
    """Gaussian process; needs the extra `gp`."""

    name: Literal["gp"]
    startup_trials: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Random trials before the first estimate. Absent: 10, or half of trials.max "
        "where that is less.",
    )


class GeneticAlgorithm(Seeded):
    """NSGA-II, also for several objectives. The first generation is random."""

    name: Literal["genetic"]
    population_size: int = Field(default=20, ge=2, le=10_000, description="Trials of a generation.")


Algorithm = Annotated[
    RandomAlgorithm | GridAlgorithm | TpeAlgorithm | GpAlgorithm | GeneticAlgorithm,
    Field(discriminator="name"),
]


class NoPruner(ApiSection):
    """Every trial runs to its end."""

    name: Literal["none"]


class MedianPruner(ApiSection):
    """Stop a trial whose best value so far is worse than the others' median at the same step."""

    name: Literal["median"]
    startup_trials: int = Field(
        default=5, ge=0, le=10_000, description="Finished trials before the first decision."
    )
    warmup_steps: int = Field(
        default=0, ge=0, le=10_000_000, description="Steps of a trial without a decision."
    )


class PercentilePruner(ApiSection):
    """Like median, with the percentile that is kept."""

    name: Literal["percentile"]
    percentile: float = Field(
        default=25.0, ge=0, le=100, description="Share of the best that goes on, in per cent."
    )
    startup_trials: int = Field(
        default=5, ge=0, le=10_000, description="Finished trials before the first decision."
    )
    warmup_steps: int = Field(
        default=0, ge=0, le=10_000_000, description="Steps of a trial without a decision."
    )


class PatientPruner(ApiSection):
    """Stop a trial that has not improved for a number of steps; a pruned one is never the best."""

    name: Literal["patient"]
    patience: int = Field(
        default=5, ge=0, le=10_000, description="Steps without improvement before the stop."
    )
    min_delta: float = Field(default=0.0, ge=0, description="Smallest improvement that counts.")


FIRST_RUNG = 1
REDUCTION_FACTOR = 3


class AshaPruner(ApiSection):
    """Asynchronous successive halving: at each rung the best 1/reductionFactor go on."""

    name: Literal["asha"]
    min_steps: int = Field(
        default=FIRST_RUNG, ge=1, le=10_000_000, description="Step of the first rung."
    )
    reduction_factor: int = Field(
        default=REDUCTION_FACTOR,
        ge=2,
        le=100,
        description="Steps grow, and trials shrink, by this per rung.",
    )


_NO_RUNG = "leaves no rung; it must be at least minSteps x reductionFactor"


class HyperbandPruner(CheckedSection):
    """Successive halving with several first rungs at once."""

    RULES: ClassVar[tuple[Rule[HyperbandPruner], ...]] = (
        Rule(
            holds=lambda pruner: pruner.max_steps >= pruner.min_steps * pruner.reduction_factor,
            sentence=lambda pruner: (
                f"maxSteps {pruner.max_steps} {_NO_RUNG}, "
                f"{pruner.min_steps * pruner.reduction_factor}"
            ),
            cel=f"self.maxSteps >= {value_or('minSteps', FIRST_RUNG)} * "
            f"{value_or('reductionFactor', REDUCTION_FACTOR)}",
            message=f"maxSteps {_NO_RUNG}",
            field="maxSteps",
        ),
    )

    name: Literal["hyperband"]
    min_steps: int = Field(
        default=FIRST_RUNG, ge=1, le=10_000_000, description="Step of the earliest rung."
    )
    max_steps: int = Field(ge=1, le=10_000_000, description="Steps of a full trial.")
    reduction_factor: int = Field(
        default=REDUCTION_FACTOR,
        ge=2,
        le=100,
        description="Steps grow, and trials shrink, by this per rung.",
    )


Pruner = Annotated[
    NoPruner | MedianPruner | PercentilePruner | PatientPruner | AshaPruner | HyperbandPruner,
    Field(discriminator="name"),
]
