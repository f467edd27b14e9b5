"""What a valid experiment lacks to run on this machine: said before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.problems import Problem
from scaling_operator.local.data_check import dataset_path
from scaling_operator.search.available import unavailable


def missing_here(spec: ExperimentSpec, data_folder: Path) -> Iterator[Problem]:
    """Name what is missing, each with its path: an extra, a command, a file of data."""
    extra = unavailable(spec.search)
    if extra is not None:
        yield Problem("spec.search.algorithm", extra)
    container, path = spec.trainer.container, dataset_path(spec)
    if container is not None and not container.command:
        message = "a local run needs it: there is no image to take it from"
        yield Problem("spec.trainer.container.command", message)
    if path is not None and not (data_folder / path).exists():
        message = f"{path} does not exist beside the experiment file, in {data_folder}"
        yield Problem("spec.trainer.builtIn.dataset.path", message)
