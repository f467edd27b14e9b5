from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from scaling_trainer.config.base import SectionError
from scaling_trainer.config.training import Constant, Cosine, Schedule, WarmupStableDecay
from scaling_trainer.optimization import ends_of_decays, learning_rate_share, phase_after

SHARES = st.floats(0, 0.5)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        pytest.param({"name": "constant"}, [1, 1, 1, 1], id="constant never moves"),
        pytest.param(
            {"name": "cosine"}, [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)],
            id="cosine begins at the full rate",
        ),
        pytest.param(
            {"name": "cosine", "warmup": 0.5}, [0.5, 1, 1, 0.5], id="cosine falls after its warm-up"
        ),
        pytest.param(
            {"name": "cosine", "warmup": 1.0}, [0.25, 0.5, 0.75, 1], id="nothing but warm-up"
        ),
        pytest.param(
            {"name": "wsd", "warmup": 0.25, "decay": 0.5}, [1, 1, 1, 1 - math.sqrt(0.5)],
            id="wsd decays as 1 - sqrt",
        ),
        pytest.param({"name": "wsd", "warmup": 0, "decay": 0}, [1, 1, 1, 1], id="wsd of no phases"),
        pytest.param(
            {"name": "wsd", "warmup": 0, "decay": 0.5, "early_decays": [0.5]},
            [1, 1, 1, 1 - math.sqrt(0.5)],
            id="an early decay is as long a share of its point",
        ),
    ],
)  # fmt: skip
def test_rates_of_four_steps(schedule: dict[str, object], expected: list[float]) -> None:
    config: Schedule = TypeAdapter[Schedule](Schedule).validate_python(schedule)
    assert [learning_rate_share(config, step, 4) for step in range(4)] == pytest.approx(expected)


def wsd(**fields: object) -> WarmupStableDecay:
    return WarmupStableDecay.model_validate({"name": "wsd", **fields})


def test_after_an_early_decay_the_rate_is_full_again() -> None:
    schedule = wsd(warmup=0.0, decay=0.2, early_decays=[0.5])
    rates = [learning_rate_share(schedule, step, 20) for step in range(20)]
    assert rates[:9] == [1.0] * 9
    assert rates[9] == pytest.approx(1 - math.sqrt(0.5))
    assert rates[10:17] == [1.0] * 7
    assert ends_of_decays(schedule, 20) == (10, 20)


def test_phases_say_what_may_be_compared() -> None:
    schedule = wsd(warmup=0.1, decay=0.2, early_decays=[0.5])
    named = [phase_after(schedule, steps, 20) for steps in range(1, 21)]
    assert named[:4] == ["warmup"] * 4, "a tenth of grace follows a warm-up"
    assert named[4:8] == ["stable"] * 4
    assert named[8:10] == ["decay"] * 2
    assert named[10:12] == ["warmup"] * 2, "and an early decay"
    assert named[12:16] == ["stable"] * 4
    assert named[16:] == ["decay"] * 4
    assert phase_after(Constant(name="constant"), 3, 20) is None


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        pytest.param({"early_decays": [0.5, 0.3]}, "ends at 0.3 begins before 0.5", id="order"),
        pytest.param({"decay": 0.6, "early_decays": [0.5]}, "ends at 1 begins", id="overlap"),
        pytest.param(
            {"warmup": 0.3, "decay": 0.2, "early_decays": [0.3]}, "begins before 0.3", id="warm-up"
        ),
        pytest.param({"early_decays": [1.0]}, "less than 1", id="the end is no early decay"),
    ],
)
def test_early_decays_follow_one_another(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises((ValidationError, SectionError), match=complaint):
        wsd(**fields)


@given(
    schedule=st.one_of(
        st.just(Constant(name="constant")),
        st.builds(Cosine, name=st.just("cosine"), warmup=SHARES),
        st.builds(WarmupStableDecay, name=st.just("wsd"), warmup=SHARES, decay=SHARES),
    ),
    total=st.integers(1, 500),
)
def test_every_rate_moves_the_weights_and_none_exceeds_the_full_one(
    schedule: Schedule, total: int
) -> None:
    assert all(0 < learning_rate_share(schedule, step, total) <= 1 for step in range(total))
