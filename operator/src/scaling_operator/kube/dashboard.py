"""optuna-dashboard over the studies in this process' memory: off unless it has a port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.reconcile.loader import Loaded
from scaling_operator.search.dashboard import Mirror, served
from scaling_operator.search.optuna_trials import Record
from scaling_operator.search.study import StudySettings
from scaling_operator.search.study_worker import rebuilt
from scaling_operator.server.listen import ignore_refusal

log = logging.getLogger(__name__)
REFRESH_SECONDS = 5.0
MOST_TRIALS = 10_000
"""Of all copied studies together: the copies share this process' memory with its own work."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 - as the other ports


@dataclass(slots=True)
class Dashboard:
    """Shows studies read-only; an async context manager. Without a port it does nothing.

    A finished experiment keeps its last copy until the experiment is deleted.
    """

    index: Index
    loaded: Mapping[Key, Loaded]
    address: str | None
    port: int | None
    refused: Callable[[str], None] = ignore_refusal
    names: tuple[str, ...] = ()
    """Names of the dashboard besides addresses and names of Services."""
    _mirror: Mirror = field(default_factory=Mirror)
    _stack: ExitStack = field(default_factory=ExitStack)
    _names: dict[str, Key] = field(default_factory=dict[str, Key])
    _copied: dict[str, tuple[Record, ...]] = field(default_factory=dict[str, tuple[Record, ...]])
    _too_many: set[str] = field(default_factory=set[str])

    async def __aenter__(self) -> Dashboard:
        """Serve. Raises DashboardMissing, and OSError where the port is taken."""
        if self.port is not None:
            application = self._mirror.application()
            at = (self.address or EVERYWHERE, self.port)
            self._stack.enter_context(served(application, *at, self.refused, self.names))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server."""
        await asyncio.to_thread(self._stack.close)

    async def run(self) -> None:
        """Keep the copies up to date, for ever."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            if self.port is not None:
                await self.refresh()

    async def refresh(self) -> None:
        """Update the copies of all studies once."""
        for key, loaded in list(self.loaded.items()):
            for scale, study_worker in list(loaded.engine.study_workers.items()):
                name = f"{key} {scale}"
                self._names[name] = key
                records = tuple(study_worker.recall())
                if self._has_room(name, len(records)):
                    await asyncio.to_thread(self._show, name, study_worker.settings, records)
        gone = {name for name, key in self._names.items() if key not in self.index.experiments}
        for name in gone:
            del self._names[name]
            self._copied.pop(name, None)
            self._too_many.discard(name)
        self._mirror.keep_only(self._names)

    def _has_room(self, name: str, trials: int) -> bool:
        """Whether a study may be copied as it is now; else its last copy stays."""
        others = sum(len(records) for other, records in self._copied.items() if other != name)
        if others + trials <= MOST_TRIALS:
            self._too_many.discard(name)
            return True
        if name not in self._too_many:
            self._too_many.add(name)
            message = "not shown from now on: %s has %d trials, and %d are shown in all"
            log.warning(message, name, trials, MOST_TRIALS)
        return False

    def _show(self, name: str, settings: StudySettings, records: tuple[Record, ...]) -> None:
        """Update one copy from the stored trials: the study itself is in another process."""
        if self._copied.get(name) == records:
            return
        rebuilt(settings, records).show(self._mirror, name)
        self._copied[name] = records
