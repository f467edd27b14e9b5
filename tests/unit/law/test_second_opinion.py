"""IsoFLOP, repeated data, judgements and the document."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_runs import IsoFlopDesign, chinchilla_law, simulated, with_one_rate

from scaling_operator.api.names import ConditionType
from scaling_operator.api.scaling import Target
from scaling_operator.law.fit_points import fit_points
from scaling_operator.law.isoflop import Interpolation, fit_isoflop, optimal_size
from scaling_operator.law.optimum import allocate, effective_tokens
from scaling_operator.law.points import RunPath
from scaling_operator.law.published_results import to_json
from scaling_operator.law.results import FitOptions, FitReport

LAW = chinchilla_law()
GOOD = simulated(LAW, IsoFlopDesign(5, 7))
TARGET = Target(flops=1e21)
ASKED = FitOptions(targets=(TARGET,), predict=((1e9, 2e10),), bootstrap=200)

PARAMETER_DECAY = 5.309743
"""R_N* of the published fit: parameters beyond the optimum decay as tokens do."""


def _types(report: FitReport) -> list[ConditionType]:
    return [condition.type for condition in report.conditions]


@pytest.mark.parametrize(
    ("interpolation", "width", "bias"),
    [
        ("quadratic", 8.0, 0.011),
        ("quadratic", 16.0, 0.02),
        ("quadratic", 4.0, 0.007),
        ("akima", 8.0, 0.002),
    ],
)
def test_isoflop_without_noise_has_the_bias_of_the_reference(
    interpolation: Interpolation, width: float, bias: float
) -> None:
    points = simulated(LAW, IsoFlopDesign(5, 7, width=width))
    power = fit_isoflop(points, interpolation=interpolation).power
    assert power is not None
    truth = allocate(LAW, Target(flops=1e22), RunPath()).parameters[0]
    assert abs(optimal_size(power, 1e22)[0] / truth - 1.0) == pytest.approx(bias, abs=3e-3)


def test_akimas_exponent_scatters_more_than_the_quadratics() -> None:
    rng = np.random.default_rng(2)
    spread: dict[Interpolation, list[float]] = {"quadratic": [], "akima": []}
    for _ in range(30):
        points = simulated(LAW, IsoFlopDesign(5, 7), noise=0.005, rng=rng)
        for interpolation, exponents in spread.items():
            power = fit_isoflop(points, interpolation=interpolation).power
            if power is not None:
                exponents.append(float(power.a[0]))
    assert 0.004 < np.std(spread["quadratic"]) < 0.012
    assert np.std(spread["akima"]) > 5 * np.std(spread["quadratic"])


@pytest.mark.parametrize("interpolation", ["quadratic", "akima"])
def test_isoflop_exponent_has_an_interval_that_holds_it(interpolation: Interpolation) -> None:
    points = simulated(LAW, IsoFlopDesign(5, 9), noise=0.002, rng=np.random.default_rng(3))
    report = fit_points(points, replace(ASKED, method="isoflop", optimum=interpolation))
    assert report.isoflop is not None
    low, high = report.isoflop.intervals[95]
    assert report.isoflop.power is not None
    assert low <= report.isoflop.power.a[0] <= high
    (answer,) = report.recommendation
    assert (answer.method, answer.loss) == ("isoflop", None)
    assert answer.parameters * (answer.tokens or 0.0) * 6 == pytest.approx(1e21)


def test_methods_that_disagree_downgrade_the_answer_to_a_range() -> None:
    bent = with_one_rate(GOOD, kappa=0.03, rate_fits=float(GOOD.N.max()))
    shifted = replace(bent, L=bent.L * (bent.N / bent.N.min()) ** (0.002 * np.log(bent.N / 1e8)))
    report = fit_points(shifted, replace(ASKED, form="tied"))
    assert ConditionType.METHODS_DISAGREE in _types(report)
    (answer,) = report.recommendation
    assert answer.range is not None
    assert answer.isoflop_parameters is not None
    low, high = answer.range
    assert low <= min(answer.parameters, answer.isoflop_parameters)
    assert high >= max(answer.parameters, answer.isoflop_parameters)


def test_noisy_runs_are_called_too_noisy() -> None:
    points = simulated(LAW, IsoFlopDesign(3, 5), noise=0.05, rng=np.random.default_rng(4))
    asked = replace(ASKED, targets=(Target(flops=1e22),), method="parametric")
    assert ConditionType.NOISE_TOO_HIGH in _types(fit_points(points, asked))


def test_loss_below_the_floor_has_no_size() -> None:
    report = fit_points(GOOD, replace(ASKED, targets=(Target(loss=1.5),)))
    assert report.recommendation == ()
    assert ConditionType.TARGET_UNANSWERED in _types(report)


def test_document_has_the_promised_keys_and_is_strict_json() -> None:
    document = to_json(fit_points(GOOD, ASKED))
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    promised = "form E A B alpha beta a objective points intervals isoflop recommendation"
    assert set(f"{promised} predictions conditions".split()) <= document.keys()
    assert document["points"] == 35
    answers = document["recommendation"]
    assert isinstance(answers, list)
    assert isinstance(answers[0], dict)
    of_answer = "targetFlops parameters tokens tokensPerParameter loss interval80 interval95"
    assert set(f"{of_answer} flatRange".split()) <= answers[0].keys()
    assert answers[0]["targetFlops"] == 1e21


def test_same_seed_gives_the_same_report_and_another_seed_another() -> None:
    points = simulated(LAW, IsoFlopDesign(5, 7), noise=0.005, rng=np.random.default_rng(6))
    first, again = (to_json(fit_points(points, ASKED)) for _ in range(2))
    assert first == again
    reseeded = to_json(fit_points(points, replace(ASKED, seed=1)))
    assert reseeded["intervals"] != first["intervals"]
    assert reseeded["a"] == pytest.approx(first["a"], rel=1e-5)


def test_interval_of_a_new_run_is_wider_than_that_of_the_law() -> None:
    points = simulated(LAW, IsoFlopDesign(5, 7), noise=0.01, rng=np.random.default_rng(8))
    size = 1e9
    report = fit_points(points, replace(ASKED, targets=(TARGET,), predict=((size, 2e10),)))
    low, high = report.predictions[0].intervals[80]
    assert low < report.predictions[0].loss < high
    assert high / low > 1.01


def test_four_epochs_are_worth_nearly_four_times_the_data() -> None:
    assert effective_tokens(np.array([4e9]), 1e9)[0] / 1e9 == pytest.approx(3.73, abs=0.01)


@given(seen=st.floats(1e3, 1e15), unique=st.floats(1e3, 1e12))
def test_repeated_data_are_never_worth_more_than_seen_nor_than_the_limit(
    seen: float, unique: float
) -> None:
    worth = float(effective_tokens(np.array([seen]), unique)[0])
    assert 0 < worth <= seen * (1 + 1e-12)
    assert worth <= 16.3878 * unique
    if seen <= unique:
        assert worth == pytest.approx(seen)


def test_parameters_lose_their_worth_sooner_than_data() -> None:
    assert effective_tokens(np.array([1e12]), 1e9, PARAMETER_DECAY)[0] == pytest.approx(
        6.3097e9, rel=1e-3
    )
    with pytest.raises(ValueError, match="must be above 0"):
        effective_tokens(np.array([1.0]), 0.0)


def test_scarce_data_make_the_best_model_larger_and_the_loss_higher() -> None:
    plenty = fit_points(GOOD, ASKED).recommendation[0]
    # More unique tokens than any run saw, fewer than the target would want.
    scarce = fit_points(GOOD, replace(ASKED, unique_tokens=6.6e10 / 3)).recommendation[0]
    assert scarce.parameters > 1.02 * plenty.parameters
    assert (scarce.tokens or 0.0) < (plenty.tokens or 0.0)
    assert scarce.loss is not None
    assert plenty.loss is not None
    assert scarce.loss > plenty.loss
