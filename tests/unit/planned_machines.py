"""What a plan of live trials with machines is made from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import ConditionReason, Reason
from scaling_operator.api.policy import PolicyLimits
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import (
    AttemptPhase,
    AttemptView,
    LiveTrial,
    Observed,
    Rules,
    ScaleView,
)
from scaling_operator.core.tally import Tally
from scaling_operator.sizing.admission import Demand
from scaling_operator.sizing.resource_plan import StartCheck
from scaling_operator.sizing.usage import SizingView

GOOD = StartCheck(ConditionReason.PLANNED)


ONE = Demand(gpus=1, shape="gpu")


RUNS = AttemptView(AttemptPhase.RUNNING, since_seconds=0.0)


NO_NODE = AttemptView(AttemptPhase.WAITING, Reason.UNSCHEDULABLE, "0/3 nodes", since_seconds=0.0)


def spec(**changes: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "objective": {"metric": "loss", "direction": "minimize"},
            "trials": {"parallel": 4},
            "trainer": {"container": {"command": ["true"]}},
            **changes,
        }
    )


def sizing(*live: LiveTrial, limit: int | None = None, **changes: Any) -> SizingView:
    limits = PolicyLimits.model_validate({"experiment": {"gpus": limit}})
    view = SizingView(
        GOOD,
        demands={(trial.scale, trial.number): ONE for trial in live},
        scale_demands={0: ONE},
        limits=limits,
    )
    return replace(view, **changes)


def observed(*live: LiveTrial, view: SizingView | None = None, **changes: Any) -> Observed:
    scale = ScaleView(Scale(0), Tally(), open=True, created=len(live))
    return Observed(
        now_seconds=100.0,
        spec=spec(**changes),
        rules=Rules(max_trials=10, max_escalations=4),
        scales=(scale,),
        live=live,
        started_seconds=0.0,
        sizing=view or sizing(*live),
    )
