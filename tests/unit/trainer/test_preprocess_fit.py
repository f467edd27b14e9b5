"""What is learned from the training part, and what rows become by it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import (  # pyright: ignore[reportMissingTypeStubs] # it ships none
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from scaling_trainer.config.base import Task
from scaling_trainer.config.data import Bundled, Table
from scaling_trainer.config.preprocessing import Preprocessing
from scaling_trainer.data.builtin_sets import bundled
from scaling_trainer.data.prepare_ratings import prepare_ratings
from scaling_trainer.data.prepare_rows import prepare_rows
from scaling_trainer.data.prepared import Prepared
from scaling_trainer.data.source import RatingSource, Recipe, RowSource
from scaling_trainer.data.split import split_rows
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess import Preprocessor
from scaling_trainer.preprocess.fit import class_target, fit_scale, in_order

HOMES = Table(name="csv", path="homes.csv", target="price")
SCALINGS = ["none", "standard", "min-max", "robust"]


def recipe(task: Task = "regression", **preprocessing: Any) -> Recipe:
    return Recipe(task, HOMES, Preprocessing.model_validate(preprocessing))


def homes(rows: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": rng.normal(80, 20, rows),
            "rooms": rng.integers(1, 6, rows),
            "town": rng.choice(["Aa", "Bb", "Cc"], rows),
            "always": 0.1,
            "price": rng.normal(300, 50, rows),
        }
    )
    frame.loc[::7, "size"] = np.nan
    frame.loc[1::9, "town"] = None
    return frame


def source(frame: pd.DataFrame) -> RowSource:
    return RowSource(frame.drop(columns="price"), frame["price"])


TRAIN, VALIDATION, TEST = split_rows(40, HOMES)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("missing", ["mean", "median", "drop"])
@given(
    outside=st.lists(
        st.floats(-1e6, 1e6),
        min_size=len(VALIDATION) + len(TEST),
        max_size=len(VALIDATION) + len(TEST),
    )
)
@settings(max_examples=5, deadline=None)
def test_rows_outside_the_training_part_teach_nothing(
    scaling: str, missing: str, outside: list[float]
) -> None:
    preparation = recipe(scaling=scaling, missing=missing, outliers={"method": "iqr"})
    given_rows = homes()
    changed = given_rows.copy()
    outside_rows = np.concatenate([VALIDATION, TEST])
    changed.loc[outside_rows, "size"] = outside
    changed.loc[outside_rows, "price"] = outside[::-1]
    changed.loc[outside_rows, "town"] = "Dd"
    before, after = (prepare_rows(source(rows), preparation) for rows in (given_rows, changed))
    assert after.preprocessor == before.preprocessor
    assert after.removed == before.removed
    assert torch.equal(after.train.inputs, before.train.inputs)
    assert torch.equal(after.train.targets, before.train.targets)
    assert after.validation.inputs.isfinite().all()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_raw_rows_become_what_was_prepared_and_predictions_return_to_their_unit(
    scaling: str,
) -> None:
    given_rows = homes()
    prepared = prepare_rows(source(given_rows), recipe(scaling=scaling, missing="median"))
    read_back = Preprocessor.from_json(json.loads(json.dumps(prepared.preprocessor.to_json())))
    assert read_back == prepared.preprocessor
    for places, part in ((TRAIN, prepared.train), (VALIDATION, prepared.validation)):
        raw = given_rows.iloc[places]
        assert torch.equal(read_back.transform(raw[sorted(raw.columns)]), part.inputs)
        restored = read_back.restore_target(part.targets)[:, 0].numpy()
        np.testing.assert_allclose(restored, raw["price"], rtol=1e-5)


ORACLES = [
    pytest.param("standard", StandardScaler, id="standard"),
    pytest.param("min-max", MinMaxScaler, id="min-max"),
    pytest.param("robust", RobustScaler, id="robust"),
]


@pytest.mark.parametrize(("scaling", "oracle"), ORACLES)
def test_scaling_is_that_of_scikit_learn(scaling: Any, oracle: Any) -> None:
    values = np.random.default_rng(0).normal([1, -1e5, 0], [1, 10, 0], size=(50, 3))
    offset, factor = fit_scale(values, scaling)
    scaled = (values - np.array(offset)) / np.array(factor)
    np.testing.assert_allclose(scaled, oracle().fit_transform(values), atol=1e-9)
    assert (scaled[:, 2] == 0).all(), "a constant column becomes 0"


@pytest.mark.parametrize("scaling", SCALINGS)
@given(
    st.lists(
        st.tuples(st.floats(-1e30, 1e30), st.sampled_from([0.1, 1e30]), st.floats(-1, 1)),
        min_size=3,
        max_size=30,
    )
)
@settings(max_examples=30, deadline=None)
def test_whatever_the_numbers_no_scale_is_nan_or_zero(
    scaling: Any, rows: list[tuple[float, float, float]]
) -> None:
    values = np.array(rows)
    offset, factor = fit_scale(values, scaling)
    assert np.isfinite(offset).all()
    assert np.isfinite(factor).all()
    assert (np.array(factor) > 0).all()
    assert np.isfinite((values - np.array(offset)) / np.array(factor)).all()


def test_gaps_are_filled_with_the_training_mean_and_the_most_frequent_text() -> None:
    given_rows = homes()
    prepared = prepare_rows(source(given_rows), recipe(missing="mean"))
    train = given_rows.iloc[TRAIN]
    filled = prepared.train.inputs[train["size"].isna().tolist(), 0].numpy()
    assert filled.tolist() == pytest.approx([train["size"].mean()] * len(filled))
    unknown = pd.DataFrame({"size": [1.0], "rooms": 1, "town": [None], "always": 0})
    town = prepared.preprocessor.transform(unknown)[0, 2:5].numpy().tolist()
    most = train["town"].value_counts().index[0]
    assert town == [float(name == most) for name in ("Aa", "Bb", "Cc")]
    gaps = train[["size", "town"]].isna().any(axis=1).sum()
    assert prepared.removed == {"missing_filled": gaps}


def test_an_unknown_category_is_a_row_of_zeros() -> None:
    prepared = prepare_rows(source(homes()), recipe(missing="drop"))
    unknown = pd.DataFrame({"size": [1.0], "rooms": 1, "town": "Zz", "always": 0})
    assert prepared.preprocessor.transform(unknown).numpy().tolist() == [[1, 1, 0, 0, 0, 0]]


def digits() -> Prepared:
    dataset = Bundled(name="digits")
    preparation = Recipe("classification", dataset, Preprocessing(scaling="standard"))
    return prepare_rows(bundled(dataset), preparation)


def test_pixel_columns_become_the_prepared_images() -> None:
    prepared = digits()
    dataset = Bundled(name="digits")
    pixels = np.asarray(bundled(dataset).features).reshape(1797, 64)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{place}" for place in range(64)])
    images = prepared.preprocessor.transform(frame)
    everything = torch.cat(
        [prepared.train.inputs, prepared.validation.inputs, prepared.test.inputs]
    )
    assert images.shape == (1797, 1, 8, 8)
    first, second = (np.sort(some.sum(dim=(1, 2, 3)).numpy()) for some in (images, everything))
    np.testing.assert_array_equal(first, second)
    assert prepared.train.inputs.mean() == pytest.approx(0, abs=1e-5)
    assert prepared.train.inputs.std() == pytest.approx(1, abs=1e-4)


def ratings() -> Preprocessor:
    frame = pd.DataFrame({"user": range(9), "item": [7.0] * 9, "rating": [3.0, 4.0, 5.0] * 3})
    given_rows = RatingSource(frame, "user", "item", "rating")
    return prepare_ratings(given_rows, recipe("recommendation", scaling="standard")).preprocessor


def test_an_item_read_as_a_float_is_still_the_same_item() -> None:
    whole = pd.DataFrame({"user": ["3"], "item": [7]})
    assert ratings().transform(whole).numpy().tolist() == [[3, 0]]


def homes_preprocessor() -> Preprocessor:
    return prepare_rows(source(homes()), recipe(missing="drop")).preprocessor


BAD_ROWS = [
    pytest.param(homes_preprocessor, {"size": [1.0], "rooms": 1}, "town: the column is missing; "
                 "there are: size, rooms", id="a column is missing"),
    pytest.param(homes_preprocessor, {"size": [1, "big"], "rooms": 1, "town": "Aa", "always": 0},
                 "size: 'big' in row 2 is not a number", id="text among numbers"),
    pytest.param(homes_preprocessor, {"size": [1, None], "rooms": 1, "town": "Aa", "always": 0},
                 "size: row 2 has no value, and none was learned", id="a gap without a fill"),
    pytest.param(homes_preprocessor, {"size": [1.0], "rooms": 1, "town": [None], "always": 0},
                 "town: row 1 has no value, and none was learned", id="a gap in text"),
    pytest.param(homes_preprocessor, {"size": [np.inf], "rooms": 1, "town": "Aa", "always": 0},
                 "size: inf in row 1 is beyond 1e+30", id="infinity"),
    pytest.param(lambda: digits().preprocessor, {"pixel_0": [1]},
                 "pixel_1: the column is missing; there are: pixel_0", id="too few pixels"),
    pytest.param(lambda: digits().preprocessor, {"path": ["nowhere.png"]},
                 "path: nowhere.png cannot be read as an image", id="an image that is not there"),
    pytest.param(ratings, {"user": [0, 12], "item": 7},
                 "user: '12' in row 2 is not among the 9 of training", id="an unknown user"),
    pytest.param(ratings, {"user": [0], "item": "x"},
                 "item: 'x' in row 1 is not among the 1 of training", id="an unknown item"),
]  # fmt: skip


@pytest.mark.parametrize(("fitted", "rows", "sentence"), BAD_ROWS)
def test_rows_that_cannot_be_predicted_are_refused_with_a_sentence(
    fitted: Any, rows: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as refused:
        fitted().transform(pd.DataFrame(rows), folder=tmp_path)
    assert str(refused.value).startswith(sentence)


def test_what_is_no_preprocessor_is_refused() -> None:
    with pytest.raises(DataError, match="preprocessor: cannot be read"):
        Preprocessor.from_json({"inputs": {"kind": "table"}})


def test_numbers_have_no_labels() -> None:
    with pytest.raises(DataError, match="there are no labels"):
        homes_preprocessor().labels([0])


NAMES = [
    pytest.param(["cat", "dog"], ("cat", "dog"), id="plain names stay"),
    pytest.param(["a b", "a-b", "a_b_2"], ("a_b", "a_b_2", "a_b_2_2"), id="no two are the same"),
    pytest.param(["+", "-"], ("class", "class_2"), id="nothing is left of a sign"),
    pytest.param(["1.5", "2"], ("1_5", "2"), id="a dot would end a metric's name"),
]


@pytest.mark.parametrize(("labels", "names"), NAMES)
def test_class_names_fit_into_the_name_of_a_metric(
    labels: list[str], names: tuple[str, ...]
) -> None:
    assert class_target(labels).names == names


@given(st.lists(st.text(min_size=1), unique=True, max_size=20))
def test_any_labels_get_different_names_of_letters_digits_and_underscores(
    labels: list[str],
) -> None:
    names = class_target(labels).names
    assert len(set(names)) == len(labels)
    assert all(("x" + name).isidentifier() and name.isascii() for name in names)


def test_numeric_labels_are_sorted_by_size() -> None:
    assert in_order(["10", "9", "1"]) == ["1", "9", "10"]
    assert in_order(["10", "9", "b"]) == ["10", "9", "b"]
