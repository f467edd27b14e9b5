"""The worker process: it does one piece of work after the other, each within its bounds.

Run as `python -m scaling_operator.processes.child`. It ends when its standard input ends.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

from scaling_operator.processes.messages import (
    DOCUMENT,
    FIT_ANSWER,
    FIT_INPUT,
    PROBLEMS,
    STUDY_ANSWER,
    WORK_ANSWER,
    WORK_REQUEST,
    FitAnswer,
    Task,
    WorkAnswer,
    WorkOutcome,
    WorkRequest,
    decode_call,
    frame,
    read_frame_from,
)
from scaling_operator.search.study import AskFailed
from scaling_operator.search.study_worker import OpenStudies, StudyClosed

NICENESS = 15
"""The operator's event loop, with its Lease and its reports, has priority."""
OUT_OF_MEMORY_SCORE = 500
"""Where the container runs out of memory, the kernel kills this process before the operator."""

_MODULES = {
    Task.CHECK: ("scaling_operator.validation.checks",),
    Task.FIT: ("scaling_operator.law.fit_experiment",),
}
"""Modules that load slowly, by the task that needs them."""


def main() -> NoReturn:
    """Serve standard input and output until the other side ends."""
    os.nice(NICENESS)
    Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_SCORE))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not be taken for an answer
    _serve(sys.stdin.buffer, answers, Worker())
    sys.exit(0)


class Worker:
    """The tasks of this process."""

    def __init__(self) -> None:
        self._studies = OpenStudies()
        self._tasks: dict[Task, Callable[[bytes], bytes]] = {
            Task.CHECK: _check,
            Task.STUDY: self._study,
            Task.FIT: _fit,
        }

    def prepare(self, task: Task) -> None:
        """Load the modules of a task before its bounds count."""
        for module in _MODULES.get(task, ()):
            importlib.import_module(module)

    def work(self, task: Task, payload: bytes) -> bytes:
        """Do one piece of work."""
        return self._tasks[task](payload)

    def _study(self, payload: bytes) -> bytes:
        name, call = decode_call(payload)
        return STUDY_ANSWER.encode(self._studies.perform(name, call))


def _serve(requests: BinaryIO, answers: BinaryIO, worker: Worker) -> None:
    while True:
        head, payload = read_frame_from(requests), read_frame_from(requests)
        if head is None or payload is None:
            return
        outcome_message, answer = _answer(worker, WORK_REQUEST.decode(head), payload)
        answers.write(frame(WORK_ANSWER.encode(outcome_message)) + frame(answer))
        answers.flush()
        if outcome_message.outcome is WorkOutcome.OUT_OF_MEMORY:
            return  # the rest of the work may fill the memory of this process for good


def _answer(worker: Worker, request: WorkRequest, payload: bytes) -> tuple[WorkAnswer, bytes]:
    worker.prepare(request.task)
    bound(request)
    try:
        return WorkAnswer(WorkOutcome.DONE), worker.work(request.task, payload)
    except MemoryError:
        return WorkAnswer(WorkOutcome.OUT_OF_MEMORY), b""
    except StudyClosed as error:
        return WorkAnswer(WorkOutcome.STUDY_CLOSED, str(error)), b""
    except AskFailed as error:
        return WorkAnswer(_ask_outcome(error), str(error)), b""
    except Exception as error:  # noqa: BLE001
        # The operator raises it again: it knows whose work this was.
        return WorkAnswer(WorkOutcome.BROKEN, f"{type(error).__name__}: {error}"), b""


def _ask_outcome(error: AskFailed) -> WorkOutcome:
    out_of_memory = isinstance(error.__cause__, MemoryError)
    return WorkOutcome.OUT_OF_MEMORY if out_of_memory else WorkOutcome.ASK_FAILED


def bound(request: WorkRequest) -> None:
    """Set the kernel's limits for the next piece of work.

    Beyond the processor time the kernel kills the process; beyond the memory allocations fail.
    """
    cpu_seconds = int(time.process_time()) + 1 + request.cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, resource.RLIM_INFINITY))
    memory_bytes = _data_bytes() + request.memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, resource.RLIM_INFINITY))


def _data_bytes() -> int:
    """Measure the data segment of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * resource.getpagesize()


def _check(payload: bytes) -> bytes:
    from scaling_operator.validation.checks import check_document  # noqa: PLC0415 - a fit needs none of it

    return PROBLEMS.encode(tuple(check_document(DOCUMENT.decode(payload))))


def _fit(payload: bytes) -> bytes:
    from scaling_operator.law.fit_experiment import fit  # noqa: PLC0415 - scipy loads slowly

    view = fit(FIT_INPUT.decode(payload)).view
    answer = FitAnswer(view.status, view.conditions, view.recommendations, view.predictions)
    return FIT_ANSWER.encode(answer)


if __name__ == "__main__":
    main()
