"""Bounded reading of files that others wrote: regular files alone, of a known size and depth.

A pipe, a device, a socket or a folder in a file's place is refused before it is opened: opening it
could block, or start an action. `below` names a folder that others may have filled: below this
folder no part of a path may be a link. The module needs the standard library alone, as all of the
contract.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from scaling_trainer.strict_json import NotADocument, read_bounded_document

# A pipe that the user names: `scaling validate <(helm template ...)`.
_OWN_PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "is a link; only what lies in the folder itself is read"),
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a pipe, not a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)


class UnreadableFile(Exception):
    """A file cannot be read: `path` names the file, `reason` says why."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class MissingFile(UnreadableFile):
    """The file does not exist."""


class FolderInPlace(UnreadableFile):
    """The path leads to a folder instead of a file."""


class NotText(UnreadableFile):
    """The file is not UTF-8 text."""


class TooLarge(UnreadableFile):
    """The file has more bytes than allowed."""


def read_bytes(path: Path, most_bytes: int, *, below: Path | None = None) -> bytes:
    """Read a regular file of at most `most_bytes`. Raises UnreadableFile."""
    with open_regular(path, below=below) as file:
        try:
            content = file.read(most_bytes + 1)
        except OSError as error:
            _refuse(path, error)
    if len(content) > most_bytes:
        raise TooLarge(path, f"is larger than {_amount(most_bytes)}")
    return content


def read_text(path: Path, most_bytes: int, *, below: Path | None = None) -> str:
    """Read a regular file of UTF-8 text without its byte order mark. Raises UnreadableFile."""
    try:
        return read_bytes(path, most_bytes, below=below).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotText(path, f"is not UTF-8 text (byte {error.start})") from error


def read_json(path: Path, most_bytes: int, *, below: Path | None = None) -> Any:
    """Read a regular file with one JSON document. Raises UnreadableFile."""
    return parse_json(read_text(path, most_bytes, below=below), path)


def read_json_object(path: Path, most_bytes: int, *, below: Path | None = None) -> dict[str, Any]:
    """Read a regular file with one JSON object. Raises UnreadableFile."""
    document = read_json(path, most_bytes, below=below)
    if not isinstance(document, dict):
        raise UnreadableFile(path, "is no JSON object")
    return cast("dict[str, Any]", document)


def parse_json(text: str | bytes, source: Path | str) -> Any:
    """Read a JSON document of at most MOST_DEPTH levels. Raises UnreadableFile."""
    try:
        return read_bounded_document(text)
    except NotADocument as error:
        raise UnreadableFile(source, str(error)) from error


@contextmanager
def open_regular(path: Path, *, below: Path | None = None) -> Generator[BinaryIO]:
    """Open a regular file for reading. Raises UnreadableFile for other kinds of files."""
    try:
        descriptor = _opened(path, below)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, or `..` below
        _refuse(path, error)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _opened(path: Path, below: Path | None) -> int:
    with folder_below(path.parent, below) as folder:
        name, follow = (path, True) if below is None else (path.name, False)
        status = os.stat(name, dir_fd=folder, follow_symlinks=follow)
        _check_kind(path, status, own_pipe=below is None and _is_own_pipe(path))
        links = 0 if follow else os.O_NOFOLLOW
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | links
        descriptor = os.open(name, flags, dir_fd=folder)
    try:
        # The file may have been replaced since the first check.
        _check_kind(path, os.fstat(descriptor), own_pipe=below is None and _is_own_pipe(path))
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def folder_below(path: Path, below: Path | None) -> Generator[int | None]:
    """Open a folder without following links below `below`. Gives None without `below`.

    Raises OSError that names the part which is a link or no folder.
    """
    if below is None:
        yield None
        return
    parts = path.relative_to(below).parts
    if ".." in parts:
        message = f"{path} leads out of {below}"
        raise ValueError(message)
    descriptor = os.open(below, _FOLDER)
    try:
        reached = below
        for part in parts:
            reached /= part
            descriptor = _step(descriptor, part, reached)
        yield descriptor
    finally:
        os.close(descriptor)


def _step(folder: int, part: str, reached: Path) -> int:
    """Open a folder within a folder, and close the descriptor of the outer folder."""
    try:
        inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            mode = os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode
            reason = "is a link" if stat.S_ISLNK(mode) else "is no folder"
            raise NotADirectoryError(errno.ENOTDIR, reason, str(reached)) from error
        raise OSError(error.errno, error.strerror, str(reached)) from error
    os.close(folder)
    return inner


def _is_own_pipe(path: Path) -> bool:
    return str(path).startswith(_OWN_PIPES)


def _check_kind(path: Path, status: os.stat_result, *, own_pipe: bool) -> None:
    if stat.S_ISREG(status.st_mode) or (own_pipe and not stat.S_ISDIR(status.st_mode)):
        return
    reason = next(reason for is_kind, reason in _KINDS if is_kind(status.st_mode))
    kind = FolderInPlace if stat.S_ISDIR(status.st_mode) else UnreadableFile
    raise kind(path, reason)


def _refuse(path: Path, error: OSError | ValueError) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise MissingFile(path, "no such file") from error
    if isinstance(error, OSError):
        place = path if error.filename is None else Path(os.fsdecode(error.filename))
        # Relative to an open folder, the system names only the last part of the path.
        place = path if place.name == path.name else place
        raise UnreadableFile(place, f"cannot be read: {error.strerror}") from error
    raise UnreadableFile(path, f"cannot be read: {error}") from error


def _amount(size_bytes: int) -> str:
    if size_bytes < 1024:  # noqa: PLR2004 - a KiB
        return f"{size_bytes} bytes"
    kib = size_bytes // 1024
    return f"{kib} KiB" if kib < 10 * 1024 else f"{kib // 1024} MiB"
