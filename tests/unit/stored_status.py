"""How a trial ends after what its attempt has left: its status can be stored, and read back."""

from __future__ import annotations

import json

from crd_validator import validator

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.status import TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.actions import EndTrial
from scaling_operator.core.observed import AttemptView, LiveTrial, Rules
from scaling_operator.core.settle import settle
from scaling_operator.core.trial_status import finished
from scaling_operator.validation.crd import KINDS
from scaling_trainer.foreign_text import one_line
from scaling_trainer.metric_names import is_metric_name

TRIAL_KIND = next(kind for kind in KINDS if kind.kind == "ScalingTrial")
SPEC = TrialSpec(experiment=ExperimentReference(name="study", uid="u"), scale=0, number=1, seed=7)
RULES = Rules(max_trials=4)


def spec() -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "objective": {"metric": "val/acc", "direction": "maximize"},
            "search": {"parameters": {"lr": {"type": "float", "low": 0, "high": 1}}},
            "trainer": {"container": {"image": "i", "command": ["train"]}},
        }
    )


def ended(view: AttemptView) -> TrialStatus:
    """End a trial as both shells do."""
    action = settle(LiveTrial(0, 1, view=view), spec=spec(), rules=RULES, now_seconds=1e9)
    assert isinstance(action, EndTrial)
    return finished(TrialStatus(), action, ((1, 0.5),), 1e9)


def check_kept(status: TrialStatus) -> None:
    """Check that a CRD takes it, and that both readers read what was written."""
    written = status.model_dump(mode="json", exclude_none=True)
    document = {"spec": SPEC.model_dump(mode="json", exclude_none=True), "status": written}
    sent = json.loads(json.dumps(document, allow_nan=False))
    validator(TRIAL_KIND).validate(sent)
    # A structural schema cannot say it: a rule in CEL does.
    assert all(is_metric_name(name) for name in written.get("metrics", {}))
    assert ScalingTrial.model_validate(sent).status == status
    assert status.message == one_line(status.message)
