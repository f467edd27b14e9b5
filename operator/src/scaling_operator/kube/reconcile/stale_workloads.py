"""Workloads that nobody waits for: which they are, and how they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scaling_operator.api.names import trial_name
from scaling_operator.core.observed import AttemptPhase, StaleWorkload
from scaling_operator.core.reports import AttemptKey
from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.errors import Conflict, NotFound
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import TRIALS
from scaling_operator.kube.client.ownership import is_owned
from scaling_operator.kube.reconcile.naming import attempt_of, workload_name
from scaling_operator.kube.reconcile.sweeper import Sweeper
from scaling_operator.kube.reconcile.view_cache import ViewCache
from scaling_operator.kube.reconcile.workload_kinds import WorkloadKind
from scaling_operator.runtime.state import ExperimentState
from scaling_operator.sizing.admission import Slot


@dataclass(slots=True)
class StaleWorkloads:
    """An experiment's workloads but those of the current attempts of its live trials."""

    client: Client
    index: Index
    sweeper: Sweeper
    experiment: Key
    kind: WorkloadKind
    view_cache: ViewCache
    uid_of: Callable[[Slot], str | None]
    """Tells the uid of a trial of the experiment: what it does not own is not ours."""
    keep_failed_seconds: float
    _going: set[str] = field(default_factory=set[str])
    """Names of workloads whose deletion was asked for."""
    _outlived: set[AttemptKey] = field(default_factory=set[AttemptKey])
    """Older attempts of trials that live: they are deleted one by one."""

    def of(self, state: ExperimentState) -> Iterator[StaleWorkload]:
        """Name the workloads that nobody waits for."""
        self.index.forget_awaited(
            self.kind.kind, self.experiment, lambda name: self._is_awaited(state, name)
        )
        present: set[str] = set()
        for workload in self.index.workloads_of(self.kind.kind, self.experiment):
            name = workload["metadata"]["name"]
            present.add(name)
            key = attempt_of(self.experiment, name)
            if key is None or state.is_current(key) or name in self._going:
                continue
            if self._is_ours(key, workload):
                yield self._stale(state, key, workload)
        self._going &= present
        self.view_cache.keep(present)

    async def discard(self, keys: tuple[AttemptKey, ...]) -> None:
        """Delete workloads: those of ended trials together, an older attempt's by itself."""
        for key in keys:
            name = workload_name(self.experiment, key)
            self._going.add(name)
            workload = self.index.workload(self.kind.kind, self.experiment, name)
            if workload is None or not self._is_ours(key, workload):
                continue
            if key in self._outlived:
                await self._delete(workload)
            else:
                trial = trial_name(self.experiment.name, key.scale, key.number)
                uid = self.uid_of((key.scale, key.number))
                self.sweeper.add(self.kind.kind, self.experiment, trial, str(uid))

    def look_again(self) -> None:
        """Try anew what is under way for long: deletions that may have been lost."""
        self._going.clear()

    def _is_awaited(self, state: ExperimentState, name: str) -> bool:
        key = attempt_of(self.experiment, name)
        return key is not None and state.is_current(key)

    def _is_ours(self, key: AttemptKey, workload: Object) -> bool:
        return is_owned(workload, TRIALS, self.uid_of((key.scale, key.number)))

    async def _delete(self, workload: Object) -> None:
        metadata = workload["metadata"]
        try:
            await self.client.delete(
                self.kind.kind, self.experiment.namespace, metadata["name"], uid=metadata["uid"]
            )
        except (NotFound, Conflict):
            self.index.drop(self.kind.kind, workload)

    def _stale(self, state: ExperimentState, key: AttemptKey, workload: Object) -> StaleWorkload:
        view = self.view_cache.at(workload)
        if (key.scale, key.number) in state.live:
            self._outlived.add(key)
        else:
            self._outlived.discard(key)
        told = state.pruned_seconds.get(key)
        failed = view.phase is AttemptPhase.EXITED and view.exit_code != 0
        return StaleWorkload(
            *(key.scale, key.number, key.attempt, view),
            told_to_stop=told is not None,
            told_seconds=told or 0.0,
            kept_until_seconds=view.since_seconds + self.keep_failed_seconds if failed else 0.0,
        )
