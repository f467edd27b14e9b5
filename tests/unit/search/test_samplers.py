import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_operator.search.samplers import trial_seed


@pytest.mark.parametrize(
    ("base", "scale", "number", "seed"),
    [
        pytest.param(7, 0, 0, 3375889397, id="the seed of a spec"),
        pytest.param("7f0c", 2, 31, 2607308552, id="a uid where the spec has none"),
    ],
)
def test_a_seed_is_the_same_in_every_process_and_version(
    base: str | int, scale: int, number: int, seed: int
) -> None:
    assert trial_seed(base, scale, number) == seed


@given(st.integers(0, 99), st.integers(0, 99_999))
def test_a_seed_fits_numpy_and_neighbouring_slots_differ(scale: int, number: int) -> None:
    seed = trial_seed(7, scale, number)
    assert 0 <= seed < 2**32
    assert seed != trial_seed(7, scale, number + 1)
    assert seed != trial_seed(7, scale + 1, number)
    assert seed != trial_seed(8, scale, number)
