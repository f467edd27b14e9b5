"""The fits of an experiment, one at a time and not too often: the event loop never waits.

The module itself loads neither numpy nor scipy: the operator's main process imports it, and runs
its fits in processes of their own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from scaling_operator.api.names import ConditionType
from scaling_operator.api.status_fit import FitStatus
from scaling_operator.core.fit_input import awaits_prediction, fit_input_of
from scaling_operator.core.fit_types import FitCondition, FitInput, FitView
from scaling_operator.core.observed import Observed

SHORTEST_PAUSE_SECONDS = 1.0
PAUSE_PER_WORK = 5.0
"""The pause after a fit, in durations of that fit; none where a scale waits for a prediction."""
log = logging.getLogger(__name__)


def broken(basis: FitInput, message: str) -> FitView:
    """Say that the fit broke: a fault of this program, not of the points."""
    return _without_answer(basis, "FitFailed", message)


def exceeded(basis: FitInput, message: str) -> FitView:
    """Say that the fit needs too much; the experiment chooses its points and resamples."""
    advice = "fewer resamples (scaling.fit.bootstrap) or fewer points need less"
    return _without_answer(basis, "FitExceeded", f"{message}; {advice}")


def _without_answer(basis: FitInput, reason: str, message: str) -> FitView:
    condition = FitCondition(ConditionType.FIT_READY, reason, message, is_true=False)
    return FitView(basis, FitStatus(points=0), (condition,))


if TYPE_CHECKING:
    from scaling_operator.law.fit_experiment import FitOutcome


class FitRunner(Protocol):
    """Where fits run: a thread, or a process."""

    async def fit(self, fit_input: FitInput) -> FitOutcome | FitView:
        """Fit; where the fit fails, the view says why."""
        ...

    def end(self) -> None:
        """End the thread or the processes that fit one experiment."""
        ...


@dataclass(slots=True)
class ThreadFits:
    """Fits in a thread of this process."""

    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="fit")
    )

    async def fit(self, fit_input: FitInput) -> FitOutcome | FitView:
        """Fit; where the fit breaks, the view says so."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _fit, fit_input)

    def end(self) -> None:
        """End the thread once its fit is over, without waiting for the end."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True)
class FitWorker:
    """The fits of one experiment. `fitted` is called in the event loop with each answer."""

    fitted: Callable[[FitView], None]
    wake: Callable[[], None]
    runner: FitRunner = field(default_factory=ThreadFits)
    outcome: FitOutcome | None = None
    """The last fit that did not break, for a page to be drawn from."""
    _running: asyncio.Task[FitView] | None = None
    _next_seconds: float = 0.0
    _timer: asyncio.TimerHandle | None = None

    def consider(self, observed: Observed) -> None:
        """Start a fit where its input has changed; after a pause where a fit ended just now."""
        fit_input = fit_input_of(observed)
        if fit_input is None or not fit_input.points or self._running is not None:
            return
        if observed.fit is not None and observed.fit.fit_input == fit_input:
            return
        pause = self._next_seconds - time.monotonic()
        if pause > 0 and not awaits_prediction(observed):
            if self._timer is None or self._timer.when() <= asyncio.get_running_loop().time():
                self._timer = asyncio.get_running_loop().call_later(pause, self.wake)
            return
        self._running = asyncio.create_task(self._run(fit_input))

    async def settle(self, observed: Observed) -> None:
        """Fit the input that is observed now, unless it is fitted already; wait for the fit."""
        if self._running is not None:
            await asyncio.wait({self._running})
        fit_input = fit_input_of(observed)
        is_fitted = self.outcome is not None and self.outcome.view.fit_input == fit_input
        if fit_input is not None and fit_input.points and not is_fitted:
            await self._run(fit_input)

    def close(self) -> None:
        """Begin no more fits and wait for none: the answer of a running fit is dropped."""
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            self._running.cancel()
        self.runner.end()

    async def _run(self, fit_input: FitInput) -> FitView:
        began = time.monotonic()
        outcome = await self.runner.fit(fit_input)
        seconds = time.monotonic() - began
        self._next_seconds = began + seconds + max(SHORTEST_PAUSE_SECONDS, PAUSE_PER_WORK * seconds)
        self._running = None
        if isinstance(outcome, FitView):
            view = outcome
        else:
            self.outcome, view = outcome, outcome.view
        self.fitted(view)
        self.wake()
        return view


def _fit(fit_input: FitInput) -> FitOutcome | FitView:
    # scipy loads slowly, and an experiment without a ladder never needs it.
    from scaling_operator.law.fit_experiment import fit  # noqa: PLC0415

    try:
        return fit(fit_input)
    except Exception as error:
        log.exception("the fit broke")
        return broken(fit_input, f"{type(error).__name__}: {error}")
