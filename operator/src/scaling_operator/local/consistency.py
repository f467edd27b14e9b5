"""Whether a trial or a status is one that the experiment of its result folder can have."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.search import typed_value
from scaling_operator.api.status import BestTrial, ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.ladder import Scale
from scaling_operator.search.study_worker import record_of
from scaling_operator.search.trials import told, typed
from scaling_operator.validation.space import make_space
from scaling_trainer.reading import UnreadableFile


def check_trial(
    trial: ScalingTrial, path: Path, uid: str, spec: ExperimentSpec, scales: Mapping[int, Scale]
) -> None:
    """Raise UnreadableFile for a trial that the experiment cannot have. `scales` by index."""
    named = trial.spec
    if not trial.is_of(uid):
        raise UnreadableFile(path, f"is a trial of another run of {named.experiment.name}")
    if path.parent.name != f"{named.scale}-{named.number}":
        raise UnreadableFile(path, f"is trial {named.scale}-{named.number}'s: the folder is a copy")
    if named.scale not in scales:
        raise UnreadableFile(path, f"is of scale {named.scale}, which the experiment has not")
    try:
        _check_size(trial, scales[named.scale])
        _check_curve(trial)
        record = record_of(trial, spec.search)
        typed(make_space(spec.search, None), record)
        told(record, objectives=len(spec.all_objectives), whole_curve=False)
    except (KeyError, ValueError) as error:
        raise UnreadableFile(path, f"does not fit the experiment: {error}") from error


def check_status(status: ExperimentStatus, path: Path, spec: ExperimentSpec) -> None:
    """Raise UnreadableFile for a status whose best trial the experiment cannot have."""
    for best in (status.best, *status.front, *(scale.best for scale in status.scales)):
        try:
            if best is not None:
                _check_best(best, spec)
        except ValueError as error:
            raise UnreadableFile(path, f"does not fit the experiment: {error}") from error


def _check_size(trial: ScalingTrial, scale: Scale) -> None:
    for name, value in scale.parameters.items():
        if trial.spec.parameters.get(name) != value:
            message = f"its {name} is not that of scale {scale.index}"
            raise ValueError(message)


def _check_curve(trial: ScalingTrial) -> None:
    steps = [point.step for point in trial.status.curve]
    if any(after <= before for before, after in pairwise(steps)):
        message = "the steps of its curve do not rise"
        raise ValueError(message)


def _check_best(best: BestTrial, spec: ExperimentSpec) -> None:
    if len(best.values) != len(spec.all_objectives):
        message = f"best trial {best.trial} has not one value for each objective"
        raise ValueError(message)
    for name, parameter in spec.search.parameters.items():
        if name in best.parameters:
            typed_value(parameter, best.parameters[name])
