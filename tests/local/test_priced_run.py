"""`scaling run --policy`: what a recommended size takes on machines that are not here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]
TRAINER = (
    'n=$SCALING_PARAM_N; awk -v n=$n \'BEGIN { printf "{\\"v\\":1,\\"value\\":%.9f,'
    '\\"modelParameters\\":%d,\\"samples\\":%d}", 1.8 + 40 / sqrt(n), n, 20 * n }\''
    ' > "$SCALING_RESULT_FILE"'
)
LADDER: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ScalingExperiment",
    "metadata": {"name": "priced"},
    "spec": {
        "objective": {"metric": "loss", "direction": "minimize"},
        "search": {"algorithm": {"name": "random", "seed": 1}},
        "trainer": {"container": {"command": ["sh", "-c", TRAINER]}},
        "trials": {"max": 1, "parallel": 2},
        "scaling": {
            "parameter": "n",
            "sizes": [1000, 2000, 4000, 8000, 16000, 32000],
            "targets": [{"flops": 1.2e14}, {"cost": 10}],
        },
    },
}
POLICY: dict[str, Any] = {
    "apiVersion": "scaling-operator.dev/v1alpha1",
    "kind": "ResourcePolicy",
    "metadata": {"name": "default"},
    "spec": {"shapes": [{"name": "cores", "flops": 1e11, "utilization": 0.5, "pricePerHour": 6}]},
}


def test_a_local_run_prices_its_recommendations_by_a_policy_file(tmp_path: Path) -> None:
    for name, document in (("ladder", LADDER), ("policy", POLICY)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    words = ["run", tmp_path / "ladder.json", "--out", out, "--policy", tmp_path / "policy.json"]
    ended = subprocess.run(
        [*SCALING, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    status = json.loads((out / "result.json").read_text())
    by_flops, by_cost = status["recommendations"]
    # C = 6 N x 20 N: 1.2e14 FLOPs train 1e6 parameters, in 2,400 s at 5e10 FLOP/s, and 10 s more.
    assert by_flops["parameters"] == pytest.approx(1e6, rel=1e-3)
    assert by_flops["shape"] == "cores"
    assert by_flops["hours"] == pytest.approx(2410 / 3600, rel=1e-3)
    assert by_flops["cost"] == pytest.approx(6 * 2410 / 3600, rel=1e-3)
    assert by_cost["cost"] == pytest.approx(10, rel=1e-6)
    assert "a cost of 10" in ended.stdout
    assert "sizing" not in status["scales"][0], "trials share this machine"
    assert "Such a run takes cores" in (out / "report.html").read_text()
