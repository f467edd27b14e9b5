from hypothesis import given
from hypothesis import strategies as st

from scaling_operator.api.status import MAX_CURVE_POINTS
from scaling_operator.core.curve import LAST_KEPT_STEP, is_kept, kept, thin

points = st.lists(
    st.tuples(st.integers(1, 20_000), st.floats(allow_nan=False, allow_infinity=False)),
    max_size=200,
)


def test_kept_steps_are_dense_at_first_and_then_four_in_each_octave() -> None:
    steps = [step for step in range(-5, 20_000) if is_kept(step)]
    assert steps[:32] == list(range(1, 33))
    assert steps[32:44] == [40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256]
    assert steps[-1] == LAST_KEPT_STEP
    assert len(steps) == MAX_CURVE_POINTS - 1


def test_a_long_curve_keeps_64_points_with_the_last() -> None:
    curve = thin((step, 1.0 / step) for step in range(1, 20_001))
    assert len(curve) == MAX_CURVE_POINTS
    assert curve[-1] == (20_000, 1.0 / 20_000)


@given(points)
def test_thinning_as_points_arrive_is_the_same_as_thinning_at_the_end(
    arriving: list[tuple[int, float]],
) -> None:
    ordered = sorted(dict(reversed(arriving)).items())
    grown: tuple[tuple[int, float], ...] = ()
    for point in ordered:
        grown = thin((*grown, point))
    assert grown == thin(ordered)


@given(points)
def test_thin_points_are_ordered_bounded_and_end_with_the_last(
    arriving: list[tuple[int, float]],
) -> None:
    curve = thin(arriving)
    assert len(curve) <= MAX_CURVE_POINTS
    assert list(curve) == sorted(set(curve))
    assert set(kept(arriving)) <= set(curve) <= set(arriving)
    assert (not curve) == (not arriving)
    if arriving:
        assert curve[-1][0] == max(step for step, _ in arriving)


def test_of_two_values_for_one_step_the_first_counts() -> None:
    assert kept([(2, 0.5), (1, 1.0), (2, 9.0)]) == ((1, 1.0), (2, 0.5))
