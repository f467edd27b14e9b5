"""The result folder: the only truth of a local run, as Kubernetes objects are on a cluster.

Each trial has one JSON file, shaped like a ScalingTrial, written whole and renamed into place: a
crash at any instruction leaves the old text or the new. `result.json` is the experiment's status.
No link in the folder is followed: the folder may be somebody else's.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.local.contents import (
    DAMAGED,
    EXPERIMENT,
    RESULT,
    TRIAL,
    TRIALS,
    Contents,
    Damage,
    Identity,
    folders_of_trials,
    is_folder,
    read_contents,
    read_experiment,
    read_identity,
    trial_folder,
    uids_of_trials,
)
from scaling_operator.local.export import result_json
from scaling_trainer.reading import MissingFile, UnreadableFile
from scaling_trainer.writing import (
    EXHAUSTED,
    is_temporary,
    make_folder,
    open_regular_for_writing,
    remove,
    rename,
    write_file,
)

Read = TypeVar("Read")

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
        """Let other processes use the folder again."""
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
        started = experiment.model_copy(update={"metadata": metadata, "status": None})
        # What was not set stays unset: a default of today must not turn into a choice.
        self._write(self.root / EXPERIMENT, started.model_dump_json(exclude_unset=True))

    def renew(self, identity: Identity, experiment: ScalingExperiment) -> None:
        """Write what the user has changed in the spec: targets, trials, budget and the like."""
        if experiment.spec != identity.spec:
            stored = read_experiment(self.root)
            renewed = stored.model_copy(update={"spec": experiment.spec})
            self._write(self.root / EXPERIMENT, renewed.model_dump_json(exclude_unset=True))

    def identity(self) -> Identity:
        """Read which experiment the folder holds. Raises StoreError where it holds none."""
        return self._read(read_identity)

    def contents(self) -> Contents:
        """Read all that the folder holds. Raises StoreError where it holds no experiment."""
        return self._read(read_contents)

    def _read(self, read: Callable[[Path], Read]) -> Read:
        """Read the folder; say what helps where it cannot be read. Raises StoreError."""
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
        """Write a trial's file: when the trial is created, and whenever its status changes."""
        folder = self.trial_folder(trial.spec.scale, trial.spec.number)
        make_folder(folder, below=self.root)
        self._write(folder / TRIAL, trial.model_dump_json(exclude_none=True))

    def trial_folder(self, scale: int, number: int) -> Path:
        """Give the folder of a trial's file, logs and checkpoint."""
        return trial_folder(self.root, scale, number)

    def was_launched(self, scale: int, number: int, attempt: int) -> bool:
        """Whether the attempt was launched, by this process or by an earlier run."""
        log = self.trial_folder(scale, number) / f"attempt-{attempt}.log"
        return os.path.lexists(log)

    def forget_checkpoint(self, scale: int, number: int) -> None:
        """Delete the weights of a trial that nobody will ask for again."""
        remove(self.trial_folder(scale, number) / "checkpoint", below=self.root)

    def _tidy(self) -> None:
        """Delete the half-written files of a run that was killed."""
        for folder in (self.root, *folders_of_trials(self.root)):
            for path in list(folder.glob(".*")) if is_folder(folder) else ():
                if is_temporary(path.name):
                    remove(path, below=self.root)

    def _write(self, path: Path, document: str) -> None:
        write_file(path, document + "\n", below=self.root)


SHOWN = 5


def expect_undamaged(damaged: tuple[Damage, ...]) -> None:
    """Raise StoreError that names what is damaged, and what helps."""
    if damaged:
        more = f"; and {len(damaged) - SHOWN} more" if len(damaged) > SHOWN else ""
        named = "; ".join(map(str, damaged[:SHOWN]))
        message = f"{named}{more}. The same command with --repair sets this aside and goes on"
        raise StoreError(message)


def repair(store: Store, experiment: ScalingExperiment, tell: Callable[[str], None]) -> None:
    """Move every damaged file and trial to `damaged/`, and tell of each. The folder must be locked.

    A trial that is set aside counts as gone: its number is not used again.
    """
    _repair_experiment(store, experiment, tell)
    for damage in store.contents().damaged:
        _set_aside(store.root, damage, tell)


def _repair_experiment(
    store: Store, experiment: ScalingExperiment, tell: Callable[[str], None]
) -> None:
    """Write experiment.json anew where it cannot be read: the trials still name its uid."""
    path = store.root / EXPERIMENT
    try:
        stored = read_experiment(store.root)
        fault = None if stored.metadata.uid else "has no metadata.uid"
    except MissingFile:
        if not is_folder(store.root / TRIALS):
            return  # a new folder
        fault = "is missing"
    except UnreadableFile as error:
        fault = error.reason
    if fault is None:
        return
    if fault != "is missing":
        _set_aside(store.root, Damage(path, fault, path), tell)
    uids = Counter(uids_of_trials(store.root, experiment.metadata.name)).most_common(1)
    store.write_experiment(experiment, uids[0][0] if uids else str(uuid.uuid4()))
    tell(f"{path}: {fault}; written anew from the experiment file")


def _set_aside(root: Path, damage: Damage, tell: Callable[[str], None]) -> None:
    make_folder(root / DAMAGED, below=root)
    target = next(path for path in _places(root, damage) if not os.path.lexists(path))
    rename(damage.whole, target, below=root)
    tell(f"{damage}; set aside as {target}")


def _places(root: Path, damage: Damage) -> Iterator[Path]:
    name = damage.whole.name
    yield root / DAMAGED / name
    for count in range(2, 10_000):
        yield root / DAMAGED / f"{name}.{count}"
