"""containerd in the machine: its configuration, its store of images, and what goes into it.

The store outlives the machine, in the cache folder, so that an image is unpacked once.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from testnode.components import PODS
from testnode.machine import Machine

CNI_PROGRAMS = Path("/usr/lib/cni")
# Where Debian's Python looks for packages that Debian does not bring.
PACKAGES = "/usr/local/lib/python3.11/dist-packages"
_CTR = ("ctr", "--namespace", "k8s.io")
START_SECONDS = 30.0
IMPORT_SECONDS = 600.0


def start(machine: Machine, store: Path, sandbox_image: str, pytorch: Path) -> None:
    """Start containerd on a store of images, free of what an earlier machine ran.

    `pytorch` is laid into every container, as a GPU's driver is on a node that has one.
    """
    _sweep(machine, store)
    (machine.folder / "cni.d").mkdir()
    (machine.folder / "cni.d" / "10-pods.conflist").write_text(json.dumps(_network(machine.folder)))
    specification = machine.folder / "container.json"
    specification.write_text(json.dumps(_container(machine, pytorch)))
    (machine.folder / "containerd.toml").write_text(
        _head(machine.folder, store)
        + f"""
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = true  # lowering it needs CAP_SYS_RESOURCE
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PROGRAMS}"
  conf_dir = "{machine.folder / "cni.d"}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  base_runtime_spec = "{specification}"
"""
    )
    _launch(machine, "containerd")


def load(machine: Machine, archive: Path) -> None:
    """Bring an image into the store, from a folder in OCI's layout; what it has, it keeps."""
    (entry,) = json.loads((archive / "index.json").read_text())["manifests"]
    if entry["digest"] in machine.run(*_CTR, "images", "ls"):
        return
    has = set(machine.run(*_CTR, "content", "ls", "--quiet").split())
    blobs = (archive / "blobs" / "sha256").iterdir()
    new = [f"blobs/sha256/{blob.name}" for blob in blobs if f"sha256:{blob.name}" not in has]
    command = ("tar", "-C", str(archive), "-c", "oci-layout", "index.json", *new)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:  # its end is seen in any case
        assert tar.stdout is not None
        command = (*_CTR, "images", "import", "--all-platforms", "-")
        machine.run(*command, stdin=tar.stdout.fileno(), seconds=IMPORT_SECONDS)


def _sweep(machine: Machine, store: Path) -> None:
    """Remove what an earlier machine has left in the store: containers, images without a name."""
    without_pods = 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
    (machine.folder / "sweep.toml").write_text(without_pods + _head(machine.folder, store))
    _launch(machine, "sweep")
    if old := machine.run(*_CTR, "containers", "ls", "--quiet").split():
        machine.run(*_CTR, "containers", "rm", *old)
    names = machine.run(*_CTR, "images", "ls", "--quiet").split()
    # The kubelet's own names for images, by which those that were replaced would live on.
    if second := [name for name in names if name.startswith("sha256:")]:
        machine.run(*_CTR, "images", "rm", "--sync", *second)
    machine.stop("sweep")


def _launch(machine: Machine, name: str) -> None:
    machine.start(name, "containerd", "--config", str(machine.folder / f"{name}.toml"))
    machine.wait(*_CTR, "version", seconds=START_SECONDS)


def _head(folder: Path, store: Path) -> str:
    return f"""\
version = 2
root = "{store}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder / "opt"}"
"""


def _container(machine: Machine, pytorch: Path) -> dict[str, Any]:
    """What containerd makes every container from."""
    specification: dict[str, Any] = json.loads(machine.run("ctr", "oci", "spec"))
    specification["process"]["rlimits"] = None
    specification["mounts"].append(
        {
            "destination": PACKAGES,
            "type": "bind",
            "source": str(pytorch),
            "options": ["rbind", "ro"],
        }
    )
    return specification


def _network(folder: Path) -> dict[str, Any]:
    """A cable from each pod to the machine, which routes: so kube-proxy sees every packet."""
    routes = [{"dst": "0.0.0.0/0"}]
    addresses = {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": routes}
    addresses["dataDir"] = str(folder / "addresses")
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [plugin]}
