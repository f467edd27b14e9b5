"""The case study by `scaling run --parallel 1`, and by a bare loop of Optuna and PyTorch.

Both train the same 30 models on one thread: same data, proposals, epochs, batches and evaluations.
They take turns, because machines are noisy; what counts is the ratio of the medians. Run it with
`make benchmark`; nothing here judges, it prints one table.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "manifests" / "samples" / "case-study.yaml"
BARE_LOOP = Path(__file__).with_name("bare_loop.py")
PROMISED_RATIO = 1.3
PROMISED_OVERHEAD_SECONDS = 0.3


def timed(words: list[str]) -> float:
    """Run a command; give its seconds. Raises CalledProcessError where it fails."""
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def overheads(folder: Path) -> list[float]:
    """Seconds between two trials' ends that were not training."""
    begun: list[tuple[float, float]] = []
    with (folder / "trials.csv").open() as table:
        for row in csv.DictReader(table):
            ended = datetime.fromisoformat(row["completionTime"]).timestamp()
            begun.append((ended, float(row["seconds"])))
    begun.sort()
    return [after - before - seconds for (before, _), (after, seconds) in pairwise(begun)]


def main() -> None:
    """Take turns, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ours: list[float] = []
    bare: list[float] = []
    gaps: list[float] = []
    for _ in range(arguments.rounds):
        bare.append(timed([sys.executable, str(BARE_LOOP)]))
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        scaling = str(Path(sys.executable).with_name("scaling"))
        out = str(folder / "out")
        ours.append(timed([scaling, "run", str(SAMPLE), "--out", out, "--parallel", "1"]))
        gaps += overheads(folder / "out")
        shutil.rmtree(folder)
    our_median, bare_median = statistics.median(ours), statistics.median(bare)
    rows = [
        ("bare loop, whole, s", f"{bare_median:.1f}", ", ".join(f"{value:.1f}" for value in bare)),
        (
            "scaling run --parallel 1, s",
            f"{our_median:.1f}",
            ", ".join(f"{value:.1f}" for value in ours),
        ),
        ("ratio", f"{our_median / bare_median:.2f}", f"promised <= {PROMISED_RATIO}"),
        (
            "wall minus training a trial, s",
            f"{statistics.median(gaps):.3f}",
            f"promised <= {PROMISED_OVERHEAD_SECONDS}, over {len(gaps)} trials",
        ),
    ]
    for name, median, note in rows:
        sys.stdout.write(f"{name:<32} {median:>8}   {note}\n")


if __name__ == "__main__":
    main()
