"""What is said about data that cannot be used: every sentence."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_tables import config, frame

from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.data.load import prepare
from scaling_trainer.data_error import DataError


def csv(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda folder: change(frame()).to_csv(folder / "d", index=False)


def parquet(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda folder: change(frame()).to_parquet(folder / "d", index=False)


def content(raw: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "d").write_bytes(raw)

    return write


def npz(**arrays: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with (folder / "d").open("wb") as file:
            np.savez(file, **arrays)

    return write


def folder(parent: Path) -> None:
    (parent / "d").mkdir()


def nothing(folder: Path) -> None:
    del folder


def with_row(row: int, **values: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.astype(object)
        for name, value in values.items():
            changed.loc[row, name] = value
        return changed

    return change


def as_is(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


KIND = {"name": "csv", "path": "d", "target": "kind"}
PRICE = {"name": "csv", "path": "d", "target": "price"}
ARRAYS = {"name": "npz", "path": "d"}
TEXT = {"name": "text", "path": "d"}
RATINGS = {"name": "ratings", "path": "d"}
X, Y = np.ones((9, 2)), np.resize([0, 1, 2], 9)

REFUSALS = [
    pytest.param(nothing, "classification", KIND, {}, "dataset.path: 'd' does not exist",
                 id="a file that is not there"),
    pytest.param(nothing, "classification", KIND | {"path": "a/../../b"}, {},
                 "dataset.path: 'a/../../b' leads out of the data folder", id="a path outside"),
    pytest.param(nothing, "classification", KIND | {"path": "/etc/passwd"}, {},
                 "dataset.path: '/etc/passwd' leads out", id="an absolute path"),
    pytest.param(content(b""), "classification", KIND, {}, "dataset.path: d cannot be read as csv",
                 id="an empty table"),
    pytest.param(content(b"a,kind\n1,2,3\n1,2,3\n"), "classification", KIND, {},
                 "dataset.path: d has rows with more values than the header has columns",
                 id="rows longer than the header"),
    pytest.param(content(b"a,kind\n1,2\n1,2,3\n"), "classification", KIND, {},
                 "dataset.path: d has rows with more values than the header has columns: line 3",
                 id="a row longer than the others"),
    pytest.param(folder, "classification", KIND | {"name": "parquet"}, {},
                 "dataset.path: 'd' is not a file", id="a folder, not a table"),
    pytest.param(parquet(lambda table: table.assign(size=pd.Series([[1, 2]] * 30))),
                 "classification", KIND | {"name": "parquet"}, {}, "size: the column holds mixed",
                 id="lists"),
    pytest.param(content(b"PAR1"), "classification", KIND | {"name": "parquet"}, {},
                 "dataset.path: d cannot be read as parquet", id="a torn parquet file"),
    pytest.param(content(b"kind\na\nb\n"), "classification", KIND, {},
                 "dataset.path: d has no column beside the target", id="a table of one column"),
    pytest.param(csv(as_is), "classification", KIND | {"target": "type"}, {},
                 "type: the column is missing; there are: size, sold, colour, price, kind",
                 id="a target that is no column"),
    pytest.param(csv(as_is), "classification", KIND | {"features": ["weight"]}, {},
                 "weight: the column is missing", id="a feature that is no column"),
    pytest.param(csv(as_is), "regression", KIND, {},
                 "dataset.target: 'house' in row 1 is not a number", id="text as a number"),
    pytest.param(csv(with_row(4, price="inf")), "regression", PRICE, {},
                 "dataset.target: inf in row 5 is beyond 1e+30", id="an infinite target"),
    pytest.param(csv(with_row(6, size=-1e99)), "classification", KIND, {},
                 "size: -1e+99 in row 7 is beyond 1e+30", id="a number too large for sums"),
    pytest.param(csv(with_row(2, size=None)), "classification", KIND, {},
                 "size: the column has no value in 1 rows, first in row 3: set",
                 id="a gap that nobody allowed"),
    pytest.param(csv(with_row(2, kind=None)), "classification", KIND, {"missing": "mean"},
                 "dataset.target: column 'kind' has no value in 1 rows, first in row 3: only",
                 id="a missing target cannot be filled"),
    pytest.param(csv(lambda table: table.assign(size=np.nan)), "classification", KIND,
                 {"missing": "median"}, "size: the column has no value in the training part",
                 id="a column without any value"),
    pytest.param(csv(lambda table: table.assign(size=np.nan)), "classification", KIND,
                 {"missing": "drop"}, "preprocessing.missing: every row of the training part",
                 id="a gap in every row"),
    pytest.param(csv(lambda table: table.assign(kind="flat")), "classification", KIND, {},
                 "dataset.target: classes found: 1; a classification needs at least 2",
                 id="one class"),
    pytest.param(csv(with_row(1, kind="castle")), "classification", KIND, {},
                 "dataset.target: class 'castle' has 1 of 30 rows, too few", id="a rare class"),
    pytest.param(csv(lambda table: table.head(2)), "regression", PRICE, {},
                 "dataset: the validation part would be empty: 2 rows", id="too few rows"),
    pytest.param(parquet(lambda table: table.assign(size=pd.Timestamp("2020-01-01"))),
                 "classification", KIND | {"name": "parquet"}, {},
                 "size: the column holds datetime64: numbers, truth values and text are allowed",
                 id="dates"),
    pytest.param(
        csv(lambda _: pd.DataFrame({"kind": np.resize(["a", "b"], 3000),
                                    "id": [f"n{row}" for row in range(3000)]})),
        "classification", KIND, {}, "id: the column holds 1800 different texts, at most 1000",
        id="a column of names"),
    pytest.param(csv(as_is), "classification", KIND,
                 {"outliers": {"method": "z-score", "threshold": 0.001}},
                 "preprocessing.outliers.threshold: every training row", id="a threshold near 0"),
    pytest.param(csv(as_is), "regression", PRICE, {"label_noise_report": True},
                 "preprocessing.label_noise_report: regression has no labels",
                 id="label noise of numbers"),
    pytest.param(content(pickle.dumps([1, 2])), "classification", ARRAYS, {},
                 "dataset.inputs: d is no .npz file with a plain array 'x'",
                 id="a pickle in place of arrays"),
    pytest.param(npz(x=np.array([[{}]] * 9), y=Y), "classification", ARRAYS, {},
                 "dataset.inputs: d is no .npz file with a plain array 'x'",
                 id="a pickled array"),
    pytest.param(npz(a=X, b=Y), "classification", ARRAYS, {},
                 "dataset.inputs: d has no array 'x'; there are: a, b", id="no such array"),
    pytest.param(npz(x=X, y=Y[:5]), "classification", ARRAYS, {},
                 "dataset.target: has 5 targets for 9 rows of 'x'", id="fewer targets than rows"),
    pytest.param(npz(x=np.ones((9, 2, 2)), y=Y), "classification", ARRAYS, {},
                 "dataset.inputs: 'x' has shape (9, 2, 2)", id="three dimensions"),
    pytest.param(npz(x=np.ones((0, 2)), y=Y), "classification", ARRAYS, {},
                 "dataset.inputs: 'x' of d is empty", id="an empty array"),
    pytest.param(npz(x=np.full((9, 1, 2, 2), "a"), y=Y), "classification", ARRAYS, {},
                 "dataset.inputs: holds <U1: numbers are needed", id="images of text"),
    pytest.param(npz(x=np.full((9, 1, 2, 2), np.nan), y=Y), "classification", ARRAYS, {},
                 "dataset.inputs: 9 rows have missing values, first row 1", id="images with gaps"),
    pytest.param(npz(x=np.full((9, 1, 2, 2), np.inf), y=Y), "classification", ARRAYS, {},
                 "dataset.inputs: row 1 has a value beyond 1e+30", id="infinite pixels"),
    pytest.param(npz(x=np.ones((9, 1, 2, 2)), y=Y), "classification", ARRAYS,
                 {"outliers": {"method": "iqr"}},
                 "preprocessing.outliers: outliers does not suit images: it is for tables",
                 id="outliers among images"),
    pytest.param(npz(x=np.ones((9, 1, 2, 2)), y=Y), "classification", ARRAYS, {"missing": "mean"},
                 "preprocessing.missing: mean fills columns of a table, not images",
                 id="a mean of images"),
    pytest.param(content(b"file"), "classification", {"name": "image-folder", "path": "d"}, {},
                 "dataset.path: 'd' is not a folder", id="a file in place of a folder"),
    pytest.param(folder, "classification",
                 {"name": "image-folder", "path": "d"}, {},
                 "dataset.path: 'd' holds no images: a folder per class", id="a folder of nothing"),
    pytest.param(content(b"abc\xff" * 99), "language-modelling", TEXT, {},
                 "dataset.path: d is not UTF-8: byte 3 is 0xff", id="bytes that are no text"),
    pytest.param(folder, "language-modelling", TEXT, {},
                 "dataset.path: 'd' is not a file", id="a folder, not a text"),
    pytest.param(content(b"a" * 200), "language-modelling", TEXT, {},
                 "dataset: the validation part has 40 bytes: model.context 64 needs at least 65",
                 id="a text shorter than the context"),
    pytest.param(content(b""), "language-modelling", TEXT, {},
                 "dataset: the training part would be empty", id="an empty text"),
    pytest.param(content(b"a" * 999), "language-modelling", TEXT, {"scaling": "standard"},
                 "preprocessing.scaling: scaling does not suit text", id="a scaled text"),
    pytest.param(content(b"user,item,rating\n1,2,x\n"), "recommendation", RATINGS, {},
                 "rating: 'x' in row 1 is not a number", id="a rating in words"),
    pytest.param(content(b"user,item,rating\n1,,3\n"), "recommendation", RATINGS, {},
                 "item: the column has no value in 1 rows", id="a rating of nothing"),
    pytest.param(content(b"user,rating\n1,3\n"), "recommendation", RATINGS, {},
                 "item: the column is missing; there are: user, rating", id="no items"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "task", "dataset", "preprocessing", "sentence"), REFUSALS)
def test_unusable_data_are_refused_with_a_sentence(
    write: Callable[[Path], None],
    task: str,
    dataset: dict[str, Any],
    preprocessing: dict[str, Any],
    sentence: str,
    tmp_path: Path,
) -> None:
    write(tmp_path)
    with pytest.raises(DataError) as refused:
        prepare(config(task, dataset, **preprocessing), tmp_path)
    assert str(refused.value).startswith(sentence)


def test_a_table_is_no_data_for_a_cnn(tmp_path: Path) -> None:
    npz(x=np.random.default_rng(0).normal(size=(30, 2)), y=np.resize([0, 1], 30))(tmp_path)
    cnn_config = BuiltIn.model_validate(
        {"task": "classification", "dataset": ARRAYS, "model": {"name": "cnn"}}
    )
    with pytest.raises(DataError, match=r"model\.name: cnn needs images"):
        prepare(cnn_config, tmp_path)
