"""The lower envelope of learning curves: from the best trials to a third opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulated_runs import chinchilla_law

from scaling_operator.api.experiment import ExperimentSpec, Objective
from scaling_operator.api.names import ConditionType, TrialState
from scaling_operator.api.status import CurvePoint, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.fit_types import FitInput, TunedPoint
from scaling_operator.core.ladder import Scale
from scaling_operator.core.tally import Tally, add
from scaling_operator.law.fit_experiment import fit
from scaling_operator.law.law import Law, law_of, loss
from scaling_operator.report.law_sections import law_sections

TRUTH = chinchilla_law()
SIZES = tuple(float(n) for n in np.geomspace(1e7, 1e9, 9))
TOKENS_A_PARAMETER = (20.0, 40.0, 80.0)
EVALUATIONS = 32
STABLE = {"name": "wsd", "warmup": 0.0, "decay": 0.25}


def spec_of(schedule: Mapping[str, Any] | None) -> ExperimentSpec:
    """Build a grid of sizes and data; without a schedule the trainer is one's own."""
    built_in = {
        "task": "classification",
        "dataset": {"name": "digits"},
        "model": {"name": "mlp"},
        "optimizer": {"name": "adam", "schedule": dict(schedule or {})},
    }
    rungs = [{"n": size, "ratio": ratio} for size in SIZES for ratio in TOKENS_A_PARAMETER]
    return ExperimentSpec.model_validate(
        {
            "objective": {"metric": "val_loss", "direction": "minimize"},
            "trainer": {"container": {"command": ["true"]}}
            if schedule is None
            else {"builtIn": built_in},
            "scaling": {
                "rungs": rungs,
                "fit": {"bootstrap": 100},
                "targets": [{"flops": 1e20}],
            },
        }
    )


def fit_input(
    schedule: Mapping[str, Any] | None,
    *,
    phases: Sequence[str | None] = (None,) * EVALUATIONS,
    on_the_way: Law = TRUTH,
) -> FitInput:
    """Train every size on several amounts of data; before the end another law may hold."""
    points: list[TunedPoint] = []
    for size in SIZES:
        for ratio in TOKENS_A_PARAMETER:
            steps = np.arange(1, EVALUATIONS + 1)
            tokens = ratio * size * steps / EVALUATIONS
            losses = loss(TRUTH, np.full_like(tokens, size), tokens)[0]
            losses[:-1] = loss(on_the_way, np.full_like(tokens, size), tokens)[0][:-1]
            curve = tuple(
                CurvePoint(step=int(step), value=float(value), phase=phase)
                for step, value, phase in zip(steps, losses, phases, strict=True)
            )
            at = len(points)
            end, flops = float(losses[-1]), 6.0 * size * float(tokens[-1])
            scale = Scale(at, {"n": size, "ratio": ratio})
            point = TunedPoint(scale, f"{at}-0", end, dict(scale.parameters), size)
            points.append(replace(point, samples=float(tokens[-1]), flops=flops, curve=curve))
    return FitInput(spec_of(schedule), tuple(points))


def test_curves_under_a_constant_rate_give_the_exponent_a_third_time() -> None:
    view = fit(fit_input({"name": "constant"})).view
    envelope = view.status.envelope
    assert envelope is not None
    assert envelope.reason is None
    assert envelope.a == pytest.approx(float(TRUTH.a[0]), abs=0.03)
    assert len(envelope.optima) >= 3
    assert view.status.parameters["a"] == pytest.approx(float(TRUTH.a[0]), abs=0.01)
    assert ConditionType.METHODS_DISAGREE not in [condition.type for condition in view.conditions]


def test_of_a_schedule_that_decays_the_stable_phase_counts_alone() -> None:
    phases = ["stable"] * (EVALUATIONS - 8) + ["decay"] * 8
    stable = fit_input(STABLE, phases=phases)
    fallen = tuple(
        replace(
            point,
            curve=tuple(
                reading.model_copy(update={"value": 0.1}) if reading.phase == "decay" else reading
                for reading in point.curve
            ),
        )
        for point in stable.points
    )
    whole, decayed = (
        fit(trained).view.status.envelope for trained in (stable, replace(stable, points=fallen))
    )
    assert whole is not None
    assert whole.a is not None
    assert whole == decayed


