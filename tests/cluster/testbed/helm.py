"""Helm, as people call it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.chart import CHART
from testbed.cluster import Cluster, Refused


@dataclass(frozen=True, slots=True)
class Helm:
    """Helm, for one release of the chart in a namespace."""

    program: Path
    cluster: Cluster
    namespace: str
    release: str

    def run(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """Run Helm. Raises Refused with what it said."""
        done = subprocess.run(
            [
                *(str(self.program), "--kubeconfig", str(self.cluster.kubeconfig)),
                *("--namespace", self.namespace, *arguments),
            ],
            input=json.dumps(values or {}),
            env=os.environ | {"HELM_DRIVER": "secret"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(done.stderr)
        return done.stdout

    def install(self, **values: Any) -> str:
        """Install the chart with these values."""
        return self.run("install", self.release, str(CHART), "--values", "-", values=values)

    def upgrade(self, **values: Any) -> str:
        """Change these values of the release; the others stay."""
        keep = ("--reset-then-reuse-values", "--values", "-")
        return self.run("upgrade", self.release, str(CHART), *keep, values=values)

    def uninstall(self) -> str:
        """Remove the release, and wait until it is gone."""
        return self.run("uninstall", self.release, "--wait")
