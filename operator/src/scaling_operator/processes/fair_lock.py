"""A lock that owners take in turn: who wants it often does not keep the others from it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class FairLock:
    """Held by one at a time. Those of one owner wait in order, the owners by round robin."""

    holder: str | None = None
    """Whose turn it is; None: nobody's."""
    _waiting: dict[str, deque[asyncio.Future[None]]] = field(
        default_factory=dict[str, deque[asyncio.Future[None]]]
    )

    async def acquire(self, owner: str) -> None:
        """Wait for the owner's turn."""
        if self.holder is None:
            self.holder = owner
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the turn had come all the same
            else:
                self._withdraw(owner, turn)
            raise

    def release(self) -> None:
        """Give the turn to the next owner."""
        if not self._waiting:
            self.holder = None
            return
        owner, turns = next(iter(self._waiting.items()))
        del self._waiting[owner]
        self.holder, turn = owner, turns.popleft()
        if turns:
            self._waiting[owner] = turns  # behind all others
        turn.set_result(None)

    def _withdraw(self, owner: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(owner, deque())
        with contextlib.suppress(ValueError):
            turns.remove(turn)
        if not turns:
            self._waiting.pop(owner, None)
