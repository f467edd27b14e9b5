"""The finisher's pod: the best trial's model, its table and its report on the claim."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from scaling_operator.cli.finish import finish
from scaling_trainer.contract import Assignment, environment_of

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {
    "objective": {"metric": "m", "direction": "minimize"},
    "search": {"parameters": {"rate": {"type": "float", "low": 0.1, "high": 1}}},
    "trials": {"max": 1},
    "trainer": {"container": {"image": "own:1", "command": ["train"]}},
}
BEST = {"trial": "0-0", "scale": 0, "number": 0, "values": [0.5], "parameters": {"rate": 0.25}}
TRIAL = {
    "spec": {
        "experiment": {"name": "study", "uid": "uid"},
        "scale": 0,
        "number": 0,
        "parameters": {"rate": 0.25},
        "searched": ["rate"],
        "seed": 1,
    },
    "status": {"state": "Succeeded", "values": [0.5], "metrics": {"m": 0.5}},
}
BUILT_IN = {"task": "classification", "dataset": {"name": "digits"}, "model": {"name": "mlp"}}
DOCUMENT: Mapping[str, Any] = {
    "experiment": {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "study", "uid": "uid"},
        "spec": SPEC,
        "status": {"best": BEST},
    },
    "trials": [TRIAL],
}


class _Operator(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert self.headers["Authorization"] == "Bearer secret"
        body = json.dumps(DOCUMENT).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        del format, args


@pytest.fixture
def operator_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Operator) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def assignment(tmp_path: Path, operator_url: str, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "claim").mkdir()
    assignment = Assignment(
        experiment="study",
        scale=0,
        trial=0,
        attempt=0,
        seed=1,
        parameters={"rate": 0.25},
        result_file=tmp_path / "result",
        checkpoint_dir=tmp_path / "claim" / "checkpoint",
        data_dir=tmp_path / "claim",
        experiment_uid="uid",
        report_url=operator_url,
        report_token_file=tmp_path / "token",
    )
    assignment.result_file.touch()
    for name, value in environment_of(assignment).items():
        monkeypatch.setenv(name, value)
    return assignment


def test_a_model_of_ones_own_trainer_lies_beside_its_table_and_report(
    assignment: Assignment, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = assignment.checkpoint_dir / "inner"
    saved.mkdir(parents=True)
    (saved / "weights").write_text("theirs")
    (saved / "pipe").symlink_to("/dev/null")
    assert finish() == 0
    folder = assignment.data_dir / "study"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["best", "report.html", "result.json", "trials.csv"]
    assert (folder / "best" / "inner" / "weights").read_text() == "theirs"
    assert (folder / "best" / "parameters.json").read_text() == '{\n  "rate": 0.25\n}\n'
    assert "left out of .best" in capsys.readouterr().err
    result = (folder / "result.json").read_text()
    assert result.endswith("}\n")
    assert json.loads(result)["experiment"] == "study"
    assert json.loads(result)["best"]["trial"] == "0-0"
    assert "testMetrics" not in json.loads(result)["best"]
    assert (folder / "trials.csv").read_text().startswith("trial,scale,number,state")
    assert "study" in (folder / "report.html").read_text()
    assert json.loads(assignment.result_file.read_text()) == {"v": 1}


def test_a_trial_that_left_nothing_fails_with_a_sentence(assignment: Assignment) -> None:
    assert finish() == 1
    message = f"{assignment.checkpoint_dir} does not exist: the trial has left nothing on the claim"
    assert assignment.result_file.read_text() == message
    assert not (assignment.data_dir / "study" / "result.json").exists()


def test_a_model_that_cannot_be_scored_fails_and_leaves_no_half(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assignment.checkpoint_dir.mkdir()
    monkeypatch.setitem(SPEC, "trainer", {"builtIn": BUILT_IN})
    rate = {"type": "float", "low": 0.1, "high": 1}
    monkeypatch.setitem(SPEC, "search", {"parameters": {"optimizer.learning_rate": rate}})
    monkeypatch.setitem(SPEC, "objective", {"metric": "val_loss", "direction": "minimize"})
    assert finish() == 1
    assert assignment.result_file.read_text().startswith("the model could not be scored: ")
    assert not (assignment.data_dir / "study" / "best").exists()
