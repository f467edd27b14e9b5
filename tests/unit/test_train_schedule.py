from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from scaling_trainer.config.training import Constant, Cosine, Schedule, WarmupStableDecay
from scaling_trainer.schedule import factor

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
    ],
)  # fmt: skip
def test_rates_of_four_steps(schedule: dict[str, object], expected: list[float]) -> None:
    config: Schedule = TypeAdapter[Schedule](Schedule).validate_python(schedule)
    assert [factor(config, step, 4) for step in range(4)] == pytest.approx(expected)


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
    assert all(0 < factor(schedule, step, total) <= 1 for step in range(total))