def test_an_envelope_that_contradicts_the_law_makes_the_methods_disagree() -> None:
    # The same loss at 2e9 tokens, and a falls from 0.514 to 0.419.
    shallower = law_of((477.8, 2143.4 * 2e9 ** (0.25 - 0.36717), 1.81722), (0.34731, 0.25))
    view = fit(fit_input({"name": "constant"}, on_the_way=shallower)).view
    envelope = view.status.envelope
    assert envelope is not None
    assert envelope.a is not None
    assert abs(envelope.a - view.status.parameters["a"]) > 0.05
    condition = next(c for c in view.conditions if c.type is ConditionType.METHODS_DISAGREE)
    assert "by the envelope of curves" in condition.message
    (answer,) = view.recommendations
    assert answer.range is not None
    low, high = answer.range.low, answer.range.high
    assert low is not None
    assert high is not None
    assert answer.parameters is not None
    assert low <= answer.parameters <= high
    assert high > 1.1 * low


def test_the_report_draws_the_curves_where_they_allow_an_envelope() -> None:
    drawn = fit(fit_input({"name": "constant"}))
    slugs = [section.slug for section in law_sections(drawn.report, drawn.prepared.points)]
    assert "envelope" in slugs
    refused = fit(fit_input({"name": "cosine"}))
    slugs = [section.slug for section in law_sections(refused.report, refused.prepared.points)]
    assert "envelope" not in slugs


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        pytest.param(
            fit_input({"name": "cosine"}), "CurvesNotComparable", id="a cosine that is cut short"
        ),
        pytest.param(
            fit_input(None), "CurvesNotComparable", id="a trainer of one's own that names no phase"
        ),
        pytest.param(
            fit_input(STABLE, phases=["decay"] * EVALUATIONS), "TooFewSizes", id="nothing is stable"
        ),
        pytest.param(
            replace(
                fit_input({"name": "constant"}),
                points=tuple(replace(p, curve=()) for p in fit_input({"name": "constant"}).points),
            ),
            "NoCurves",
            id="values at the end alone",
        ),
        pytest.param(
            replace(
                fit_input({"name": "constant"}),
                points=tuple(
                    replace(p, curve=p.curve[-2:]) for p in fit_input({"name": "constant"}).points
                ),
            ),
            "TooFewSizes",
            id="two values are no curve",
        ),
    ],
)
def test_curves_that_allow_no_envelope_say_why_and_the_law_stands(
    refused: FitInput, reason: str
) -> None:
    view = fit(refused).view
    envelope = view.status.envelope
    assert envelope is not None
    assert (envelope.a, envelope.optima) == (None, ())
    assert envelope.reason == reason
    assert envelope.message
    assert view.status.form == "chinchilla"
    assert ConditionType.METHODS_DISAGREE not in [condition.type for condition in view.conditions]


def test_a_trainer_of_ones_own_that_names_its_phases_is_compared() -> None:
    envelope = fit(fit_input(None, phases=["stable"] * EVALUATIONS)).view.status.envelope
    assert envelope is not None
    assert envelope.a == pytest.approx(float(TRUTH.a[0]), abs=0.03)


def test_of_a_scale_the_best_trials_curve_is_kept() -> None:
    tally = Tally()
    goal = Objective.model_validate({"metric": "m", "direction": "minimize"})
    for number, value in enumerate((3.0, 1.0, 2.0)):
        spec = TrialSpec(
            experiment=ExperimentReference(name="x", uid="u"),
            scale=0,
            number=number,
            parameters={},
            searched=(),
            seed=1,
        )
        curve = (CurvePoint(step=1, value=value),)
        status = TrialStatus(state=TrialState.SUCCEEDED, values=(value,), curve=curve)
        tally = add(tally, ScalingTrial(spec=spec, status=status), (goal,))
    assert [point.value for point in tally.curve] == [1.0]
