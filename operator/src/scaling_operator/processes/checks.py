"""Checking an experiment's document in a process of the pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling_operator.api.problems import Problem
from scaling_operator.processes.bounds import CHECK, WorkExceeded
from scaling_operator.processes.messages import DOCUMENT, PROBLEMS, Task
from scaling_operator.processes.pool import WorkerPool


async def check_in_process(
    pool: WorkerPool, namespace: str, document: Mapping[str, Any]
) -> tuple[Problem, ...]:
    """Find everything that is wrong with an experiment; too much work is one of these things."""
    payload = DOCUMENT.encode({name: document[name] for name in document if name != "status"})
    try:
        return PROBLEMS.decode(await pool.work(namespace, Task.CHECK, payload, CHECK))
    except WorkExceeded as error:
        return (Problem("spec", f"checking it takes too much: {error}; make it simpler"),)
