"""The programs that a node needs and that are not built from a registry: Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

CNI_PROGRAMS = Path("/usr/lib/cni")
PACKAGE_OF = {
    "buildah": "buildah",
    "containerd": "containerd",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "openssl": "openssl",
    "runc": "runc",
    str(CNI_PROGRAMS / "ptp"): "containernetworking-plugins",
}
LOOKED_WITH = {"promtool": "prometheus", "chromium": "chromium"}
"""Programs that other tests look with; those are skipped by name where one is missing."""
INSTALL_SECONDS = 900


class InstallFailed(Exception):
    """apt-get failed; the message ends with what it said."""


def missing(packages: Mapping[str, str] = PACKAGE_OF) -> tuple[str, ...]:
    """Name the packages whose programs are not there, however these came to others."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    return tuple(
        package for program, package in packages.items() if shutil.which(program, path=path) is None
    )


def obstacle() -> str | None:
    """Say why no node can run here; None where one can."""
    if os.geteuid() != 0:
        return "needs root and containerd to run a kubelet"
    if lacking := missing():
        return f"needs {', '.join(lacking)} to run a kubelet (Debian: `make cluster-packages`)"
    return None


def install(tell: Callable[[str], None]) -> None:
    """Install what is missing, where root and apt-get are at hand; say what then is in the way.

    Raises InstallFailed.
    """
    lacking = missing({**PACKAGE_OF, **LOOKED_WITH})
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        tell(f"installing Debian's packages {' '.join(lacking)} ...")
        _apt("update", "-qq")
        # What is there stays: another vendor's containerd, say, which Debian's would replace.
        quiet = ("-qq", "--yes", "--no-install-recommends", "--no-remove")
        _apt("install", *quiet, *lacking)
    if reason := obstacle():
        tell(f"ring 3 (tests/e2e) will be skipped: {reason}")


def _apt(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", *arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        message = f"apt-get {arguments[0]}: {done.stderr[-2000:]}"
        raise InstallFailed(message)
