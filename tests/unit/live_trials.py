"""Experiments with many live trials, each with a running workload: the input of large plans."""

from __future__ import annotations

import copy
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status import ExperimentStatus, ScaleStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.actions import Plan
from scaling_operator.core.ladder import scales_of
from scaling_operator.core.observed import Rules
from scaling_operator.core.plan import plan
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import JOBS, PODS
from scaling_operator.kube.reconcile.attempt_specs import AttemptSpecs
from scaling_operator.kube.reconcile.backend import ClusterBackend
from scaling_operator.kube.reconcile.namespace_usage import HeldMachines
from scaling_operator.kube.reconcile.workload_kinds import WorkloadKind
from scaling_operator.kube.workloads.attempt_spec import GracePeriods, WorkloadSettings
from scaling_operator.runtime.engine import Engine
from scaling_operator.runtime.hooks import Hooks
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.runtime.state import read_state
from scaling_operator.sizing.allocation import Allocation

KEY = Key("team", "study")
CREATED, STARTED = "2026-11-24T12:00:00Z", "2026-11-24T12:00:05Z"
NOW_SECONDS = 1795521600.0 + 60
SETTINGS = WorkloadSettings(trainer_image="trainer")
POLICY = PolicySpec.model_validate(
    {
        "shapes": [{"name": "cpu", "flops": 1e10, "pricePerHour": 0.1}],
        "limits": {"experiment": {"cpu": 1_000_000}, "namespace": {"memory": "1Pi"}},
    }
)


def experiment(live: int, scales: int = 1) -> ExperimentSpec:
    """Write an experiment that may have no more live trials than it has."""
    document: dict[str, Any] = {
        "objective": {"metric": "loss", "direction": "minimize"},
        "search": {"parameters": {"x": {"type": "float", "low": -1, "high": 1}}},
        "trials": {"max": 100_000, "parallel": live},
        "resources": {"estimate": {"hostMemory": "1Gi", "parameters": 1e6, "samples": 1e6}},
        "trainer": {"container": {"image": "mine"}},
    }
    if scales > 1:
        document["scaling"] = {
            "parameter": "width",
            "sizes": [8 + index for index in range(scales)],
        }
    return ExperimentSpec.model_validate(document)


def trials_of(spec: ExperimentSpec, live: int) -> list[ScalingTrial]:
    """Write stored trials that run, spread evenly over the scales."""
    scales = scales_of(spec)
    return [_trial(index % len(scales), index // len(scales)) for index in range(live)]


def _trial(scale: int, number: int) -> ScalingTrial:
    name = f"{KEY.name}-{scale}-{number}"
    return ScalingTrial(
        metadata={"name": name, "uid": f"uid-of-{name}", "creationTimestamp": CREATED},
        spec=TrialSpec(
            experiment=ExperimentReference(name=KEY.name, uid="uid"),
            scale=scale,
            number=number,
            parameters={"x": 0.5},
            searched=("x",),
            seed=1,
        ),
    )


def engine(kind: WorkloadKind, live: int, scales: int = 1, *, sized: bool = True) -> Engine:
    """Open an experiment whose trials all have a running workload in the index."""
    spec, index = experiment(live, scales), Index()
    trials = trials_of(spec, live)
    scale_statuses = [ScaleStatus(index=scale.index, open=True) for scale in scales_of(spec)]
    status = ExperimentStatus(scales=tuple(scale_statuses))
    state = read_state(spec, Rules(max_trials=100_000), status, trials)
    sizer = Sizer(spec, POLICY, 100_000) if sized else None
    state.machines = sizer
    for trial in trials:
        for workload in _workloads(kind, spec, trial, sizer):
            index.put(JOBS if workload["kind"] == "Job" else PODS, workload)
    nothing: Any = None
    backend = ClusterBackend(
        key=KEY,
        uid="uid",
        spec=spec,
        client=nothing,
        index=index,
        sweeper=nothing,
        kind=kind,
        workload_settings=lambda: SETTINGS,
        grace=GracePeriods(),
        keep_failed_seconds=3600.0,
        clock=_now,
        held_machines=HeldMachines(index, _now),
        sizer=sizer,
    )
    backend.note(trials)
    return Engine(KEY.name, "uid", state, backend, Hooks(), _now)


def plan_of(engine_of_experiment: Engine) -> Plan:
    """Plan once, as a turn without actions does."""
    return plan(engine_of_experiment.observe())


def _now() -> float:
    return NOW_SECONDS


def _workloads(
    kind: WorkloadKind, spec: ExperimentSpec, trial: ScalingTrial, sizer: Sizer | None
) -> list[dict[str, Any]]:
    """Write an attempt's workload as the API server stores it: a pod, or a Job and its pod."""
    attempt_specs = AttemptSpecs(KEY, spec, SETTINGS)
    allocation = None if sizer is None else sizer.allocation(trial)
    if sizer is not None and isinstance(allocation, Allocation):
        workload = kind.manifest(attempt_specs.sized(trial, 0, allocation, sizer))
    else:
        workload = kind.manifest(attempt_specs.unsized(trial, 0))
    name = workload["metadata"]["name"]
    workload["metadata"] |= {"uid": f"uid-of-{name}", "resourceVersion": "1"}
    workload["metadata"]["creationTimestamp"] = CREATED
    if workload["kind"] == "Pod":
        workload["status"] = _running()
        return [workload]
    workload["status"] = {"startTime": CREATED, "active": 1}
    template = copy.deepcopy(workload["spec"]["template"])
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"uid-of-{name}"}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        **template,
        "status": _running(),
    }
    pod["metadata"] |= {
        "name": f"{name}-x7k2p",
        "namespace": KEY.namespace,
        "uid": f"uid-of-pod-{name}",
        "resourceVersion": "2",
        "creationTimestamp": CREATED,
        "ownerReferences": [owner | {"controller": True}],
    }
    return [workload, pod]


def _running() -> dict[str, Any]:
    state = {"running": {"startedAt": STARTED}}
    return {
        "phase": "Running",
        "startTime": STARTED,
        "containerStatuses": [{"name": "trainer", "state": state}],
    }
