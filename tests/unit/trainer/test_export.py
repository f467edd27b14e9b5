"""Export and predict: the best trial, made usable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exported_models import IRIS, TEXT, export_model, train_model, write_table

from scaling_trainer.__main__ import main
from scaling_trainer.data_error import DataError
from scaling_trainer.export import export
from scaling_trainer.predict import predict


def iris_rows() -> pd.DataFrame:
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    return pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], columns=names)


def test_an_exported_model_holds_its_test_score(tmp_path: Path) -> None:
    best = export_model(tmp_path, IRIS)
    metrics = json.loads((best / "metrics.json").read_text())
    assert metrics["metrics"]["test_accuracy"] > 0.8
    assert metrics["classes"] == ["setosa", "versicolor", "virginica"]
    assert [sum(row) for row in metrics["confusion"]] == [10, 10, 10]
    right = sum(metrics["confusion"][place][place] for place in range(3))
    assert metrics["metrics"]["test_accuracy"] == pytest.approx(right / 30, abs=1e-6)
    assert metrics["parameters"] == 16 * 5 + 3 * 17
    assert {file.name for file in best.iterdir()} == {
        "weights.safetensors", "config.json", "preprocessing.json", "metrics.json",
    }  # fmt: skip


def test_exporting_twice_gives_the_same_files(tmp_path: Path) -> None:
    trial = train_model(tmp_path, IRIS)
    for name in ("one", "two"):
        export(trial, tmp_path / name, tmp_path)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_classes_are_predicted_by_name_with_their_probabilities(tmp_path: Path) -> None:
    best = export_model(tmp_path, IRIS)
    predictions = predict(best, write_table(tmp_path / "in.csv", iris_rows()))
    assert list(predictions["prediction"]) == ["setosa", "virginica"]
    shares = predictions[["probability_setosa", "probability_versicolor", "probability_virginica"]]
    assert list(shares.sum(axis=1)) == pytest.approx([1, 1])


def test_numbers_are_predicted_in_the_unit_of_the_data(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [value / 20 for value in range(100)]})
    frame["y"] = 1000 + 50 * frame["x"]
    write_table(tmp_path / "line.csv", frame)
    config = IRIS | {
        "task": "regression",
        "dataset": {"name": "csv", "path": "line.csv", "target": "y"},
        "model": {"name": "linear"},
        "epochs": 60,
    }
    best = export_model(tmp_path, config)
    predictions = predict(best, write_table(tmp_path / "in.csv", pd.DataFrame({"x": [0.0, 4.0]})))
    assert list(predictions["prediction"]) == pytest.approx([1000, 1200], rel=0.01)


def test_ratings_are_predicted_for_pairs(tmp_path: Path) -> None:
    config = IRIS | {
        "task": "recommendation",
        "dataset": {"name": "synthetic-ratings", "users": 20, "items": 10, "ratings": 150},
        "model": {"name": "matrix-factorisation", "width": 2},
    }
    best = export_model(tmp_path, config)
    inputs = json.loads((best / "preprocessing.json").read_text())["inputs"]
    pairs = pd.DataFrame({"user": inputs["users"][:3], "item": inputs["items"][:3]})
    predictions = predict(best, write_table(tmp_path / "in.csv", pairs))
    assert predictions["prediction"].between(0, 6).all()
    metrics = json.loads((best / "metrics.json").read_text())
    assert "confusion" not in metrics
    assert "test_r2" in metrics["metrics"]


def test_a_text_of_the_language_surprises_less_than_noise(tmp_path: Path) -> None:
    best = export_model(tmp_path, TEXT)
    rows = pd.DataFrame({"text": ["the of and the of and the", "QX~#|QX~#|QX~#|QX~#|"]})
    predictions = predict(best, write_table(tmp_path / "in.csv", rows))
    assert predictions["loss"][0] < predictions["loss"][1]
    assert (predictions["perplexity"] > 1).all()


@pytest.mark.parametrize(
    ("config", "frame", "complaint"),
    [
        pytest.param(
            IRIS, iris_rows().drop(columns="petal width (cm)"), "petal width", id="a column short"
        ),
        pytest.param(
            IRIS, iris_rows().assign(**{"petal width (cm)": "wide"}), "wide", id="text for a number"
        ),
        pytest.param(IRIS, iris_rows().iloc[:0], "has no rows", id="no rows"),
        pytest.param(TEXT, pd.DataFrame({"words": ["a"]}), "text", id="no text"),
        pytest.param(TEXT, pd.DataFrame({"text": ["a"]}), "too short", id="a single byte"),
    ],
)
def test_rows_that_cannot_be_used_are_named(
    tmp_path: Path,
    config: dict[str, Any],
    frame: pd.DataFrame,
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    best = export_model(tmp_path, config)
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(best), str(write_table(tmp_path / "in.csv", frame))])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert complaint in said.err
    assert said.err.startswith("error: ")


def test_the_command_predicts_into_a_file_or_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = train_model(tmp_path, IRIS)
    best, rows = tmp_path / "best", write_table(tmp_path / "in.csv", iris_rows())
    for arguments in (
        ["export", str(trial), str(best), "--data-dir", str(tmp_path)],
        ["predict", str(best), str(rows), "--out", str(tmp_path / "out.csv")],
        ["predict", str(best), str(rows)],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "test_accuracy" in printed
    assert printed.endswith((tmp_path / "out.csv").read_text())


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param("config.json", "config.json", id="no record"),
        pytest.param("preprocessing.json", "preprocessing.json", id="no preprocessing"),
        pytest.param("weights.safetensors", "holds no weights", id="no weights"),
    ],
)
@pytest.mark.parametrize("content", [None, b"{}", b"\x00\xff"], ids=["missing", "empty", "spoilt"])
def test_a_folder_that_is_no_model_is_refused(
    tmp_path: Path, spoil: str, complaint: str, content: bytes | None
) -> None:
    best = export_model(tmp_path, IRIS | {"epochs": 1})
    if content is None:
        (best / spoil).unlink()
    else:
        (best / spoil).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        predict(best, write_table(tmp_path / "in.csv", iris_rows()))


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    best = export_model(tmp_path, IRIS | {"epochs": 1})
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        predict(best, tmp_path / "none.csv")


def test_other_data_than_those_of_training_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [value / 20 for value in range(100)]})
    write_table(tmp_path / "line.csv", frame.assign(y=frame["x"] * 2))
    config = IRIS | {
        "task": "regression",
        "dataset": {"name": "csv", "path": "line.csv", "target": "y"},
    }
    trial = train_model(tmp_path, config)
    write_table(tmp_path / "line.csv", frame.assign(y=frame["x"] * 2, z=1.0))
    with pytest.raises(DataError, match="holds other data"):
        export(trial, tmp_path / "best", tmp_path)


def test_a_trial_that_never_ended_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"trial\.json: cannot be read"):
        export(tmp_path, tmp_path / "best", tmp_path)
