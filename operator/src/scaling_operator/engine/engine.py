"""Carry a plan out: sample → store the trial → launch → result → store the end → tell → discard.

The order within a trial is kept; trials do not wait for each other, but for one thing: they are
created in the order of their numbers, so that a crash never leaves a gap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from scaling_operator.api.search import NoPruner
from scaling_operator.api.status import TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.actions import (
    Action,
    AddScales,
    Ask,
    Discard,
    EndAttempt,
    Finish,
    Launch,
    OpenScale,
    Plan,
    SetState,
)
from scaling_operator.core.observed import Observed
from scaling_operator.core.outcome import Machine, attempt_ended, finished, state_set
from scaling_operator.core.plan import plan
from scaling_operator.core.reports import AttemptKey
from scaling_operator.core.samples import samples_of
from scaling_operator.engine.backend import Backend, TrialGone
from scaling_operator.engine.book import Book, Slot, slot_of
from scaling_operator.engine.watcher import Watcher
from scaling_operator.fitting.lane import FitLane
from scaling_operator.search.lanes import Lane, record_of
from scaling_operator.search.seed import slot_seed
from scaling_operator.search.study import StudySettings

Change = SetState | EndAttempt | Finish


@dataclass(slots=True)
class Engine:
    """One experiment: its books, its studies, and the backend that makes things so."""

    name: str
    uid: str
    book: Book
    backend: Backend
    watcher: Watcher
    clock: Callable[[], float]
    fits: FitLane | None = None
    lanes: dict[int, Lane] = field(default_factory=dict[int, Lane])
    _locks: dict[Slot, asyncio.Lock] = field(default_factory=dict[Slot, asyncio.Lock])

    def observe(self) -> Observed:
        """Put together everything that a plan needs."""
        leftovers = self.backend.leftovers(self.book)
        return self.book.observe(self.backend.view, leftovers, self.clock())

    async def settle(self) -> Plan:
        """Plan and apply until nothing is left to do; return the plan that does nothing."""
        while True:
            observed = self.observe()
            if self.fits is not None:
                self.fits.consider(observed)
            decided = plan(observed)
            if not decided.actions:
                return decided
            await self.apply(decided.actions)

    async def apply(self, actions: Sequence[Action]) -> None:
        """Do the actions of one plan. The first error is raised once the others are done."""
        for action in actions:
            self.watcher.decided(action)
        sorted_out = _sort_out(actions)
        if sorted_out.scales:
            await self._scale(sorted_out.scales)
        work = [self._change(action) for action in sorted_out.changes]
        work += [self._launch(action) for action in sorted_out.launches.values()]
        if sorted_out.asks:
            work.append(self._ask_in_order(sorted_out))
        if sorted_out.discards:
            work.append(self.backend.discard(sorted_out.discards))
        await _all(work)

    def lane(self, scale: int) -> Lane:
        """Open the study of a scale at its first use."""
        if scale not in self.lanes:
            self.lanes[scale] = Lane(
                StudySettings(
                    name=f"{self.name}-{scale}",
                    search=self.book.spec.search,
                    directions=tuple(goal.direction for goal in self.book.spec.all_objectives),
                    base_seed=self._base_seed(),
                    scale=scale,
                    ranges=self.book.scales[scale].ranges,
                ),
                lambda: self.book.records_of(scale),
            )
        return self.lanes[scale]

    def lock(self, slot: Slot) -> asyncio.Lock:
        """Let one at a time change a trial: a report and a plan may want to at once."""
        return self._locks.setdefault(slot, asyncio.Lock())

    @property
    def prunes(self) -> bool:
        """Whether reports may end a trial."""
        return not isinstance(self.book.spec.search.pruner, NoPruner)

    async def finish(self, action: Finish) -> None:
        """Store a trial's end; the caller holds its lock. An earlier end stays."""
        slot = (action.scale, action.number)
        trial = self.book.live.get(slot)
        if trial is not None:
            curve, machine = self.book.curve(slot), self._machine(trial)
            status = finished(trial.status, action, curve, self.clock(), machine)
            await self.commit(trial, status)

    async def commit(self, trial: ScalingTrial, status: TrialStatus) -> None:
        """Store a status, note what is stored now, and tell the study of an end."""
        slot = slot_of(trial)
        try:
            stored = await self.backend.save(trial.model_copy(update={"status": status}))
        except TrialGone:
            self.book.forget(slot)
            self.lane(trial.spec.scale).forget()
            return
        self.book.note(stored, self.clock())
        self.watcher.changed(trial, stored)
        if stored.status.state.ended:
            self._locks.pop(slot, None)
            await self.lane(stored.spec.scale).tell(record_of(stored, self.book.spec.search))
            self.watcher.ended(stored)

    def close(self) -> None:
        """End the threads of the studies and of the fit."""
        if self.fits is not None:
            self.fits.close()
        for lane in self.lanes.values():
            lane.close()

    async def _scale(self, actions: Sequence[AddScales | OpenScale]) -> None:
        """Store scales, and what they start with, before their first trials."""
        for action in actions:
            self.book.scaled(action)
        self.book.status = plan(self.observe()).status
        await self.backend.publish(self.book.status)

    async def _change(self, action: Change) -> None:
        slot = (action.scale, action.number)
        async with self.lock(slot):
            trial = self.book.live.get(slot)
            if trial is None:  # it was pruned while the plan was made: the first end stays
                return
            match action:
                case SetState():
                    await self.commit(trial, state_set(trial.status, action))
                case EndAttempt():
                    machine = self._machine(trial)
                    status = attempt_ended(trial.status, action, self.clock(), machine)
                    await self.commit(trial, status)
                case Finish():
                    await self.finish(action)
                case _:
                    assert_never(action)

    def _machine(self, trial: ScalingTrial) -> Machine | None:
        """Say what the current attempt has; None where no policy sizes the trials."""
        if self.book.machines is None:
            return None
        key = AttemptKey(*slot_of(trial), len(trial.status.attempts))
        return self.book.machines.machine(self.backend.view(trial, key))

    async def _launch(self, action: Launch) -> None:
        trial = self.book.live.get((action.scale, action.number))
        if trial is not None:
            await self.backend.launch(trial, action.attempt)

    async def _ask_in_order(self, sorted_out: _Sorted) -> None:
        launched: list[asyncio.Task[None]] = []
        try:
            for ask in sorted_out.asks:
                await self._ask(ask)
                first = Launch(ask.scale, ask.number, 0)
                launched.append(asyncio.create_task(self._launch(first)))
        finally:
            await _all(launched)

    async def _ask(self, action: Ask) -> ScalingTrial:
        scale = self.book.scales[action.scale].scale
        lane = self.lane(action.scale)
        started = time.perf_counter()
        proposal = await lane.ask(action.number, action.point)
        self.watcher.asked(time.perf_counter() - started)
        parameters = {**scale.parameters, **proposal.parameters}
        spec = TrialSpec(
            experiment=ExperimentReference(name=self.name, uid=self.uid),
            scale=action.scale,
            number=action.number,
            parameters=parameters,
            searched=tuple(proposal.parameters),
            sampler_attributes=dict(proposal.attributes),
            seed=slot_seed(self._base_seed(), action.scale, action.number),
            samples=samples_of(self.book.spec, scale, parameters),
        )
        try:
            stored = await self.backend.create(ScalingTrial(spec=spec))
        except BaseException:
            lane.forget()  # it holds a trial that nobody runs
            raise
        if stored.spec != spec or stored.status.state.ended:
            lane.forget()
        self.book.note(stored, self.clock())
        return stored

    def _base_seed(self) -> int | str:
        seed = self.book.spec.search.algorithm.seed
        return self.uid if seed is None else seed


