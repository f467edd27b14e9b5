"""What a result folder holds, read within bounds; whatever cannot be used is named.

The folder may be somebody else's, may have been copied by hand, or have lain on a faulty disk.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError

from scaling_operator.api.experiment import ExperimentSpec, ScalingExperiment
from scaling_operator.api.names import trial_id
from scaling_operator.api.search import typed_value
from scaling_operator.api.status import BestTrial, ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.ladder import Scale, scales_of
from scaling_operator.runtime.record import ExperimentRecord
from scaling_operator.search.optuna_trials import record_of, study_entry, typed
from scaling_operator.validation.space import make_space
from scaling_trainer.reading import MissingFile, UnreadableFile, parse_json, read_bytes

Model = TypeVar("Model", bound=BaseModel)

EXPERIMENT, RESULT, TRIAL = "experiment.json", "result.json", "trial.json"
TABLE, REPORT, BEST_LOG = "trials.csv", "report.html", "best.log"
TRIALS, BEST, DAMAGED = "trials", "best", "damaged"
MOST_BYTES = 16 * 1024 * 1024
"""The largest file that is read. A trial with the longest curve has about 100 KiB."""

_SLOT = re.compile(r"(0|[1-9][0-9]{0,5})-(0|[1-9][0-9]{0,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which experiment a folder holds: its name and uid, and the spec that was last written."""

    name: str
    uid: str
    spec: ExperimentSpec


@dataclass(frozen=True, slots=True)
class Damage:
    """A file or folder in a result folder that cannot be used, and why."""

    path: Path
    reason: str
    whole: Path
    """What `--repair` would set aside: the file, or the folder of its trial."""

    def __str__(self) -> str:
        """Render as `path: reason`."""
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a result folder holds."""

    identity: Identity
    status: ExperimentStatus
    trials: tuple[ScalingTrial, ...]
    damaged: tuple[Damage, ...] = ()

    @property
    def record(self) -> ExperimentRecord:
        """The experiment with the trials that can be used."""
        identity = self.identity
        return ExperimentRecord(
            identity.name, identity.uid, identity.spec, self.status, self.trials
        )


def read_contents(root: Path) -> Contents:
    """Read a result folder. Raises UnreadableFile where it holds no experiment."""
    identity = read_identity(root)
    damaged = list(_misplaced(root))
    status = ExperimentStatus()
    try:
        status = _read_status(root, identity.spec)
    except UnreadableFile as error:
        if all(error.path != damage.path for damage in damaged):
            damaged.append(Damage(error.path, error.reason, error.path))
    trials, spoilt = _read_trials(root, identity, status)
    return Contents(identity, status, tuple(trials), (*damaged, *spoilt))


def read_identity(root: Path) -> Identity:
    """Read which experiment a folder holds. Raises UnreadableFile, MissingFile for none."""
    experiment = read_experiment(root)
    if experiment.metadata.uid is None:
        raise UnreadableFile(root / EXPERIMENT, "has no metadata.uid")
    return Identity(experiment.metadata.name, experiment.metadata.uid, experiment.spec)


def read_experiment(root: Path) -> ScalingExperiment:
    """Read experiment.json. Raises UnreadableFile."""
    return _read(root / EXPERIMENT, ScalingExperiment, root)


def trial_folder(root: Path, scale: int, number: int) -> Path:
    """Give the folder of a trial's file, logs and checkpoint."""
    return root / TRIALS / trial_id(scale, number)


def uids_of_trials(root: Path, name: str) -> Iterator[str]:
    """Give the experiment's uid as each readable trial of that name has it."""
    for folder in folders_of_trials(root):
        try:
            owner = _read(folder / TRIAL, ScalingTrial, root).spec.experiment
        except UnreadableFile:
            continue
        if owner.name == name:
            yield owner.uid


def _misplaced(root: Path) -> Iterator[Damage]:
    """Name folders where files should lie, and files or links where folders should."""
    for name in (EXPERIMENT, RESULT, TABLE, REPORT, BEST_LOG, TRIALS, BEST):
        path = root / name
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        if name in (TRIALS, BEST) and not stat.S_ISDIR(mode):
            yield Damage(path, "is no folder", path)
        elif name not in (TRIALS, BEST) and stat.S_ISDIR(mode):
            yield Damage(path, "is a folder, not a file", path)


def _read_status(root: Path, spec: ExperimentSpec) -> ExperimentStatus:
    """Read the experiment's status; an empty status where none was written yet."""
    path = root / RESULT
    try:
        document = parse_json(read_bytes(path, MOST_BYTES, below=root), path)
    except MissingFile:
        return ExperimentStatus()
    if isinstance(document, dict):
        cast("dict[str, object]", document).pop("experiment", None)
    try:
        status = ExperimentStatus.model_validate(document)
    except ValidationError as error:
        raise UnreadableFile(path, _described(error)) from error
    check_status(status, path, spec)
    return status


def _read_trials(
    root: Path, identity: Identity, status: ExperimentStatus
) -> tuple[list[ScalingTrial], list[Damage]]:
    """Read every trial, in order of scale and number, and name the trials that cannot be used."""
    scales = {scale.index: scale for scale in scales_of(identity.spec, status.scales)}
    trials: list[ScalingTrial] = []
    damaged: list[Damage] = []
    for folder in folders_of_trials(root):
        path = folder / TRIAL
        try:
            trial = _read(path, ScalingTrial, root)
            check_trial(trial, path, identity.uid, identity.spec, scales)
            trials.append(trial)
        except MissingFile:
            # A folder without its file: the run died before it wrote the trial; its slot is free.
            continue
        except UnreadableFile as error:
            damaged.append(Damage(error.path, error.reason, folder))
    return sorted(trials, key=lambda trial: trial.spec.key), damaged


def is_folder(path: Path) -> bool:
    """Whether the path is a folder itself, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def folders_of_trials(root: Path) -> list[Path]:
    """List the folders of trials, and all that is named like one; nobody reads other files."""
    folder = root / TRIALS
    if not is_folder(folder):
        return []
    with os.scandir(folder) as entries:
        return sorted(
            folder / entry.name
            for entry in entries
            if _SLOT.fullmatch(entry.name) or entry.is_dir(follow_symlinks=False)
        )


def _read(path: Path, model: type[Model], root: Path) -> Model:
    content = read_bytes(path, MOST_BYTES, below=root)
    if not content.strip():
        raise UnreadableFile(path, "is empty")
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise UnreadableFile(path, _described(error)) from error


def _described(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "is damaged: it is no whole JSON"
    place = ".".join(str(part) for part in first["loc"])[:60]
    return f"is damaged: {error.error_count()} fields cannot be read, the first {place!r}"


def check_trial(
    trial: ScalingTrial, path: Path, uid: str, spec: ExperimentSpec, scales: Mapping[int, Scale]
) -> None:
    """Raise UnreadableFile for a trial that the experiment cannot have. `scales` by index."""
    named = trial.spec
    if not trial.is_of(uid):
        raise UnreadableFile(path, f"is a trial of another run of {named.experiment.name}")
    if path.parent.name != named.trial_id:
        raise UnreadableFile(path, f"is trial {named.trial_id}'s: the folder is a copy")
    if named.scale not in scales:
        raise UnreadableFile(path, f"is of scale {named.scale}, which the experiment has not")
    try:
        _check_size(trial, scales[named.scale])
        _check_curve(trial)
        record = record_of(trial, spec.search)
        typed(make_space(spec.search, None), record)
        study_entry(record, objectives=len(spec.all_objectives), whole_curve=False)
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
