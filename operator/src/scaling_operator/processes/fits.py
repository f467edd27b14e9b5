"""Fits in a process of their own: one at a time for the whole operator, by turns of namespaces."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.core.fit_types import FitInput, FitView
from scaling_operator.law.fit_worker import broken, exceeded
from scaling_operator.processes.bounds import FIT, WorkExceeded, WorkFailed
from scaling_operator.processes.messages import BASIS, FIT_ANSWER, Task
from scaling_operator.processes.pool import WorkerPool


@dataclass(frozen=True, slots=True)
class ProcessFits:
    """A FitRunner. Runs the fits of one experiment; `namespace` is whose turn each takes."""

    pool: WorkerPool
    namespace: str

    async def fit(self, fit_input: FitInput) -> FitView:
        """Fit; what goes wrong is said in the view."""
        try:
            answer = FIT_ANSWER.decode(
                await self.pool.work(self.namespace, Task.FIT, BASIS.encode(fit_input), FIT)
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
