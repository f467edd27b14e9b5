"""`scaling plan`: what each scale needs, gets and costs, before anything starts.

Exit codes: 0 the experiment may start; 3 it would be refused, and why; 2 wrong input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.policy import PolicySpec, ResourcePolicy
from scaling_operator.cli.console import plain_console, results_console
from scaling_operator.cli.plan_print import print_plan
from scaling_operator.runtime.rules import trials_per_scale
from scaling_operator.sizing.machines import Choice
from scaling_operator.sizing.resource_plan import ResourcePlan, ledger_of, plan_resources
from scaling_operator.sizing.scale_plan import ScalePlan, sizing_of
from scaling_operator.validation.advice import warnings_of
from scaling_operator.validation.load import load_experiment, load_policy

EXIT_REFUSED = 3
# What a policy has to say at least; the chart's default is the same and may be changed.
_CPUS = PolicySpec.model_validate(
    {"shapes": [{"name": "cpu", "flops": 6.4e10, "pricePerHour": 0.0}]}
)


def run_plan(file: Path, policy_file: Path | None, *, as_json: bool) -> int:
    """Plan and print; return the exit code. Raises InvalidSpec for wrong input."""
    experiment = load_experiment(file)
    policy = _policy(policy_file)
    resource_plan = plan_resources(experiment.spec, policy.spec, trials_per_scale(experiment.spec))
    if as_json:
        sys.stdout.write(json.dumps(document(resource_plan), indent=2, allow_nan=False) + "\n")
    else:
        if policy_file is None:
            _note("no --policy: planned for CPUs alone, as the chart's default policy does")
        _note_policy(experiment, policy)
        for warning in warnings_of(experiment):
            _note(warning)
        print_plan(results_console(soft_wrap=False), experiment, policy, resource_plan)
    return 0 if resource_plan.start_check.may_start else EXIT_REFUSED


def _policy(file: Path | None) -> ResourcePolicy:
    if file is not None:
        return load_policy(file)
    return ResourcePolicy(metadata={"name": "default"}, spec=_CPUS)


def _note_policy(experiment: ScalingExperiment, policy: ResourcePolicy) -> None:
    named = experiment.spec.resources.policy
    if named != policy.name:
        _note(f"the experiment names policy {named}, this is {policy.name}")


def _note(text: str) -> None:
    plain_console(stderr=True, soft_wrap=True).print(f"note: {text}", style="dim")


def document(resource_plan: ResourcePlan) -> dict[str, Any]:
    """Write a plan as JSON: the keys are those of a status."""
    ledger = ledger_of(resource_plan)
    return {
        "accepted": resource_plan.start_check.may_start,
        "reason": resource_plan.start_check.reason.value,
        "message": resource_plan.start_check.message,
        "plannedGpuHours": ledger.planned_gpu_hours,
        "plannedCost": ledger.planned_cost,
        "scales": [_scale(scale) for scale in resource_plan.scales],
    }


def _scale(looked: ScalePlan) -> dict[str, Any]:
    found = looked.choice
    parts: dict[str, Any] = {}
    if isinstance(found, Choice):
        parts = {
            "deviceBytes": {} if not found.on_device else _plain(found.device),
            "hostBytes": _plain(found.host),
            "requestedHostBytes": found.request_bytes,
        }
    return {
        "index": looked.scale.index,
        "parameters": dict(looked.scale.parameters),
        "trials": looked.trials,
        "sizing": sizing_of(looked).model_dump(mode="json", exclude_none=True),
        **parts,
    }


def _plain(parts: Any) -> dict[str, float]:
    names = (*parts.__slots__, "total")
    return {name: float(getattr(parts, name)) for name in names}
