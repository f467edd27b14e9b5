"""The loop of a local run: plan and apply, publish the status, wait for the next change.

`serve` starts the loop and ends it. The core decides; the engine does what both shells do; this
module waits until something happens, and deletes the weights of trials that are not the best.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Phase, Reason
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.actions import EndAttempt
from scaling_operator.core.fit_types import FitView
from scaling_operator.core.plan import plan
from scaling_operator.core.reports import AttemptKey, Reply, Report
from scaling_operator.law.fit_worker import FitWorker
from scaling_operator.local.attempt_processes import AttemptProcesses
from scaling_operator.local.backend import LocalBackend
from scaling_operator.local.contents import Identity
from scaling_operator.local.store import Store
from scaling_operator.runtime.engine import Engine
from scaling_operator.runtime.reports import Reports
from scaling_operator.runtime.state import ExperimentState

PUBLISH_SECONDS = 1.0
"""How long the status may lag behind where there is always something to do."""


@dataclass(slots=True)
class LocalRunner:
    """One local run of one experiment. `open_runner` makes it."""

    identity: Identity
    backend: LocalBackend
    engine: Engine
    reports: Reports
    woken: asyncio.Event

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment's spec."""
        return self.state.spec

    @property
    def state(self) -> ExperimentState:
        """The experiment's state: trials, totals and status."""
        return self.engine.state

    @property
    def store(self) -> Store:
        """The result folder."""
        return self.backend.store

    @property
    def attempts(self) -> AttemptProcesses:
        """The processes."""
        return self.backend.attempts

    @property
    def data_folder(self) -> Path:
        """The folder of the experiment's file; relative paths of data start there."""
        return self.backend.data_folder

    async def run(self) -> ExperimentStatus:
        """Run until the experiment is over or suspended."""
        while True:
            self.woken.clear()
            self.attempts.raise_failures()
            settled = await self.engine.settle(self.engine.clock() + PUBLISH_SECONDS)
            await self._publish(settled.status)
            if settled.actions:
                continue
            is_over = settled.status.phase not in (Phase.RUNNING, Phase.PENDING)
            if settled.status.phase is Phase.SUSPENDED or (is_over and not self.state.live):
                return await self._fitted(settled.status)
            await self._wait(settled.wake_at_seconds)

    async def _fitted(self, status: ExperimentStatus) -> ExperimentStatus:
        """Fit all that is known and publish it, also where the run has ended early."""
        if self.engine.fit_worker is None or self.spec.scaling is None:
            return status
        await self.engine.fit_worker.settle(self.engine.observe())
        status = plan(self.engine.observe()).status
        await self._publish(status)
        return status

    async def release(self) -> None:
        """Stop cleanly: record the end of running attempts, so that the next run goes on here."""
        await self.engine.apply(
            [
                EndAttempt(
                    scale=scale,
                    number=number,
                    attempt=attempt,
                    reason=Reason.SUSPENDED,
                    message="stopped by the user",
                )
                for (scale, number), trial in self.state.live.items()
                for attempt in (len(trial.status.attempts),)
                if self.store.was_launched(scale, number, attempt)
            ]
        )
        await self.attempts.close()
        await self._publish(plan(self.engine.observe()).status)

    async def report(self, key: AttemptKey, report: Report) -> Reply:
        """Take an intermediate report."""
        return await self.reports.take(key, report)

    async def _publish(self, status: ExperimentStatus) -> None:
        self.state.status = status
        await self.backend.publish(status)

    async def _wait(self, wake_at_seconds: float | None) -> None:
        seconds = None if wake_at_seconds is None else wake_at_seconds - self.engine.clock()
        # Not wait_for: before Python 3.12 it loses a cancellation that arrives with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()


def open_runner(
    identity: Identity,
    state: ExperimentState,
    backend: LocalBackend,
    woken: asyncio.Event,
    clock: Callable[[], float] = time.time,
) -> LocalRunner:
    """Put a run together."""
    weights = Weights(backend.store, state)
    weights.forget_others()

    def ended(trial: ScalingTrial) -> None:
        weights.ended(trial)
        backend.hooks.ended(trial)

    hooks = replace(backend.hooks, ended=ended)

    def fitted(view: FitView) -> None:
        state.fit = view

    fit_worker = FitWorker(fitted, woken.set)
    engine = Engine(identity.name, identity.uid, state, backend, hooks, clock, fit_worker)
    return LocalRunner(identity, backend, engine, Reports(engine, woken.set), woken)


@dataclass(slots=True)
class Weights:
    """Keeps the weights of a trial only while it may be the best, or lies on the Pareto front."""

    store: Store
    state: ExperimentState
    _kept: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    """By scale, the numbers of ended trials whose weights exist."""

    def forget_others(self) -> None:
        """Delete needless weights of an earlier run, which may have ended before it could."""
        for scale, records in self.state.records.items():
            self._kept[scale] = {
                number for number in records if (scale, number) not in self.state.live
            }
            self._forget(scale)

    def ended(self, trial: ScalingTrial) -> None:
        """Delete the weights that an ended trial makes needless: its own, or those it beats."""
        self._kept.setdefault(trial.spec.scale, set()).add(trial.spec.number)
        self._forget(trial.spec.scale)

    def _forget(self, scale: int) -> None:
        tally = self.state.scales[scale].tally
        wanted = {best.number for best in (*tally.best[:1], *tally.front)}
        for number in self._kept[scale] - wanted:
            self.store.forget_checkpoint(scale, number)
        self._kept[scale] &= wanted
