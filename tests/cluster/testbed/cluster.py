"""A cluster as the tests see it: where it is, and kubectl to talk to it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.audit import AuditLog


class Refused(Exception):
    """The API server, or kubectl before it, said no; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. `folder` holds the files and logs of one that the tests started."""

    kubeconfig: Path
    program: Path
    cache: Path
    folder: Path | None = None

    def kubectl(self, *arguments: str, stdin: Any = None, seconds: float = 60) -> str:
        """Run kubectl and return what it printed; `stdin` is text, or a document to send as JSON.

        Raises Refused with kubectl's own words.
        """
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        done = subprocess.run(
            [
                *(str(self.program), "--kubeconfig", str(self.kubeconfig)),
                *("--cache-dir", str(self.cache), *arguments),
            ],
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(done.stderr)
        return done.stdout

    def read(self, *arguments: str) -> Any:
        """Run `kubectl get` with the arguments and return the object."""
        return json.loads(self.kubectl("get", "-o", "json", *arguments))

    @property
    def control_plane(self) -> Path:
        """Folder of the control plane that the tests started: its logs, certificates and pids."""
        assert self.folder is not None, "only a control plane of the tests' own has a folder"
        return next(self.folder.glob("clusters/*"))

    @property
    def audit(self) -> AuditLog:
        """The audit log of the control plane that the tests started."""
        return AuditLog(self.control_plane / "logs" / "audit.log")

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")

    @property
    def is_ours(self) -> bool:
        """Whether the tests started it, and may do with it what they like."""
        return self.folder is not None
