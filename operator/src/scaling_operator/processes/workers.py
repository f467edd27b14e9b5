"""Checks, studies and fits of experiments in worker processes, outside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scaling_operator.api.algorithms import GpAlgorithm
from scaling_operator.api.problems import Problem
from scaling_operator.api.search import Search
from scaling_operator.core.fit_types import FitInput, FitView
from scaling_operator.law.fit_worker import FitRunner, broken, exceeded
from scaling_operator.processes.messages import (
    DOCUMENT,
    FIT_ANSWER,
    FIT_INPUT,
    PROBLEMS,
    STUDY_ANSWER,
    Task,
    encode_call,
)
from scaling_operator.processes.pool import WorkerPool
from scaling_operator.processes.process import (
    CHECK,
    FIT,
    GP_STUDY,
    STUDY,
    WorkBounds,
    WorkExceeded,
    WorkFailed,
)
from scaling_operator.search.study_worker import (
    Answer,
    AskCall,
    Call,
    CloseCall,
    OpenCall,
    ReportCall,
    StudyClosed,
    StudyHost,
    TellCall,
)


async def check_in_process(
    pool: WorkerPool, namespace: str, document: Mapping[str, Any]
) -> tuple[Problem, ...]:
    """Find all problems of an experiment; a check that exceeds its bounds is one too."""
    payload = DOCUMENT.encode({name: document[name] for name in document if name != "status"})
    try:
        return PROBLEMS.decode(await pool.work(namespace, Task.CHECK, payload, CHECK))
    except WorkExceeded as error:
        return (Problem("spec", f"checking it takes too much: {error}; make it simpler"),)


@dataclass(frozen=True, slots=True)
class ProcessFitRunner:
    """A FitRunner for the fits of one experiment; each takes a turn of its `namespace`."""

    pool: WorkerPool
    namespace: str

    async def fit(self, fit_input: FitInput) -> FitView:
        """Fit; the view says what went wrong."""
        try:
            answer = FIT_ANSWER.decode(
                await self.pool.work(self.namespace, Task.FIT, FIT_INPUT.encode(fit_input), FIT)
            )
        except WorkExceeded as error:
            return exceeded(fit_input, str(error))
        except WorkFailed as error:
            return broken(fit_input, str(error))
        return FitView(
            fit_input, answer.status, answer.conditions, answer.recommendations, answer.predictions
        )

    def end(self) -> None:
        """Do nothing: the pool ends a fit whose caller is cancelled."""


@dataclass(slots=True)
class ProcessStudyHost:
    """A StudyHost for the studies of one experiment; each call takes a turn of its `namespace`."""

    pool: WorkerPool
    namespace: str
    search: Search
    _closing: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def call(self, name: str, call: Call) -> Answer:
        """Call a study in its process.

        Raises StudyClosed where the study is not open there, AskFailed where the sampler raises,
        WorkExceeded where the call exceeds its bounds.
        """
        payload = encode_call(name, call)
        try:
            answer = await self.pool.work(self.namespace, Task.STUDY, payload, self._bounds)
        except WorkExceeded as error:
            message = (
                f"search.algorithm {self.search.algorithm.name}: {_description(call)}: {error}"
            )
            raise WorkExceeded(message) from error
        return STUDY_ANSWER.decode(answer)

    def close(self, name: str) -> None:
        """Close a study in the background."""
        closing = asyncio.get_running_loop().create_task(self._close(name))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def end(self) -> None:
        """Do nothing: the processes serve other experiments too."""

    async def _close(self, name: str) -> None:
        try:
            await self.call(name, CloseCall())
        except (StudyClosed, WorkExceeded, WorkFailed):
            return  # the process has ended, and the study with it

    @property
    def _bounds(self) -> WorkBounds:
        return GP_STUDY if isinstance(self.search.algorithm, GpAlgorithm) else STUDY


def _description(call: Call) -> str:
    """Describe a call for people."""
    match call:
        case AskCall(number=number):
            return f"proposing trial {number}"
        case OpenCall(records=records):
            return f"reading {len(records)} trials into the study"
        case ReportCall(number=number, step=step):
            return f"judging step {step} of trial {number}"
        case TellCall(record=record):
            return f"telling trial {record.number}"
        case CloseCall():
            return "closing the study"


SEARCH_PROCESSES = 2
"""A namespace uses one process at a time, so that another namespace finds a free one."""


class Workers(Protocol):
    """Does the work of experiments."""

    async def check(self, namespace: str, document: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Find all problems of an experiment."""
        ...

    def studies(self, namespace: str, search: Search) -> StudyHost:
        """Make the host of an experiment's studies."""
        ...

    def fits(self, namespace: str) -> FitRunner:
        """Make the runner of an experiment's fits."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerProcesses:
    """Workers in processes. One fit runs at a time: fits are long, and few trials wait for one."""

    search: WorkerPool = field(default_factory=lambda: WorkerPool(SEARCH_PROCESSES))
    fitting: WorkerPool = field(default_factory=lambda: WorkerPool(1))

    async def check(self, namespace: str, document: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Find all problems of an experiment; a check that exceeds its bounds is one too."""
        return await check_in_process(self.search, namespace, document)

    def studies(self, namespace: str, search: Search) -> StudyHost:
        """Make the host of an experiment's studies."""
        return ProcessStudyHost(self.search, namespace, search)

    def fits(self, namespace: str) -> FitRunner:
        """Make the runner of an experiment's fits."""
        return ProcessFitRunner(self.fitting, namespace)

    async def close(self) -> None:
        """End all processes."""
        await self.search.close()
        await self.fitting.close()
