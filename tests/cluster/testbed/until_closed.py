"""Coroutines that talk to an API server, run until the last of their connections is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from selectors import BaseSelector, DefaultSelector
from typing import Any, TypeVar

Result = TypeVar("Result")

CLOSED_SECONDS = 60.0
"""asyncio itself ends a TLS connection after 30 s where the other side does not."""


def run_until_closed(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in a loop of its own.

    Nobody waits for the end of a TLS connection in aiohttp. One that is left open when its loop is
    closed is told later, as a fault of whichever test runs then.
    """
    selector = DefaultSelector()
    loop = asyncio.SelectorEventLoop(selector)
    its_own = len(selector.get_map())
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(work)
        finally:
            runner.run(_closed(selector, its_own))


async def _closed(selector: BaseSelector, its_own: int) -> None:
    async with asyncio.timeout(CLOSED_SECONDS):
        while len(selector.get_map()) > its_own:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)  # what is no longer watched is closed in the loop's next turn
