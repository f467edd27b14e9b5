import math
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from scaling_operator.api.names import TrialState
from scaling_operator.api.search import Search
from scaling_operator.search.extras import missing_extra
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import Study, StudySettings

PARAMETERS: dict[str, Any] = {
    "matters": {"type": "float", "low": 0, "high": 1},
    "idle": {"type": "float", "low": 0, "high": 1},
    "kind": {"type": "categorical", "choices": ["a", "b"]},
    "rare": {"type": "int", "low": 1, "high": 4, "when": {"kind": ["b"]}},
}


def a_study(values: Sequence[float] | None, trials: int = 0, *, objectives: int = 1) -> Study:
    search = Search.model_validate({"parameters": PARAMETERS, "algorithm": {"name": "random"}})
    directions = ("minimize", "maximize")[:objectives]
    study = Study(StudySettings("s", search, directions, 3, 0))
    for number in range(len(values) if values is not None else trials):
        parameters = study.ask(number).parameters
        value = values[number] if values is not None else float(parameters["matters"]) ** 2
        ends = (value,) * objectives
        study.tell(Record(number, parameters, {}, TrialState.SUCCEEDED, False, ends, ()))  # noqa: FBT003
    return study


@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.5], id="one trial"),
        pytest.param([0.5, 0.2], id="two trials"),
        pytest.param([0.5] * 12, id="all values equal"),
        pytest.param([0.1 * number for number in range(25)], id="a full study"),
        pytest.param([1e308, -1e308, 0.0], id="enormous values"),
    ],
)
def test_shares_are_finite_and_add_up_to_one(values: Sequence[float], objectives: int) -> None:
    shares = a_study(values, objectives=objectives).importances()
    assert all(math.isfinite(share) and share >= 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) <= set(PARAMETERS)
    assert {"matters", "idle", "kind"} <= set(shares)


def test_without_a_completed_trial_there_are_none() -> None:
    assert a_study([]).importances() == {}


def test_what_decides_the_value_comes_first() -> None:
    shares = a_study(None, trials=60).importances()
    assert next(iter(shares)) == "matters"
    assert shares["matters"] > 0.5


@pytest.mark.parametrize("loads", [True, False])
def test_an_algorithm_that_lacks_its_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
    loads: bool,  # noqa: FBT001
) -> None:
    search = Search.model_validate({"parameters": PARAMETERS, "algorithm": {"name": "gp"}})
    monkeypatch.setitem(sys.modules, "torch", None)
    answer = missing_extra(search, loads=loads)
    assert answer is not None
    assert "the algorithm gp needs torch" in answer
    assert "scaling-operator[gp]" in answer


@pytest.mark.parametrize("name", ["random", "grid", "tpe", "genetic", "gp"])
def test_an_algorithm_that_has_what_it_needs_is_available(name: str) -> None:
    pytest.importorskip("torch", reason="the extra gp is not installed")
    search = Search.model_validate({"parameters": PARAMETERS, "algorithm": {"name": name}})
    assert missing_extra(search) is None
    assert missing_extra(search, loads=False) is None
