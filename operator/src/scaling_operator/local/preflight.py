"""What is checked before the first trial of a local run: this machine, and the data."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.problems import InvalidSpec, Problem
from scaling_operator.api.status import MAX_DATA_NOTE, MAX_DATA_NOTES
from scaling_operator.core.ladder import scales_of
from scaling_operator.local.workers import WarmWorker
from scaling_operator.search.extras import missing_extra


def missing_here(spec: ExperimentSpec, data_folder: Path) -> Iterator[Problem]:
    """Name what is missing, each with its path: an extra, a command, a file of data."""
    extra = missing_extra(spec.search)
    if extra is not None:
        yield Problem("spec.search.algorithm", extra)
    container, path = spec.trainer.container, dataset_path(spec)
    if container is not None and not container.command:
        message = "a local run needs it: there is no image to take it from"
        yield Problem("spec.trainer.container.command", message)
    if path is not None and not (data_folder / path).exists():
        message = f"{path} does not exist beside the experiment file, in {data_folder}"
        yield Problem("spec.trainer.builtIn.dataset.path", message)


_FIELD = "spec.trainer.builtIn"


async def check_data(
    worker: WarmWorker, spec: ExperimentSpec, data_folder: Path, stop: asyncio.Event
) -> tuple[str, ...]:
    """Let a worker read the data once; return what the user should know of them.

    Once `stop` is set, the check is cancelled and its worker ended. Raises InvalidSpec where no
    trial could use the data.
    """
    built_in = spec.trainer.built_in
    if built_in is None:
        return ()
    config = built_in.model_dump(mode="json", exclude_unset=True)
    check = worker.check(config, data_folder, varied_parameters(spec), Path(os.devnull))
    checking, stopping = asyncio.create_task(check), asyncio.create_task(stop.wait())
    await asyncio.wait({checking, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not checking.done():
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
        return ()
    end = checking.result()
    if end.exit_code == 0:
        return tuple(_clean(note) for note in end.notes[:MAX_DATA_NOTES])
    raise InvalidSpec((_problem(end.message),))


def written_since(
    spec: ExperimentSpec, data_folder: Path, began: datetime | None
) -> tuple[str, ...]:
    """Say that data were written after the folder's first trial began: values may differ for it."""
    path = dataset_path(spec)
    if path is None or began is None:
        return ()
    newest = max(_written_seconds(data_folder / path), default=0.0)
    if newest <= began.timestamp():
        return ()
    sentence = "was written after the first trial of this folder began"
    helps = "trials before that were measured on what it held then; begin a new folder to compare"
    return (_clean(f"{path} {sentence}: {helps}"),)


def dataset_path(spec: ExperimentSpec) -> str | None:
    """Give the file or folder of data that the built-in trainer reads."""
    built_in = spec.trainer.built_in
    path = getattr(built_in.dataset, "path", None) if built_in is not None else None
    return path if isinstance(path, str) else None


def _written_seconds(path: Path) -> Iterator[float]:
    """Give when a file was written; for a folder, when it and each folder in it were changed."""
    try:
        yield path.stat().st_mtime
        if path.is_dir():
            yield from (entry.stat().st_mtime for entry in os.scandir(path) if entry.is_dir())
    except OSError:
        return  # the trainer, which reads it, says so


def varied_parameters(spec: ExperimentSpec) -> tuple[str, ...]:
    """Name the parameters that differ between trials: those searched, and those of the sizes."""
    names = dict.fromkeys(spec.search.parameters)
    for scale in scales_of(spec):
        names |= dict.fromkeys(scale.parameters)
    return tuple(names)


def _clean(note: str) -> str:
    """Shorten a sentence that quotes a file, and replace what would steer a terminal."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in note)
    return plain if len(plain) <= MAX_DATA_NOTE else f"{plain[: MAX_DATA_NOTE - 1]}…"


def _problem(message: str) -> Problem:
    """Name the field where the sentence begins with one, else the data set as a whole."""
    path, _, sentence = _clean(message).partition(": ")
    if sentence and path.split(".")[0] in ("dataset", "preprocessing", "model"):
        return Problem(f"{_FIELD}.{path}", sentence)
    return Problem(f"{_FIELD}.dataset", _clean(message))
