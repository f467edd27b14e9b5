"""Which rows are found, counted and left out."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from scaling_trainer.config.base import Task
from scaling_trainer.config.data import Table
from scaling_trainer.config.preprocessing import Outliers, Preprocessing, Shape, unsuitable
from scaling_trainer.data.prepare_ratings import prepare_ratings
from scaling_trainer.data.prepare_rows import prepare_rows
from scaling_trainer.data.source import RatingSource, Recipe, RowSource
from scaling_trainer.data.split import split_rows
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.cleaning import (
    count_label_noise,
    is_duplicate,
    is_incomplete,
    is_outlier,
)

DATASET = Table(name="csv", path="t.csv", target="y")


def recipe(task: Task = "regression", **preprocessing: Any) -> Recipe:
    return Recipe(task, DATASET, Preprocessing.model_validate(preprocessing))


def far(values: list[float], method: Literal["z-score", "iqr"], threshold: float) -> list[int]:
    frame = pd.DataFrame({"a": np.array(values, dtype=np.float64)})
    return np.flatnonzero(is_outlier(frame, Outliers(method=method, threshold=threshold))).tolist()


NORMAL = np.linspace(-1, 1, 101).tolist()
FAR = [
    pytest.param([*NORMAL, 50.0], "z-score", 3, [101], id="fifty deviations away"),
    pytest.param([*NORMAL, 1.6], "z-score", 3, [], id="near enough"),
    pytest.param([*NORMAL, -2.6], "iqr", 1.5, [101], id="beyond the lower fence"),
    pytest.param([*NORMAL, 1.9], "iqr", 1.5, [], id="within the fence"),
    pytest.param([0.1] * 9, "z-score", 0.01, [], id="a constant has no spread but rounding"),
    pytest.param([0.0] * 99 + [1.0], "z-score", 3, [], id="a flag's rarer value is not far out"),
    pytest.param([0.0] * 99 + [1.0, 2.0], "iqr", 3, [], id="without spread there are no fences"),
    pytest.param([*NORMAL, 50.0, np.nan], "z-score", 3, [101], id="a gap is not far out"),
]


@pytest.mark.parametrize(("values", "method", "threshold", "rows"), FAR)
def test_outliers_are_found(
    values: list[float], method: Literal["z-score", "iqr"], threshold: float, rows: list[int]
) -> None:
    assert far(values, method, threshold) == rows


def test_a_doubled_row_equals_an_earlier_one_with_its_target() -> None:
    frame = pd.DataFrame({"a": [1.0, 1.0, 1.0, np.nan, np.nan], "b": ["x", "x", "x", None, None]})
    assert is_duplicate(frame, np.array([0, 0, 1, 2, 2])).tolist() == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_doubled_and_incomplete_images_are_found() -> None:
    images = np.array([[1, 2], [1, 2], [1, 3], [1, np.nan]]).reshape(4, 1, 1, 2)
    assert is_duplicate(images, np.zeros(4, np.int64)).tolist() == [False, True, False, False]
    assert is_incomplete(images).tolist() == [False, False, False, True]


def test_a_label_unlike_those_of_its_five_neighbours_is_noticed() -> None:
    inputs = np.concatenate([np.linspace(0, 1, 20), np.linspace(9, 10, 20)]).astype(np.float32)
    classes = np.repeat([0, 1], 20)
    assert count_label_noise(inputs[:, None], classes) == 0
    classes[[5, 30]] = [1, 0]
    assert count_label_noise(inputs[:, None], classes) == 2


def test_label_noise_of_very_few_rows_asks_all_the_others() -> None:
    assert count_label_noise(np.arange(3, dtype=np.float32)[:, None], np.array([0, 1, 1])) == 1


def table(rows: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=rows), "y": rng.normal(size=rows)})


def test_only_training_rows_are_left_out_as_doubled_or_far_out() -> None:
    train, validation, test = split_rows(50, DATASET)
    frame = table()
    for part in (train, validation, test):
        frame.loc[part[1]] = frame.loc[part[0]]
        frame.loc[part[2], "a"] = 1000.0
    cleaning = recipe(duplicates="drop", outliers={"method": "iqr"})
    prepared = prepare_rows(RowSource(frame[["a"]], frame["y"]), cleaning)
    assert prepared.removed == {"duplicates": 1, "outliers": 1}
    assert len(prepared.train.inputs) == len(prepared.train.targets) == len(train) - 2
    assert len(prepared.validation.inputs) == len(validation)
    assert len(prepared.test.inputs) == len(test)
    assert prepared.train.inputs.max() < 1000


def test_incomplete_rows_are_left_out_of_every_part_and_counted_for_training() -> None:
    train, validation, _ = split_rows(50, DATASET)
    frame = table()
    frame.loc[[train[0], train[5], validation[1]], "a"] = np.nan
    prepared = prepare_rows(RowSource(frame[["a"]], frame["y"]), recipe(missing="drop"))
    assert prepared.removed == {"missing": 2}
    assert len(prepared.train.inputs) == len(train) - 2
    assert len(prepared.validation.inputs) == len(validation) - 1


def test_rows_without_a_target_are_left_out_before_the_split() -> None:
    frame = table()
    frame.loc[[3, 4], "y"] = np.nan
    prepared = prepare_rows(RowSource(frame[["a"]], frame["y"]), recipe(missing="drop"))
    assert prepared.removed == {"missing_target": 2, "missing": 0}
    parts = (prepared.train, prepared.validation, prepared.test)
    assert sum(len(part.inputs) for part in parts) == 48


def test_cleaning_that_would_lose_a_class_is_refused() -> None:
    frame = pd.DataFrame({"a": [*np.linspace(0, 1, 90), *np.linspace(50, 51, 5)]})
    kinds = pd.Series(["near"] * 90 + ["far"] * 5)
    cleaning = recipe("classification", outliers={"method": "iqr"})
    with pytest.raises(DataError, match="preprocessing: it leaves no training row of class 'far'"):
        prepare_rows(RowSource(frame, kinds), cleaning)


def test_incomplete_and_doubled_ratings_are_left_out_and_counted() -> None:
    frame = pd.DataFrame({"user": [1.0, 2.0] * 20, "item": "x", "rating": [3.0, 4.0] * 20})
    frame.loc[0, "user"] = np.nan
    cleaning = recipe("recommendation", missing="drop", duplicates="drop")
    prepared = prepare_ratings(RatingSource(frame, "user", "item", "rating"), cleaning)
    assert prepared.removed == {"missing": 1, "duplicates": 21}
    assert sorted(prepared.train.inputs.numpy().tolist()) == [[0, 0], [1, 0]]
    assert len(prepared.validation.inputs) == 8


EVERYTHING = Preprocessing.model_validate(
    {
        "missing": "mean",
        "duplicates": "drop",
        "outliers": {"method": "iqr"},
        "label_noise_report": True,
        "scaling": "standard",
        "augmentation": {},
    }
)
UNSUITABLE: list[Any] = [
    pytest.param("tables", "classification", ["augmentation"], id="a table has no left and right"),
    pytest.param("tables", "regression", ["augmentation", "label_noise_report"], id="no labels"),
    pytest.param("images", "classification", ["outliers", "missing"], id="pixels are no columns"),
    pytest.param(
        "ratings",
        "recommendation",
        ["outliers", "label_noise_report", "augmentation", "missing"],
        id="pairs of names",
    ),
    pytest.param(
        "text",
        "language-modelling",
        ["missing", "duplicates", "outliers", "label_noise_report", "scaling", "augmentation"],
        id="a text is taken as it is",
    ),
]


@pytest.mark.parametrize(("shape", "task", "fields"), UNSUITABLE)
def test_preprocessing_without_a_meaning_is_named(
    shape: Shape, task: Task, fields: list[str]
) -> None:
    assert [field for field, _ in unsuitable(EVERYTHING, shape, task)] == fields
    assert unsuitable(Preprocessing(), shape, task) == []
