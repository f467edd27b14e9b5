"""A warm worker: a process that has imported PyTorch once and runs one trial after the other.

The worker reads one line of JSON per task from standard input:

* `{"environment": {"SCALING_...": ...}, "log": path}` runs a trial
* `{"export": {"checkpoint": path, "out": path, "dataDir": path}, "log": path}` scores weights
* `{"check": {"config": {...}, "dataDir": path, "varied": [names]}, "log": path}` reads data once

It answers each task by one line, `{"exitCode": 0, "error": ""}`, after a first `{"ready": true}`.
The output of a task goes to its log, including the output of C code. The end of the input ends the
worker.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch

from scaling_trainer.attempt import EXIT_ERROR, AttemptEnd, run_attempt, run_check, run_export
from scaling_trainer.writing import flush_output, open_regular_for_writing

_STDOUT, _STDERR = 1, 2


def serve() -> None:
    """Run tasks until the input ends."""
    answers = os.fdopen(os.dup(_STDOUT), "w", buffering=1)
    # Printed lines must never mix with the answers.
    os.dup2(_STDERR, _STDOUT)
    _warm_up()
    _answer(answers, {"ready": True})
    for line in sys.stdin:
        outcome = _run(json.loads(line))
        notes = {"notes": list(outcome.notes)} if outcome.notes else {}
        _answer(answers, {"exitCode": outcome.exit_code, "error": outcome.error, **notes})


def _warm_up() -> None:
    """Make PyTorch load the modules of its first optimizer, which takes as long as importing it."""
    weight = torch.zeros(1, requires_grad=True)
    torch.optim.SGD([weight], lr=0.0)


def _run(task: dict[str, Any]) -> AttemptEnd:
    with _output_to(Path(task["log"])):
        try:
            if "export" in task:
                return run_export(**task["export"])
            if "check" in task:
                return run_check(**task["check"])
            return run_attempt(task["environment"])
        except Exception as error:  # noqa: BLE001 # a bug in one trial must not end the next ones
            traceback.print_exc()
            return AttemptEnd(EXIT_ERROR, f"{type(error).__name__}: {error}")


@contextmanager
def _output_to(log: Path) -> Generator[None]:
    """Send all output within the block, also that of C code, to a file."""
    before = os.dup(_STDERR)
    with open_regular_for_writing(log, os.O_WRONLY | os.O_APPEND) as file:
        os.dup2(file.fileno(), _STDOUT)
        os.dup2(file.fileno(), _STDERR)
    try:
        yield
    finally:
        flush_output()
        os.dup2(before, _STDOUT)
        os.dup2(before, _STDERR)
        os.close(before)


def _answer(answers: TextIO, document: dict[str, Any]) -> None:
    answers.write(json.dumps(document) + "\n")
    answers.flush()
