"""What of Optuna's log and warnings is shown.

Records of Optuna go to our own logging from level WARNING on, instead of to stderr. Warnings about
experimental parts are left out.
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
    """Pass Optuna's warnings and errors to our own log. Safe to call again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()


@contextmanager
def ignoring(category: type[Warning] = ExperimentalWarning) -> Generator[None]:
    """Suppress a category of warnings within the block; keep the block short."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield
