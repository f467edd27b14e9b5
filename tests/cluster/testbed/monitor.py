"""Samples the state of an operator while a test does something else."""

from __future__ import annotations

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from testbed.installation import Installation
from testbed.reader import Reader

PERIOD_SECONDS = 0.5


@dataclass(slots=True)
class OperatorMonitor:
    """The worst values of all samples."""

    lease_age_seconds: float = 0.0
    """Longest time since the Lease was renewed."""
    holders: set[str] = field(default_factory=set[str])
    transitions: set[int] = field(default_factory=set[int])
    unhealthy: int = 0
    """How often /healthz was not 200."""
    memory_bytes: int = 0
    samples: int = 0

    def sample(self, installation: Installation, reader: Reader) -> None:
        """Take one sample."""
        spec = reader.read("leases", installation.site.namespace, "scaling-operator")["spec"]
        age = datetime.now(UTC) - datetime.fromisoformat(spec["renewTime"])
        self.lease_age_seconds = max(self.lease_age_seconds, age.total_seconds())
        self.holders.add(spec["holderIdentity"])
        self.transitions.add(spec.get("leaseTransitions", 0))
        self.unhealthy += installation.operator.probe("healthz", seconds=5.0) != 200
        self.memory_bytes = max(self.memory_bytes, installation.operator.memory_bytes())
        self.samples += 1


@contextmanager
def monitored(installation: Installation) -> Generator[OperatorMonitor]:
    """Sample an operator for the length of a block."""
    monitor, ended = OperatorMonitor(), threading.Event()
    reader = Reader(
        installation.site.cluster.server, installation.site.cluster.control_plane / "pki"
    )

    def run() -> None:
        while not ended.wait(PERIOD_SECONDS):
            monitor.sample(installation, reader)

    with ThreadPoolExecutor(1) as pool, closing(reader):
        sampling = pool.submit(run)
        try:
            yield monitor
        finally:
            ended.set()
            sampling.result()
