"""Set aside what a result folder holds and no run can use, so that the others go on."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.local.contents import (
    DAMAGED,
    EXPERIMENT,
    TRIALS,
    Damage,
    is_folder,
    read_experiment,
    uids_of_trials,
)
from scaling_operator.local.store import Store, StoreError
from scaling_trainer.reading import MissingFile, UnreadableFile
from scaling_trainer.writing import make_folder, rename

SHOWN = 5


def check(damaged: tuple[Damage, ...]) -> None:
    """Raise StoreError that names what is damaged, and what helps."""
    if damaged:
        more = f"; and {len(damaged) - SHOWN} more" if len(damaged) > SHOWN else ""
        named = "; ".join(map(str, damaged[:SHOWN]))
        message = f"{named}{more}. The same command with --repair sets this aside and goes on"
        raise StoreError(message)


def repair(store: Store, experiment: ScalingExperiment, tell: Callable[[str], None]) -> None:
    """Move what is damaged to `damaged/`, and tell each. The folder must be locked.

    A trial that is set aside counts as gone: its number is not used again.
    """
    _repair_experiment(store, experiment, tell)
    for damage in store.contents().damaged:
        _set_aside(store.root, damage, tell)


def _repair_experiment(
    store: Store, experiment: ScalingExperiment, tell: Callable[[str], None]
) -> None:
    """Write experiment.json anew where it cannot be read: the trials still say whose they are."""
    path = store.root / EXPERIMENT
    try:
        begun = read_experiment(store.root)
        fault = None if begun.metadata.uid else "has no metadata.uid"
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
