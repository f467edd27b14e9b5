"""Studies in worker threads, one lane per scale: the event loop never waits for a sampler.

A study is a cache. It is rebuilt from the trials at the start, and again when an ask fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import Reason
from scaling_operator.api.search import Search, cast
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.reports import is_comparable
from scaling_operator.search.mirror import Mirror
from scaling_operator.search.study import AskFailed, Proposal, Record, Study, StudySettings

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


def _unheard() -> None:
    pass


@dataclass(slots=True)
class Lane:
    """The study of one scale and the one thread that may touch it."""

    settings: StudySettings
    recall: Callable[[], Iterable[Record]]
    """Reads the records of the scale's trials, in order of number: what a rebuild starts from."""
    ask_failed: Callable[[], None] = _unheard
    """Hears of each try at a proposal that the sampler could not make."""
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="study")
    )
    _study: Study | None = None

    async def ask(self, number: int, point: Mapping[str, Scalar] | None) -> Proposal:
        """Sample a slot; once more on a rebuilt study where the first try fails."""
        try:
            return await self._try(number, point)
        except AskFailed:
            log.exception("study %s: asking for trial %s failed", self.settings.name, number)
            return await self._try(number, point)

    async def report(self, number: int, step: int, value: float) -> bool:
        """Hand over an intermediate value; True when the trial should be pruned."""
        return await self._in_thread(lambda: self._open().report(number, step, value))

    async def tell(self, record: Record) -> None:
        """Tell a trial's end."""
        await self._in_thread(lambda: self._open().tell(record))

    async def importances(self) -> Mapping[str, float]:
        """How much each parameter matters, as far as the trials show."""
        return await self._in_thread(lambda: self._open().importances())

    async def show(self, mirror: Mirror, name: str) -> None:
        """Bring the study's copy in a mirror up to date."""
        await self._in_thread(lambda: self._open().show(mirror, name))

    def forget(self) -> None:
        """Drop the study: it is rebuilt at the next use."""
        self._study = None

    def close(self) -> None:
        """End the thread once it has done what it was asked to."""
        self._thread.shutdown(wait=False)

    async def _try(self, number: int, point: Mapping[str, Scalar] | None) -> Proposal:
        try:
            return await self._in_thread(lambda: self._open().ask(number, point))
        except AskFailed:
            self.ask_failed()
            self._study = None  # it is broken for good
            raise

    async def _in_thread(self, call: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _open(self) -> Study:
        if self._study is None:
            study = Study(self.settings)
            for record in self.recall():
                study.add(record)
            self._study = study
        return self._study


def record_of(trial: ScalingTrial, search: Search) -> Record:
    """Reduce a trial to what its study needs, values cast to their parameters' types again."""
    spec, status = trial.spec, trial.status
    return Record(
        number=spec.number,
        parameters={
            name: cast(search.parameters[name], spec.parameters[name]) for name in spec.searched
        },
        attributes=spec.sampler_attributes,
        state=status.state,
        diverged=status.reason in (Reason.DIVERGED, Reason.INFEASIBLE),
        values=status.values,
        curve=tuple(
            (point.step, point.value) for point in status.curve if is_comparable(point.phase)
        ),
    )
