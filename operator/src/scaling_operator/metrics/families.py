"""Every metric, declared once, and the table of docs/metrics.md.

Labels are bounded: namespaces, experiments, scales and closed sets of words; never the number of a
trial nor the value of a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

MetricType = Literal["counter", "gauge", "histogram", "info"]

OWNER = ("namespace", "experiment")
SCALE = (*OWNER, "scale")

FAST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
SLOW_SECONDS = (1.0, 10.0, 60.0, 600.0, 3600.0, 14400.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without the suffixes of its kind."""

    name: str
    kind: MetricType
    meaning: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()


def _operator(
    name: str,
    kind: MetricType,
    meaning: str,
    labels: tuple[str, ...] = (),
    unit: str = "",
) -> Family:
    buckets = FAST_SECONDS if kind == "histogram" else ()
    return Family(f"scaling_operator_{name}", kind, meaning, labels, unit, buckets)


def _gauge(name: str, labels: tuple[str, ...], meaning: str, unit: str = "") -> Family:
    return Family(f"scaling_{name}", "gauge", meaning, labels, unit)


def _counter(name: str, labels: tuple[str, ...], meaning: str, unit: str = "") -> Family:
    return Family(f"scaling_{name}", "counter", meaning, labels, unit)


def _seconds(name: str, labels: tuple[str, ...], meaning: str) -> Family:
    return Family(f"scaling_{name}", "histogram", meaning, labels, "seconds", SLOW_SECONDS)


# The operator's own health.
BUILD = _operator("build", "info", "Version of the operator; the value is 1.", ("version",))
LEADER = _operator("leader", "gauge", "1 while this replica leads, else 0.")
LEADER_CHANGES = _operator("leader_changes", "counter", "Times that it gained or lost the Lease.")
RECONCILE = _operator(
    "reconcile_seconds",
    "histogram",
    "One look at an experiment. result: ok, busy, forbidden, error, bug.",
    ("result",),
    "seconds",
)
QUEUE_DEPTH = _operator("queue_depth", "gauge", "Experiments that wait for their turn.")
QUEUE_OLDEST = _operator(
    "queue_oldest_seconds", "gauge", "How long the first of them has waited.", unit="seconds"
)
LOOP_LAG = _operator(
    "event_loop_lag_seconds", "gauge", "By how much a timer was late.", unit="seconds"
)
API_REQUESTS = _operator(
    "api_requests",
    "counter",
    "Requests to the API server, watches aside. code 0: no answer came.",
    ("verb", "resource", "code"),
)
API_SECONDS = _operator(
    "api_request_seconds", "histogram", "Time to their answers.", ("verb",), "seconds"
)
WATCH_EVENTS = _operator(
    "watch_events", "counter", "Events that the watches have shown.", ("resource",)
)
WATCH_RESTARTS = _operator(
    "watch_restarts",
    "counter",
    "Ends of the watches, by cause: Missed is a resync's verdict, the others are errors' names.",
    ("cause",),
)
WATCH_FAILURES = _operator(
    "watch_failures", "gauge", "Ends of the watches in a row, each soon after its start."
)
RESYNC_MISSES = _operator(
    "resync_misses", "gauge", "Resyncs in a row that found the watches behind."
)
REPORTS_ACCEPTED = _operator(
    "reports_accepted",
    "counter",
    "Reports that were answered. action: continue, prune, stop; result: a final one.",
    ("action",),
)
REPORTS_REFUSED = _operator(
    "reports_refused",
    "counter",
    "Reports that were refused. reason: BadToken, NoAttempt, Invalid, TooLarge, TooMany, TooSlow,"
    " Standby, NotNow, Other.",
    ("reason",),
)
TURNED_AWAY = _operator(
    "requests_refused",
    "counter",
    "What a port refused unread. port: reports, metrics, health, dashboard. reason: Malformed,"
    " TooSlow, TooMany (connections), TooOften (new ones), Handshake (no TLS); metrics also"
    " BadToken, Forbidden, NotNow.",
    ("port", "reason"),
)
ASK = _operator("ask_seconds", "histogram", "Proposals of the samplers.", ("algorithm",), "seconds")
ASKS_FAILED = _operator(
    "asks_failed",
    "counter",
    "Proposals at which the sampler raised. Its study is rebuilt and asked once more.",
    ("algorithm",),
)
SLOT_IDLE = _operator(
    "slot_idle_seconds", "histogram", "From a pod's end to the next pod.", unit="seconds"
)

