"""`scaling plan`: what each scale needs, gets and costs, before anything starts.

Exit codes: 0 the experiment may start; 3 it would be refused, and why; 2 wrong input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.policy import PolicySpec, ResourcePolicy
from scaling_operator.api.quantities import GIBIBYTE, MEBIBYTE
from scaling_operator.cli import exit_codes
from scaling_operator.cli.console import plain_console, results_console, styled
from scaling_operator.core.ladder import Scale
from scaling_operator.runtime.study_settings import trials_per_scale
from scaling_operator.sizing.machines import Choice, NoMachine, capacity_bytes
from scaling_operator.sizing.memory import FULL, ZERO3, DeviceParts, HostParts
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.resource_plan import ResourcePlan, ledger_of, plan_resources
from scaling_operator.sizing.scale_plan import ScalePlan, sizing_of
from scaling_operator.validation.advice import warnings_of
from scaling_operator.validation.load import load_experiment, load_policy

# The least that a policy must say; the chart's default policy is the same, and may be changed.
_CPUS = PolicySpec.model_validate(
    {"shapes": [{"name": "cpu", "flops": 6.4e10, "pricePerHour": 0.0}]}
)


def run_plan(file: Path, policy_file: Path | None, *, as_json: bool) -> int:
    """Plan and print; return the exit code. Raises InvalidSpec for wrong input."""
    experiment = load_experiment(file)
    policy = _policy(policy_file)
    resource_plan = plan_resources(experiment.spec, policy.spec, trials_per_scale(experiment.spec))
    if as_json:
        sys.stdout.write(json.dumps(plan_document(resource_plan), indent=2, allow_nan=False) + "\n")
    else:
        if policy_file is None:
            _note("no --policy: planned for CPUs alone, as the chart's default policy does")
        _note_policy(experiment, policy)
        for warning in warnings_of(experiment):
            _note(warning)
        print_plan(results_console(soft_wrap=False), experiment, policy, resource_plan)
    return 0 if resource_plan.start_check.may_start else exit_codes.REFUSED


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


def plan_document(resource_plan: ResourcePlan) -> dict[str, Any]:
    """Write a plan as JSON, with the keys of a status."""
    ledger = ledger_of(resource_plan)
    return {
        "accepted": resource_plan.start_check.may_start,
        "reason": resource_plan.start_check.reason.value,
        "message": resource_plan.start_check.message,
        "plannedGpuHours": ledger.planned_gpu_hours,
        "plannedCost": ledger.planned_cost,
        "scales": [_scale_document(scale) for scale in resource_plan.scales],
    }


def _scale_document(plan: ScalePlan) -> dict[str, Any]:
    choice = plan.choice
    parts: dict[str, Any] = {}
    if isinstance(choice, Choice):
        parts = {
            "deviceBytes": _parts_document(choice.device) if choice.on_device else {},
            "hostBytes": _parts_document(choice.host),
            "requestedHostBytes": choice.request_bytes,
        }
    return {
        "index": plan.scale.index,
        "parameters": dict(plan.scale.parameters),
        "trials": plan.trials,
        "sizing": sizing_of(plan).model_dump(mode="json", exclude_none=True),
        **parts,
    }


def _parts_document(parts: DeviceParts | HostParts) -> dict[str, float]:
    names = (*parts.__slots__, "total")
    return {name: float(getattr(parts, name)) for name in names}


# --- Tables: the machines, then the memory by part, then what is wrong ---------------------------

UNKNOWN = "?"
_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_LARGE = 1e18


def print_plan(
    console: Console,
    experiment: ScalingExperiment,
    policy: ResourcePolicy,
    resource_plan: ResourcePlan,
) -> None:
    """Print everything that is known before an experiment runs."""
    console.print(styled((experiment.metadata.name, "bold"), " on policy ", (policy.name, "bold")))
    console.print(_machines(resource_plan))
    if any(isinstance(scale.choice, Choice) for scale in resource_plan.scales):
        console.print(_memory(policy, resource_plan))
    _print_sums(console, experiment, resource_plan)
    start_check = resource_plan.start_check
    if start_check.may_start:
        if start_check.message:
            console.print(styled(("Warning:", "yellow"), f" {start_check.message}"))
        return
    console.print(styled((f"Would be refused: {start_check.reason}", "red")))
    _print_reasons(console, resource_plan)


def _print_reasons(console: Console, resource_plan: ResourcePlan) -> None:
    refusals = {
        plan.scale.index: plan.choice
        for plan in resource_plan.scales
        if isinstance(plan.choice, NoMachine)
    }
    for index, refusal in refusals.items():
        console.print(f"scale {index}:")
        for reason in refusal.reasons:
            console.print(f"  {reason}")
    if not refusals:
        console.print(resource_plan.start_check.message)


def _table(title: str, columns: tuple[str, ...], left: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        is_text = name in left
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    return table


_MACHINE_COLUMNS = (
    *("scale", "size", "N", "FLOPs", "machine", "batch"),
    *("trials", "hours", "GPU-h", "cost"),
)


def _machines(resource_plan: ResourcePlan) -> Table:
    table = _table(
        title="Machines: hours of one trial, GPU-hours and cost of all",
        columns=_MACHINE_COLUMNS,
        left=("size", "machine", "batch"),
    )
    for plan in resource_plan.scales:
        need = plan.need if isinstance(plan.need, Need) else Need()
        table.add_row(
            str(plan.scale.index),
            _size_of_scale(plan.scale),
            count_text(need.counted),
            count_text(need.flops),
            _machine(plan),
            _batch(plan, need),
            str(plan.trials),
            amount_text(plan.hours),
            amount_text(plan.gpu_hours),
            amount_text(plan.cost),
        )
    return table


def _memory(policy: ResourcePolicy, resource_plan: ResourcePlan) -> Table:
    choices = {
        plan.scale.index: plan.choice
        for plan in resource_plan.scales
        if isinstance(plan.choice, Choice)
    }
    largest = max(choice.device.total for choice in choices.values())
    name, unit = ("GiB", GIBIBYTE) if largest >= GIBIBYTE else ("MiB", MEBIBYTE)
    table = _table(
        title=f"Memory in {name}: of one accelerator, or of the host without one; "
        "asked: the request",
        columns=("scale", *_MEMORY_COLUMNS),
        left=(),
    )
    for index, choice in choices.items():
        cells = (bytes_text(size_bytes, unit) for size_bytes in _memory_row(choice, policy))
        table.add_row(str(index), *cells)
    return table


_MEMORY_COLUMNS = (
    *("weights", "grads", "optim.", "activ.", "outputs", "buffers", "fixed"),
    *("device", "usable", "host", "asked"),
)


def _memory_row(choice: Choice, policy: ResourcePolicy) -> tuple[float | None, ...]:
    """Give the bytes in each of the memory columns."""
    parts = choice.device
    return (
        parts.weights,
        parts.gradients,
        parts.optimizer,
        parts.activations,
        parts.outputs,
        parts.buffers,
        parts.fixed or None,
        choice.device_bytes if choice.on_device else None,
        capacity_bytes(choice.shape, policy.spec) if choice.on_device else None,
        choice.host_bytes,
        choice.request_bytes,
    )


def _print_sums(
    console: Console, experiment: ScalingExperiment, resource_plan: ResourcePlan
) -> None:
    budget = experiment.spec.budget
    words = [
        f"{unit} {amount_text(planned)}"
        + (f" of {amount_text(limit)} in the budget" if limit else "")
        for unit, planned, limit in (
            ("GPU-hours", resource_plan.gpu_hours, budget.gpu_hours),
            ("cost", resource_plan.cost, budget.cost),
        )
    ]
    console.print(f"In all at most: {', '.join(words)}")
    fits = not any(isinstance(scale.choice, NoMachine) for scale in resource_plan.scales)
    if resource_plan.cost is None and fits:
        for reason in _reasons_unknown(experiment, resource_plan):
            console.print(f"{UNKNOWN}: {reason}", style="dim")


def _reasons_unknown(experiment: ScalingExperiment, resource_plan: ResourcePlan) -> list[str]:
    """Say why hours and cost are unknown, each reason once."""
    reasons: list[str] = []
    for scale in resource_plan.scales:
        if scale.hours is not None:
            continue
        has_flops = isinstance(scale.need, Need) and scale.need.flops is not None
        if scale.choice is None:
            reasons.append("nothing is estimated where spec.resources.fixed says what a trial gets")
        elif has_flops and isinstance(scale.choice, Choice):
            reasons.append(f"shape {scale.choice.shape.name} of the policy has no flops")
        elif experiment.spec.trainer.container is not None:
            reasons.append("spec.resources.estimate has neither flops, nor parameters and samples")
        else:
            reasons.append("the number of samples is known only when the data are read")
    return list(dict.fromkeys(reasons))


def _size_of_scale(scale: Scale) -> str:
    words = [f"{name.rsplit('.', 1)[-1]} {value}" for name, value in scale.parameters.items()]
    words += [f"D {count_text(scale.samples)}"] if scale.samples is not None else []
    words += [f"C {count_text(scale.budget_flops)}"] if scale.budget_flops is not None else []
    return ", ".join(words) or "-"


def _machine(plan: ScalePlan) -> str:
    allocation = plan.allocation
    if allocation is None:
        return "none fits"
    if allocation.shape is None:
        return f"fixed: {allocation.count} x {allocation.resource}" if allocation.count else "fixed"
    return f"{allocation.count} x {allocation.shape}" if allocation.count else allocation.shape


def _batch(plan: ScalePlan, need: Need) -> str:
    """Say how the global batch is split: rows x accumulation x devices."""
    if plan.allocation is None or not need.counted:
        return ""
    execution = plan.allocation.execution
    rows = execution.micro_batch or need.batch // (execution.accumulation * execution.devices)
    others = [factor for factor in (execution.accumulation, execution.devices) if factor > 1]
    words = ["x".join(str(factor) for factor in (rows, *others))]
    words += [" recompute"] if execution.recompute == FULL else []
    words += [" shard"] if execution.sharding == ZERO3 else []
    return "".join(words)


def count_text(number: float | None) -> str:
    """Write a count in three digits: 12.3M; beyond peta as 1.23e+21."""
    if number is None:
        return UNKNOWN
    if number >= _LARGE:
        return f"{number:.2e}"
    for unit, letter in _UNITS:
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return f"{number:.3g}"


def amount_text(number: float | None) -> str:
    """Write hours or money in three digits, never in powers."""
    if number is None:
        return UNKNOWN
    if number >= 100:  # noqa: PLR2004 - three digits
        return f"{number:,.0f}"
    return f"{number:.2g}" if number < 0.01 else f"{number:.3g}"  # noqa: PLR2004


def bytes_text(size_bytes: float | None, unit: float) -> str:
    """Write a size in three digits of a unit; nothing for None."""
    if size_bytes is None:
        return ""
    number = size_bytes / unit
    if number >= 99.95:  # noqa: PLR2004 - three digits
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"  # noqa: PLR2004
