"""Build Kubernetes' programs from the versions that the `go.mod` files beside this package pin.

They lie outside the tree, in a folder whose name is the hash of what they are built from: only a
fresh machine, or a new version, pays for a build (about ten minutes on two cores for all of them).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parents[1] / "go"
BUILD_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Program:
    """A program, the module that pins it and its Go package."""

    name: str
    module: str
    package: str


class GoMissing(Exception):
    """There is no Go to build Kubernetes with."""


class BuildFailed(Exception):
    """Go could not build a program; the message ends with what it said."""


def _required_version(module: str, path: str) -> str:
    text = (MODULES / module / "go.mod").read_text()
    match = re.search(rf"^(?:require )?\s*{re.escape(path)} (v\S+)", text, re.MULTILINE)
    if match is None:
        message = f"{module}/go.mod does not require {path}"
        raise BuildFailed(message)
    return match[1]


KUBERNETES_VERSION = _required_version("kubernetes", "k8s.io/kubernetes")
_KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "kube-proxy",
)
PROGRAMS = {
    program.name: program
    for program in (
        *(Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}") for name in _KUBERNETES),
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Program("kwokctl", "kwok", "sigs.k8s.io/kwok/cmd/kwokctl"),
        Program("helm", "helm", "helm.sh/helm/v3/cmd/helm"),
    )
}
CONTROL_PLANE = (*_KUBERNETES[:4], "etcd", "kwok", "kwokctl")
NODE = (*_KUBERNETES, "etcd", "helm")


def cache_folder() -> Path:
    """Folder that outlives a test run; XDG_CACHE_HOME moves it."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "scaling-operator"


def path_of(name: str) -> Path:
    """Path of a program, built or not."""
    program = PROGRAMS[name]
    files = (MODULES / program.module / file for file in ("go.mod", "go.sum"))
    sources = b"\0".join(file.read_bytes() for file in files) + _link_flags(program).encode()
    key = hashlib.sha256(sources).hexdigest()[:16]
    return cache_folder() / f"{program.module}-{key}" / "bin" / name


def missing(names: Sequence[str]) -> tuple[str, ...]:
    """Name the programs that have to be built first."""
    return tuple(name for name in names if not path_of(name).exists())


def ensure(names: Sequence[str], tell: Callable[[str], None]) -> dict[str, Path]:
    """Build what is missing, one process at a time, and return where all of them are.

    Raises GoMissing or BuildFailed.
    """
    if missing(names):
        if shutil.which("go") is None:
            message = "needs Go to build Kubernetes"
            raise GoMissing(message)
        with locked(cache_folder() / "build.lock"):
            for name in missing(names):  # again: another process may have built them meanwhile
                tell(f"building {name} ...")
                _build(PROGRAMS[name])
    return {name: path_of(name) for name in names}


@contextmanager
def locked(file: Path) -> Generator[None]:
    """Let one process at a time do something; the system frees the lock of one that died."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(program: Program) -> None:
    target = path_of(program.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    command = [
        *("nice", "-n", "19", "go", "build", "-trimpath", "-buildvcs=false"),
        *("-ldflags", _link_flags(program), "-o", str(unfinished), program.package),
    ]
    done = subprocess.run(
        command,
        cwd=MODULES / program.module,
        env=os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        message = f"{program.name}: go build ended with {done.returncode}\n{done.stderr[-2000:]}"
        raise BuildFailed(message)
    unfinished.replace(target)


def _link_flags(program: Program) -> str:
    """Flags of the linker: no debug tables; Kubernetes' version, else the server says v0.0.0."""
    flags = ["-s", "-w"]
    if program.module == "kubernetes":
        major, minor = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
        values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
        where = "k8s.io/component-base/version"
        flags += [f"-X {where}.{name}={value}" for name, value in values.items()]
    return " ".join(flags)
