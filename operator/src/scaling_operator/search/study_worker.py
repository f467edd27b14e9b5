"""One study and its callers, one call after the other: the event loop never waits for a sampler.

A call is plain data, the same in a thread and in a process of its own. A study is a cache. It is
rebuilt from the trials at its first use, after a failed ask, and wherever it is not open any more.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, assert_never, cast

from scaling_operator.api.fields import Scalar
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import AskFailed, Proposal, Study, StudySettings


class StudyClosed(RuntimeError):
    """The study is not open in that thread or process: open it there, and call again."""


@dataclass(frozen=True, slots=True)
class OpenCall:
    """Build a study from the records of its trials, in order of number."""

    settings: StudySettings
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class AskCall:
    """Sample a trial, at an enqueued point where there is one."""

    number: int
    point: Mapping[str, Scalar] | None = None


@dataclass(frozen=True, slots=True)
class ReportCall:
    """Take in an intermediate value; the answer says whether the trial should be pruned."""

    number: int
    step: int
    value: float


@dataclass(frozen=True, slots=True)
class TellCall:
    """Tell how a trial ended."""

    record: Record


@dataclass(frozen=True, slots=True)
class CloseCall:
    """Forget a study."""


Call = OpenCall | AskCall | ReportCall | TellCall | CloseCall
Answer = Proposal | bool | None


@dataclass(slots=True)
class OpenStudies:
    """The studies that are open in one thread or process, by name. Not safe across threads."""

    _studies: dict[str, Study] = field(default_factory=dict[str, Study])

    def perform(self, name: str, call: Call) -> Answer:
        """Perform a call on a study.

        Raises StudyClosed where the study is not open, AskFailed where the sampler raises.
        """
        match call:
            case OpenCall(settings, records):
                self._studies[name] = rebuilt(settings, records)
                return None
            case AskCall(number, point):
                return self._study(name).ask(number, point)
            case ReportCall(number, step, value):
                return self._study(name).report(number, step, value)
            case TellCall(record):
                return self._study(name).tell(record)
            case CloseCall():
                self._studies.pop(name, None)
                return None
            case _:
                assert_never(call)

    def _study(self, name: str) -> Study:
        study = self._studies.get(name)
        if study is None:
            message = f"study {name} is not open here"
            raise StudyClosed(message)
        return study


def rebuilt(settings: StudySettings, records: tuple[Record, ...]) -> Study:
    """Build a study from what is stored of its trials, in order of number."""
    study = Study(settings)
    for record in records:
        study.add(record)
    return study


log = logging.getLogger(__name__)
TRIES_TO_OPEN = 3
"""Another study's fault may end the process that this one was just opened in."""
_names = itertools.count()


def _ignore() -> None:
    pass


class StudyHost(Protocol):
    """Where studies are open: a thread, or processes."""

    async def call(self, name: str, call: Call) -> Answer:
        """Have a call performed on a study.

        Raises StudyClosed where the study is not open there, AskFailed where the sampler raises.
        """
        ...

    def close(self, name: str) -> None:
        """Forget a study soon."""
        ...

    def end(self) -> None:
        """End the thread or processes of one experiment's studies."""
        ...


@dataclass(slots=True)
class ThreadHost:
    """Studies in one thread of this process."""

    _studies: OpenStudies = field(default_factory=OpenStudies)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="study")
    )

    async def call(self, name: str, call: Call) -> Answer:
        """Have a call performed on a study, after the calls before it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._studies.perform, name, call)

    def close(self, name: str) -> None:
        """Forget a study once the thread has performed the calls before."""
        self._thread.submit(self._studies.perform, name, CloseCall())

    def end(self) -> None:
        """End the thread once it has performed the calls before."""
        self._thread.shutdown(wait=False)


@dataclass(slots=True)
class StudyWorker:
    """The study of one scale. Calls are performed one after the other, in the order of arrival."""

    settings: StudySettings
    recall: Callable[[], Iterable[Record]]
    """Reads the records of the scale's trials, in order of number, to rebuild the study from."""
    host: StudyHost
    ask_failed: Callable[[], None] = _ignore
    """Called for each proposal that the sampler failed to make."""
    _name: str = ""
    _is_open: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        # A name is never used twice: a late call for an older study cannot reach this one.
        self._name = f"{self.settings.name}#{next(_names)}"

    async def ask(self, number: int, point: Mapping[str, Scalar] | None) -> Proposal:
        """Sample a trial; where that fails, rebuild the study and try once more."""
        async with self._turn:
            try:
                return await self._ask(number, point)
            except AskFailed:
                log.exception("study %s: asking for trial %s failed", self.settings.name, number)
                return await self._ask(number, point)

    async def report(self, number: int, step: int, value: float) -> bool:
        """Pass an intermediate value to the study; True when the trial should be pruned."""
        async with self._turn:
            return bool(await self._call(ReportCall(number, step, value)))

    async def tell(self, record: Record) -> None:
        """Tell the study a trial's end."""
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
                # A cancelled call may have changed the study; a failed ask has broken it.
                self._is_open = False
                raise
        raise AssertionError  # the last try returns or raises

    async def _open(self) -> None:
        if not self._is_open:
            # Set before the call: `forget` during the call must have the study opened once more.
            self._is_open = True
            await self.host.call(self._name, OpenCall(self.settings, tuple(self.recall())))
