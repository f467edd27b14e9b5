"""Splitting: complete, disjoint, by seed alone, classes in their shares."""

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from scaling_trainer.config.data import Bundled
from scaling_trainer.data.split import sizes, split_classes, split_rows
from scaling_trainer.data_error import DataError


@st.composite
def splits(draw: st.DrawFn) -> Bundled:
    validation = draw(st.floats(0.05, 0.8))
    test = draw(st.floats(0.05, 0.9 - validation))
    return Bundled(
        name="iris", validation=validation, test=test, seed=draw(st.integers(0, 2**32 - 1))
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 400), splits())
def test_rows_are_split_completely_and_no_row_is_in_two_parts(rows: int, split: Bundled) -> None:
    parts = split_rows(rows, split)
    assert sorted(np.concatenate(parts).tolist()) == list(range(rows))
    assert tuple(map(len, parts)) == sizes(rows, split)


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 400), splits())
def test_the_same_seed_splits_the_same(rows: int, split: Bundled) -> None:
    for first, second in zip(split_rows(rows, split), split_rows(rows, split), strict=True):
        np.testing.assert_array_equal(first, second)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(3, 200), min_size=2, max_size=6), splits())
def test_classes_are_split_completely_and_keep_their_shares(
    counts: list[int], split: Bundled
) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    labels = tuple(str(label) for label in range(len(counts)))
    try:
        parts = split_classes(classes, labels, split)
    except DataError:  # a class too small for these shares: the next tests say which
        reject()
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(classes)))
    for part in parts:
        share = np.bincount(classes[part], minlength=len(counts)) / len(part)
        shares = np.array(counts) / len(classes)
        # Two draws, each of which may round a class by one row.
        assert np.abs(share - shares).max() <= 2 / len(part)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(25, 200), min_size=2, max_size=4), st.integers(0, 2**32 - 1))
def test_classes_of_25_rows_and_more_are_in_every_part(counts: list[int], seed: int) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    labels = tuple("abcd"[: len(counts)])
    parts = split_classes(classes, labels, Bundled(name="iris", seed=seed))
    for part in parts:
        assert set(classes[part]) == set(range(len(counts)))


THIN = [
    pytest.param([50, 2], 0.2, 0.2, "class 'b' has 2 of 52 rows", id="two rows for three parts"),
    pytest.param([500, 5], 0.2, 0.01, "class 'b' has 5 of 505 rows", id="a small test part"),
    pytest.param([500, 5], 0.01, 0.2, "class 'b' has 5 of 505 rows", id="a small validation part"),
    pytest.param([500, 5], 0.49, 0.5, "class 'b' has 5 of 505 rows", id="a small training part"),
    pytest.param([9, 9], 0.06, 0.5, "class 'a' has 9 of 18 rows", id="a part of one row"),
]


@pytest.mark.parametrize(("counts", "validation", "test", "sentence"), THIN)
def test_a_class_that_would_be_missing_in_a_part_is_named(
    counts: list[int], validation: float, test: float, sentence: str
) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    split = Bundled(name="iris", validation=validation, test=test)
    with pytest.raises(DataError) as refused:
        split_classes(classes, ("a", "b"), split)
    assert refused.value.path == "dataset.target"
    assert refused.value.message.startswith(sentence)
