"""What ring 1's tests share: coroutines as tests, an API server in memory, a controller over it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator

import pytest
from fake_cluster import FakeCluster
from shell import Clock, Shell


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def fake() -> FakeCluster:
    """An API server in memory whose clock moves by hand."""
    return FakeCluster(clock=Clock())


@pytest.fixture
def shell(fake: FakeCluster) -> Iterator[Shell]:
    """One replica over it."""
    replica = Shell(fake)
    yield replica
    replica.close()
