"""A checkpoint folder and a model of somebody else are read within bounds; no link leads out."""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from scarce import files_end_at, no_file_is_opened

from scaling_trainer import checkpoint, models
from scaling_trainer.attempt import run_attempt, run_export
from scaling_trainer.checkpoint import MOST_HEADER_BYTES, Checkpoint
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.config.models import Model
from scaling_trainer.contract import EXIT_NO_SPACE, Assignment, Scalar, environment_of
from scaling_trainer.counting import Dimensions
from scaling_trainer.data_error import DataError
from scaling_trainer.predict import predict
from scaling_trainer.report import Reporter
from scaling_trainer.results import Result
from scaling_trainer.trained_model import ModelRecord, load_model, read_record, write_record

SAVED = Checkpoint({"a": torch.arange(1000.0)}, {"step": 3})


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def header(length: int, text: bytes = b"") -> Callable[[Path], object]:
    return lambda path: path.write_bytes(struct.pack("<Q", length) + text)


def sparse_header(path: Path) -> None:
    header(MOST_HEADER_BYTES + 1, b"{")(path)
    os.truncate(path, 2 * MOST_HEADER_BYTES)


def speaking_type(path: Path) -> None:
    """Name a type that a terminal obeys and that fills a log."""
    kind = {"dtype": "\u202e\u009b31m" + "F" * 10_000, "shape": [1], "data_offsets": [0, 0]}
    text = json.dumps({"a": kind}).encode()
    header(len(text), text)(path)


def deep_document(path: Path) -> None:
    names = {"__metadata__": {"document": "[" * 900 + "]" * 900}}
    text = json.dumps(names).encode()
    header(len(text), text)(path)


@pytest.mark.parametrize(
    "lay",
    [
        pytest.param(empty, id="an empty file"),
        pytest.param(header(2**63), id="a header longer than the file"),
        pytest.param(header(0), id="a header of nothing"),
        pytest.param(sparse_header, id="a header of 16 MiB and a byte"),
        pytest.param(header(20, b"[" * 20), id="a header that is no JSON"),
        pytest.param(deep_document, id="a document of 900 levels"),
        pytest.param(speaking_type, id="a type that does something"),
        pytest.param(os.mkfifo, id="a pipe"),
        pytest.param(Path.mkdir, id="a folder"),
        pytest.param(link_to("/dev/zero"), id="a device"),
        pytest.param(link_to("../elsewhere"), id="a link"),
    ],
)
@pytest.mark.timeout(30)
def test_what_is_no_checkpoint_is_told_and_not_used(
    tmp_path: Path, lay: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "trial").mkdir()
    checkpoint.write(tmp_path / "elsewhere", SAVED)
    path = tmp_path / "trial" / "checkpoint.safetensors"
    lay(path)
    assert checkpoint.read(path) is None
    (message,) = caplog.messages
    assert message.startswith(f"{path} cannot be read")
    assert message.isprintable()
    assert len(message) < 1000


def test_a_checkpoint_is_read_as_it_was_written_and_replaces_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    path = tmp_path / "checkpoint.safetensors"
    path.symlink_to(victim)
    checkpoint.write(path, SAVED)
    read = checkpoint.read(path)
    assert read is not None
    assert torch.equal(read.tensors["a"], SAVED.tensors["a"])
    assert read.document == {"step": 3}
    assert victim.read_text() == "theirs"


def test_a_checkpoint_that_finds_no_space_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.write(path, SAVED)
    with files_end_at(500), pytest.raises(OSError, match="too large") as failed:
        checkpoint.write(path, Checkpoint({"a": torch.zeros(1000)}, {"step": 4}))
    assert (failed.value.errno, failed.value.filename) == (errno.EFBIG, str(path))
    read = checkpoint.read(path)
    assert read is not None
    assert read.document == {"step": 3}
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_finds_no_open_file_leaves_what_was_there_and_names_it(tmp_path: Path) -> None:
    path, result = tmp_path / "checkpoint.safetensors", tmp_path / "result.json"
    checkpoint.write(path, SAVED)
    reporter = Reporter(result)
    reporter.report(1, {"loss": 1.0})
    before = path.read_bytes(), result.read_bytes()
    larger = Checkpoint({"a": torch.zeros(1000)}, {"step": 4})
    for write, place in (
        (lambda: checkpoint.write(path, larger), path),
        (lambda: reporter.result(Result(metrics={"loss": 0.5})), result),
    ):
        with no_file_is_opened(), pytest.raises(OSError, match="Too many open files") as failed:
            write()
        assert (failed.value.errno, failed.value.filename) == (errno.EMFILE, str(place))
    assert (path.read_bytes(), result.read_bytes()) == before
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, result.name}


def assignment(folder: Path) -> Assignment:
    return Assignment(
        experiment="test",
        scale=0,
        trial=0,
        attempt=0,
        seed=7,
        parameters=dict[str, Scalar](),
        result_file=folder / "result.json",
        checkpoint_dir=folder / "checkpoint",
        data_dir=folder,
        config={
            "task": "classification",
            "dataset": {"name": "iris"},
            "model": {"name": "mlp", "width": 8},
            "epochs": 2,
        },
    )


