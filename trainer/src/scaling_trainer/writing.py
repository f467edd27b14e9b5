"""Atomic writing that never follows a link which others have placed.

Content is written to a new temporary file in the same folder, which then replaces the file
atomically. `below` names a folder that others may have filled: below this folder no part of a path
may be a link. Every OSError names the file. The module needs the standard library alone, as all of
the contract.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scaling_trainer.reading import folder_below

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
EXHAUSTED = NO_SPACE | {
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO, errno.EROFS)
}
"""Errors of an exhausted or failing machine: no change of the input can remove them."""

_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SUFFIX = ".new"


def write_file(
    path: Path, content: str | bytes, *, below: Path | None = None, durable: bool = False
) -> None:
    """Write a file atomically. A link in its place is replaced.

    `durable`: the file survives a power failure. Raises OSError.
    """
    with whole_file(path, below=below, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(
    path: Path, *, below: Path | None = None, durable: bool = False
) -> Generator[BinaryIO]:
    """Open a file for writing. It appears when the block ends without an error. Raises OSError."""
    beside = temporary_name(path)
    with _naming(path), folder_below(path.parent, below) as folder:
        place = beside if folder is not None else path.with_name(beside)
        target = path.name if folder is not None else path
        with contextlib.suppress(
            FileNotFoundError
        ):  # a process with the same id died while writing
            os.unlink(place, dir_fd=folder)
        try:
            with os.fdopen(os.open(place, _FRESH, 0o666, dir_fd=folder), "wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(place, target, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):  # the file was not created, or the disk fails
                os.unlink(place, dir_fd=folder)
            raise


@contextmanager
def whole_folder(path: Path, *, below: Path) -> Generator[Path]:
    """Give an empty folder that replaces `path` when the block ends without an error.

    Raises OSError.
    """
    new = path.with_name(f".{path.name}{_SUFFIX}")
    remove(new, below=below)
    make_folder(new, below=below)
    yield new
    remove(path, below=below)
    rename(new, path, below=below)


def temporary_name(path: Path) -> str:
    """Give the name of the temporary file that will replace `path`."""
    return f".{path.name}.{os.getpid()}{_SUFFIX}"


def is_temporary(name: str) -> bool:
    """Whether a file is a temporary file, as a killed process leaves it."""
    return name.startswith(".") and name.endswith(_SUFFIX)


def write_output(path: Path, content: str | bytes) -> None:
    """Write to the user's path: through the user's links, and to pipes and devices too.

    Raises OSError.
    """
    with _naming(path):
        try:
            takes_place = stat.S_ISREG(path.stat().st_mode) and path.parts[:2] != ("/", "dev")
        except FileNotFoundError:
            takes_place = True
        if takes_place:
            write_file(Path(os.path.realpath(path)), content)
        else:
            write_in_place(path, content)


def write_in_place(path: Path, content: str | bytes) -> None:
    """Overwrite a file that cannot be replaced, such as a mounted file. Raises OSError."""
    with _naming(path), path.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def fresh_file(path: Path, *, below: Path | None = None) -> Generator[BinaryIO]:
    """Open a new, empty file for a log, which others can read at once. An old file is removed.

    Raises OSError.
    """
    with _naming(path), folder_below(path.parent, below) as folder:
        name = path.name if folder is not None else path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        descriptor = os.open(name, _FRESH, 0o666, dir_fd=folder)
    with _naming(path), os.fdopen(descriptor, "wb") as file:
        yield file


@contextmanager
def open_regular_for_writing(path: Path, flags: int) -> Generator[BinaryIO]:
    """Open a regular file and keep its content. A missing file is created.

    Raises OSError, also for a link, a pipe or a device.
    """
    with _naming(path):
        flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) and str(path) != os.devnull:
            os.close(descriptor)
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        with os.fdopen(descriptor, "ab" if flags & os.O_APPEND else "wb") as file:
            yield file


def make_folder(path: Path, *, below: Path) -> None:
    """Make a folder and its parents. No folder below `below` may be a link. Raises OSError."""
    parts = path.relative_to(below).parts
    for count in range(1, len(parts) + 1):
        reached = below.joinpath(*parts[:count])
        with (
            _naming(reached),
            folder_below(reached.parent, below) as folder,
            contextlib.suppress(FileExistsError),
        ):
            os.mkdir(reached.name, dir_fd=folder)
    with _naming(path), folder_below(path, below):
        pass


def remove(path: Path, *, below: Path) -> None:
    """Delete a file, a link (not its target), or a folder and its content, if it exists.

    Raises OSError.
    """
    with (
        _naming(path),
        contextlib.suppress(FileNotFoundError),
        folder_below(path.parent, below) as folder,
    ):
        mode = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            shutil.rmtree(path.name, dir_fd=folder)
        else:
            os.unlink(path.name, dir_fd=folder)


def rename(source: Path, target: Path, *, below: Path) -> None:
    """Move a file or folder to a free path. Raises OSError."""
    with (
        _naming(source),
        folder_below(source.parent, below) as before,
        folder_below(target.parent, below) as after,
    ):
        os.rename(source.name, target.name, src_dir_fd=before, dst_dir_fd=after)


def flush_output() -> None:
    """Flush standard output and error. A log without disk space must not fail a trial."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


@contextmanager
def _naming(path: Path) -> Generator[None]:
    """Name the file in an OSError: the system names it only when the file is opened."""
    try:
        yield
    except OSError as error:
        named = None if error.filename is None else Path(os.fsdecode(error.filename))
        if named is not None and named.is_absolute() and named.name != temporary_name(path):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
