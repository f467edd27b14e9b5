"""A plan on the terminal: the machines, then the memory by part, then what is wrong."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.policy import ResourcePolicy
from scaling_operator.api.quantities import GIBIBYTE, MEBIBYTE
from scaling_operator.cli.console import styled
from scaling_operator.core.ladder import Scale
from scaling_operator.sizing.allocation import Allocation
from scaling_operator.sizing.machines import Choice, NoMachine, capacity_bytes
from scaling_operator.sizing.memory import FULL, ZERO3
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.resource_plan import ResourcePlan
from scaling_operator.sizing.scale_plan import ScalePlan

UNKNOWN = "?"
_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_LARGE = 1e18


def print_plan(
    console: Console,
    experiment: ScalingExperiment,
    policy: ResourcePolicy,
    resource_plan: ResourcePlan,
) -> None:
    """Print everything that is known before a run."""
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
    refused = [scale for scale in resource_plan.scales if isinstance(scale.choice, NoMachine)]
    for scale in refused:
        console.print(f"scale {scale.scale.index}:")
        for reason in scale.choice.reasons if isinstance(scale.choice, NoMachine) else ():
            console.print(f"  {reason}")
    if not refused:
        console.print(resource_plan.start_check.message)


def _table(title: str, columns: tuple[str, ...], left: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        is_text = name in left
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    return table


def _machines(resource_plan: ResourcePlan) -> Table:
    columns = (
        "scale",
        "size",
        "N",
        "FLOPs",
        "machine",
        "batch",
        "trials",
        "hours",
        "GPU-h",
        "cost",
    )
    table = _table("Machines: hours of one trial, GPU-hours and cost of all", columns,
                   ("size", "machine", "batch"))  # fmt: skip
    for scale in resource_plan.scales:
        need = scale.need if isinstance(scale.need, Need) else Need()
        table.add_row(
            str(scale.scale.index),
            _size(scale.scale),
            short(need.counted),
            short(need.flops),
            _machine(scale),
            _batch(scale, need),
            str(scale.trials),
            amount(scale.hours),
            amount(scale.gpu_hours),
            amount(scale.cost),
        )
    return table


def _memory(policy: ResourcePolicy, resource_plan: ResourcePlan) -> Table:
    found = {
        scale.scale.index: scale.choice
        for scale in resource_plan.scales
        if isinstance(scale.choice, Choice)
    }
    largest = max(each.device.total for each in found.values())
    name, unit = ("GiB", GIBIBYTE) if largest >= GIBIBYTE else ("MiB", MEBIBYTE)
    title = f"Memory in {name}: of one accelerator, or of the host without one; asked: the request"
    columns = (
        *("scale", "weights", "grads", "optim.", "activ.", "outputs", "buffers", "fixed"),
        *("device", "usable", "host", "asked"),
    )
    table = _table(title, columns, ())
    for index, each in found.items():
        cells = (size(number, unit) for number in _parts(each, policy))
        table.add_row(str(index), *cells)
    return table


def _parts(found: Choice, policy: ResourcePolicy) -> tuple[float | None, ...]:
    parts = found.device
    usable = capacity_bytes(found.shape, policy.spec)
    return (
        *(parts.weights, parts.gradients, parts.optimizer, parts.activations, parts.outputs),
        *(parts.buffers, parts.fixed or None),
        *((found.device_bytes, usable) if found.on_device else (None, None)),
        *(found.host_bytes, found.request_bytes),
    )


def _print_sums(
    console: Console, experiment: ScalingExperiment, resource_plan: ResourcePlan
) -> None:
    budget = experiment.spec.budget
    words = [
        f"{what} {amount(planned)}" + (f" of {amount(most)} in the budget" if most else "")
        for what, planned, most in (
            ("GPU-hours", resource_plan.gpu_hours, budget.gpu_hours),
            ("cost", resource_plan.cost, budget.cost),
        )
    ]
    console.print(f"In all at most: {', '.join(words)}")
    fits = not any(isinstance(scale.choice, NoMachine) for scale in resource_plan.scales)
    if resource_plan.cost is None and fits:
        for why in _unknown(experiment, resource_plan):
            console.print(f"{UNKNOWN}: {why}", style="dim")


def _unknown(experiment: ScalingExperiment, resource_plan: ResourcePlan) -> list[str]:
    """Say what would have to be known for hours and cost, each thing once."""
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


def _size(scale: Scale) -> str:
    words = [f"{name.rsplit('.', 1)[-1]} {value}" for name, value in scale.parameters.items()]
    words += [f"D {short(scale.samples)}"] if scale.samples is not None else []
    words += [f"C {short(scale.budget_flops)}"] if scale.budget_flops is not None else []
    return ", ".join(words) or "-"


def _machine(scale: ScalePlan) -> str:
    had: Allocation | None = scale.allocation
    if had is None:
        return "none fits"
    if had.shape is None:
        return f"fixed: {had.count} x {had.resource}" if had.count else "fixed"
    return f"{had.count} x {had.shape}" if had.count else had.shape


def _batch(scale: ScalePlan, need: Need) -> str:
    """Say how the global batch is taken: rows x accumulation x devices."""
    if scale.allocation is None or not need.counted:
        return ""
    told = scale.allocation.execution
    rows = told.micro_batch or need.batch // (told.accumulation * told.devices)
    factors = [rows, told.accumulation, told.devices]
    text = "x".join(str(each) for each in factors if each > 1 or each is rows)
    words = [" recompute"] if told.recompute == FULL else []
    words += [" shard"] if told.sharding == ZERO3 else []
    return text + "".join(words)


def short(number: float | None) -> str:
    """Write a count in three digits: 12.3M; beyond peta as 1.23e+21."""
    if number is None:
        return UNKNOWN
    if number >= _LARGE:
        return f"{number:.2e}"
    for size, letter in _UNITS:
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def amount(number: float | None) -> str:
    """Write hours or money in three digits, never in powers."""
    if number is None:
        return UNKNOWN
    if number >= 100:  # noqa: PLR2004 - three digits
        return f"{number:,.0f}"
    return f"{number:.2g}" if number < 0.01 else f"{number:.3g}"  # noqa: PLR2004


def size(size_bytes: float | None, unit: float) -> str:
    """Write a size in three digits."""
    if size_bytes is None:
        return ""
    number = size_bytes / unit
    if number >= 99.95:  # noqa: PLR2004 - three digits
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"  # noqa: PLR2004
