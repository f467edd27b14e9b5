"""Copy a folder that a trainer filled: its files alone, within bounds, whatever links lie in it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from scaling_trainer.reading import UnreadableFile, folder_below, open_regular
from scaling_trainer.writing import fresh_file, make_folder

MOST_FILES = 100_000
MOST_DEPTH = 32
MOST_NOTES = 10


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
    return tuple(f"{each}; left out of {target.name}/" for each in shown)


def _walk(source: Path, left_out: list[str]) -> Iterator[Path]:
    """Give the path of each file and link below `source`."""
    folders = [Path()]
    while folders:
        inner = folders.pop()
        try:
            with folder_below(source / inner, source) as folder, os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
                kinds = [entry.is_dir(follow_symlinks=False) for entry in found]
        except OSError as error:
            left_out.append(f"{source / inner}: cannot be read: {error.strerror}")
            continue
        for entry, is_folder in zip(found, kinds, strict=True):
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
            known = os.fstat(file.fileno())
            os.fchmod(copy.fileno(), stat.S_IMODE(known.st_mode) & 0o777)
    os.utime(target / place, ns=(known.st_atime_ns, known.st_mtime_ns), follow_symlinks=False)


def _linked(source: Path, path: Path) -> Path:
    """Give the file that a link names, where it lies in the folder; else the path itself."""
    if not path.is_symlink():
        return path
    named, whole = os.path.realpath(path), os.path.realpath(source)
    is_inside = os.path.commonpath([named, whole]) == whole and Path(named).is_file()
    return source / os.path.relpath(named, whole) if is_inside else path
