"""A namespace in which an operator works: what is there, and waiting for what shall be there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testbed.cluster import Cluster
from testbed.reader import Gone, Reader

LABEL = "scaling-operator.dev/experiment"
ENDS = ("Succeeded", "Failed")
POLL_SECONDS = 0.1

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace with experiments."""

    cluster: Cluster
    namespace: str
    reader: Reader

    def apply(self, *documents: Document) -> None:
        """Create or change objects, as `kubectl apply` does."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.cluster.kubectl("-n", self.namespace, "apply", "-f", "-", stdin=items)

    def kubectl(self, *arguments: str, seconds: float = 60) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, seconds=seconds)

    def experiment(self, name: str) -> Document:
        """Read an experiment; `{}` once it is gone."""
        try:
            return self.reader.read("scalingexperiments", self.namespace, name)
        except Gone:
            return {}

    def status(self, name: str) -> Document:
        """Read the status of an experiment; `{}` before it has one."""
        status: Document = self.experiment(name).get("status", {})
        return status

    def trials(self, name: str) -> list[Document]:
        """Read an experiment's trials, by scale and number."""
        trials = self.reader.list("scalingtrials", self.namespace, f"{LABEL}={name}")
        return sorted(trials, key=lambda trial: (trial["spec"]["scale"], trial["spec"]["number"]))

    def trial(self, name: str, number: int) -> Document:
        """Read a trial of an experiment without a ladder; `{}` where there is none."""
        try:
            return self.reader.read("scalingtrials", self.namespace, f"{name}-0-{number}")
        except Gone:
            return {}

    def pods(self, name: str) -> list[Document]:
        """Read an experiment's pods."""
        return self.reader.list("pods", self.namespace, f"{LABEL}={name}")

    def events(self, name: str) -> list[Document]:
        """Read the Events about an experiment or one of its trials."""
        events = self.reader.list("events", self.namespace)
        return [
            event
            for event in events
            if event["involvedObject"]["kind"] in ("ScalingExperiment", "ScalingTrial")
            and f"{event['involvedObject']['name']}-".startswith(f"{name}-")
        ]

    def condition(self, name: str, kind: str) -> Document:
        """Read a condition of an experiment; `{}` where it has none of that type."""
        conditions: list[Document] = self.status(name).get("conditions", [])
        return next(
            (condition for condition in conditions if condition["type"] == kind), Document()
        )

    def wait_end(self, name: str, seconds: float = 60.0) -> Document:
        """Wait until an experiment is over, and return its status."""
        self.wait(lambda: self.status(name).get("phase") in ENDS, seconds, f"{name} is over")
        return self.status(name)

    def wait(
        self,
        holds: Callable[[], object],
        seconds: float,
        expectation: str,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Wait until something holds. Fails with `expectation` and what is there instead."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                message = f"not within {seconds:g} s: {expectation}\n{self.picture()}"
                raise AssertionError(message)
            time.sleep(poll_seconds)

    def picture(self) -> str:
        """What is in the namespace, for a person who reads a failure."""
        wide = ("get", "sx,sxt,pods", "-o", "wide", "--ignore-not-found")
        return "\n".join((self.kubectl(*wide), self.kubectl("get", "events")[-3000:]))
