"""Opening a user's file: packed or not, and by its encoding.

Packed are `.gz`, `.bz2`, `.xz`, and `.zip` with one file in it. A packed file is expanded while it
is read, and never beyond a bound: a few bytes may expand to more than a machine holds. The encoding
is that of the setting, else that of the file's first bytes, else UTF-8.
"""

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
# The longer marks come first: the mark of UTF-32 begins with that of UTF-16.
_BY_FIRST_BYTES = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LONGEST_BOM = 4
"""First bytes of a file that can hold a byte order mark."""


def encoding_of(first: bytes, setting: str | None) -> str:
    """Give the codec of a file: by the setting, or else by the file's first bytes."""
    if setting is not None:
        # The byte order mark is not part of the text.
        return "utf-8-sig" if setting == "utf-8" else setting
    return next((codec for mark, codec in _BY_FIRST_BYTES if first.startswith(mark)), "utf-8")


def encoding_notes(codec: str, setting: str | None) -> tuple[str, ...]:
    """Name the inferred codec, if it is not the usual one."""
    if setting is not None or codec in ("utf-8", "utf-8-sig"):
        return ()
    return (f"read as {codec}, as the file's first bytes say: {_FIELD} changes it",)


def decoding_error(path: Path, codec: str, where: str) -> DataError:
    """Say where a file does not fit its encoding, and which setting names another encoding."""
    name = "UTF-8" if codec.startswith("utf-8") else codec
    hint = f"set {_FIELD}, as cp1252 for texts of western Windows"
    return DataError("dataset.path", f"{path.name} is not {name}: {where}; {hint}")


def nul_error(path: Path, line: int) -> DataError:
    """Say that a file holds NUL bytes, which no text has."""
    message = f"{path.name} holds NUL bytes, first in line {line}: it is no text, or set {_FIELD}"
    return DataError("dataset.path", message)


_PATH = "dataset.path"
MOST_TIMES = 100
"""How many times its own size a file may expand to. Tables expand to 3 to 30 times."""
ALWAYS_ALLOWED_BYTES = 256 * 2**20
_AT_ONCE = 128 * 1024
# The modules' errors for a file that is cut off, damaged, encrypted or packed in another way.
_DAMAGE = (EOFError, OSError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@contextmanager
def open_unpacked(path: Path) -> Generator[IO[bytes]]:
    """Open a file, packed or not, by its suffix.

    Raises OSError if the file cannot be opened. Raises DataError, also while the file is read, if
    the file is not packed as its suffix says, or expands to too much.
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
    """Reads a packed file's content up to a bound."""

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
