"""A law that is known, end to end by the real command: with tuning, and without (S1)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]
TRUE_EXPONENT = 0.51390
TRUE_SIZE = 9.1154e9
"""N* at 1e22 FLOPs."""


def run(sample: str, folder: Path, **trials: int) -> dict[str, Any]:
    document = YAML(typ="safe", pure=True).load(SAMPLES / f"{sample}.yaml")  # pyright: ignore[reportUnknownMemberType] - untyped library
    document["spec"]["trials"] |= trials
    path = folder / f"{sample}.json"
    path.write_text(json.dumps(document))
    command = [*SCALING, "run", str(path), "--out", str(folder / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert ended.returncode == 0, ended.stderr
    return json.loads((folder / "out" / "result.json").read_text())


def test_one_rate_for_all_sizes_bends_the_law(tmp_path: Path) -> None:
    status = run("simulated-law-untuned", tmp_path)
    assert status["fit"]["form"] == "chinchilla"
    assert status["fit"]["points"] == 35
    assert status["fit"]["parameters"]["a"] == pytest.approx(0.446, abs=0.002)
    size = status["recommendations"][0]["parameters"]
    assert size / TRUE_SIZE == pytest.approx(0.45, abs=0.01)


def test_a_rate_tuned_for_each_size_finds_it(tmp_path: Path) -> None:
    status = run("simulated-law", tmp_path, max=8)
    fit = status["fit"]
    assert abs(fit["parameters"]["a"] - TRUE_EXPONENT) < 0.02
    size = status["recommendations"][0]["parameters"]
    assert abs(size / TRUE_SIZE - 1) < 0.15
    assert fit["hyperparameters"]["rate"]["exponent"] == pytest.approx(-1 / 3, abs=0.1)
    assert fit["holdOut"]["error"] < fit["holdOut"]["lineError"]
    assert {c["type"]: c["status"] for c in status["conditions"]}["FitReady"] == "True"
    predicted = [scale["predicted"] for scale in status["scales"] if "predicted" in scale]
    assert len(predicted) > 10
    assert all(abs(scale["error"]) < 0.03 for scale in predicted)
    page = (tmp_path / "out" / "report.html").read_text()
    for heading in ("Loss against size", "IsoFLOP curves", "Best hyperparameters", "Predicted"):
        assert heading in page
