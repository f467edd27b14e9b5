"""The result folder: the only truth of a local run, as Kubernetes objects are on a cluster.

One JSON file per trial, shaped like a ScalingTrial, written whole and renamed into place: a crash
at any instruction leaves the old text or the new. `result.json` is the experiment's status.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel, ValidationError

from scaling_operator.api.experiment import ExperimentSpec, ScalingExperiment
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial

Model = TypeVar("Model", bound=BaseModel)


class StoreError(Exception):
    """The folder cannot be used; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a folder's experiment this one: its name and uid; and the spec it has last had."""

    name: str
    uid: str
    spec: ExperimentSpec


@dataclass(slots=True)
class Store:
    """An open result folder. Only one process has it open for writing."""

    root: Path
    _lock: IO[str] | None = field(default=None, repr=False)

    def lock(self) -> None:
        """Take the folder for this process. Raises StoreError where another one has it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
        except OSError as error:
            message = f"{self.root} cannot be written: {error.strerror}"
            raise StoreError(message) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            message = f"{self.root} is in use by another run; wait for it or choose another --out"
            raise StoreError(message) from error
        self._lock = lock

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def begin(self, experiment: ScalingExperiment) -> Identity:
        """Read the folder's identity, or write it where the folder is new."""
        path = self.root / "experiment.json"
        if not path.exists():
            if any(entry.name != ".lock" for entry in self.root.iterdir()):
                message = f"{self.root} holds other files; choose a new folder for --out"
                raise StoreError(message)
            begun = experiment.model_copy(
                update={
                    "metadata": experiment.metadata.model_copy(update={"uid": str(uuid.uuid4())}),
                    "status": None,
                }
            )
            # What was not set stays unset: a default of today must not turn into a choice.
            _replace(path, begun.model_dump_json(exclude_unset=True) + "\n")
        return self.identity()

    def renew(self, identity: Identity, experiment: ScalingExperiment) -> None:
        """Write down what the user has changed since: targets, trials, budget and the like."""
        if experiment.spec == identity.spec:
            return
        begun = _read(self.root / "experiment.json", ScalingExperiment)
        if begun is not None:
            renewed = begun.model_copy(update={"spec": experiment.spec})
            _replace(
                self.root / "experiment.json", renewed.model_dump_json(exclude_unset=True) + "\n"
            )

    def identity(self) -> Identity:
        """Read which experiment the folder holds. Raises StoreError where it holds none."""
        begun = _read(self.root / "experiment.json", ScalingExperiment)
        if begun is None or begun.metadata.uid is None:
            message = f"{self.root} holds no experiment"
            raise StoreError(message)
        return Identity(begun.metadata.name, begun.metadata.uid, begun.spec)

    def status(self) -> ExperimentStatus:
        """Read the experiment's status; an empty one where none was written yet."""
        path = self.root / "result.json"
        if not path.exists():
            return ExperimentStatus()
        document = json.loads(path.read_text())
        document.pop("experiment", None)
        try:
            return ExperimentStatus.model_validate(document)
        except ValidationError as error:
            message = f"{path} is damaged: {error.error_count()} fields cannot be read"
            raise StoreError(message) from error

    def write_status(self, name: str, status: ExperimentStatus) -> None:
        """Write result.json."""
        document = {"experiment": name, **status.model_dump(mode="json", exclude_none=True)}
        _replace(self.root / "result.json", json.dumps(document, indent=2) + "\n")

    def trials(self) -> list[ScalingTrial]:
        """Read every trial, in order of scale and number."""
        folder = self.root / "trials"
        if not folder.is_dir():
            return []
        read = (_read(entry / "trial.json", ScalingTrial) for entry in folder.iterdir())
        # A folder without its file: that run died before the commit, and the slot is free.
        trials = [trial for trial in read if trial is not None]
        return sorted(trials, key=lambda trial: (trial.spec.scale, trial.spec.number))

    def write_trial(self, trial: ScalingTrial) -> None:
        """Write a trial's file: at its creation, and at each change of its status."""
        folder = self.trial_folder(trial.spec.scale, trial.spec.number)
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "trial.json", trial.model_dump_json(exclude_none=True) + "\n")

    def trial_folder(self, scale: int, number: int) -> Path:
        """Where a trial's file, logs and checkpoint lie."""
        return self.root / "trials" / f"{scale}-{number}"

    def was_launched(self, scale: int, number: int, attempt: int) -> bool:
        """Whether the attempt had begun, in this process or one before."""
        return (self.trial_folder(scale, number) / f"attempt-{attempt}.log").exists()

    def forget_checkpoint(self, scale: int, number: int) -> None:
        """Delete the weights of a trial that nobody will ask for again."""
        folder = self.trial_folder(scale, number) / "checkpoint"
        if folder.exists():
            shutil.rmtree(folder)


def _read(path: Path, model: type[Model]) -> Model | None:
    """Read a file; None where there is none. Raises StoreError where it is damaged."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        message = f"{path} is damaged: {error.error_count()} fields cannot be read"
        raise StoreError(message) from error


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    os.replace(temporary, path)  # noqa: PTH105
