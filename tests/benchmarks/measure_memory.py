"""Measure the built-in transformer's peak memory on a GPU against the estimate.

Three sizes x three batches, each a process of its own; prints a table for docs/resources.md. Ends
with a sentence where there is no GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from scaling_operator.api.quantities import GIBIBYTE
from scaling_operator.sizing.memory import CONTEXT_BYTES, device_parts, host_parts
from scaling_operator.sizing.need import Need, built_in_need
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.contract import Execution

SIZES = ((12, 768, 12), (24, 1024, 16), (36, 1280, 20))  # layers, width, heads
BATCHES = (2, 4, 8)
CONTEXT = 1024


def main() -> None:
    if not torch.cuda.is_available():
        sys.stdout.write("measure-memory needs a GPU that PyTorch sees; there is none here\n")
        return
    sys.stdout.write(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n\n")
    sys.stdout.write(
        "| layers x width | batch | N | device: estimated GiB | measured GiB | off by |"
    )
    sys.stdout.write(" host: estimated | measured |\n|---|---|---|---|---|---|---|---|\n")
    for layers, width, heads in SIZES:
        for batch in BATCHES:
            sys.stdout.write(
                f"| {layers} x {width} | {batch} | {row(layers, width, heads, batch)} |\n"
            )
            sys.stdout.flush()


def row(layers: int, width: int, heads: int, batch: int) -> str:
    config = configuration(layers, width, heads, batch)
    need = built_in_need(BuiltIn.model_validate(config), {}, None)
    if not isinstance(need, Need):
        raise SystemExit(str(need))
    device = device_parts(need, Execution()).total / GIBIBYTE
    host = host_parts(need, Execution(), on_device=True).total / GIBIBYTE
    result = train(config)
    if "peakDeviceBytes" not in result:
        return f"{need.parameters / 1e6:.0f} M | {device:.2f} | {result.get('reason', 'failed')}"
    measured = (result["peakDeviceBytes"] + CONTEXT_BYTES) / GIBIBYTE
    off = f"{100 * (device / measured - 1):+.0f} %"
    peak = result["peakHostBytes"] / GIBIBYTE
    size = f"{need.parameters / 1e6:.0f} M"
    return f"{size} | {device:.2f} | {measured:.2f} | {off} | {host:.2f} | {peak:.2f}"


def configuration(layers: int, width: int, heads: int, batch: int) -> dict[str, Any]:
    model = {"name": "transformer", "layers": layers, "width": width, "heads": heads}
    return {
        "task": "language-modelling",
        "dataset": {"name": "synthetic-text", "characters": 4 * batch * CONTEXT * 2},
        "model": {**model, "context": CONTEXT},
        "optimizer": {"name": "adamw", "learning_rate": 1e-4},
        "epochs": 1,
        "batch_size": batch,
    }


def train(config: dict[str, Any]) -> dict[str, Any]:
    """Run one trial in a process of its own; give its result."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "SCALING_EXPERIMENT": "measure", "SCALING_SCALE": "0", "SCALING_TRIAL": "0",
            "SCALING_ATTEMPT": "0", "SCALING_SEED": "1", "SCALING_PARAMETERS": "{}",
            "SCALING_CONFIG": json.dumps(config), "SCALING_DATA_DIR": folder,
            "SCALING_CHECKPOINT_DIR": folder, "SCALING_RESULT_FILE": f"{folder}/result.json",
        }  # fmt: skip
        words = [sys.executable, "-m", "scaling_trainer", "run"]
        subprocess.run(words, env={**os.environ, **environment}, check=False, capture_output=True)
        result = Path(folder) / "result.json"
        return json.loads(result.read_text()) if result.exists() else {}


if __name__ == "__main__":
    main()
