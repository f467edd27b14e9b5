"""How many requests about one namespace are under way at once: other namespaces find a connection.

One experiment may have a thousand pods in the making, while all connections are 64.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

MOST_OF_A_NAMESPACE = 16


@dataclass(frozen=True, slots=True)
class Turns:
    """Lets so many of a namespace go at once; the rest waits in order."""

    most: int = MOST_OF_A_NAMESPACE
    _of: WeakValueDictionary[str, asyncio.Semaphore] = field(
        default_factory=WeakValueDictionary[str, asyncio.Semaphore]
    )

    @asynccontextmanager
    async def one(self, namespace: str | None) -> AsyncGenerator[None]:
        """Wait for a turn; what lies in no namespace waits for nobody."""
        if namespace is None:
            yield
            return
        turns = self._of.get(namespace)
        if turns is None:
            self._of[namespace] = turns = asyncio.Semaphore(self.most)
        async with turns:
            yield
