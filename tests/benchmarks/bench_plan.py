"""How long a plan takes where trials are live: what a turn of the event loop costs at least.

Each line: an experiment whose trials all run, observed through the index and planned, its status
and its machines included. `changed` is a plan that comes after one workload in ten has changed.
"""

import copy
import sys
import time
from collections.abc import Callable, Iterator

from live_trials import engine, plan_of

from scaling_operator.kube.reconcile.backend import ClusterBackend
from scaling_operator.kube.reconcile.workload_kinds import JOB_KIND, POD_KIND, WorkloadKind
from scaling_operator.runtime.engine import Engine

LIVE = (1, 100, 1000)
SCALES = (1, 100)
REPEATS = 15
MOST_MILLISECONDS = 10.0


def main() -> None:
    """Write the median of each, and fail where 1,000 live trials take longer than is promised."""
    sys.stdout.write(f"milliseconds of processor time, least of {REPEATS}\n")
    sys.stdout.write(f"{'kind':<6}{'scales':>7}{'live':>6}{'plan':>9}{'changed':>9}\n")
    slowest = 0.0
    for kind, scales, live in rows():
        again, changed = measured(engine(kind, live, scales))
        slowest = max(slowest, again)
        name = "job" if kind is JOB_KIND else "pod"
        sys.stdout.write(f"{name:<6}{scales:>7}{live:>6}{again:9.2f}{changed:9.2f}\n")
    if slowest > MOST_MILLISECONDS:
        sys.exit(f"a plan took {slowest:.1f} ms; {MOST_MILLISECONDS:.0f} are promised")


def measured(live_engine: Engine) -> tuple[float, float]:
    """Return milliseconds of a plan where nothing has changed, and where a tenth has."""
    plan_of(live_engine)
    again = least(lambda: plan_of(live_engine))
    return again, least(lambda: plan_of(live_engine), lambda: change(live_engine))


def rows() -> Iterator[tuple[WorkloadKind, int, int]]:
    """Give each kind of workload with each size."""
    for kind in (POD_KIND, JOB_KIND):
        for scales in SCALES:
            for live in LIVE:
                yield kind, scales, live


def change(live_engine: Engine) -> None:
    """Have a tenth of the workloads seen anew, as after a wave of events."""
    backend = live_engine.backend
    assert isinstance(backend, ClusterBackend)
    index = backend.index
    for (kind, _), workloads in index.workloads.items():
        for at, workload in enumerate(list(workloads.values())):
            if at % 10 == 0:
                newer = copy.deepcopy(workload)
                version = int(workload["metadata"]["resourceVersion"]) + 2
                newer["metadata"]["resourceVersion"] = str(version)
                index.put(kind, newer)


def least(step: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Return the least processor time of a step, in milliseconds."""
    taken: list[float] = []
    for _ in range(REPEATS):
        before()
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
    return min(taken) * 1000


if __name__ == "__main__":
    main()
