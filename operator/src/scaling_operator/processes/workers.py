"""What a shell does outside its event loop: checks, studies and fits of its experiments."""

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
    """Find everything that is wrong with an experiment; too much work is one of these things."""
    payload = DOCUMENT.encode({name: document[name] for name in document if name != "status"})
    try:
        return PROBLEMS.decode(await pool.work(namespace, Task.CHECK, payload, CHECK))
    except WorkExceeded as error:
        return (Problem("spec", f"checking it takes too much: {error}; make it simpler"),)


@dataclass(frozen=True, slots=True)
class ProcessFits:
    """A FitRunner. Runs the fits of one experiment; `namespace` is whose turn each takes."""

    pool: WorkerPool
    namespace: str

    async def fit(self, fit_input: FitInput) -> FitView:
        """Fit; what goes wrong is said in the view."""
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
        """Do nothing: a fit whose caller is gone is ended by the pool."""


@dataclass(slots=True)
class ProcessHost:
    """A StudyHost. `namespace` is whose turn each call takes."""

    pool: WorkerPool
    namespace: str
    search: Search
    _closing: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def call(self, name: str, call: Call) -> Answer:
        """Have something done with a study.

        Raises StudyClosed for one that is not open there, AskFailed where the sampler raises,
        WorkExceeded where it takes too much.
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
        """Forget a study soon."""
        closing = asyncio.get_running_loop().create_task(self._close(name))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def end(self) -> None:
        """Do nothing: the processes are not this experiment's."""

    async def _close(self, name: str) -> None:
        try:
            await self.call(name, CloseCall())
        except (StudyClosed, WorkExceeded, WorkFailed):
            return  # its process has ended, and the study with it

    @property
    def _bounds(self) -> WorkBounds:
        return GP_STUDY if isinstance(self.search.algorithm, GpAlgorithm) else STUDY


def _description(call: Call) -> str:
    """Say what was asked, for a person."""
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
"""A namespace has one of them at a time, so that another namespace finds one that is free."""


class Workers(Protocol):
    """Where the work of experiments is done."""

    async def check(self, namespace: str, document: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Find everything that is wrong with an experiment."""
        ...

    def studies(self, namespace: str, search: Search) -> StudyHost:
        """Give an experiment's studies a place."""
        ...

    def fits(self, namespace: str) -> FitRunner:
        """Give an experiment's fits a place."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerProcesses:
    """Workers in processes. One fit at a time: they are long, and no trial waits for most."""

    search: WorkerPool = field(default_factory=lambda: WorkerPool(SEARCH_PROCESSES))
    fitting: WorkerPool = field(default_factory=lambda: WorkerPool(1))

    async def check(self, namespace: str, document: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Find everything that is wrong with an experiment; too much work is one such thing."""
        return await check_in_process(self.search, namespace, document)

    def studies(self, namespace: str, search: Search) -> StudyHost:
        """Give an experiment's studies a place."""
        return ProcessHost(self.search, namespace, search)

    def fits(self, namespace: str) -> FitRunner:
        """Give an experiment's fits a place."""
        return ProcessFits(self.fitting, namespace)

    async def close(self) -> None:
        """End all processes."""
        await self.search.close()
        await self.fitting.close()
