"""Data sets in files, and what is said about files that cannot be used."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.data.errors import DataError
from scaling_trainer.data.load import prepare

MODELS = {
    "classification": {"name": "mlp"},
    "regression": {"name": "mlp"},
    "language-modelling": {"name": "transformer"},
    "recommendation": {"name": "matrix-factorisation"},
}


def config(task: str, dataset: dict[str, Any], **preprocessing: Any) -> BuiltIn:
    return BuiltIn.model_validate(
        {
            "task": task,
            "dataset": dataset,
            "model": MODELS[task],
            "preprocessing": preprocessing,
        }
    )


def frame(rows: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(5, 2, rows),
            "sold": rng.integers(2, size=rows).astype(bool),
            "colour": rng.choice(["red", "green", "blue"], rows),
            "price": rng.normal(size=rows),
            "kind": np.resize(["house", "flat", "town house"], rows),
        }
    )


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_gives_numbers_flags_and_one_input_per_category(form: str, tmp_path: Path) -> None:
    write = {"csv": pd.DataFrame.to_csv, "parquet": pd.DataFrame.to_parquet}[form]
    write(frame(), tmp_path / "homes", index=False)
    dataset = {"name": form, "path": "homes", "target": "kind"}
    prepared = prepare(config("classification", dataset), tmp_path)
    assert prepared.train.inputs.shape == (18, 6)
    assert prepared.classes == ("flat", "house", "town_house")
    assert prepared.preprocessor.labels([2, 0]) == ["town house", "flat"]
    one_hot = prepared.train.inputs[:, 2:5]
    assert torch.equal(one_hot.sum(dim=1), torch.ones(18))
    assert set(prepared.train.inputs[:, 1].numpy()) == {0.0, 1.0}


def test_named_features_are_taken_in_their_order(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "homes.csv", index=False)
    dataset = {"name": "csv", "path": "homes.csv", "target": "price", "features": ["sold", "size"]}
    prepared = prepare(config("regression", dataset), tmp_path)
    assert prepared.train.inputs.shape == (18, 2)
    assert set(prepared.train.inputs[:, 0].numpy()) == {0.0, 1.0}


def test_an_npz_gives_a_table_or_images_by_its_dimensions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.resize([3, 7], 40)
    np.savez(tmp_path / "table.npz", x=rng.normal(size=(40, 3)), y=labels)
    pixels = rng.integers(256, size=(40, 3, 6, 5), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels, kind=labels)
    table = prepare(config("classification", {"name": "npz", "path": "table.npz"}), tmp_path)
    assert table.train.inputs.shape == (24, 3)
    assert table.classes == ("3", "7")
    dataset = {"name": "npz", "path": "images.npz", "inputs": "images", "target": "kind"}
    images = prepare(config("classification", dataset), tmp_path)
    assert images.train.inputs.shape == (24, 3, 6, 5)
    assert images.train.inputs.max() <= 1, "bytes are divided by 255"


def paint(root: Path, label: str, grey: int, count: int = 6) -> None:
    (root / label).mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (9, 7), (grey + number, grey, grey)).save(root / label / f"{number}.png")


def test_an_image_folder_has_a_class_per_folder(tmp_path: Path) -> None:
    paint(tmp_path / "pets", "black cat", 10)
    paint(tmp_path / "pets", "white-dog", 200)
    (tmp_path / "pets" / "black cat" / "notes.txt").write_text("not an image")
    dataset = {"name": "image-folder", "path": "pets", "pixels": 4, "channels": 1}
    prepared = prepare(config("classification", dataset), tmp_path)
    assert prepared.classes == ("black_cat", "white_dog")
    whole = torch.cat([prepared.train.inputs, prepared.validation.inputs, prepared.test.inputs])
    assert whole.shape == (12, 1, 4, 4)
    dark = prepared.train.inputs[prepared.train.targets == 0]
    assert dark.max() < 0.1


def test_a_ratings_table_numbers_its_users_and_items(tmp_path: Path) -> None:
    rows = [(user, item, user + len(item)) for user in (1, 2, 10) for item in ("a", "bb", "ccc")]
    pd.DataFrame(rows, columns=["who", "what", "stars"]).to_csv(tmp_path / "r.csv", index=False)
    dataset = {"name": "ratings", "path": "r.csv", "user": "who", "item": "what", "rating": "stars"}
    prepared = prepare(config("recommendation", dataset), tmp_path)
    assert prepared.cardinalities == (3, 3)
    given = pd.DataFrame({"who": [10, 1], "what": ["a", "ccc"]})
    assert prepared.preprocessor.transform(given).numpy().tolist() == [[2, 0], [0, 2]]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a" * 1000)
    made = config("language-modelling", {"name": "text", "path": "text.txt"})
    first = prepare(made, tmp_path)
    assert prepare(made, tmp_path) is first
    path.write_text("b" * 1000)
    os.utime(path, ns=(1, 1))
    assert prepare(made, tmp_path).train.inputs.eq(ord("b")).all()


def test_text_of_several_bytes_a_letter_is_taken_byte_by_byte(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("żółć" * 200, encoding="utf-8")
    made = config("language-modelling", {"name": "text", "path": "text.txt"})
    assert len(prepare(made, tmp_path).train.inputs) == 1600 * 0.6


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
    def change(given: pd.DataFrame) -> pd.DataFrame:
        changed = given.astype(object)
        for name, value in values.items():
            changed.loc[row, name] = value
        return changed

    return change


def as_is(given: pd.DataFrame) -> pd.DataFrame:
    return given


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
    pytest.param(csv(lambda given: given.assign(size=np.nan)), "classification", KIND,
                 {"missing": "median"}, "size: the column has no value in the training part",
                 id="a column without any value"),
    pytest.param(csv(lambda given: given.assign(size=np.nan)), "classification", KIND,
                 {"missing": "drop"}, "preprocessing.missing: every row of the training part",
                 id="a gap in every row"),
    pytest.param(csv(lambda given: given.assign(kind="flat")), "classification", KIND, {},
                 "dataset.target: has 1 class: a classification needs at least 2", id="one class"),
    pytest.param(csv(with_row(1, kind="castle")), "classification", KIND, {},
                 "dataset.target: class 'castle' has 1 of 30 rows, too few", id="a rare class"),
    pytest.param(csv(lambda given: given.head(2)), "regression", PRICE, {},
                 "dataset: the validation part would be empty: 2 rows", id="too few rows"),
    pytest.param(parquet(lambda given: given.assign(size=pd.Timestamp("2020-01-01"))),
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
                 "dataset.inputs: 'x' of d cannot be read", id="a pickle in place of arrays"),
    pytest.param(npz(x=np.array([[{}]] * 9), y=Y), "classification", ARRAYS, {},
                 "dataset.inputs: 'x' of d cannot be read: Object arrays cannot be loaded",
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
                 "dataset.path: d cannot be read: Is a directory", id="a folder, not a text"),
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


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "pets", "cat", 10)
    (tmp_path / "pets" / "cat" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    made = config("classification", {"name": "image-folder", "path": "pets"})
    with pytest.raises(DataError, match=r"path: torn\.png cannot be read as an image"):
        prepare(made, tmp_path)
