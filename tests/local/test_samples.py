"""Every sample runs, with fewer trials, through the real command."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sklearn.datasets import load_breast_cancer  # pyright: ignore[reportMissingTypeStubs]

FOLDER = Path(__file__).parents[2] / "manifests" / "samples"
SAMPLES = sorted(path for path in FOLDER.glob("*.yaml") if path.stem != "policy")
SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]


def scaling(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*SCALING, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_runs_to_its_report(sample: Path, tmp_path: Path) -> None:
    first_line = sample.read_text().splitlines()[0]
    assert first_line.startswith("# "), "a sample says what it shows"
    document = YAML(typ="safe", pure=True).load(sample)  # pyright: ignore[reportUnknownMemberType] - untyped library
    document["spec"]["trials"] = {"max": 2, "parallel": 2}
    path = tmp_path / sample.name
    path.write_text(json.dumps(document))
    ended = scaling("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    status = json.loads((tmp_path / "out" / "result.json").read_text())
    assert status["counts"]["failed"] == 0
    assert status["best"]["values"]
    assert (tmp_path / "out" / "report.html").stat().st_size > 1_000_000
    if "scaling" in document["spec"]:
        ready = next(
            condition for condition in status["conditions"] if condition["type"] == "FitReady"
        )
        assert ready["status"] == "True" or ready["message"], "a fit, or why there is none"
        targets = document["spec"]["scaling"].get("targets", [])
        answered = ready["status"] == "True"
        assert len(status.get("recommendations", [])) == (len(targets) if answered else 0)
    if "builtIn" in document["spec"]["trainer"]:
        assert any(name.startswith("test_") for name in status["best"]["testMetrics"])
        assert all(scale["best"]["modelParameters"] > 0 for scale in status["scales"])


def test_the_winner_of_a_run_predicts_from_a_table(tmp_path: Path) -> None:
    sample = next(path for path in SAMPLES if path.stem == "medical")
    document = YAML(typ="safe", pure=True).load(sample)  # pyright: ignore[reportUnknownMemberType] - untyped library
    document["spec"]["trials"] = {"max": 3, "parallel": 1}
    path = tmp_path / "medical.json"
    path.write_text(json.dumps(document))
    assert scaling("run", path, "--out", tmp_path / "out").returncode == 0
    data = load_breast_cancer(as_frame=True)
    data.data.to_csv(tmp_path / "rows.csv", index=False)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - scikit-learn's Bunch is untyped
    ended = scaling("predict", tmp_path / "out" / "best", tmp_path / "rows.csv")
    assert ended.returncode == 0, ended.stderr
    rows = list(csv.DictReader(ended.stdout.splitlines()))
    truth = ["malignant" if label == 0 else "benign" for label in data.target]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - as above
    hits = sum(row["prediction"] == label for row, label in zip(rows, truth, strict=True))
    assert hits / len(truth) > 0.9
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    wrong = scaling("predict", tmp_path / "out" / "best", tmp_path / "wrong.csv")
    assert wrong.returncode == 2
    assert "mean radius" in wrong.stderr
    assert "Traceback" not in wrong.stderr
