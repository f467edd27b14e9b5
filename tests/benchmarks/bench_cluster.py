"""Many one-second trials by the operator and by two bare loops, on one API server, in one run.

Run it with `make benchmark-cluster`; nothing here judges, it prints one table. KWOK plays the pods,
so no trial costs anything: what is measured is what the operator adds. Times and writes come from
the API server's audit log. The runs take turns; what counts are the ratios within one run.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.access import kubeconfig
from testbed.binaries import CONTROL_PLANE, ensure, path_of
from testbed.chart import Object, rendered
from testbed.cluster import Cluster
from testbed.documents import played
from testbed.figures import Figures, figures_of
from testbed.kwokctl import running
from testbed.nodes import PLAYED, ROOMY, add
from testbed.process import OperatorProcess, Usage
from testbed.reader import Reader
from testbed.shipped import ACCOUNT, grant, install_definitions
from testbed.site import Site

BARE_LOOP = Path(__file__).with_name("bare_cluster_loop.py")
END_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Load:
    """How many trials, how many at once, and what proposes them."""

    trials: int
    parallel: int
    algorithm: str


@dataclass(frozen=True, slots=True)
class Row:
    """One run: its name, its figures, and what its process has used."""

    name: str
    figures: Figures
    usage: Usage


def bare_loop(cluster: Cluster, namespace: str, kind: str, load: Load) -> Usage:
    """Run a bare loop in a process of its own."""
    command = [
        *(sys.executable, str(BARE_LOOP), kind, str(cluster.kubeconfig), namespace),
        *(str(load.trials), str(load.parallel)),
    ]
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def operator(cluster: Cluster, namespace: str, kind: str, load: Load) -> Usage:
    """Run an experiment by the operator, under the role that is shipped."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    grant(cluster, namespace, documents(kind))
    config = kubeconfig(cluster, namespace, ACCOUNT, folder / "kubeconfig")
    options = ["--namespace", namespace, "--watch-namespace", namespace, "--workload", kind]
    process = OperatorProcess(config, folder / "log", options).start().wait_ready()
    reader = Reader(cluster.server, cluster.control_plane / "pki")
    try:
        _experiment(Site(cluster, namespace, reader), load)
        return process.usage()
    finally:
        process.stop()
        reader.close()


def documents(kind: str) -> list[Object]:
    """Render the chart for a kind of workload."""
    return rendered(path_of("helm"), {"trials": {"workload": kind}})


def _experiment(site: Site, load: Load) -> None:
    document = played(
        "bench",
        ("spec/trials", {"max": load.trials, "parallel": load.parallel}),
        ("spec/search/algorithm", {"name": load.algorithm, "seed": 7}),
        ("spec/resources", {"fixed": {"cpu": "1", "memory": "1Gi"}}),
        PLAY_SECONDS="1",
    )
    site.apply(document)
    status = site.wait_end("bench", END_SECONDS)
    assert status["counts"]["succeeded"] == load.trials, status["counts"]
    time.sleep(3)  # the last pods are deleted, the last status is written


@contextmanager
def fresh(cluster: Cluster, name: str) -> Generator[str]:
    """A namespace, removed with all that is in it: nobody carries another's leftovers."""
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=true", seconds=300)


Work = Callable[[Cluster, str, str, Load], Usage]
RUNS: tuple[tuple[str, Work, str, str], ...] = (
    ("bare loop, watches pods", bare_loop, "pods", "bare-loop"),
    ("bare loop, watches Jobs", bare_loop, "jobs", "bare-loop"),
    ("operator, kind pod", operator, "pod", "system:serviceaccount:{namespace}:scaling-operator"),
    ("operator, kind job", operator, "job", "system:serviceaccount:{namespace}:scaling-operator"),
)


def measure(cluster: Cluster, number: int, load: Load, only: str) -> Iterator[Row]:
    """Take turns once."""
    for index, (name, work, kind, writer) in enumerate(RUNS):
        if only not in name:
            continue
        with fresh(cluster, f"bench-{number}-{index}") as namespace:
            start = cluster.audit.position()
            usage = work(cluster, namespace, kind, load)
            figures = figures_of(
                cluster.audit.entries(start),
                namespace,
                writer.format(namespace=namespace),
                "jobs" if kind in ("jobs", "job") else "pods",
            )
        yield Row(name, figures, usage)


def table(rows: list[Row]) -> str:
    """Write the rows, each beside the bare pod loop of its round."""
    head = ("", "trials/min", "of bare", "gap p50/p95 ms", "writes own/all", "CPU s", "MiB")
    lines: list[tuple[str, ...]] = [head]
    bare = 0.0
    for row in rows:
        figures, trials = row.figures, row.figures.trials
        if row.name == RUNS[0][0]:
            bare = figures.trials_per_minute
        lines.append(
            (
                row.name,
                f"{figures.trials_per_minute:.0f}",
                f"{figures.trials_per_minute / bare:.2f}" if bare else "-",
                f"{figures.gap_seconds(50) * 1000:.0f} / {figures.gap_seconds(95) * 1000:.0f}",
                f"{figures.own_writes / trials:.2f} / {figures.all_writes / trials:.1f}",
                f"{row.usage.cpu_seconds:.1f}",
                f"{row.usage.peak_bytes / 2**20:.0f}",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            word.ljust(width) if column == 0 else word.rjust(width)
            for column, (word, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def main() -> None:
    """Start a control plane, take turns, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--algorithm", default="random")
    parser.add_argument("--only", default="", help="runs whose name holds this")
    arguments = parser.parse_args()
    load = Load(arguments.trials, arguments.parallel, arguments.algorithm)

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    programs = ensure((*CONTROL_PLANE, "helm"), tell)
    folder = Path(tempfile.mkdtemp(prefix="bench-")) / "control-plane"
    rows: list[Row] = []
    with running(programs, folder) as cluster:
        add(cluster, PLAYED, ROOMY)
        install_definitions(cluster)
        for number in range(arguments.rounds):
            for row in measure(cluster, number, load, arguments.only):
                tell(f"{row.name}: {row.figures.trials_per_minute:.0f} trials/min")
                rows.append(row)
    load_average = os.getloadavg()[2]
    sys.stdout.write(
        f"{load.trials} trials of 1 s, {load.parallel} at once, {load.algorithm}; "
        f"{os.cpu_count()} cores, {platform.machine()}, load of 15 min {load_average:.1f}\n"
        f"{table(rows)}\n"
    )


if __name__ == "__main__":
    main()
