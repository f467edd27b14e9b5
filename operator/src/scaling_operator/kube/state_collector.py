"""Collects the present state of the process and of its experiments for a scrape."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import PODS
from scaling_operator.kube.health import Health
from scaling_operator.kube.logs import about
from scaling_operator.kube.recorder import Recorder
from scaling_operator.metrics import families
from scaling_operator.metrics.samples import (
    Sample,
    StoredExperiment,
    phases,
    read_experiment,
    samples_of_experiment,
    samples_of_machines,
    samples_of_policy,
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class StateCollector:
    """Reads the process' parts and the index. Only changed objects are parsed again."""

    index: Index
    health: Health
    recorder: Recorder
    _views: dict[Key, tuple[str, StoredExperiment | None]] = field(
        default_factory=dict[Key, tuple[str, "StoredExperiment | None"]]
    )

    def samples(self) -> Iterator[Sample]:
        """Give all samples; those of experiments only from the leader, else they count twice."""
        yield from self._process()
        if not self.health.leads():
            return
        views = self._current()
        now = time.time()
        yield from phases(views.values())
        for key, view in views.items():
            yield from samples_of_experiment(view, now)
            yield from samples_of_machines(view, self.index.workloads_of(PODS, key))
            progressed = self.recorder.pods.progress.get(key)
            if progressed is not None:
                yield Sample(families.PROGRESS, key, progressed)
        yield from self.recorder.running.samples()
        yield from self._policies()

    def _process(self) -> Iterator[Sample]:
        health = self.health
        yield Sample(families.LEADER, (), float(health.leads()))
        yield Sample(families.QUEUE_DEPTH, (), len(health.queue))
        yield Sample(families.QUEUE_OLDEST, (), health.queue.oldest_seconds)
        yield Sample(families.LOOP_LAG, (), max(0.0, health.lag_seconds))
        yield Sample(families.WATCH_FAILURES, (), health.watches.failures)
        yield Sample(families.RESYNC_MISSES, (), health.resync.misses)
        restarts = {"Missed": 0, **health.watches.restarts}
        for cause, count in restarts.items():
            yield Sample(families.WATCH_RESTARTS, (cause,), count)

    def _policies(self) -> Iterator[Sample]:
        for name, policy in dict(self.index.policies).items():
            try:
                yield from samples_of_policy(policy)
            except ValidationError as error:
                log.info("policy %s is shown without metrics: %s", name, error)

    def _current(self) -> dict[Key, StoredExperiment]:
        experiments = dict(self.index.experiments)
        self._views = {key: self._view(key, experiment) for key, experiment in experiments.items()}
        return {key: view for key, (_, view) in self._views.items() if view is not None}

    def _view(self, key: Key, experiment: dict[str, Any]) -> tuple[str, StoredExperiment | None]:
        version = str(experiment["metadata"].get("resourceVersion"))
        cached = self._views.get(key)
        if cached is not None and cached[0] == version:
            return cached
        try:
            return version, read_experiment(experiment)
        except ValidationError as error:
            # Another version of the operator wrote it: its conditions say so.
            log.info("shown without metrics: %s", error, extra=about(key))
            return version, None
