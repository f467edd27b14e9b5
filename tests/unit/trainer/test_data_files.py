"""Data sets in a user's own files."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from own_tables import config, frame
from PIL import Image

from scaling_trainer.data.load import prepare
from scaling_trainer.data_error import DataError


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
    pairs = pd.DataFrame({"who": [10, 1], "what": ["a", "ccc"]})
    assert prepared.preprocessor.transform(pairs).numpy().tolist() == [[2, 0], [0, 2]]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a" * 1000)
    text_config = config("language-modelling", {"name": "text", "path": "text.txt"})
    first = prepare(text_config, tmp_path)
    assert prepare(text_config, tmp_path) is first
    path.write_text("b" * 1000)
    os.utime(path, ns=(1, 1))
    assert prepare(text_config, tmp_path).train.inputs.eq(ord("b")).all()


def test_text_of_several_bytes_a_letter_is_taken_byte_by_byte(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("żółć" * 200, encoding="utf-8")
    text_config = config("language-modelling", {"name": "text", "path": "text.txt"})
    assert len(prepare(text_config, tmp_path).train.inputs) == 1600 * 0.6


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "pets", "cat", 10)
    (tmp_path / "pets" / "cat" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    image_config = config("classification", {"name": "image-folder", "path": "pets"})
    with pytest.raises(DataError, match=r"path: torn\.png cannot be read as an image"):
        prepare(image_config, tmp_path)
