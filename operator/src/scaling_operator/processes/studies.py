"""Studies in the processes of a pool, for one experiment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from scaling_operator.api.algorithms import GpAlgorithm
from scaling_operator.api.search import Search
from scaling_operator.processes.bounds import GP_STUDY, STUDY, WorkBounds, WorkExceeded, WorkFailed
from scaling_operator.processes.messages import STUDY_ANSWER, Task, encode_call
from scaling_operator.processes.pool import WorkerPool
from scaling_operator.search.calls import (
    Answer,
    AskCall,
    Call,
    CloseCall,
    OpenCall,
    ReportCall,
    StudyClosed,
    TellCall,
)


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
            message = f"search.algorithm {self.search.algorithm.name}: {_words(call)}: {error}"
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


def _words(call: Call) -> str:
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
