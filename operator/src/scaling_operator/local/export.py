"""The end of an experiment in its folder: the best trial's model, then the table and the report.

Both shells end an experiment by this module: `local.finish` on this machine, `cli.finish` in the
finisher's pod. They write in this order: `best/`, whole or not at all, with the one score on the
test part; result.json; trials.csv; report.html.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_operator.api.fields import Scalar
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.local.contents import BEST, REPORT, TABLE
from scaling_operator.runtime.record import ExperimentRecord, table
from scaling_trainer.reading import UnreadableFile, folder_below, open_regular, read_json_object
from scaling_trainer.writing import fresh_file, make_folder, whole_folder, write_file

if TYPE_CHECKING:
    from scaling_operator.law.fit_experiment import FitOutcome

METRICS, PARAMETERS = "metrics.json", "parameters.json"
MOST_METRICS_BYTES = 64 * 1024 * 1024
MOST_FILES = 100_000
MOST_DEPTH = 32
MOST_NOTES = 10


@dataclass(frozen=True, slots=True)
class Winner:
    """The best trial: the folder of its checkpoint, its parameters, and whose trainer trained it.

    `score` scores a model of the built-in trainer on the test part, into the folder it is given.
    """

    checkpoint: Path
    parameters: Mapping[str, Scalar]
    is_built_in: bool
    score: Callable[[Path], Awaitable[None]]


async def export_model(
    root: Path, winner: Winner, note: Callable[[str], None], *, below: Path
) -> Mapping[str, float]:
    """Put the winner into `best/` of `root`, whole or not at all; return its test metrics.

    `note` is called with a sentence for each file that is left out. Raises OSError, and whatever
    `score` raises.
    """
    with whole_folder(root / BEST, below=below) as folder:
        if winner.is_built_in:
            await winner.score(folder)
            document = read_json_object(folder / METRICS, MOST_METRICS_BYTES, below=folder)
            return document["metrics"]
        # A custom trainer: the files it saved are the model, and only that trainer can test it.
        for left_out in copy_files(winner.checkpoint, folder):
            note(left_out)
        parameters = json.dumps(dict(winner.parameters), indent=2) + "\n"
        write_file(folder / PARAMETERS, parameters, below=folder)
        return {}


def with_test_metrics(status: ExperimentStatus, metrics: Mapping[str, float]) -> ExperimentStatus:
    """Add the test metrics of the best trial to a status; a custom trainer has none."""
    if status.best is None or not metrics:
        return status
    best = status.best.model_copy(update={"test_metrics": metrics})
    return status.model_copy(update={"best": best})


def result_json(name: str, status: ExperimentStatus) -> str:
    """Render result.json."""
    document = {"experiment": name, **status.model_dump(mode="json", exclude_none=True)}
    return json.dumps(document, indent=2) + "\n"


def write_table(root: Path, record: ExperimentRecord, *, below: Path) -> None:
    """Write trials.csv."""
    write_file(root / TABLE, table(record.trials), below=below)


def write_report(
    root: Path, record: ExperimentRecord, fitted: FitOutcome | None = None, *, below: Path
) -> Path:
    """Draw report.html; `fitted` spares another fit. Return where the page lies."""
    # The plots load slowly, and only the end of a run needs them.
    from scaling_operator.report.build import draw  # noqa: PLC0415

    path = root / REPORT
    write_file(path, draw(record, root / BEST, fitted), below=below)
    return path


def copy_files(source: Path, target: Path) -> tuple[str, ...]:
    """Copy the files below `source` into the empty folder `target`; say what was left out.

    A link to a file of the same folder becomes that file; another link, a pipe, a socket and a
    device are left out. Raises OSError where nothing can be written.
    """
    left_out: list[str] = []
    for count, place in enumerate(_walk(source, left_out)):
        if count == MOST_FILES:
            left_out.append(f"{source}: holds more than {MOST_FILES} files")
            break
        try:
            _copy_file(source, target, place)
        except UnreadableFile as error:
            left_out.append(str(error))
    more = len(left_out) - MOST_NOTES
    shown = left_out[:MOST_NOTES] + ([f"and {more} more"] if more > 0 else [])
    return tuple(f"{note}; left out of {target.name}/" for note in shown)


def _walk(source: Path, left_out: list[str]) -> Iterator[Path]:
    """Give the path of each file and link below `source`."""
    folders = [Path()]
    while folders:
        inner = folders.pop()
        try:
            with folder_below(source / inner, source) as folder, os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
                kinds = [entry.is_dir(follow_symlinks=False) for entry in listed]
        except OSError as error:
            left_out.append(f"{source / inner}: cannot be read: {error.strerror}")
            continue
        for entry, is_folder in zip(listed, kinds, strict=True):
            place = inner / entry.name
            if not is_folder:
                yield place
            elif len(place.parts) <= MOST_DEPTH:
                folders.append(place)
            else:
                left_out.append(f"{source / place}: lies deeper than {MOST_DEPTH} folders")


def _copy_file(source: Path, target: Path, place: Path) -> None:
    read = _linked(source, source / place)
    with open_regular(read, below=source) as file:
        make_folder((target / place).parent, below=target)
        with fresh_file(target / place, below=target) as copy:
            shutil.copyfileobj(file, copy, 1024 * 1024)
            original = os.fstat(file.fileno())
            os.fchmod(copy.fileno(), stat.S_IMODE(original.st_mode) & 0o777)
    os.utime(target / place, ns=(original.st_atime_ns, original.st_mtime_ns), follow_symlinks=False)


def _linked(source: Path, path: Path) -> Path:
    """Give the file that a link names, where it lies in the folder; else the path itself."""
    if not path.is_symlink():
        return path
    named, whole = os.path.realpath(path), os.path.realpath(source)
    is_inside = os.path.commonpath([named, whole]) == whole and Path(named).is_file()
    return source / os.path.relpath(named, whole) if is_inside else path
