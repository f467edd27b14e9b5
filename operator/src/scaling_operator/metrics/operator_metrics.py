"""Counts and measures events as they happen: one method per event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics

from scaling_operator.api.names import Reason, TrialState
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.metrics import families
from scaling_operator.metrics.families import OWNER, Family
from scaling_operator.server.listen import REFUSALS

Owner = tuple[str, str]
"""Namespace and name of an experiment."""


def new_registry(version: str) -> CollectorRegistry:
    """Make an own registry for a process or a test, without metrics of libraries."""
    disable_created_metrics()  # else each counter and histogram has a second series
    registry = CollectorRegistry()
    build = Info(families.BUILD.name, families.BUILD.meaning, registry=registry)
    build.info({"version": version})
    return registry


@dataclass(slots=True)
class OperatorMetrics:
    """Counters and histograms in a registry."""

    registry: CollectorRegistry
    _counters: dict[str, Counter] = field(default_factory=dict[str, Counter])
    _histograms: dict[str, Histogram] = field(default_factory=dict[str, Histogram])

    def __post_init__(self) -> None:
        for family in COUNTERS:
            self._counters[family.name] = Counter(
                family.name, family.meaning, family.labels, registry=self.registry
            )
        for family in HISTOGRAMS:
            self._histograms[family.name] = Histogram(
                family.name,
                family.meaning,
                family.labels,
                buckets=family.buckets,
                registry=self.registry,
            )
        for family, values in LABEL_VALUES.items():
            for value in values:  # from 0 on: else Prometheus sees no increase at the first one
                (self._counters | self._histograms)[family.name].labels(value)
        for port, reason in product(PORTS, REFUSALS):
            self._counters[families.TURNED_AWAY.name].labels(port, reason)

    def lead_changed(self) -> None:
        """Count a gain or a loss of the Lease."""
        self._counters[families.LEADER_CHANGES.name].inc()

    def reconciled(self, result: str, seconds: float) -> None:
        """Measure a reconcile of an experiment."""
        self._measure(families.RECONCILE, seconds, result)

    def requested(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count and measure a request to the API server."""
        self._count(families.API_REQUESTS, verb, resource, str(code))
        self._measure(families.API_SECONDS, seconds, verb)

    def watched(self, resource: str) -> None:
        """Count an event that a watch has shown."""
        self._count(families.WATCH_EVENTS, resource)

    def report_accepted(self, action: str) -> None:
        """Count a report that was answered."""
        self._count(families.REPORTS_ACCEPTED, action)

    def report_refused(self, reason: str) -> None:
        """Count a report that was refused."""
        self._count(families.REPORTS_REFUSED, reason)

    def turned_away(self, port: str) -> Callable[[str], None]:
        """Give a function that counts refusals of a port, by their reasons."""
        return partial(self._count, families.TURNED_AWAY, port)

    def asked(self, algorithm: str, seconds: float) -> None:
        """Measure a proposal of a sampler."""
        self._measure(families.ASK, seconds, algorithm)

    def ask_failed(self, algorithm: str) -> None:
        """Count a proposal that a sampler could not make."""
        self._count(families.ASKS_FAILED, algorithm)

    def slot_refilled(self, seconds: float) -> None:
        """Measure how long a slot was idle."""
        self._histograms[families.SLOT_IDLE.name].observe(seconds)

    def pod_waited(self, owner: Owner, seconds: float) -> None:
        """Measure how long a pod has waited until it ran."""
        self._measure(families.TRIAL_QUEUED, seconds, *owner)

    def loaded(self, owner: Owner) -> None:
        """Begin the counts of an experiment at 0: else the first one is no increase."""
        for reason in INITIAL_ATTEMPT_REASONS:
            self._counters[families.ATTEMPTS.name].labels(*owner, reason)

    def report_taken(self, owner: Owner) -> None:
        """Count a report of a running trial."""
        self._count(families.TRAINING_REPORTS, *owner)

    def trial_changed(self, owner: Owner, before: ScalingTrial, after: ScalingTrial) -> None:
        """Count an attempt that has ended between two stored statuses of a trial."""
        if len(after.status.attempts) > len(before.status.attempts):
            self._count(families.ATTEMPTS, *owner, str(after.status.attempts[-1].reason))
        if after.status.state.ended and not before.status.state.ended:
            state, reason = after.status.state, after.status.reason
            counted_reason = reason if state in (TrialState.FAILED, TrialState.STOPPED) else None
            self._count(families.ATTEMPTS, *owner, str(counted_reason or state))

    def trial_ended(self, owner: Owner, state: TrialState, seconds: float) -> None:
        """Measure a trial that has ended."""
        self._measure(families.TRIAL_SECONDS, seconds, *owner, state.value)

    def forget(self, owner: Owner) -> None:
        """Drop the series of a deleted experiment."""
        labels: dict[str, str] = dict(zip(OWNER, owner, strict=True))
        for family in (*COUNTERS, *HISTOGRAMS):
            if family.labels[:2] == OWNER:
                instruments = self._counters | self._histograms
                instruments[family.name].remove_by_labels(labels)

    def forget_all(self) -> None:
        """Drop the series of all experiments: another replica shows them now."""
        for family in (*COUNTERS, *HISTOGRAMS):
            if family.labels[:2] == OWNER:
                instruments = self._counters | self._histograms
                instruments[family.name].clear()

    def _count(self, family: Family, *labels: str) -> None:
        self._counters[family.name].labels(*labels).inc()

    def _measure(self, family: Family, seconds: float, *labels: str) -> None:
        self._histograms[family.name].labels(*labels).observe(seconds)


COUNTERS = (
    families.LEADER_CHANGES,
    families.API_REQUESTS,
    families.WATCH_EVENTS,
    families.REPORTS_ACCEPTED,
    families.REPORTS_REFUSED,
    families.TURNED_AWAY,
    families.ASKS_FAILED,
    families.ATTEMPTS,
    families.TRAINING_REPORTS,
)
PORTS = ("reports", "metrics", "health", "dashboard")
LABEL_VALUES = {
    families.ASKS_FAILED: ("random", "grid", "tpe", "gp", "genetic"),
    families.RECONCILE: ("ok", "busy", "forbidden", "error", "bug"),
    families.REPORTS_ACCEPTED: ("continue", "prune", "stop", "result"),
    families.REPORTS_REFUSED: (
        *("BadToken", "NoAttempt", "Invalid", "TooLarge", "TooMany", "TooSlow"),
        *("Standby", "NotNow", "Other"),
    ),
}
INITIAL_ATTEMPT_REASONS = (
    *(TrialState.SUCCEEDED.value, TrialState.PRUNED.value),
    *(Reason.TRAINER_FAILED.value, Reason.DATA_ERROR.value),
    *(Reason.OOM_KILLED.value, Reason.ACCELERATOR_OOM.value),
)
HISTOGRAMS = (
    families.RECONCILE,
    families.API_SECONDS,
    families.ASK,
    families.SLOT_IDLE,
    families.TRIAL_QUEUED,
    families.TRIAL_SECONDS,
)