# Experiments, as their status is stored.
EXPERIMENTS = _gauge("experiments", ("namespace", "phase"), "Experiments by phase.")
PHASE = _gauge("experiment_phase", (*OWNER, "phase"), "1 for the phase that it is in.")
CONDITION = _gauge(
    "experiment_condition",
    (*OWNER, "condition", "reason"),
    "1 for each condition that is true, 0 for each that is false where that stops work.",
)
POLICY_CONDITION = _gauge(
    "policy_condition",
    ("policy", "condition", "reason"),
    "The same of ResourcePolicies.",
)
START = _gauge(
    "experiment_start_timestamp_seconds", OWNER, "When its first trial began.", "Unix seconds"
)
PROGRESS = _gauge(
    "experiment_progress_timestamp_seconds",
    OWNER,
    "When something of it last moved: a pod began or ended, a report came.",
    "Unix seconds",
)
PATIENCE = _gauge(
    "experiment_patience_seconds",
    OWNER,
    "How long nothing need move while a trial runs: trials.timeout.",
    "seconds",
)
TRIALS = _gauge("trials", (*SCALE, "state"), "Trials by state.")
TRIALS_PLANNED = _gauge("trials_planned", SCALE, "Most trials that there will be.")
BEST = _gauge("best_objective", SCALE, "Best value so far, in the objective's unit.")
MODEL_PARAMETERS = _gauge("model_parameters", SCALE, "N of the best trial.")
PREDICTED = _gauge(
    "predicted_objective", SCALE, "What the law said of the scale before its first trial."
)
FIT_POINTS = _gauge("fit_points", OWNER, "Points that are fitted.")
FIT = _gauge("fit_coefficient", (*OWNER, "coefficient"), "The law: E, A, B, alpha, beta, a.")
FIT_BOUND = _gauge(
    "fit_coefficient_bound",
    (*OWNER, "coefficient", "bound"),
    "Ends (low, high) of its interval of 95 %.",
)
RECOMMENDED = _gauge(
    "recommended_model_parameters",
    (*OWNER, "target"),
    "N to train. target: its place in spec.scaling.targets.",
)

# Machines and money.
GPUS_REQUESTED = _gauge(
    "gpus_requested", (*OWNER, "shape"), "Accelerators that pods which are not over ask for."
)
GPUS_IN_USE = _gauge("gpus_in_use", (*OWNER, "shape"), "Accelerators of pods that run.")
GPU_SECONDS = _counter("gpu_seconds", SCALE, "Accelerator time used.", "seconds")
GPU_SECONDS_PLANNED = _gauge(
    "gpu_seconds_planned", SCALE, "Accelerator time of all its trials, estimated.", "seconds"
)
COST = _counter("cost", SCALE, "Money used, in the policy's currency.")
COST_PLANNED = _gauge("cost_planned", SCALE, "Money for all its trials, estimated.")
BUDGET_USED = _gauge(
    "budget_used_ratio",
    (*OWNER, "budget"),
    "Share of a budget that is used: duration, gpuHours, cost.",
    "ratio",
)
MEMORY_ESTIMATED = _gauge(
    "memory_estimated_bytes", (*SCALE, "memory"), "Estimate, device or host.", "bytes"
)
MEMORY_MEASURED = _gauge(
    "memory_measured_bytes", (*SCALE, "memory"), "Most that a trial has used.", "bytes"
)

# Trials, as they happen.
TRIAL_SECONDS = _seconds(
    "trial_duration_seconds", (*OWNER, "state"), "From a trial's creation to its end."
)
TRIAL_QUEUED = _seconds("trial_queue_seconds", OWNER, "From a pod's creation until it runs.")
ATTEMPTS = _counter(
    "attempts_ended",
    (*OWNER, "reason"),
    "Attempts by how they ended: Succeeded, Pruned, or a reason.",
)

# Trials that run, by what they report.
REPORTING = _gauge("training_trials", OWNER, "Running trials that have reported.")
TRAINING_LOSS = _gauge(
    "training_loss",
    (*OWNER, "aggregate"),
    "train_loss, else the objective, of running trials: min, mean, max.",
)
TRAINING_RATE = _gauge(
    "training_samples_per_second", OWNER, "Samples or tokens that all of them see together."
)
TRAINING_MEMORY = _gauge(
    "training_peak_memory_bytes",
    (*OWNER, "memory"),
    "Most memory that one of them has used: device, host.",
    "bytes",
)
TRAINING_REPORTS = _counter("training_reports", OWNER, "Reports taken.")

FAMILIES: tuple[Family, ...] = tuple(
    value for value in tuple(globals().values()) if isinstance(value, Family)
)


_MARKED = re.compile(r"(<!-- metrics -->\n).*?(<!-- end -->)", re.DOTALL)
_SUFFIXES = {"counter": "_total", "info": "_info", "gauge": "", "histogram": ""}


def exposed_name(family: Family) -> str:
    """Name as Prometheus stores it; a histogram's series add _bucket, _sum and _count."""
    return family.name + _SUFFIXES[family.kind]


def metrics_table(families: Iterable[Family] = FAMILIES) -> str:
    """Write a row per family."""
    rows = ["| metric | type | labels | unit | meaning |", "|---|---|---|---|---|"]
    for family in families:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        kind = "gauge" if family.kind == "info" else family.kind
        rows.append(
            f"| `{exposed_name(family)}` | {kind} | {labels} | {family.unit} | {family.meaning} |"
        )
    return "\n".join(rows) + "\n"


def fill(page: str) -> str:
    """Write the table of a page anew."""
    return _MARKED.sub(lambda mark: f"{mark[1]}\n{metrics_table()}\n{mark[2]}", page)
