"""What a shell does outside its event loop: checks, studies and fits of its experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scaling_operator.api.problems import Problem
from scaling_operator.api.search import Search
from scaling_operator.law.fit_worker import FitRunner
from scaling_operator.processes.checks import check_in_process
from scaling_operator.processes.fits import ProcessFits
from scaling_operator.processes.pool import WorkerPool
from scaling_operator.processes.studies import ProcessHost
from scaling_operator.search.study_worker import StudyHost

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