@dataclass(slots=True)
class _Sorted:
    """The actions of a plan, by how they are applied."""

    scales: list[AddScales | OpenScale] = field(default_factory=list["AddScales | OpenScale"])
    changes: list[Change] = field(default_factory=list["Change"])
    asks: list[Ask] = field(default_factory=list[Ask])
    launches: dict[Slot, Launch] = field(default_factory=dict[Slot, Launch])
    """Of trials that were there before: a new one's launch belongs to its ask."""
    discards: tuple[AttemptKey, ...] = ()


def _sort_out(actions: Sequence[Action]) -> _Sorted:
    result = _Sorted()
    for action in actions:
        match action:
            case AddScales() | OpenScale():
                result.scales.append(action)
            case SetState() | EndAttempt() | Finish():
                result.changes.append(action)
            case Ask():
                result.asks.append(action)
            case Launch():
                result.launches[(action.scale, action.number)] = action
            case Discard():
                key = AttemptKey(action.scale, action.number, action.attempt)
                result.discards = (*result.discards, key)
            case _:
                assert_never(action)
    for ask in result.asks:
        result.launches.pop((ask.scale, ask.number), None)
    return result


async def _all(work: Sequence[Coroutine[Any, Any, None] | asyncio.Task[None]]) -> None:
    """Wait for all; raise the first error afterwards."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
