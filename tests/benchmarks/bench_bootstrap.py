"""How long a fit, 1000 resamples and a whole report of the 240 Chinchilla points take on one core.

Run it with one thread: OPENBLAS_NUM_THREADS=1 python tests/benchmarks/bench_bootstrap.py. Where the
public points are absent, runs simulated from their law take their place; the output says so.
"""

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from simulated_runs import IsoFlopDesign, chinchilla_law, simulated

from scaling_operator.api.scaling import Target
from scaling_operator.law.bootstrap import bootstrap_law
from scaling_operator.law.fit_points import fit_points
from scaling_operator.law.parametric_fit import NotFitted, fit_law
from scaling_operator.law.points import Points, drop_worst, points_from_flops
from scaling_operator.law.results import FitOptions

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "chinchilla_points.csv"
REPEATS = 5


def main() -> None:
    """Write the least processor time of a few repeats of each step."""
    points, source = read_points()
    fitted = fit_law(points, "chinchilla")
    if isinstance(fitted, NotFitted):
        sys.exit(fitted.message)
    options = FitOptions(targets=(Target(flops=5.76e23),))
    steps: dict[str, Callable[[], object]] = {
        "fit": lambda: fit_law(points, "chinchilla"),
        "1000 resamples": lambda: bootstrap_law(points, fitted, count=1000, seed=0),
        "4000 resamples": lambda: bootstrap_law(points, fitted, count=4000, seed=0),
        "report with 1000 resamples": lambda: fit_points(points, options),
    }
    sys.stdout.write(f"{len(points)} {source} points, least of {REPEATS}, processor seconds\n")
    for name, step in steps.items():
        sys.stdout.write(f"{name:<28}{min(seconds(step) for _ in range(REPEATS)):8.3f}\n")


def read_points() -> tuple[Points, str]:
    """Return the 240 public points, or as many simulated ones."""
    if not DATA.exists():
        rng = np.random.default_rng(0)
        design = IsoFlopDesign(16, 15, 1e18, 1e22)
        return simulated(chinchilla_law(), design, noise=0.005, rng=rng), "simulated"
    with DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("Model Size", "Training FLOP", "loss")
    every = points_from_flops(*([float(row[name]) for row in rows] for name in names))
    return drop_worst(every, 5)[0], "Chinchilla"


def seconds(step: Callable[[], object]) -> float:
    """Return the processor time of a step."""
    start = time.process_time()
    step()
    return time.process_time() - start


if __name__ == "__main__":
    main()
