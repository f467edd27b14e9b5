"""One study and those who ask it, one after the other: the event loop never waits for a sampler.

A study is a cache. It is rebuilt from the trials at its first use, when an ask has failed, and
wherever it is not open any more.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, cast

from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import Search, typed_value
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.reasons import ranks_last
from scaling_operator.core.reports import is_comparable
from scaling_operator.search.calls import (
    Answer,
    AskCall,
    Call,
    CloseCall,
    OpenCall,
    OpenStudies,
    ReportCall,
    StudyClosed,
    TellCall,
)
from scaling_operator.search.study import AskFailed, Proposal, StudySettings
from scaling_operator.search.trials import Record

log = logging.getLogger(__name__)
TRIES_TO_OPEN = 3
"""Another study's fault may end the process that this one was just opened in."""
_names = itertools.count()


def _ignore() -> None:
    pass


class StudyHost(Protocol):
    """Where studies are open: a thread, or processes."""

    async def call(self, name: str, call: Call) -> Answer:
        """Have something done with a study.

        Raises StudyClosed for one that is not open there, AskFailed where the sampler raises.
        """
        ...

    def close(self, name: str) -> None:
        """Forget a study soon."""
        ...

    def end(self) -> None:
        """End what was started for the studies of one experiment."""
        ...


@dataclass(slots=True)
class ThreadHost:
    """Studies in one thread of this process."""

    _studies: OpenStudies = field(default_factory=OpenStudies)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="study")
    )

    async def call(self, name: str, call: Call) -> Answer:
        """Have something done with a study, after what was asked before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._studies.perform, name, call)

    def close(self, name: str) -> None:
        """Forget a study once the thread has done what it was asked to."""
        self._thread.submit(self._studies.perform, name, CloseCall())

    def end(self) -> None:
        """End the thread once it has done what it was asked to."""
        self._thread.shutdown(wait=False)


@dataclass(slots=True)
class StudyWorker:
    """The study of one scale. Calls wait for each other, in the order in which they came."""

    settings: StudySettings
    recall: Callable[[], Iterable[Record]]
    """Reads the records of the scale's trials, in order of number: what a rebuild starts from."""
    host: StudyHost
    ask_failed: Callable[[], None] = _ignore
    """Hears of each try at a proposal that the sampler could not make."""
    _name: str = ""
    _is_open: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        # A name is never used twice: what is still said to an older study cannot reach this one.
        self._name = f"{self.settings.name}#{next(_names)}"

    async def ask(self, number: int, point: Mapping[str, Scalar] | None) -> Proposal:
        """Sample a slot; once more on a rebuilt study where the first try fails."""
        async with self._turn:
            try:
                return await self._ask(number, point)
            except AskFailed:
                log.exception("study %s: asking for trial %s failed", self.settings.name, number)
                return await self._ask(number, point)

    async def report(self, number: int, step: int, value: float) -> bool:
        """Hand over an intermediate value; True when the trial should be pruned."""
        async with self._turn:
            return bool(await self._call(ReportCall(number, step, value)))

    async def tell(self, record: Record) -> None:
        """Tell a trial's end."""
        async with self._turn:
            await self._call(TellCall(record))

    def forget(self) -> None:
        """Drop the study: it is rebuilt at the next use."""
        self._is_open = False

    def close(self) -> None:
        """Forget the study for good."""
        self.host.close(self._name)

    async def _ask(self, number: int, point: Mapping[str, Scalar] | None) -> Proposal:
        try:
            return cast("Proposal", await self._call(AskCall(number, point)))
        except AskFailed:
            self.ask_failed()
            raise

    async def _call(self, call: Call) -> Answer:
        for tries_left in reversed(range(TRIES_TO_OPEN)):
            try:
                await self._open()
                return await self.host.call(self._name, call)
            except StudyClosed:
                self._is_open = False
                if not tries_left:
                    raise
            except BaseException:
                # An answer that nobody took may have changed the study; a failed ask has broken it.
                self._is_open = False
                raise
        raise AssertionError  # the last try returns or raises

    async def _open(self) -> None:
        if not self._is_open:
            # Said first: who forgets the study while it is opened wants it opened once more.
            self._is_open = True
            await self.host.call(self._name, OpenCall(self.settings, tuple(self.recall())))


def record_of(trial: ScalingTrial, search: Search) -> Record:
    """Reduce a trial to what its study needs, values cast to their parameters' types again."""
    spec, status = trial.spec, trial.status
    return Record(
        number=spec.number,
        parameters={
            name: typed_value(search.parameters[name], spec.parameters[name])
            for name in spec.searched
        },
        attributes=spec.sampler_attributes,
        state=status.state,
        diverged=ranks_last(status.reason),
        values=status.values,
        curve=tuple(
            (point.step, point.value) for point in status.curve if is_comparable(point.phase)
        ),
    )
