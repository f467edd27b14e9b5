"""A machine that lacks something for a moment, by the resource limits of this process."""

from __future__ import annotations

import resource
import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def files_end_at(size_bytes: int) -> Generator[None]:
    """Let every write beyond a size fail, as on a full disk."""
    previous_limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, previous_limits[1]))
    previous_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous_limits)
        signal.signal(signal.SIGXFSZ, previous_handler)


@contextmanager
def no_file_is_opened() -> Generator[None]:
    """Let every opening fail, as where a process has reached its limit of open files."""
    previous_limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, previous_limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, previous_limits)