def test_a_trial_that_finds_no_space_ends_by_its_name_and_goes_on_once_there_is_some(
    tmp_path: Path,
) -> None:
    environment = environment_of(assignment(tmp_path))
    with files_end_at(300):
        ending = run_attempt(environment)
    assert ending.exit_code == EXIT_NO_SPACE
    assert str(tmp_path) in ending.error
    assert "too large" in ending.error
    assert not (tmp_path / "result.json").exists()
    assert run_attempt(environment).exit_code == 0
    checkpoint_folder = str(tmp_path / "checkpoint")
    with files_end_at(300):
        ending = run_export(checkpoint_folder, str(tmp_path / "best"), str(tmp_path))
    assert ending.exit_code == EXIT_NO_SPACE
    assert not (tmp_path / "best" / "weights.safetensors").exists()


def test_a_result_that_finds_no_space_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    reporter = Reporter(path)
    reporter.report(1, {"loss": 1.0})
    before = path.read_bytes()
    with files_end_at(10), pytest.raises(OSError, match="too large"):
        reporter.result(Result(metrics={"loss": 0.5}))
    assert path.read_bytes() == before
    reporter.result(Result(metrics={"loss": 0.5}))
    assert json.loads(path.read_text())["metrics"] == {"loss": 0.5}


@pytest.mark.parametrize("name", ["config.json", "preprocessing.json", "weights.safetensors"])
@pytest.mark.timeout(60)
def test_a_model_of_somebody_else_is_read_from_its_folder_alone(tmp_path: Path, name: str) -> None:
    names = [f"{part} {side} (cm)" for part in ("sepal", "petal") for side in ("length", "width")]
    (tmp_path / "table.csv").write_text(f"{','.join(names)}\n1,2,3,4\n")
    assert run_attempt(environment_of(assignment(tmp_path))).exit_code == 0
    best = tmp_path / "best"
    assert run_export(str(tmp_path / "checkpoint"), str(best), str(tmp_path)).exit_code == 0
    (best / name).rename(tmp_path / name)
    (best / name).symlink_to(tmp_path / name)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        predict(best, tmp_path / "table.csv")


def test_a_record_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trial.json"
    for content in (b"", b"[]", b"{}", b"[" * 100_000, b"\xff"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"trial\.json"):
            read_record(path)


TABLE = {"kind": "table", "features": 4, "outputs": 1}
EVERY_KIND = (
    pytest.param({"name": "linear"}, TABLE, id="linear"),
    pytest.param({"name": "mlp", "width": 8}, TABLE, id="mlp"),
    pytest.param(
        {"name": "cnn", "width": 8},
        {"kind": "images", "channels": 1, "height": 8, "width": 8, "outputs": 2},
        id="cnn",
    ),
    pytest.param(
        {"name": "transformer", "layers": 2, "width": 16, "heads": 2, "context": 8},
        {"kind": "tokens", "outputs": 256, "vocabulary": 256},
        id="transformer",
    ),
    pytest.param(
        {"name": "matrix-factorisation", "width": 4},
        {"kind": "ratings", "users": 3, "items": 5},
        id="matrix factorisation",
    ),
)


def trained(model: dict[str, Any], dimensions: dict[str, Any]) -> ModelRecord:
    config = {"task": "regression", "dataset": {"name": "csv", "path": "a.csv", "target": "y"}}
    section = TypeAdapter[Model](Model).validate_python(model)
    read = BuiltIn.model_validate(config | {"model": {"name": "linear"}})
    return ModelRecord(
        read.model_copy(update={"model": section}), Dimensions(**dimensions), (), 1, {}
    )


@pytest.mark.parametrize(("model", "dimensions"), EVERY_KIND)
def test_a_model_is_loaded_as_it_was_saved(
    tmp_path: Path, model: dict[str, Any], dimensions: dict[str, Any]
) -> None:
    record, path = trained(model, dimensions), tmp_path / "weights.safetensors"
    whole = models.build(record.config.model, record.dimensions)
    checkpoint.write(path, Checkpoint(checkpoint.weights_of(whole), {}))
    loaded = load_model(record, path).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in whole.state_dict().items())


def test_weights_that_do_not_fit_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    record = trained({"name": "mlp", "width": 8}, TABLE | {"features": 10**11})
    whole = models.build(record.config.model, Dimensions("table", features=4))
    path = tmp_path / "weights.safetensors"
    checkpoint.write(path, Checkpoint(checkpoint.weights_of(whole), {}))
    with pytest.raises(DataError, match=r"does not fit the model: .* of shape \[8, 4\]"):
        load_model(record, path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"features": "4"}, "dimensions.features is no whole number", id="a text"),
        pytest.param({"features": -1}, "dimensions.features is no whole number", id="below 0"),
        pytest.param(
            {"features": 10**30}, "dimensions.features is no whole number", id="beyond words"
        ),
        pytest.param(
            {"channels": 2**40, "height": 2**40, "width": 2**40, "features": 0},
            "dimensions of an image make more",
            id="an image beyond words",
        ),
        pytest.param({"features": 1.5}, "dimensions.features is no whole number", id="half"),
        pytest.param({"features": True}, "dimensions.features is no whole number", id="a truth"),
        pytest.param({"kind": "films"}, "dimensions.kind is none of table", id="no kind"),
        pytest.param({"kind": ["table"]}, "dimensions.kind is none of table", id="kinds"),
    ],
)
def test_odd_dimensions_of_a_record_are_named(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "config.json"
    write_record(path, trained({"name": "mlp"}, TABLE))
    document = json.loads(path.read_text())
    document["dimensions"] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=words):
        read_record(path)
