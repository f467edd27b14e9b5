"""Start a control plane with kwokctl, and stop it however the tests end.

kwokctl leaves its processes behind by design. So a process of our own watches the one that asked
for the cluster: when the pipe between them closes, be it by a normal end, Ctrl-C or a crash, it
ends the control plane and removes its folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from testbed import reaper
from testbed.binaries import KUBERNETES_VERSION, cache_folder, locked
from testbed.cluster import Cluster

START_SECONDS = 120
_NAME = "ring-2"
_HERE = Path(__file__).parent
# A lost node's pods are given up after seconds, not after Kubernetes' five minutes.
# kwokctl 0.8 panics unless the first argument of each program comes before the second of any.
_HASTE = (
    "kube-apiserver=default-not-ready-toleration-seconds=2",
    "kube-controller-manager=node-monitor-period=1s",
    "kube-apiserver=default-unreachable-toleration-seconds=2",
    "kube-controller-manager=node-eviction-rate=10",
    "kube-controller-manager=secondary-node-eviction-rate=10",
)


class StartFailed(Exception):
    """The control plane did not become ready; the message holds the ends of its logs."""


@contextmanager
def running(programs: Mapping[str, Path], folder: Path, *options: str) -> Generator[Cluster]:
    """Run a control plane whose files lie in `folder`, a new one, which is removed at the end.

    It plays pods as `play.yaml` says and keeps an audit log. `options` are further ones of
    `kwokctl create cluster`. Raises StartFailed.
    """
    folder.mkdir(parents=True)
    hooks = subprocess.Popen(
        [sys.executable, reaper.__file__, str(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the tests
    )
    try:
        yield _start(programs, folder, options)
    finally:
        hooks.communicate(timeout=reaper.PATIENCE_SECONDS * 2)


def _start(programs: Mapping[str, Path], folder: Path, options: tuple[str, ...]) -> Cluster:
    cluster = Cluster(folder / "kubeconfig", programs["kubectl"], folder / "cache", folder)
    command = [
        *(str(programs["kwokctl"]), "create", "cluster", "--name", _NAME, "--runtime", "binary"),
        *("--kubeconfig", str(cluster.kubeconfig), "--disable-qps-limits"),
        *("--wait", f"{START_SECONDS}s", *_binaries(programs), *_behaviour(), *options),
    ]
    # Ports are chosen first and taken later: two that start at once could choose the same.
    with locked(cache_folder() / "start.lock"):
        done = subprocess.run(
            command,
            env=os.environ | {"KWOK_WORKDIR": str(folder), "KWOK_KUBE_VERSION": KUBERNETES_VERSION},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS * 2,
            check=False,
        )
    if done.returncode != 0:
        raise StartFailed("\n".join((done.stderr[-3000:], *_log_ends(folder))))
    return cluster


def _binaries(programs: Mapping[str, Path]) -> Iterator[str]:
    for option in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        yield f"--{option}-binary={programs[option]}"
    yield f"--kwok-controller-binary={programs['kwok']}"


def _behaviour() -> Iterator[str]:
    yield f"--config={_HERE / 'play.yaml'}"
    yield f"--kube-audit-policy={_HERE / 'audit-policy.yaml'}"
    for argument in _HASTE:
        yield f"--extra-args={argument}"


def _log_ends(folder: Path) -> Iterator[str]:
    for log in sorted(folder.glob("clusters/*/logs/*.log")):
        yield f"{log.name}:\n{log.read_text(errors='replace')[-1000:]}"
