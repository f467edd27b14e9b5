"""The options and the results of a fit, as plain frozen values.

`law.published_results` writes the results as the status of an experiment and as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scaling_operator.api.scaling import Target
from scaling_operator.core.fit_types import FitCondition
from scaling_operator.law.bootstrap import Draws, Interval, Intervals, Resample
from scaling_operator.law.envelope import Curves, Envelope
from scaling_operator.law.forms import Form
from scaling_operator.law.holdout import HoldOut
from scaling_operator.law.isoflop import Interpolation, IsoFlop
from scaling_operator.law.law import Law
from scaling_operator.law.parametric_fit import Fitted, NotFitted
from scaling_operator.law.points import Points, RunPath

Method = Literal["parametric", "isoflop", "both"]
BestRun = Callable[[float], tuple[float, float | None] | None]
"""From training FLOPs to the best (N, D); None where the law has none."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A target that has no answer, or cannot even be asked, and why."""

    target: Target
    reason: str
    message: str


Exchange = Callable[[Target, BestRun], float | Unanswered]
"""From a target of cost, and what a budget of FLOPs would train, to the FLOPs that it buys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How to fit: everything that the result depends on.

    `noise` is a measured seed noise (sd of ln L), `start` a further start that the user names,
    `unique_tokens` makes D the effective D' of repeated data, `duplicates` declares that the best
    run of each (N, D) is kept instead of refusing. `predict` holds (N, D), D None in one variable.
    `bootstrap` 0 leaves intervals out. `exchange` answers targets of cost; without it they have no
    answer.
    """

    form: Form | Literal["auto"] = "auto"
    method: Method = "both"
    optimum: Interpolation = "quadratic"
    drop_worst: int = 0
    duplicates: Literal["refuse", "best"] = "refuse"
    bootstrap: int = 1000
    resample: Resample | None = None
    seed: int = 0
    noise: float | None = None
    start: Law | None = None
    unique_tokens: float | None = None
    flat_percent: float = 1.0
    targets: tuple[Target, ...] = ()
    predict: tuple[tuple[float, float | None], ...] = ()
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRecommendation:
    """The size for a target. Numbers are None where the method cannot give them.

    `intervals` has the keys parameters, tokens, tokensPerParameter, loss, flops. `flat_range` are
    the sizes whose loss is within `flat_percent` of the best. `range` is set where the methods
    disagree: the sizes that any of them allows (95 %); act on it, not on the point.
    """

    target: Target
    method: Literal["parametric", "isoflop"]
    flops: float | None
    parameters: float
    tokens: float | None
    tokens_per_parameter: float | None
    loss: float | None
    intervals: dict[str, Intervals]
    flat_range: tuple[float, float] | None = None
    isoflop_parameters: float | None = None
    envelope_parameters: float | None = None
    range: tuple[float, float] | None = None

    @property
    def interval80(self) -> Interval | None:
        """The interval of the size at 80 %."""
        return self.intervals.get("parameters", {}).get(80)

    @property
    def interval95(self) -> Interval | None:
        """The interval of the size at 95 %."""
        return self.intervals.get("parameters", {}).get(95)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The expected loss of a new run; its interval covers the law's doubt and a run's scatter."""

    parameters: float
    tokens: float | None
    loss: float
    intervals: Intervals

    @property
    def interval80(self) -> Interval | None:
        """The interval of the loss at 80 %."""
        return self.intervals.get(80)

    @property
    def interval95(self) -> Interval | None:
        """The interval of the loss at 95 %."""
        return self.intervals.get(95)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """Everything a fit says. Without a fit, `fitted` is None and `conditions` say why.

    `points` are those that were fitted (after dropping, D effective), `dropped` the rows left out
    by the declared rules. `intervals` has the keys E, A, B, alpha, beta, a.
    """

    options: FitOptions
    points: Points
    dropped: tuple[int, ...]
    conditions: tuple[FitCondition, ...]
    path: RunPath
    form: Form | None = None
    fitted: Fitted | None = None
    draws: Draws | None = None
    intervals: dict[str, Intervals]
    isoflop: IsoFlop | None = None
    envelope: Envelope | NotFitted | None = None
    curves: Curves | None = None
    recommendation: tuple[SizeRecommendation, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    hold_out: HoldOut | NotFitted | None = None
