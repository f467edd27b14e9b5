"""Opening a user's file: packed or not, and by its encoding."""

from __future__ import annotations

import bz2
import codecs
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

from scaling_trainer.data.listing import first_few, is_hidden
from scaling_trainer.data_error import DataError

_FIELD = "dataset.encoding"
# The longer first: UTF-16's mark begins that of UTF-32.
_BY_FIRST_BYTES = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LONGEST_BOM = 4
"""So many first bytes of a file tell its encoding, where any do."""


def encoding_of(first: bytes, setting: str | None) -> str:
    """Give the codec to read a file by: by its first bytes, where there is no setting."""
    if setting is not None:
        # Its mark is no part of the text.
        return "utf-8-sig" if setting == "utf-8" else setting
    return next((codec for mark, codec in _BY_FIRST_BYTES if first.startswith(mark)), "utf-8")


def encoding_notes(codec: str, setting: str | None) -> tuple[str, ...]:
    """Say what was found out, where it is not what everybody expects."""
    if setting is not None or codec in ("utf-8", "utf-8-sig"):
        return ()
    return (f"read as {codec}, as the file's first bytes say: {_FIELD} changes it",)


def decoding_error(path: Path, codec: str, where: str) -> DataError:
    """Say where a file is not in an encoding, and which setting says in which it is."""
    name = "UTF-8" if codec.startswith("utf-8") else codec
    hint = f"set {_FIELD}, as cp1252 for texts of western Windows"
    return DataError("dataset.path", f"{path.name} is not {name}: {where}; {hint}")


def nul_error(path: Path, line: int) -> DataError:
    """Say that a file holds bytes that no text does."""
    message = f"{path.name} holds NUL bytes, first in line {line}: it is no text, or set {_FIELD}"
    return DataError("dataset.path", message)


_PATH = "dataset.path"
MOST_TIMES = 100
"""A file may expand to so many times its own size: tables do to 3 to 30 times."""
ALWAYS_ALLOWED_BYTES = 256 * 2**20
_AT_ONCE = 128 * 1024
# The modules' own words for a file that is cut off, damaged, encrypted or packed in another way.
_DAMAGE = (EOFError, OSError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@contextmanager
def open_unpacked(path: Path) -> Generator[IO[bytes]]:
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
        with content, io.BufferedReader(_BoundedReader(path, content, most), _AT_ONCE) as bounded:
            yield bounded


class _BoundedReader(io.RawIOBase):
    """What a packed file holds, as far as it may be long."""

    def __init__(self, path: Path, content: IO[bytes], most: int) -> None:
        self._path, self._content, self._most = path, content, most
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            chunk = self._content.read(len(buffer))
        except _DAMAGE as error:
            raise _damaged(self._path, error) from error
        self._read += len(chunk)
        if self._read > self._most:
            message = (
                f"{self._path.name} expands to more than {self._most / 2**20:,.0f} MiB, which is "
                f"over {MOST_TIMES} times its size: expand it yourself if it is what you mean"
            )
            raise DataError(_PATH, message)
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _damaged(path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.strerror:
        return DataError(_PATH, f"{path.name} cannot be read: {error.strerror}")
    return DataError(_PATH, f"{path.name} cannot be expanded: {error}")


def _only_file(file: IO[bytes], path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    names = [
        member.filename
        for member in archive.infolist()
        if not member.is_dir() and not any(map(is_hidden, member.filename.split("/")))
    ]
    if len(names) != 1:
        found_text = f"there are {first_few(names)}" if names else "there is none"
        raise DataError(_PATH, f"{path.name} must hold one file; {found_text}")
    return archive.open(names[0])


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
