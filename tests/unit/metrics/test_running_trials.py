"""Aggregates of running trials, moments of pods, and what is forgotten."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from scaling_operator.api.names import Reason, TrialState
from scaling_operator.api.status import Attempt, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.reports import Report
from scaling_operator.metrics import families
from scaling_operator.metrics.operator_metrics import OperatorMetrics, new_registry
from scaling_operator.metrics.pods import PodTimes
from scaling_operator.metrics.samples import RunningTrials

OWNER = ("team", "digits")
LABELS = {"namespace": "team", "experiment": "digits"}
NOON = 1_800_000_000.0


@dataclass(slots=True)
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


def report(loss: float, samples: float = 0, seconds: float = 0, **peaks: float) -> Report:
    figures = {"samples": samples, "seconds": seconds, **peaks} if seconds else peaks
    return Report(1, 1, {"val_loss": loss}, figures)


def aggregates_of(running: RunningTrials) -> dict[tuple[str, ...], float]:
    return {(sample.family.name, *sample.labels[2:]): sample.value for sample in running.samples()}


def test_losses_of_running_trials_are_summed_up() -> None:
    running = RunningTrials()
    for number, loss in enumerate((0.1, 0.2, 0.6)):
        running.reported(OWNER, (0, number), report(loss), "val_loss")

    aggregates = aggregates_of(running)
    assert aggregates["scaling_training_trials",] == 3
    assert aggregates["scaling_training_loss", "min"] == 0.1
    assert round(aggregates["scaling_training_loss", "mean"], 9) == 0.3
    assert aggregates["scaling_training_loss", "max"] == 0.6


def test_the_training_loss_comes_before_the_objective() -> None:
    running = RunningTrials()
    running.reported(OWNER, (0, 0), Report(1, 1, {"val_f1": 0.9, "train_loss": 0.3}), "val_f1")

    assert aggregates_of(running)["scaling_training_loss", "max"] == 0.3


def test_throughput_is_what_was_seen_since_the_last_report() -> None:
    running = RunningTrials()
    running.reported(OWNER, (0, 0), report(1, samples=100, seconds=10), "val_loss")
    running.reported(OWNER, (0, 0), report(1, samples=400, seconds=20), "val_loss")
    running.reported(OWNER, (0, 1), report(1, samples=50, seconds=10), "val_loss")

    assert aggregates_of(running)["scaling_training_samples_per_second",] == 30 + 5


def test_a_new_attempt_counts_its_time_anew() -> None:
    running = RunningTrials()
    running.reported(OWNER, (0, 0), report(1, samples=400, seconds=20), "val_loss")
    running.reported(OWNER, (0, 0), report(1, samples=100, seconds=5), "val_loss")

    assert aggregates_of(running)["scaling_training_samples_per_second",] == 20


def test_memory_is_that_of_the_largest() -> None:
    running = RunningTrials()
    running.reported(OWNER, (0, 0), report(1, peakDeviceBytes=5, peakHostBytes=7), "val_loss")
    running.reported(OWNER, (0, 1), report(1, peakDeviceBytes=9), "val_loss")

    aggregates = aggregates_of(running)
    assert aggregates["scaling_training_peak_memory_bytes", "device"] == 9
    assert aggregates["scaling_training_peak_memory_bytes", "host"] == 7


def test_a_trial_that_is_over_counts_no_more() -> None:
    running = RunningTrials()
    running.reported(OWNER, (0, 0), report(0.5), "val_loss")
    running.ended(OWNER, (0, 0))

    assert aggregates_of(running) == {("scaling_training_trials",): 0}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def pod(phase: str, uid: str = "1", created: str = "2027-01-15T08:00:00Z") -> dict[str, Any]:
    return {
        "metadata": {
            "uid": uid,
            "creationTimestamp": created,
            "labels": {"scaling-operator.dev/trial": "digits-0-1"},
        },
        "status": {"phase": phase},
    }


def bench() -> tuple[PodTimes, Clock, CollectorRegistry]:
    registry, clock = new_registry("0"), Clock()
    return PodTimes(OperatorMetrics(registry), clock), clock, registry


def test_a_pods_wait_ends_when_it_runs() -> None:
    moments, clock, registry = bench()
    moments.put(OWNER, None, pod("Pending"))
    clock.now += 7
    moments.put(OWNER, pod("Pending"), pod("Running"))

    assert value(registry, "scaling_trial_queue_seconds_sum", **LABELS) == 7


def test_a_pod_that_waited_before_this_process_began_is_counted_from_its_creation() -> None:
    moments, clock, registry = bench()
    clock.now = NOON + 60
    moments.put(OWNER, None, pod("Pending"))
    moments.put(OWNER, pod("Pending"), pod("Running"))

    assert value(registry, "scaling_trial_queue_seconds_sum", **LABELS) == 60


def test_a_slot_stands_idle_from_a_pods_end_to_the_next_pod() -> None:
    moments, clock, registry = bench()
    moments.put(OWNER, pod("Running"), pod("Succeeded"))
    clock.now += 0.25
    moments.put(OWNER, None, pod("Pending", uid="2"))

    assert value(registry, "scaling_operator_slot_idle_seconds_sum") == 0.25


def test_a_pod_is_over_when_its_container_is_and_not_again_when_the_pod_says_so() -> None:
    moments, clock, registry = bench()
    ended = pod("Running")
    ended["status"]["containerStatuses"] = [{"state": {"terminated": {"exitCode": 0}}}]
    moments.put(OWNER, pod("Running"), ended)
    clock.now += 0.25
    moments.put(OWNER, None, pod("Pending", uid="2"))
    moments.put(OWNER, ended, pod("Succeeded"))
    moments.put(OWNER, None, pod("Pending", uid="3"))

    assert value(registry, "scaling_operator_slot_idle_seconds_sum") == 0.25
    assert value(registry, "scaling_operator_slot_idle_seconds_count") == 1


def test_a_slot_that_stays_free_on_purpose_is_not_idle() -> None:
    moments, clock, registry = bench()
    moments.put(OWNER, pod("Running"), pod("Succeeded"))
    moments.settled(OWNER)
    clock.now += 3600
    moments.put(OWNER, None, pod("Pending", uid="2"))

    assert value(registry, "scaling_operator_slot_idle_seconds_count") == 0


def test_pods_that_are_listed_at_the_start_measure_nothing() -> None:
    moments, _, registry = bench()
    for phase in ("Running", "Succeeded", "Failed"):
        moments.put(OWNER, None, pod(phase, uid=phase))
    moments.put(OWNER, None, pod("Pending", uid="new"))

    assert value(registry, "scaling_operator_slot_idle_seconds_count") == 0


def trial(state: TrialState, reason: Reason | None = None, *ended: Reason) -> ScalingTrial:
    reference = ExperimentReference(name="digits", uid="1")
    attempts = tuple(Attempt(number=place, reason=cause) for place, cause in enumerate(ended))
    return ScalingTrial(
        spec=TrialSpec(experiment=reference, scale=0, number=1, seed=0),
        status=TrialStatus(state=state, reason=reason, attempts=attempts),
    )


def test_an_attempt_is_counted_by_how_it_ended() -> None:
    operator_metrics = OperatorMetrics(new_registry("0"))
    steps = (
        trial(TrialState.RUNNING),
        trial(TrialState.RUNNING, None, Reason.EVICTED),
        trial(TrialState.QUEUED, Reason.UNSCHEDULABLE, Reason.EVICTED),
        trial(TrialState.SUCCEEDED, None, Reason.EVICTED),
    )
    for before, after in itertools.pairwise(steps):
        operator_metrics.trial_changed(OWNER, before, after)

    name = f"{families.ATTEMPTS.name}_total"
    assert value(operator_metrics.registry, name, **LABELS, reason="Evicted") == 1
    assert value(operator_metrics.registry, name, **LABELS, reason="Succeeded") == 1
    assert value(operator_metrics.registry, name, **LABELS, reason="Unschedulable") is None


def test_series_of_a_deleted_experiment_go_away_and_no_others() -> None:
    operator_metrics = OperatorMetrics(new_registry("0"))
    for owner in (OWNER, ("team", "other")):
        operator_metrics.trial_changed(owner, trial(TrialState.RUNNING), trial(TrialState.PRUNED))
        operator_metrics.trial_ended(owner, TrialState.PRUNED, 3.0)
        operator_metrics.pod_waited(owner, 1.0)
        operator_metrics.report_taken(owner)

    operator_metrics.forget(OWNER)

    left = [
        sample.labels["experiment"]
        for family in operator_metrics.registry.collect()
        for sample in family.samples
        if "experiment" in sample.labels
    ]
    assert set(left) == {"other"}
