"""An outlook as a status, or the command line's JSON, says it."""

from __future__ import annotations

from scaling_operator.api.status_sizing import Ledger, ScaleSizing
from scaling_operator.sizing.allocation import to_status
from scaling_operator.sizing.choice import Choice, NoMachine
from scaling_operator.sizing.knowledge import Observations, measured_at
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.outlook import ResourcePlan, ScalePlan
from scaling_trainer.foreign_text import as_message


def sizing_of(looked: ScalePlan, known: Observations | None = None) -> ScaleSizing:
    """Write one scale as its status has it."""
    device, host = measured_at(known or Observations(), looked.scale.index)
    need = looked.need if isinstance(looked.need, Need) else Need()
    sizing = ScaleSizing(
        parameters=need.counted,
        flops=need.flops,
        measured_device_bytes=device,
        measured_host_bytes=host,
        message=as_message(str(looked.found)) if isinstance(looked.found, NoMachine) else "",
    )
    if looked.allocation is None:
        return sizing
    recorded = to_status(looked.allocation)
    sizing = sizing.model_copy(
        update={
            "shape": recorded.shape,
            "count": recorded.count,
            "execution": recorded.execution,
            "planned_hours": looked.hours,
            "planned_gpu_hours": looked.gpu_hours,
            "planned_cost": looked.cost,
        }
    )
    if not isinstance(looked.found, Choice):
        return sizing
    return sizing.model_copy(
        update={
            "estimated_device_bytes": looked.found.device_bytes or None,
            "estimated_host_bytes": looked.found.host_bytes,
            "margin_percent": 100 * looked.found.margin,
        }
    )


def ledger_of(resource_plan: ResourcePlan) -> Ledger:
    """Write the sums of a plan; nothing is used yet."""
    return Ledger(planned_gpu_hours=resource_plan.gpu_hours, planned_cost=resource_plan.cost)
