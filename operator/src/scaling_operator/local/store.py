"""The result folder: the only truth of a local run, as Kubernetes objects are on a cluster.

One JSON file per trial, shaped like a ScalingTrial, written whole and renamed into place: a crash
at any instruction leaves the old text or the new. `result.json` is the experiment's status. No link
in the folder is followed: it may be somebody else's.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.local.contents import (
    EXPERIMENT,
    RESULT,
    TRIAL,
    Contents,
    Identity,
    folders_of_trials,
    is_folder,
    read_contents,
    read_experiment,
    read_identity,
    trial_folder,
)
from scaling_operator.local.export import result_json
from scaling_trainer.reading import MissingFile, UnreadableFile
from scaling_trainer.writing import (
    EXHAUSTED,
    is_temporary,
    make_folder,
    open_regular_for_writing,
    remove,
    write_file,
)

Found = TypeVar("Found")

LOCK = ".lock"


class StoreError(Exception):
    """The folder cannot be used; the message says why and what helps."""


@dataclass(slots=True)
class Store:
    """An open result folder. Only one process has it open for writing."""

    root: Path
    _lock: ExitStack | None = field(default=None, repr=False)

    def lock(self) -> None:
        """Take the folder for this process. Raises StoreError where it cannot be had.

        Raises OSError where this machine is out of something.
        """
        held = ExitStack()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(open_regular_for_writing(self.root / LOCK, os.O_RDWR))
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            message = f"{error.filename or self.root} cannot be written: {error.strerror}"
            raise StoreError(message) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held.close()
            message = f"{self.root} is in use by another run; wait for it or choose another --out"
            raise StoreError(message) from error
        self._lock = held

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def begin(self, experiment: ScalingExperiment) -> Identity:
        """Read the folder's identity, or write it where the folder is new."""
        if not os.path.lexists(self.root / EXPERIMENT):
            for entry in self.root.iterdir():
                if entry.name != LOCK and not is_temporary(entry.name):
                    message = f"{self.root} holds other files; choose a new folder for --out"
                    raise StoreError(message)
            self.write_experiment(experiment, str(uuid.uuid4()))
        self._tidy()
        return self.identity()

    def write_experiment(self, experiment: ScalingExperiment, uid: str) -> None:
        """Write which experiment the folder holds."""
        metadata = experiment.metadata.model_copy(update={"uid": uid})
        begun = experiment.model_copy(update={"metadata": metadata, "status": None})
        # What was not set stays unset: a default of today must not turn into a choice.
        self._write(self.root / EXPERIMENT, begun.model_dump_json(exclude_unset=True))

    def renew(self, identity: Identity, experiment: ScalingExperiment) -> None:
        """Write down what the user has changed since: targets, trials, budget and the like."""
        if experiment.spec != identity.spec:
            begun = read_experiment(self.root)
            renewed = begun.model_copy(update={"spec": experiment.spec})
            self._write(self.root / EXPERIMENT, renewed.model_dump_json(exclude_unset=True))

    def identity(self) -> Identity:
        """Read which experiment the folder holds. Raises StoreError where it holds none."""
        return self._told(read_identity)

    def contents(self) -> Contents:
        """Read all that the folder holds. Raises StoreError where it holds no experiment."""
        return self._told(read_contents)

    def _told(self, read: Callable[[Path], Found]) -> Found:
        try:
            return read(self.root)
        except MissingFile as error:
            message = f"{self.root} holds no experiment"
            raise StoreError(message) from error
        except UnreadableFile as error:
            message = f"{error}; scaling run with --repair writes it anew"
            raise StoreError(message) from error

    def write_status(self, name: str, status: ExperimentStatus) -> None:
        """Write result.json."""
        write_file(self.root / RESULT, result_json(name, status), below=self.root)

    def write_trial(self, trial: ScalingTrial) -> None:
        """Write a trial's file: at its creation, and at each change of its status."""
        folder = self.trial_folder(trial.spec.scale, trial.spec.number)
        make_folder(folder, below=self.root)
        self._write(folder / TRIAL, trial.model_dump_json(exclude_none=True))

    def trial_folder(self, scale: int, number: int) -> Path:
        """Where a trial's file, logs and checkpoint lie."""
        return trial_folder(self.root, scale, number)

    def was_launched(self, scale: int, number: int, attempt: int) -> bool:
        """Whether the attempt had begun, in this process or one before."""
        log = self.trial_folder(scale, number) / f"attempt-{attempt}.log"
        return os.path.lexists(log)

    def forget_checkpoint(self, scale: int, number: int) -> None:
        """Delete the weights of a trial that nobody will ask for again."""
        remove(self.trial_folder(scale, number) / "checkpoint", below=self.root)

    def _tidy(self) -> None:
        """Delete what a run that was killed has left half written."""
        for folder in (self.root, *folders_of_trials(self.root)):
            for path in list(folder.glob(".*")) if is_folder(folder) else ():
                if is_temporary(path.name):
                    remove(path, below=self.root)

    def _write(self, path: Path, document: str) -> None:
        write_file(path, document + "\n", below=self.root)
