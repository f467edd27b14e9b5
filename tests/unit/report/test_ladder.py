"""What a ladder's fit adds to an experiment's report."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import TrialState
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status import ExperimentStatus, TrialStatus
from scaling_operator.api.status_fit import Interval, ScalePrediction
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.cli.summary import fit_lines
from scaling_operator.core.fit_input import fit_input_of
from scaling_operator.core.fit_types import checked
from scaling_operator.core.observed import ABSENT, Rules
from scaling_operator.core.plan import plan
from scaling_operator.law.fit_experiment import fit
from scaling_operator.local.loading import PriceList
from scaling_operator.report.build import draw, fit_of
from scaling_operator.runtime.record import ExperimentRecord
from scaling_operator.runtime.state import read_state

SIZES = (1, 2, 4, 8, 16, 32, 64)


def outcome_of(
    sizes: tuple[int, ...] = SIZES,
    *,
    direction: str = "minimize",
    targets: Sequence[Mapping[str, float]] = ({"parameters": 2e6}, {"loss": 0.15}),
    policy: PolicySpec | None = None,
) -> ExperimentRecord:
    """Make an experiment of one trial per size on a power law, with its status."""
    spec = ExperimentSpec.model_validate(
        {
            "objective": {"metric": "m", "direction": direction},
            "search": {
                "parameters": {"rate": {"type": "float", "low": 1e-4, "high": 1, "log": True}},
                "algorithm": {"name": "random", "seed": 3},
            },
            "trials": {"max": 1},
            "trainer": {"container": {"command": ["true"]}},
            "scaling": {
                "parameter": "size",
                "sizes": sizes,
                "targets": list(targets),
            },
        }
    )
    trials = tuple(_trial(at, size, direction) for at, size in enumerate(sizes))
    book = read_state(spec, Rules(max_trials=1, fits=True), ExperimentStatus(), trials)
    book.machines = None if policy is None else PriceList(policy)
    observed = book.observe(lambda _trial, _key: ABSENT, (), 0.0)
    fit_input = fit_input_of(observed)
    assert fit_input is not None
    book.fit = fit(fit_input).view
    status = plan(book.observe(lambda _trial, _key: ABSENT, (), 0.0)).status
    return ExperimentRecord("ladder", "uid", spec, _predicted(status), trials)


def _trial(scale: int, size: int, direction: str) -> ScalingTrial:
    n = 10_000.0 * size
    loss = (0.1 + 20.0 / n**0.5) * (1 + 0.01 * math.sin(7 * scale))
    value = loss if direction == "minimize" else 1 - loss
    return ScalingTrial(
        spec=TrialSpec(
            experiment=ExperimentReference(name="ladder", uid="uid"),
            scale=scale,
            number=0,
            parameters={"size": size, "rate": 0.5 * n**-0.3},
            searched=("rate",),
            seed=1,
        ),
        status=TrialStatus(
            state=TrialState.SUCCEEDED,
            values=(value,),
            metrics={"m": value},
            model_parameters=n,
            samples=1e5,
        ),
    )


def _predicted(status: ExperimentStatus) -> ExperimentStatus:
    """Give the last scale a prediction, as it would have had one."""
    *before, last = status.scales
    if last.best is None or status.fit is None or not status.fit.parameters:
        return status
    best_value = last.best.values[0]
    predicted = ScalePrediction(
        value=best_value * 1.01,
        interval80=Interval(low=best_value * 0.99, high=best_value * 1.03),
        model_parameters=640_000,
        points=6,
    )
    held = last.model_copy(update={"predicted": checked(predicted, best_value)})
    return status.model_copy(update={"scales": (*before, held)})


def slugs(page: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)">', page)


def figures(page: str) -> dict[str, Any]:
    scripts = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', page)
    return {name: json.loads(text) for name, text in scripts}


def test_a_ladder_with_a_law_shows_all_that_a_fit_has_to_say() -> None:
    page = draw(outcome_of())
    named = slugs(page)
    for slug in ("loss-against-size", "answers", "hyperparameters", "predicted", "size", "quality"):
        assert slug in named
    assert "With <strong>2 M parameters</strong> at size 200 on " in page
    assert "The law is L(N) = " in page
    assert "NaN" not in page.split("plotly")[-1]


def test_the_plots_hold_the_law_its_band_and_what_was_predicted() -> None:
    drawn = figures(draw(outcome_of()))
    names = {curve["name"] for curve in drawn["loss-against-size-1"]["data"]}
    assert {"law", "extrapolated", "80 % band", "target"} <= names
    assert {
        axis: drawn["loss-against-size-1"]["layout"][axis]["type"] for axis in ("xaxis", "yaxis")
    } == {
        "xaxis": "log",
        "yaxis": "log",
    }
    agreement = {curve["name"]: curve for curve in drawn["predicted-1"]["data"]}
    assert len(agreement["fitted"]["x"]) == 7
    assert len(agreement["before training"]["x"]) == 1
    trend = {curve["name"] for curve in drawn["hyperparameters-1"]["data"]}
    assert trend == {"N^-0.30", "best of a size"}


def test_a_score_is_drawn_as_its_error() -> None:
    page = draw(outcome_of(direction="maximize"))
    assert "1 - score" in page
    assert "1 - score(N) = " in page


def test_a_ladder_without_a_law_says_why_and_draws_none() -> None:
    page = draw(outcome_of(SIZES[:4]))
    assert "loss-against-size" not in slugs(page)
    assert "No law is fitted: 4 distinct sizes; add 1 to make 5." in page


PRICED = PolicySpec.model_validate(
    {"shapes": [{"name": "cpu", "flops": 6.4e10, "utilization": 0.5, "pricePerHour": 2}]}
)


def test_the_recommendation_says_what_its_run_takes_and_a_page_drawn_later_too() -> None:
    record = outcome_of(targets=[{"parameters": 2e6}, {"cost": 1}], policy=PRICED)
    by_size, by_cost = record.status.recommendations
    # 6 x 2e6 parameters x 1e5 samples at 3.2e10 FLOP/s are 37.5 s, and 10 s to start.
    assert by_size.hours == pytest.approx(47.5 / 3600, rel=1e-3)
    assert by_size.cost == pytest.approx(2 * 47.5 / 3600, rel=1e-3)
    assert by_cost.cost == pytest.approx(1, rel=1e-6)
    page = draw(record)  # by a process that has no policy
    assert "Such a run takes cpu, 47.5 s and a cost of 0.0264." in page
    assert "For a cost of 1 train" in page
    lines = fit_lines(record.status)
    assert any(line.endswith(", cpu, 47.5 s, a cost of 0.0264") for line in lines)


def test_a_report_that_is_drawn_again_is_the_same() -> None:
    record = outcome_of()
    assert draw(record) == draw(record, None, fit_of(record))


def test_the_end_of_a_run_says_what_is_recommended_or_why_nothing_is() -> None:
    lines = fit_lines(outcome_of().status)
    assert lines[0].startswith("For parameters 2e+06: N 2e+06, size 200, loss 0.11")
    assert any(line.startswith("EdgeOptimum: m is best at the largest size") for line in lines)
    refused = fit_lines(outcome_of(SIZES[:4]).status)
    assert refused[0] == "No fit: 4 distinct sizes; add 1 to make 5"
    assert fit_lines(ExperimentStatus()) == []
