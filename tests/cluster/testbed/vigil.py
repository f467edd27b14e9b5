"""Looks at an operator again and again while a test does something else."""

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
class Vigil:
    """The worst that was seen."""

    lease_age_seconds: float = 0.0
    """Longest time since the Lease was renewed."""
    holders: set[str] = field(default_factory=set[str])
    transitions: set[int] = field(default_factory=set[int])
    unhealthy: int = 0
    """How often /healthz did not say yes."""
    memory_bytes: int = 0
    looks: int = 0

    def look(self, one: Installation, reader: Reader) -> None:
        """Look once."""
        spec = reader.read("leases", one.site.namespace, "scaling-operator")["spec"]
        age = datetime.now(UTC) - datetime.fromisoformat(spec["renewTime"])
        self.lease_age_seconds = max(self.lease_age_seconds, age.total_seconds())
        self.holders.add(spec["holderIdentity"])
        self.transitions.add(spec.get("leaseTransitions", 0))
        self.unhealthy += one.operator.probe("healthz", seconds=5.0) != 200
        self.memory_bytes = max(self.memory_bytes, one.operator.memory_bytes())
        self.looks += 1


@contextmanager
def keeping(one: Installation) -> Generator[Vigil]:
    """Look at an operator for as long as the block lasts."""
    vigil, ended = Vigil(), threading.Event()
    reader = Reader(one.site.cluster.server, one.site.cluster.control_plane / "pki")

    def run() -> None:
        while not ended.wait(PERIOD_SECONDS):
            vigil.look(one, reader)

    with ThreadPoolExecutor(1) as pool, closing(reader):
        looking = pool.submit(run)
        try:
            yield vigil
        finally:
            ended.set()
            looking.result()
