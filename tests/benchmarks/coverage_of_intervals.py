"""How often intervals hold the truth, and how wide they are: section 9 of the reference, and F8.

A 5 x 7 IsoFLOP design of a known law is drawn anew, fitted and resampled, for each noise and way of
resampling; nominal 90 % intervals of a and of N* at 1e22 FLOPs are held against the truth. Run it
with one thread: OPENBLAS_NUM_THREADS=1 python tests/benchmarks/coverage_of_intervals.py
[replications=200] [resamples=300]. It takes a few minutes.
"""

import sys

import numpy as np
from simulated_runs import IsoFlopDesign, chinchilla_law, simulated

from scaling_operator.api.scaling import Target
from scaling_operator.law.bootstrap import Resample, bootstrap_law, intervals
from scaling_operator.law.law import loss
from scaling_operator.law.optimum import allocate
from scaling_operator.law.parametric_fit import NotFitted, fit_law
from scaling_operator.law.points import RunPath

LAW = chinchilla_law()
TARGET = Target(flops=1e22)
DESIGN = IsoFlopDesign(5, 7)
LEVEL = 90
HEADER = "noise  resample     a held  N* held  N* high/low  N* error, median/p90  excess loss p90\n"


def main(replications: int = 200, resamples: int = 300) -> None:
    """Write one line for each noise and way of resampling."""
    sys.stdout.write(f"{replications} replications x {resamples} resamples, nominal {LEVEL} %\n")
    sys.stdout.write(HEADER)
    kinds: tuple[Resample, ...] = ("pairs", "stratified")
    for noise in (0.005, 0.01):
        for kind in kinds:
            rng = np.random.default_rng(0)
            rows = [replicate(noise, kind, (resamples, rng)) for _ in range(replications)]
            columns = np.array([row for row in rows if row is not None])
            a, size, error = columns[:, 0].mean(), columns[:, 1].mean(), columns[:, 3]
            sys.stdout.write(
                f"{noise:<7g}{kind:<13}{a:<8.3f}{size:<9.3f}{np.median(columns[:, 2]):<13.2f}"
                f"{np.median(error):.1%} / {np.quantile(error, 0.9):<13.1%}"
                f"{np.quantile(columns[:, 4], 0.9):.4%}\n"
            )


def replicate(
    noise: float, kind: Resample, draw: tuple[int, np.random.Generator]
) -> tuple[float, float, float, float, float] | None:
    """Return (a held, N* held, high/low of N*, error of N*, excess loss); None: not fitted."""
    resamples, rng = draw
    points = simulated(LAW, DESIGN, noise=noise, rng=rng)
    fitted = fit_law(points, "chinchilla", noise=noise)
    if isinstance(fitted, NotFitted):
        return None
    draws = bootstrap_law(points, fitted, count=resamples, seed=0, resample=kind)
    truth, best = (allocate(law, TARGET, RunPath()) for law in (LAW, fitted.law))
    low, high = intervals(draws.law.a)[LEVEL]
    low_size, high_size = intervals(allocate(draws.law, TARGET, RunPath()).parameters)[LEVEL]
    reached = loss(LAW, best.parameters, TARGET.value / (6.0 * best.parameters))[0, 0]
    return (
        float(low <= LAW.a[0] <= high),
        float(low_size <= truth.parameters[0] <= high_size),
        high_size / low_size,
        abs(float(best.parameters[0] / truth.parameters[0]) - 1.0),
        float(reached / truth.loss[0]) - 1.0,
    )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
