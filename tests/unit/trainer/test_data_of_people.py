"""Files as people have them: what is read as what, what is told, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.config.data import Ratings, Table
from scaling_trainer.data.load import prepare
from scaling_trainer.data.prepared import Prepared
from scaling_trainer.data.text_tables import read_ratings, read_table
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess import Preprocessor
from scaling_trainer.preprocess.inputs import CategoryColumn, TableInputs
from scaling_trainer.preprocess.new_rows import read_as_learned, unseen_categories

ROWS = 40


def prepared(folder: Path, content: str | bytes, task: str = "regression", **rest: Any) -> Prepared:
    """Prepare a file with target `y`; keys of the data set and `preprocessing` may be given."""
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "t.csv").write_bytes(raw)
    preprocessing = rest.pop("preprocessing", {})
    dataset = {"name": "csv", "path": "t.csv", "target": "y"} | rest
    config = {"task": task, "dataset": dataset, "preprocessing": preprocessing}
    return prepare(BuiltIn.model_validate(config | {"model": {"name": "mlp"}}), folder)


def csv(x: Callable[[int], str], header: str = "x,y", sep: str = ",", rows: int = ROWS) -> str:
    """A column `x`, and a target of whole numbers."""
    return "\n".join([header, *(f"{x(row)}{sep}{row % 7}" for row in range(rows)), ""])


def kinds(data: Prepared) -> dict[str, str]:
    inputs = data.preprocessor.inputs
    assert isinstance(inputs, TableInputs)
    return {column.name: column.kind for column in inputs.columns}


def notes_text(data: Prepared) -> str:
    return "\n".join(data.notes)


def values(data: Prepared) -> list[float]:
    parts = (data.train, data.validation, data.test)
    return sorted(torch.cat([part.inputs[:, 0] for part in parts]).numpy().tolist())


# Names: never numbers on the way.

AWKWARD = (
    *("76561198000000000", "76561198000000001", "9223372036854775808", "9223372036854775809"),
    *("007", "7", "07", "1e5", "100000", "NA", "null", "None", "nan", "1.50", "1.5", "True", "A1"),
    *("+1", "-1", "0x10", "1_000", "\u0663", "inf", "12,5", 'a "b"', "two\nlines"),
)


def quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


@given(st.lists(st.sampled_from(AWKWARD), min_size=2, max_size=12, unique=True))
@settings(max_examples=60, deadline=None)
def test_users_items_and_classes_are_the_texts_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("names") / "r.csv"
    rows = "\n".join(f"{quoted(name)},{quoted(name)},{place}" for place, name in enumerate(names))
    path.write_text(f"user,item,rating\n{rows}\n", encoding="utf-8")
    ratings = read_ratings(Ratings(name="ratings", path="r.csv"), path)
    assert list(ratings.frame["user"]) == names
    assert list(ratings.frame["item"]) == names
    table = Table(name="csv", path="r.csv", target="user", features=("rating",))
    assert list(read_table(table, path, "classification").target) == names


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        pytest.param(["007", "012", "100"], "codes as '007'", id="leading zeros"),
        pytest.param([str(2**53 + 1), "5", "6"], f"codes as '{2**53 + 1}'", id="beyond a float"),
        pytest.param(["7", "12", "A1"], "no numbers: 'A1'", id="letters in some"),
        pytest.param(["2024-01-31", "2024-02-01"], "dates as '2024-01-31'", id="ISO dates"),
        pytest.param(["31.01.2024", "1/2/24"], "dates as '31.01.2024'", id="other dates"),
    ],
)
def test_codes_and_dates_are_categories_and_named_with_the_setting(
    codes: list[str], said: str, tmp_path: Path
) -> None:
    data = prepared(tmp_path, csv(lambda row: codes[row % len(codes)]))
    assert kinds(data) == {"x": "category"}
    assert said in notes_text(data)
    assert "dataset.numeric" in notes_text(data)


def test_the_settings_say_what_a_column_is(tmp_path: Path) -> None:
    content = csv(lambda row: f"0{row % 5},{row % 3}", header="a,b,y")
    data = prepared(tmp_path, content, numeric=["a"], categorical=["b"])
    assert kinds(data) == {"a": "number", "b": "category"}
    assert not data.notes


def test_whole_classes_that_a_table_program_made_floats_keep_their_names(tmp_path: Path) -> None:
    content = "x,y\n" + "".join(f"{row},{row % 2}.0\n" for row in range(ROWS)) + "3,\n"
    data = prepared(tmp_path, content, task="classification", preprocessing={"missing": "drop"})
    assert data.classes == ("0", "1")


def test_truth_values_are_numbers_as_features_and_names_as_classes(tmp_path: Path) -> None:
    content = "x,y\n" + "".join(f"{row % 2 == 0},{row % 3 == 0}\n".lower() for row in range(ROWS))
    data = prepared(tmp_path, content, task="classification")
    assert kinds(data) == {"x": "number"}
    assert data.classes == ("false", "true")


@pytest.mark.parametrize("mark", ["NA", "None", "null", "N/A"])
def test_a_class_may_be_called_like_a_missing_value(mark: str, tmp_path: Path) -> None:
    content = "x,y\n" + "".join(f"{row},{(mark, 'US')[row % 2]}\n" for row in range(ROWS))
    data = prepared(tmp_path, content, task="classification")
    assert len(data.classes) == 2
    assert mark in data.preprocessor.labels([0, 1])
    assert f"'{mark}' is a name among others in 20 rows of y" in notes_text(data)
    with pytest.raises(DataError, match="has no value in 20 rows"):
        prepared(tmp_path, content, task="classification", missing_values=[mark])


# A file to predict is read by the types that training learned.


def by_training(data: Prepared, content: str) -> tuple[pd.DataFrame, list[str]]:
    """Read new rows (of texts) as the exported preprocessor does, after a way through JSON."""
    stored = Preprocessor.from_json(json.loads(json.dumps(data.preprocessor.to_json())))
    header, *lines = content.strip().split("\n")
    rows = pd.DataFrame([line.split(";") for line in lines], columns=header.split(";"))
    frame = read_as_learned(rows, stored.inputs, stored.notation)
    return frame, list(unseen_categories(stored.inputs, frame))


def test_codes_stay_codes_where_a_file_to_predict_has_only_digits(tmp_path: Path) -> None:
    data = prepared(tmp_path, csv(lambda row: ("007", "012", "A1")[row % 3]))
    frame, unseen = by_training(data, "x\n007\n012\n")
    assert data.preprocessor.transform(frame).numpy().tolist() == [[1, 0, 0], [0, 1, 0]]
    assert not unseen


def test_values_that_training_never_saw_are_counted(tmp_path: Path) -> None:
    data = prepared(tmp_path, csv(lambda row: ("007", "012", "A1")[row % 3]))
    frame, unseen = by_training(data, "x\n7\n012\nB2\n")
    assert data.preprocessor.transform(frame)[0].numpy().tolist() == [0, 0, 0]
    assert unseen == ["x: 2 of 3 rows hold a value that training never saw, first '7'"]


def test_numbers_to_predict_are_read_with_the_comma_of_training(tmp_path: Path) -> None:
    content = csv(lambda row: f"{row},5", header="x;y", sep=";")
    frame, _ = by_training(prepared(tmp_path, content), "x\n1,5\n2\n")
    assert list(frame["x"]) == [1.5, 2]


# Names of columns.


@pytest.mark.parametrize("header", ["a,b,y,y", "a,a,b,y", "a, y ,b,y", "a,b ,b,y"])
def test_two_columns_of_one_name_are_refused_by_it(header: str, tmp_path: Path) -> None:
    content = header + "\n" + "".join(f"{row},1,2,{row % 2}\n" for row in range(ROWS))
    twice = max(map(str.strip, header.split(",")), key=[c.strip() for c in header.split(",")].count)
    with pytest.raises(DataError, match=f"^{twice}: the column stands there more than once"):
        prepared(tmp_path, content)


def test_two_columns_of_one_name_do_no_harm_where_nobody_uses_them(tmp_path: Path) -> None:
    content = "a,b,b,y\n" + "".join(f"{row},1,2,{row % 2}\n" for row in range(ROWS))
    assert kinds(prepared(tmp_path, content, features=["a"])) == {"a": "number"}


@pytest.mark.parametrize("start", ["\ufeffx,y", " x , y", '"x", "y"', "x,y,", "x,y\r"], ids=repr)
def test_names_are_read_without_what_stands_around_them(start: str, tmp_path: Path) -> None:
    end = "," if start.endswith(",") else ""
    content = start + "\n" + "".join(f"{row},{row % 7}{end}\n" for row in range(ROWS))
    assert kinds(prepared(tmp_path, content)) == {"x": "number"}


@pytest.mark.parametrize("first", ["", '""', "Unnamed: 0"])
def test_a_first_column_without_a_name_numbers_the_rows(first: str, tmp_path: Path) -> None:
    content = f"{first},x,y\n" + "".join(f"{row},{row * 2},{row % 7}\n" for row in range(ROWS))
    data = prepared(tmp_path, content)
    assert kinds(data) == {"x": "number"}
    assert "the first column has no name: it numbers the rows, and is no feature" in notes_text(
        data
    )


def test_another_column_without_a_name_is_refused(tmp_path: Path) -> None:
    content = "x,,y\n" + "".join(f"{row},5,{row % 7}\n" for row in range(ROWS))
    with pytest.raises(DataError, match=r"t\.csv: column 2 has no name in the header"):
        prepared(tmp_path, content)


# How numbers are written.

NOTATIONS = [
    pytest.param("1.5", ",", 1.5, "", id="a point"),
    pytest.param("1,5", ";", 1.5, "',' before decimals", id="a comma"),
    pytest.param("1.234,5", ";", 1234.5, "',' before decimals (dataset.decimal) and '.'",
                 id="a comma, and points between thousands"),
    pytest.param("1,234.5", "\t", 1234.5, "',' between thousands", id="commas between thousands"),
    pytest.param("1,234,567", "|", 1234567, "',' between thousands", id="millions"),
    pytest.param("1.234.567", ";", 1234567, "'.' between thousands", id="millions with points"),
    pytest.param("1 234,5", ";", 1234.5, "' ' between thousands", id="blanks"),
    pytest.param("1\u202f234,5", ";", 1234.5, "' ' between thousands", id="narrow blanks"),
    pytest.param("1'234.5", ",", 1234.5, '"\'" between thousands', id="apostrophes"),
    pytest.param("\u22121.5", ",", -1.5, "", id="a typographer's minus"),
    pytest.param("1.5e3", ",", 1500, "", id="an exponent"),
    pytest.param("1,5E3", ";", 1500, "',' before decimals", id="an exponent behind a comma"),
    pytest.param("12,34,567.5", ";", 1234567.5, "',' between thousands", id="lakhs"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "sep", "meant", "said"), NOTATIONS)
def test_numbers_are_read_as_their_file_writes_them(
    written: str, sep: str, meant: float, said: str, tmp_path: Path
) -> None:
    content = csv(lambda _: written, header=f"x{sep}y", sep=sep)
    data = prepared(tmp_path, content)
    assert kinds(data) == {"x": "number"}
    assert values(data) == pytest.approx([meant] * ROWS)
    assert said in notes_text(data)
    assert ("separator" in notes_text(data)) == (sep != ",")


def test_a_number_that_can_be_read_in_two_ways_is_refused_by_name(tmp_path: Path) -> None:
    content = csv(lambda _: "1,234", header="x;y", sep=";")
    with pytest.raises(DataError, match=r"^x: '1,234' may be 1234 or 1\.234: set dataset.thou"):
        prepared(tmp_path, content)
    assert values(prepared(tmp_path, content, decimal=","))[0] == pytest.approx(1.234)
    assert values(prepared(tmp_path, content, thousands=","))[0] == 1234


def test_one_clear_number_makes_the_others_clear(tmp_path: Path) -> None:
    content = csv(lambda row: ("1,234", "1,2")[row == 5], header="x;y", sep=";")
    assert values(prepared(tmp_path, content)) == pytest.approx([1.2, *[1.234] * (ROWS - 1)])


@given(st.lists(st.floats(-1e9, 1e9).map(lambda x: round(x, 2)), min_size=20, max_size=40))
@settings(max_examples=30, deadline=None)
def test_a_german_file_is_the_same_as_an_english_one(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("de")
    english = [f"{number:.2f}" for number in numbers]
    german = [f"{number:,.2f}".translate(str.maketrans(",.", ".,")) for number in numbers]
    datasets = [
        values(prepared(folder, csv(column.__getitem__, f"x{sep}y", sep, len(numbers))))
        for column, sep in ((english, ","), (german, ";"))
    ]
    assert datasets[0] == datasets[1]


def test_a_few_values_that_are_no_numbers_count_as_missing(tmp_path: Path) -> None:
    content = csv(lambda row: "?" if row == 3 else str(row))
    data = prepared(tmp_path, content, preprocessing={"missing": "drop"})
    assert kinds(data) == {"x": "number"}
    assert "x (1 of 40 are none: '?'); dataset.categorical changes it" in notes_text(data)
    with pytest.raises(DataError, match=r"first in row 4: set preprocessing.*none: '\?'"):
        prepared(tmp_path, content)
    strict = prepared(tmp_path, content, max_unreadable=0.0)
    assert kinds(strict) == {"x": "category"}
    assert "x (1 of 40 are no numbers: '?'); dataset.numeric changes it" in notes_text(strict)


# How the file is written.

TOWNS = csv(lambda row: ("K\u00f6ln", "Bonn")[row % 2], header="stra\u00dfe;y", sep=";")
LAYOUTS = [
    pytest.param(TOWNS.encode("utf-16"), {}, "utf-16", id="UTF-16"),
    pytest.param(TOWNS.encode("utf-8-sig"), {}, "", id="UTF-8 with a mark"),
    pytest.param(TOWNS.encode("cp1252"), {"encoding": "cp1252"}, "", id="cp1252"),
    pytest.param(TOWNS.replace("\n", "\r\n").encode(), {}, "", id="CRLF"),
    pytest.param(TOWNS.replace("\n", "\r").encode(), {}, "", id="CR"),
    pytest.param(TOWNS.replace(";", "; ").encode(), {}, "", id="blanks behind"),
    pytest.param(f"sep=;\n{TOWNS}".encode(), {}, "", id="Excel's first line"),
    pytest.param(TOWNS.replace("\n", ";\n").encode(), {}, "", id="one more at the end"),
    pytest.param(f"{TOWNS};\n;\n".encode(), {}, "2 rows without any", id="bare rows"),
    pytest.param(TOWNS.replace("K\u00f6ln", '"K\u00f6\nln"').encode(), {}, "",
                 id="a line's end in quotes"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "setting", "said"), LAYOUTS)
def test_whatever_wrote_the_file_it_is_read(
    content: bytes, setting: dict[str, str], said: str, tmp_path: Path
) -> None:
    data = prepared(tmp_path, content, **setting)
    assert kinds(data) == {"stra\u00dfe": "category"}
    assert data.train.inputs.shape[1] == 2
    assert "';'" in notes_text(data)
    assert said in notes_text(data)


@pytest.mark.parametrize("sep", [",", ";", "\t", "|", " "])
def test_separators_are_found_by_the_names_of_the_columns(sep: str, tmp_path: Path) -> None:
    data = prepared(tmp_path, csv(str, header=f"x{sep}y", sep=sep))
    assert values(data) == list(range(ROWS))


ODD_FILES = [
    pytest.param("K\u00f6ln,y\n1,2\n".encode("latin-1"), "is not UTF-8: .*set dataset.encoding",
                 id="latin-1"),
    pytest.param("x,y\n1,2\n".encode("utf-16-le"), "NUL bytes.*set dataset.encoding",
                 id="UTF-16 without a mark"),
    pytest.param(b"x,y\n1,\x002\n", "NUL bytes, first in line 2", id="a NUL byte"),
    pytest.param(b"", "it is empty", id="nothing"),
    pytest.param(b"\n\n\n", "it is empty", id="empty lines"),
    pytest.param(b"x,y\n", "has no rows below its header", id="a header alone"),
    pytest.param(b"x,y\n" + b"1,2\n" * 30 + b"3\n", "line 32 has 1, the header 2; set dataset.br",
                 id="a torn last line"),
    pytest.param(b'x,y\n1,"2\n' + b"3,4\n" * 50_000, "is a quote left open", id="an open quote"),
    pytest.param(b"x,y\n" + b"1,\n" * 30, "has no value in 30 rows", id="no target"),
    pytest.param(b"x,y\n" + b"1,2\n" * 30, "the target is 2 in every row", id="one target"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), ODD_FILES)
def test_what_cannot_be_read_is_refused_with_the_setting(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        prepared(tmp_path, content)


def test_rows_of_another_length_are_left_out_and_counted_where_asked(tmp_path: Path) -> None:
    content = csv(str) + "1\n1,2,3\n"
    data = prepared(tmp_path, content, broken="skip")
    assert len(values(data)) == ROWS
    assert data.removed == {"broken": 2}
    assert "2 rows with more or fewer values than the header were left out" in notes_text(data)


# Folders of images, and texts.


def shots(folder: Path, **rest: Any) -> Prepared:
    dataset = {"name": "image-folder", "path": "shots", "pixels": 4} | rest
    config = {"task": "classification", "dataset": dataset, "model": {"name": "cnn", "depth": 1}}
    return prepare(BuiltIn.model_validate(config), folder)


def paint(folder: Path) -> Path:
    for label, grey in (("red", 200), ("blue", 20)):
        (folder / "shots" / label).mkdir(parents=True)
        for number in range(8):
            image = Image.new("RGB", (9, 7), (grey + number, 0, 0))
            image.save(folder / "shots" / label / f"{number}.png")
    return folder / "shots"


@pytest.mark.parametrize(
    "name",
    [
        *(".ipynb_checkpoints/0.png", "__MACOSX/red/0.png", "red/._0.png", "red/.thumb/0.png"),
        *("$RECYCLE.BIN/0.png", "@eaDir/red/0.png", "red/~$0.png", "Thumbs.db", ".DS_Store"),
        *("red/desktop.ini", "red/THUMBS.DB"),
    ],
)
def test_what_systems_leave_in_folders_is_no_data(name: str, tmp_path: Path) -> None:
    root = paint(tmp_path)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes((root / "red" / "1.png").read_bytes())
    data = shots(tmp_path)
    assert data.classes == ("blue", "red")
    assert len(data.train.inputs) + len(data.validation.inputs) + len(data.test.inputs) == 16
    assert "1 hidden files and folders were left out" in notes_text(data)


def test_a_torn_image_is_named_or_left_out_and_counted(tmp_path: Path) -> None:
    torn = paint(tmp_path) / "red" / "3.png"
    torn.write_bytes(torn.read_bytes()[:40])
    with pytest.raises(DataError, match=r"3\.png cannot be read.*dataset.broken to skip"):
        shots(tmp_path)
    data = shots(tmp_path, broken="skip")
    assert len(data.train.inputs) + len(data.validation.inputs) + len(data.test.inputs) == 15
    assert data.removed == {"broken": 1}
    assert "1 images that cannot be read were left out (red/3.png)" in notes_text(data)


def text(folder: Path, content: bytes, **rest: Any) -> Prepared:
    (folder / "t.txt").write_bytes(content)
    dataset = {"name": "text", "path": "t.txt"} | rest
    model = {"name": "transformer", "context": 8}
    config = {"task": "language-modelling", "dataset": dataset, "model": model}
    return prepare(BuiltIn.model_validate(config), folder)


@pytest.mark.parametrize(
    ("encoding", "setting"), [("utf-8-sig", {}), ("utf-16", {}), ("cp1252", {"encoding": "cp1252"})]
)
def test_a_text_in_another_encoding_gives_the_same_tokens(
    encoding: str, setting: dict[str, str], tmp_path: Path
) -> None:
    plain = "caf\u00e9 au lait, " * 40
    utf8_tokens = text(tmp_path, plain.encode()).train.inputs
    assert torch.equal(text(tmp_path, plain.encode(encoding), **setting).train.inputs, utf8_tokens)


def test_bytes_that_are_no_text_are_left_out_and_counted_where_asked(tmp_path: Path) -> None:
    torn = b"some words \xff" * 40
    with pytest.raises(DataError, match=r"not UTF-8: byte 11 is 0xff; set dataset\.encoding"):
        text(tmp_path, torn)
    data = text(tmp_path, torn, broken="skip")
    assert data.removed == {"broken": 40}
    assert len(data.train.inputs) == round(440 * 0.6)


def test_whole_numbers_beyond_a_float_are_codes_in_parquet_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [2**60 + row % 3 for row in range(ROWS)], "y": np.arange(ROWS)})
    frame.to_parquet(tmp_path / "t.parquet")
    dataset = {"name": "parquet", "path": "t.parquet", "target": "y"}
    config = {"task": "regression", "dataset": dataset, "model": {"name": "mlp"}}
    inputs = prepare(BuiltIn.model_validate(config), tmp_path).preprocessor.inputs
    assert isinstance(inputs, TableInputs)
    (column,) = inputs.columns
    assert isinstance(column, CategoryColumn)
    assert column.categories == tuple(str(2**60 + row) for row in range(3))
