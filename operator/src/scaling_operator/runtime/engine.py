"""Carry a plan out: sample → store the trial → launch → result → store the end → tell → discard.

The order of steps within a trial is kept. Trials do not wait for each other: whenever an action has
ended, a new plan decides about all trials without an action under way. There is one exception:
trials are created in the order of their numbers, so that a crash never leaves a gap.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from scaling_operator.api.algorithms import NoPruner
from scaling_operator.api.names import TrialKey
from scaling_operator.api.status import TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.actions import (
    Action,
    AddScales,
    Ask,
    Change,
    EndAttempt,
    EndTrial,
    Launch,
    OpenScale,
    Plan,
    SetState,
    grouped,
)
from scaling_operator.core.ladder import samples_of
from scaling_operator.core.observed import Observed
from scaling_operator.core.plan import plan
from scaling_operator.core.reports import AttemptKey
from scaling_operator.core.trial_status import Machine, attempt_ended, finished, state_set
from scaling_operator.law.fit_worker import FitWorker
from scaling_operator.runtime.backend import Backend, TrialGone
from scaling_operator.runtime.hooks import Hooks
from scaling_operator.runtime.state import ExperimentState
from scaling_operator.runtime.study_settings import base_seed, settings_of
from scaling_operator.runtime.tasks import InFlight
from scaling_operator.search.optuna_trials import record_of
from scaling_operator.search.samplers import trial_seed
from scaling_operator.search.study_worker import StudyHost, StudyWorker, ThreadHost


@dataclass(slots=True)
class Engine:
    """One experiment: its state, its studies, and the backend that carries actions out."""

    name: str
    uid: str
    state: ExperimentState
    backend: Backend
    hooks: Hooks
    clock: Callable[[], float]
    fit_worker: FitWorker | None = None
    studies: StudyHost = field(default_factory=ThreadHost)
    study_workers: dict[int, StudyWorker] = field(default_factory=dict[int, StudyWorker])
    in_flight: InFlight = field(default_factory=InFlight)
    _locks: dict[TrialKey, asyncio.Lock] = field(default_factory=dict[TrialKey, asyncio.Lock])

    def observe(self) -> Observed:
        """Put together everything that a plan needs."""
        stale_workloads = self.backend.stale_workloads(self.state)
        return self.state.observe(self.backend.view, stale_workloads, self.clock(), self.in_flight)

    async def settle(self, until_seconds: float = math.inf) -> Plan:
        """Plan and apply until nothing is left to do and nothing under way; return the last plan.

        With much to do this may never end. From `until_seconds` on no action begins, and the
        returned plan may have actions.
        """
        try:
            while True:
                await self.state.prepare()
                observed = self.observe()
                if self.fit_worker is not None:
                    self.fit_worker.consider(observed)
                decided = plan(observed)
                if self.in_flight.is_empty and not decided.actions:
                    return decided
                if self.clock() >= until_seconds:
                    await self.in_flight.drain()
                    return plan(self.observe())
                await self._begin(decided.actions)
                await self.in_flight.next_change()
        except asyncio.CancelledError:
            await self.in_flight.cancel()
            raise
        except Exception:
            await self.in_flight.end()
            raise

    async def apply(self, actions: Sequence[Action]) -> None:
        """Carry out the actions of one plan. Once all have ended, raise the first error."""
        await self._begin(actions)
        await self.in_flight.drain()

    def study_worker(self, scale: int) -> StudyWorker:
        """Open the study of a scale at its first use."""
        if scale not in self.study_workers:
            spec, ranges = self.state.spec, self.state.scales[scale].ranges
            settings = settings_of(self.name, self.uid, spec, scale, ranges)
            self.study_workers[scale] = StudyWorker(
                settings=settings,
                recall=lambda: self.state.records_of(scale),
                host=self.studies,
                ask_failed=self.hooks.ask_failed,
            )
        return self.study_workers[scale]

    def lock(self, trial_key: TrialKey) -> asyncio.Lock:
        """Give the lock of a trial: a report and a plan must not change it at the same time."""
        return self._locks.setdefault(trial_key, asyncio.Lock())

    @property
    def prunes(self) -> bool:
        """Whether reports may end a trial."""
        return not isinstance(self.state.spec.search.pruner, NoPruner)

    async def finish(self, action: EndTrial) -> None:
        """Store a trial's end; the caller holds its lock. An earlier end stays."""
        trial_key = (action.scale, action.number)
        trial = self.state.live.get(trial_key)
        if trial is not None:
            curve, machine = self.state.curve(trial_key), self._machine(trial)
            status = finished(trial.status, action, curve, self.clock(), machine)
            await self.commit(trial, status)

    async def commit(self, trial: ScalingTrial, status: TrialStatus) -> None:
        """Store a status, note what is stored now, and tell the study where the trial has ended."""
        trial_key = trial.spec.key
        try:
            stored = await self.backend.save(trial.model_copy(update={"status": status}))
        except TrialGone:
            self.state.forget(trial_key)
            self.study_worker(trial.spec.scale).forget()
            return
        self.state.note(stored, self.clock())
        self.in_flight.wake()
        self.hooks.changed(trial, stored)
        if stored.status.state.ended:
            self._locks.pop(trial_key, None)
            await self.study_worker(stored.spec.scale).tell(
                record_of(stored, self.state.spec.search)
            )
            self.hooks.ended(stored)

    def close(self) -> None:
        """Close the studies, and begin no more fits."""
        if self.fit_worker is not None:
            self.fit_worker.close()
        for study_worker in self.study_workers.values():
            study_worker.close()
        self.studies.end()

    async def _begin(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self.hooks.decided(action)
        by_kind = grouped(actions)
        if by_kind.scales:
            await self._store_scales(by_kind.scales)
        for change in by_kind.changes:
            self.in_flight.change((change.scale, change.number), self._change(change))
        for launch in by_kind.launches:
            self.in_flight.change((launch.scale, launch.number), self._launch(launch))
        if by_kind.discards:
            self.in_flight.discard(by_kind.discards, self.backend.discard(by_kind.discards))
        if by_kind.asks:
            self._begin_asks(by_kind.asks)

    async def _store_scales(self, actions: Sequence[AddScales | OpenScale]) -> None:
        """Store scales, and what they start with, before their first trials."""
        for action in actions:
            self.state.note_scales(action)
        self.state.status = plan(self.observe()).status
        await self.backend.publish(self.state.status)

    async def _change(self, action: Change) -> None:
        trial_key = (action.scale, action.number)
        async with self.lock(trial_key):
            trial = self.state.live.get(trial_key)
            if trial is None:  # the trial was pruned while the plan was made: the first end stays
                return
            match action:
                case SetState():
                    await self.commit(trial, state_set(trial.status, action))
                case EndAttempt():
                    machine = self._machine(trial)
                    status = attempt_ended(trial.status, action, self.clock(), machine)
                    await self.commit(trial, status)
                case EndTrial():
                    await self.finish(action)
                case _:
                    assert_never(action)

    def _machine(self, trial: ScalingTrial) -> Machine | None:
        """Give the machine of the current attempt; None where no policy sizes the trials."""
        if self.state.machines is None:
            return None
        key = AttemptKey(*trial.spec.key, len(trial.status.attempts))
        return self.state.machines.machine(self.backend.view(trial, key))

    async def _launch(self, action: Launch) -> None:
        trial = self.state.live.get((action.scale, action.number))
        if trial is not None:
            await self.backend.launch(trial, action.attempt)

    def _begin_asks(self, asks: Sequence[Ask]) -> None:
        is_asking = bool(self.in_flight.asks)
        self.in_flight.asks.extend(asks)
        if not is_asking:
            self.in_flight.begin(self._ask_in_order())

    async def _ask_in_order(self) -> None:
        """Create one trial after the other. A fault ends this, so that no number is left out."""
        asks = self.in_flight.asks
        try:
            while asks:
                await self._ask(asks[0])
                ask = asks.popleft()
                first = Launch(ask.scale, ask.number, attempt=0)
                self.hooks.decided(first)
                self.in_flight.change((ask.scale, ask.number), self._launch(first))
        finally:
            asks.clear()

    async def _ask(self, action: Ask) -> None:
        scale = self.state.scales[action.scale].scale
        study_worker = self.study_worker(action.scale)
        started = time.perf_counter()
        proposal = await study_worker.ask(action.number, action.point)
        self.hooks.asked(time.perf_counter() - started)
        parameters = {**scale.parameters, **proposal.parameters}
        seed = base_seed(self.state.spec, self.uid)
        spec = TrialSpec(
            experiment=ExperimentReference(name=self.name, uid=self.uid),
            scale=action.scale,
            number=action.number,
            parameters=parameters,
            searched=tuple(proposal.parameters),
            sampler_attributes=dict(proposal.attributes),
            seed=trial_seed(seed, action.scale, action.number),
            samples=samples_of(self.state.spec, scale, parameters),
        )
        try:
            stored = await self.backend.create(ScalingTrial(spec=spec))
        except BaseException:
            study_worker.forget()  # its study holds a trial that nobody runs
            raise
        if stored.spec != spec or stored.status.state.ended:
            study_worker.forget()
        self.state.note(stored, self.clock())
