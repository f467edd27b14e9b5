"""A spec that was accepted, planned and asked for its first trials."""

from __future__ import annotations

import json

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import TrialState
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.core.observed import ABSENT, Rules
from scaling_operator.core.plan import plan
from scaling_operator.runtime.state import read_state
from scaling_operator.runtime.study_settings import trials_per_scale
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import Direction, Study, StudySettings
from scaling_operator.sizing.resource_plan import plan_resources

ASKS = 3
POLICY = PolicySpec.model_validate({"shapes": [{"name": "cpu", "flops": 6e10, "pricePerHour": 0}]})


def run(spec: ExperimentSpec, seed: int) -> None:
    """Plan its machines and its first actions, then ask its study a few times."""
    trials = trials_per_scale(spec)
    plan_resources(spec, POLICY, trials)
    state = read_state(spec, Rules(max_trials=trials), ExperimentStatus(), [])
    assert plan(state.observe(lambda _trial, _key: ABSENT, (), 0.0)).actions
    directions: tuple[Direction, ...] = tuple(goal.direction for goal in spec.all_objectives)
    study = Study(StudySettings("study", spec.search, directions, seed, 0))
    points = spec.search.warm_start.points
    for number in range(min(trials, ASKS)):
        proposal = study.ask(number, points[number] if number < len(points) else None)
        json.dumps([dict(proposal.parameters), dict(proposal.attributes)], allow_nan=False)
        values = tuple(float(number + at) for at in range(len(directions)))
        study.report(number, 1, values[0])
        end = (TrialState.SUCCEEDED, False, values, ((1, values[0]),))
        study.tell(Record(number, proposal.parameters, proposal.attributes, *end))
