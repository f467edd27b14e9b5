"""One attempt of a trial: variables in; a result file, an exit code and a message out."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.contract import (
    EXIT_ACCELERATOR_OOM,
    EXIT_DATA_ERROR,
    EXIT_DIVERGED,
    EXIT_NO_SPACE,
    ContractError,
    read_assignment,
)
from scaling_trainer.data.load import change_data, check_data
from scaling_trainer.data_error import DataError
from scaling_trainer.report import Reporter
from scaling_trainer.results import Result
from scaling_trainer.train import Diverged, Stopped
from scaling_trainer.trial import run_trial
from scaling_trainer.writing import EXHAUSTED, NO_SPACE

EXIT_ERROR = 1
# Errors of the machine or of its owner. A sentence explains them better than a traceback.
_NOT_OURS = EXHAUSTED | {errno.EACCES, errno.EPERM}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended. `error` is empty after a success.

    `notes` say how the data were read, after a check of the data.
    """

    exit_code: int
    error: str = ""
    notes: tuple[str, ...] = ()


def run_attempt(environment: Mapping[str, str]) -> AttemptEnd:
    """Run a trial as the contract's variables say. A bug in this program is raised."""
    reporter = Reporter.from_environment(environment, keeps_file=False)
    try:
        return _attempt(environment, reporter)
    except OSError as error:
        if error.errno in NO_SPACE:
            return _ended(EXIT_NO_SPACE, system_message(error))
        if error.errno not in _NOT_OURS:
            raise
        return _refused(EXIT_ERROR, system_message(error), reporter)
    finally:
        reporter.close()


def _attempt(environment: Mapping[str, str], reporter: Reporter) -> AttemptEnd:
    try:
        reporter.result(run_trial(read_assignment(environment), reporter))
    except Stopped as error:
        # The trial was pruned, or its machine is needed. Its metrics must never count as a result.
        _log.info("%s", error)
    except Diverged as error:
        reporter.result(Result(reason="Diverged"))
        return _ended(EXIT_DIVERGED, str(error))
    except torch.OutOfMemoryError as error:
        peak = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None
        reporter.result(Result(reason="AcceleratorOOM", peak_device_bytes=peak))
        return _ended(EXIT_ACCELERATOR_OOM, str(error))
    except ValidationError as error:
        return _refused(EXIT_ERROR, validation_message(error), reporter)
    except ContractError as error:
        return _refused(EXIT_ERROR, str(error), reporter)
    except DataError as error:
        own = change_data(read_assignment(environment).parameters)
        return _refused(EXIT_ERROR if own else EXIT_DATA_ERROR, str(error), reporter)
    return AttemptEnd(0)


def run_export(checkpoint: str, out: str, dataDir: str) -> AttemptEnd:  # noqa: N803 # keys of the line
    """Score saved weights on the test part and write the model's folder."""
    # Only this function needs the import.
    from scaling_trainer.export import export  # noqa: PLC0415

    try:
        export(Path(checkpoint), Path(out), Path(dataDir))
    except DataError as error:
        return _ended(EXIT_ERROR, str(error))
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        return _ended(EXIT_NO_SPACE, system_message(error))
    return AttemptEnd(0)


def run_check(
    config: Mapping[str, object],
    dataDir: str,  # noqa: N803 # a key of the line
    varied: Sequence[str],
) -> AttemptEnd:
    """Read the data of a configuration once, before its first trial."""
    try:
        notes = check_data(BuiltIn.model_validate(config), Path(dataDir), varied)
    except ValidationError as error:
        return _ended(EXIT_ERROR, validation_message(error))
    except DataError as error:
        return _ended(EXIT_DATA_ERROR, str(error))
    return AttemptEnd(0, notes=notes)


def system_message(error: OSError) -> str:
    """Name the file and the system's error in one line."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


def validation_message(error: ValidationError) -> str:
    """Write the errors of a configuration in one line, field by field."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'builtIn'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False)
    )


def _refused(exit_code: int, message: str, reporter: Reporter) -> AttemptEnd:
    """Log what the user has to change, and write it to the pod's termination message."""
    reporter.failure(message)
    return _ended(exit_code, message)


def _ended(exit_code: int, message: str) -> AttemptEnd:
    _log.error("%s", message)
    return AttemptEnd(exit_code, message)
