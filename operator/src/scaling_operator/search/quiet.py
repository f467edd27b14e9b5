"""Keeps Optuna's log and its warnings about experimental parts to itself.

Its records go to our own logging from level WARNING on, instead of to stderr.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning

# Python's warning filters belong to the process, while studies run in several threads.
_filters = threading.Lock()


def quiet_logging() -> None:
    """Hand Optuna's log to the host's, warnings and errors only. Safe to call again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()


@contextmanager
def ignoring(category: type[Warning] = ExperimentalWarning) -> Generator[None]:
    """Let nothing of a category of warnings out of the block; keep the block short."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield


def one_thread() -> None:
    """Keep PyTorch, which GP computes with, to one thread: the other cores belong to the trials."""
    import torch  # noqa: PLC0415 - only GP needs it, and it is an extra

    torch.set_num_threads(1)
