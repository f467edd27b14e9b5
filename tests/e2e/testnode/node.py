"""A cluster of one node: control plane, kubelet and containerd in a machine of their own."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.binaries import cache_folder
from testbed.cluster import Cluster, Refused

from testnode import components, machine, pki, runtime
from testnode.machine import Machine, MachineFailed

READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Store:
    """What outlives a machine: containerd's images, and the folder with PyTorch's packages."""

    containerd: Path
    pytorch: Path
    sandbox_image: str


@dataclass(frozen=True, slots=True)
class Node:
    """A running cluster of one node, and the machine that it lives in."""

    cluster: Cluster
    machine: Machine

    @property
    def pki(self) -> Path:
        """Folder of the authority and of the admin's certificate."""
        return self.machine.folder / "pki"

    def load(self, archive: Path) -> None:
        """Bring an image to the node, from a folder in OCI's layout."""
        runtime.load(self.machine, archive)

    def advertise(self, resource: str, count: int) -> None:
        """Let the node claim to have devices; the containers that get them see none."""
        amounts = {resource: str(count)}
        patch = {"status": {"capacity": amounts, "allocatable": amounts}}
        command = ("patch", "node", components.NODE, "--subresource=status", "--type=merge")
        self.cluster.kubectl(*command, "--patch-file", "/dev/stdin", stdin=patch)


@contextmanager
def running(programs: Mapping[str, Path], store: Store, folder: Path) -> Generator[Node]:
    """Run a cluster whose files lie in `folder`, a new one, which is removed at the end.

    Raises MachineFailed.
    """
    with machine.running(folder) as ours:
        ours.connect(components.HOST_ADDRESS, components.ADDRESS)
        layout = components.Layout(programs, folder)
        pki.make(layout.pki, (components.ADDRESS, components.API_SERVICE, "127.0.0.1"))
        components.write(layout)
        cluster = Cluster(layout.kubeconfig, programs["kubectl"], folder / "cache", folder)
        for name, command in components.commands(layout).items():
            if name == "kube-controller-manager":  # the first that gives up where nobody answers
                runtime.start(ours, store.containerd, store.sandbox_image, store.pytorch)
                _wait_until(ours, cluster, "get", "--raw", "/readyz")
            ours.start(name, *command)
        node = f"node/{components.NODE}"
        _wait_until(ours, cluster, "wait", node, "--for=condition=Ready", "--timeout=5s")
        yield Node(cluster, ours)


@contextmanager
def holding(
    start: Callable[[str], AbstractContextManager[Node]], store: Store, images: Sequence[Path]
) -> Generator[Node]:
    """Run a cluster with images; `start` makes one in a folder of the given name.

    A store that an earlier run broke, as a crash of the machine can, is made anew once.
    """
    with ExitStack() as stack:
        ours = stack.enter_context(start("machine"))
        try:
            for image in images:
                ours.load(image)
        except MachineFailed:
            stack.close()
            shutil.rmtree(store.containerd)
            ours = stack.enter_context(start("machine-anew"))
            for image in images:
                ours.load(image)
        yield ours


@contextmanager
def alone(tell: Callable[[str], None]) -> Generator[None]:
    """Have the store of images, and the machine's addresses, to ourselves."""
    file = cache_folder() / "node.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another run's node ...")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _wait_until(ours: Machine, cluster: Cluster, *arguments: str) -> None:
    """Call kubectl until it succeeds."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        ours.check()
        try:
            cluster.kubectl(*arguments)
        except Refused as error:
            if time.monotonic() > deadline:
                ends = (f"{name}:\n{ours.log_end(name)}" for name in ours.started)
                message = "\n".join((f"kubectl {' '.join(arguments)}: {error}", *ends))
                raise MachineFailed(message) from error
            time.sleep(0.2)
        else:
            return
