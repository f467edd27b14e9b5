"""Tables that were packed: `.gz`, `.bz2`, `.xz`, and `.zip` with one file in it.

What they hold is expanded while it is read, and never beyond a bound: a few bytes may be made to
expand to more than a machine holds.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from scaling_trainer.data.errors import DataError
from scaling_trainer.data.listing import counted, is_hidden

_PATH = "dataset.path"
MOST_TIMES = 100
"""A file may expand to so many times its own size: tables do to 3 to 30 times."""
ALWAYS_ALLOWED_BYTES = 256 * 2**20
_AT_ONCE = 128 * 1024
# The modules' own words for a file that is cut off, damaged, encrypted or packed in another way.
_DAMAGE = (EOFError, OSError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@contextmanager
def open_expanded(path: Path) -> Generator[IO[bytes]]:
    """Open a file by its ending, packed or not.

    Raises OSError where it cannot be opened, DataError where it is not packed as its ending says or
    expands to too much, then or when it is read.
    """
    with path.open("rb") as file:
        expand = _BY_ENDING.get(path.suffix.lower())
        if expand is None:
            yield file
            return
        most = max(ALWAYS_ALLOWED_BYTES, MOST_TIMES * os.fstat(file.fileno()).st_size)
        try:
            content = expand(file, path)
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        with content, io.BufferedReader(_Bounded(path, content, most), _AT_ONCE) as bounded:
            yield bounded


class _Bounded(io.RawIOBase):
    """What a packed file holds, as far as it may be long."""

    def __init__(self, path: Path, content: IO[bytes], most: int) -> None:
        self._path, self._content, self._most = path, content, most
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            some = self._content.read(len(buffer))
        except _DAMAGE as error:
            raise _damaged(self._path, error) from error
        self._read += len(some)
        if self._read > self._most:
            message = (
                f"{self._path.name} expands to more than {self._most / 2**20:,.0f} MiB, which is "
                f"over {MOST_TIMES} times its size: expand it yourself if it is what you mean"
            )
            raise DataError(_PATH, message)
        buffer[: len(some)] = some
        return len(some)


def _damaged(path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.strerror:
        return DataError(_PATH, f"{path.name} cannot be read: {error.strerror}")
    return DataError(_PATH, f"{path.name} cannot be expanded: {error}")


def _only_file(file: IO[bytes], path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    held = [
        each.filename
        for each in archive.infolist()
        if not each.is_dir() and not any(map(is_hidden, each.filename.split("/")))
    ]
    if len(held) != 1:
        there = f"there are {counted(held)}" if held else "there is none"
        raise DataError(_PATH, f"{path.name} must hold one file; {there}")
    return archive.open(held[0])


def _gzip(file: IO[bytes], _: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file))


def _bzip2(file: IO[bytes], _: Path) -> IO[bytes]:
    return bz2.BZ2File(file)


def _xz(file: IO[bytes], _: Path) -> IO[bytes]:
    return lzma.LZMAFile(file)


_BY_ENDING: Mapping[str, Callable[[IO[bytes], Path], IO[bytes]]] = {
    ".gz": _gzip,
    ".bz2": _bzip2,
    ".xz": _xz,
    ".zip": _only_file,
}
