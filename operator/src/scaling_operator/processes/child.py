"""The process that does the work: one piece after the other, each within its bounds.

Run as `python -m scaling_operator.processes.child`. It ends when nobody asks any more.
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
"""The event loop, with its Lease and its reports, goes first."""
OUT_OF_MEMORY_SCORE = 500
"""Where the container itself runs out of memory, this process goes before the operator."""

_MODULES = {
    Task.CHECK: ("scaling_operator.validation.checks",),
    Task.FIT: ("scaling_operator.law.fit_experiment",),
}
"""Slow to load, and not needed by the other tasks."""


def main() -> NoReturn:
    """Serve standard input and output until the other side ends."""
    os.nice(NICENESS)
    Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_SCORE))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not be taken for an answer
    _serve(sys.stdin.buffer, answers, Worker())
    sys.exit(0)


class Worker:
    """What this process can do."""

    def __init__(self) -> None:
        self._studies = OpenStudies()
        self._tasks: dict[Task, Callable[[bytes], bytes]] = {
            Task.CHECK: _check,
            Task.STUDY: self._study,
            Task.FIT: _fit,
        }

    def prepare(self, task: Task) -> None:
        """Load what a task needs, where it is not loaded yet: that is no part of the work."""
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
        ending, answer = _answer(worker, WORK_REQUEST.decode(head), payload)
        answers.write(frame(WORK_ANSWER.encode(ending)) + frame(answer))
        answers.flush()
        if ending.outcome is WorkOutcome.OUT_OF_MEMORY:
            return  # what is left of the work may fill this process for good


def _answer(worker: Worker, order: WorkRequest, payload: bytes) -> tuple[WorkAnswer, bytes]:
    worker.prepare(order.task)
    bound(order)
    try:
        return WorkAnswer(WorkOutcome.DONE), worker.work(order.task, payload)
    except MemoryError:
        return WorkAnswer(WorkOutcome.OUT_OF_MEMORY), b""
    except StudyClosed as error:
        return WorkAnswer(WorkOutcome.STUDY_CLOSED, str(error)), b""
    except AskFailed as error:
        return WorkAnswer(_ask_outcome(error), str(error)), b""
    except Exception as error:  # noqa: BLE001
        # The other side raises it again: it knows whose work this was.
        return WorkAnswer(WorkOutcome.BROKEN, f"{type(error).__name__}: {error}"), b""


def _ask_outcome(error: AskFailed) -> WorkOutcome:
    out_of_memory = isinstance(error.__cause__, MemoryError)
    return WorkOutcome.OUT_OF_MEMORY if out_of_memory else WorkOutcome.ASK_FAILED


def bound(order: WorkRequest) -> None:
    """Set the kernel's limits for the next piece of work: beyond the first it kills the process."""
    cpu_seconds = int(time.process_time()) + 1 + order.cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, resource.RLIM_INFINITY))
    memory_bytes = _data_bytes() + order.memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, resource.RLIM_INFINITY))


def _data_bytes() -> int:
    """Measure what this process has of its own by now."""
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
