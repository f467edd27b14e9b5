"""What a result folder holds, read within bounds; what of it cannot be used is named.

The folder may be somebody else's, may have been copied by hand, or have lain on a disk at fault.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError

from scaling_operator.api.experiment import ExperimentSpec, ScalingExperiment
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.ladder import scales_of
from scaling_operator.local.consistency import check_status, check_trial
from scaling_operator.runtime.record import ExperimentRecord
from scaling_trainer.reading import MissingFile, UnreadableFile, parse_json, read_bytes

Model = TypeVar("Model", bound=BaseModel)

EXPERIMENT, RESULT, TRIAL = "experiment.json", "result.json", "trial.json"
TABLE, REPORT, BEST_LOG = "trials.csv", "report.html", "best.log"
TRIALS, BEST, DAMAGED = "trials", "best", "damaged"
MOST_BYTES = 16 * 1024 * 1024
"""Of one file; a trial with the longest curve has some 100 KiB."""

_SLOT = re.compile(r"(0|[1-9][0-9]{0,5})-(0|[1-9][0-9]{0,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a folder's experiment this one: its name and uid; and the spec it has last had."""

    name: str
    uid: str
    spec: ExperimentSpec


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a result folder that cannot be used: what would be set aside, and why."""

    path: Path
    reason: str
    whole: Path
    """The file, or the trial's folder that it lies in."""

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
    begun = read_experiment(root)
    if begun.metadata.uid is None:
        raise UnreadableFile(root / EXPERIMENT, "has no metadata.uid")
    return Identity(begun.metadata.name, begun.metadata.uid, begun.spec)


def read_experiment(root: Path) -> ScalingExperiment:
    """Read experiment.json. Raises UnreadableFile."""
    return _read(root / EXPERIMENT, ScalingExperiment, root)


def trial_folder(root: Path, scale: int, number: int) -> Path:
    """Where a trial's file, logs and checkpoint lie."""
    return root / TRIALS / f"{scale}-{number}"


def uids_of_trials(root: Path, name: str) -> Iterator[str]:
    """Give the uid that each readable trial of an experiment has."""
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
    """Read the experiment's status; an empty one where none was written yet."""
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
    """Read every trial, in order of scale and number, and name those that cannot be used."""
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
            # A folder without its file: that run died before the commit, and the slot is free.
            continue
        except UnreadableFile as error:
            damaged.append(Damage(error.path, error.reason, folder))
    return sorted(trials, key=lambda trial: (trial.spec.scale, trial.spec.number)), damaged


def is_folder(path: Path) -> bool:
    """Whether a folder lies there, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def folders_of_trials(root: Path) -> list[Path]:
    """List what lies among the trials, but for stray files that nobody reads."""
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
