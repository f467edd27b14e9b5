"""A machine within the machine: `python namespaces.py FOLDER`, as root.

It makes network, mount and process namespaces, prints a line when they are ready and waits until
its standard input closes, which the system does for a process that dies, however it dies. Then it
ends the namespaces' first process. With it the kernel ends all others, containers included, and
removes their interfaces, routes, iptables rules and mounts: none of them was ever the host's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

# Folders of the host, by name, that programs insist on: in the namespaces they are FOLDER's.
COVERED = {
    "run": Path("/run"),
    "log": Path("/var/log"),
    "kubelet": Path("/var/lib/kubelet"),
    "cni": Path("/var/lib/cni"),
}
CGROUPS = Path("/sys/fs/cgroup")
TIDY_SECONDS = 10.0


def cgroup_of(folder: Path) -> str:
    """Name of the control group below which the folder's containers run."""
    return f"scaling-{folder.stat().st_ino}"


def outside(folder: Path) -> None:
    """Keep the namespaces for as long as standard input is open, then remove every trace."""
    created = [path for path in COVERED.values() if not path.exists()]
    for path in created:
        path.mkdir()
    groups = [root / cgroup_of(folder) for root in _hierarchies()]
    for group in groups:
        group.mkdir()
    command = [
        *("unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"),
        *(sys.executable, __file__, "--inside", str(folder)),
    ]
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    sys.stdin.read()
    child.kill()  # and by --kill-child the first process within
    child.wait()
    for group in groups:
        _remove_group(group)
    for path in created:
        with suppress(OSError):  # someone else uses it by now
            path.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


def inside(folder: Path) -> None:
    """Be the first process of the namespaces."""
    for name, path in COVERED.items():
        (folder / name).mkdir()
        _do("mount", "--bind", str(folder / name), str(path))
    # A kubelet shares what it mounts with the containers that ask for it.
    _do("mount", "--make-rshared", "/")
    _do("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    # The system itself then buries the orphans of which we are the parent.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


def _hierarchies() -> tuple[Path, ...]:
    """Roots of the control groups: one in version 2, one per controller in version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        wanted = "+cpu +cpuset +io +memory +pids"
        (CGROUPS / "cgroup.subtree_control").write_text(wanted)
        return (CGROUPS,)
    # cpu and cpuacct may be two names of one.
    entries = (path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink())
    return tuple(path for path in entries if (path / "cgroup.procs").exists())


def _remove_group(group: Path) -> None:
    deadline = time.monotonic() + TIDY_SECONDS
    while group.exists() and time.monotonic() < deadline:
        for path, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):  # its last process is on its way out
                Path(path).rmdir()
        time.sleep(0.05)


def _do(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        inside(Path(sys.argv[2]))
    else:
        outside(Path(sys.argv[1]))
