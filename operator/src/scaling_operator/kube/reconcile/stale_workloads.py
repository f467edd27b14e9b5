"""Workloads that no live trial waits for: which they are, and how they are deleted.

One request a second deletes the workloads of many ended trials. The request names labels, which
anybody may have copied. So the request names a trial only if the index shows no other object with
the trial's labels. The workloads of other trials are deleted one by one, each by its uid.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scaling_operator.api.names import LABEL_TRIAL, TrialKey, trial_name
from scaling_operator.core.observed import AttemptPhase, StaleWorkload
from scaling_operator.core.reports import AttemptKey
from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.errors import ClusterError, Conflict, NotFound
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import TRIALS, Kind
from scaling_operator.kube.client.ownership import is_owned
from scaling_operator.kube.reconcile.view_cache import ViewCache
from scaling_operator.kube.reconcile.workload_kinds import WorkloadKind
from scaling_operator.kube.workloads.identity import attempt_of_name, trials_selector, workload_name
from scaling_operator.runtime.state import ExperimentState


@dataclass(slots=True)
class WorkloadCleanup:
    """An experiment's workloads except those of the current attempts of its live trials."""

    index: Index
    sweeper: Sweeper
    experiment: Key
    kind: WorkloadKind
    view_cache: ViewCache
    uid_of: Callable[[TrialKey], str | None]
    """Gives the uid of a trial of the experiment: only what a trial owns is ours."""
    keep_failed_seconds: float
    _deleting: set[str] = field(default_factory=set[str])
    """Names of workloads whose deletion was requested."""
    _superseded: set[AttemptKey] = field(default_factory=set[AttemptKey])
    """Older attempts of live trials: they are deleted one by one."""

    def list_stale(self, state: ExperimentState) -> Iterator[StaleWorkload]:
        """Give the workloads that no live trial waits for."""
        self.index.forget_unawaited(
            self.kind.kind, self.experiment, lambda name: self._is_awaited(state, name)
        )
        present: set[str] = set()
        for workload in self.index.workloads_of(self.kind.kind, self.experiment):
            name = workload["metadata"]["name"]
            present.add(name)
            key = attempt_of_name(self.experiment.name, name)
            if key is None or state.is_current(key) or name in self._deleting:
                continue
            if self._is_ours(key, workload):
                yield self._stale(state, key, workload)
        self._deleting &= present
        self.view_cache.keep(present)

    async def discard(self, keys: tuple[AttemptKey, ...]) -> None:
        """Delete workloads: those of ended trials together, an older attempt's at once."""
        for key in keys:
            name = workload_name(self.experiment.name, key)
            self._deleting.add(name)
            workload = self.index.workload(self.kind.kind, self.experiment, name)
            if workload is None or not self._is_ours(key, workload):
                continue
            if key in self._superseded:
                await self.sweeper.delete(self.kind.kind, workload)
            else:
                trial = trial_name(self.experiment.name, key.scale, key.number)
                uid = self.uid_of(key.trial)
                self.sweeper.add(self.kind.kind, self.experiment, trial, str(uid))

    def retry_deletions(self) -> None:
        """Request deletions again that may have been lost."""
        self._deleting.clear()

    def _is_awaited(self, state: ExperimentState, name: str) -> bool:
        key = attempt_of_name(self.experiment.name, name)
        return key is not None and state.is_current(key)

    def _is_ours(self, key: AttemptKey, workload: Object) -> bool:
        return is_owned(workload, TRIALS, self.uid_of(key.trial))

    def _stale(self, state: ExperimentState, key: AttemptKey, workload: Object) -> StaleWorkload:
        view = self.view_cache.at(workload)
        if key.trial in state.live:
            self._superseded.add(key)
        else:
            self._superseded.discard(key)
        pruned_seconds = state.pruned_seconds.get(key)
        failed = view.phase is AttemptPhase.EXITED and view.exit_code != 0
        return StaleWorkload(
            scale=key.scale,
            number=key.number,
            attempt=key.attempt,
            view=view,
            told_to_stop=pruned_seconds is not None,
            told_seconds=pruned_seconds or 0.0,
            kept_until_seconds=view.since_seconds + self.keep_failed_seconds if failed else 0.0,
        )


log = logging.getLogger(__name__)
PERIOD_SECONDS = 1.0
NAMES_IN_A_REQUEST = 60
"""A selector is part of the URL, which servers and proxies limit to some 8 kB."""


@dataclass(frozen=True, slots=True)
class EndedTrial:
    """A trial that has ended: its name, its experiment, its uid."""

    name: str
    experiment: Key
    uid: str


@dataclass(slots=True)
class Sweeper:
    """Deletes pods and Jobs, those of ended trials together."""

    client: Client
    index: Index
    _waiting: dict[tuple[Kind, str], dict[str, EndedTrial]] = field(
        default_factory=dict[tuple[Kind, str], dict[str, EndedTrial]]
    )

    def add(self, kind: Kind, experiment: Key, trial: str, uid: str) -> None:
        """Queue an ended trial: all its workloads are deleted within a second or two."""
        waiting = self._waiting.setdefault((kind, experiment.namespace), {})
        waiting[trial] = EndedTrial(trial, experiment, uid)

    def clear(self) -> None:
        """Forget the queued trials: the next leader finds them by itself."""
        self._waiting.clear()

    async def run(self) -> None:
        """Sweep once a second, for ever."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self.once()

    async def once(self) -> None:
        """Sweep: one request for each namespace and kind where something waits."""
        for (kind, namespace), trials in list(self._waiting.items()):
            batch = {name: trials.pop(name) for name in sorted(trials)[:NAMES_IN_A_REQUEST]}
            if not trials:
                del self._waiting[(kind, namespace)]
            await self._sweep(kind, namespace, batch)

    async def _sweep(self, kind: Kind, namespace: str, batch: dict[str, EndedTrial]) -> None:
        with_foreign = {name for name, _ in self._labelled(kind, batch, owned=False)}
        exclusive = sorted(batch.keys() - with_foreign)
        try:
            if exclusive:
                experiments = {batch[name].experiment.name for name in exclusive}
                selector = trials_selector(experiments, exclusive)
                await self.client.delete_collection(kind, namespace, selector)
            for name, workload in self._labelled(kind, batch, owned=True):
                if name in with_foreign:
                    await self.delete(kind, workload)
        except ClusterError as error:
            log.warning("%d trials' workloads stay for now: %s", len(batch), error)
            self._waiting.setdefault((kind, namespace), {}).update(batch)

    def _labelled(
        self, kind: Kind, batch: dict[str, EndedTrial], *, owned: bool
    ) -> Iterator[tuple[str, Object]]:
        """Give the workloads that have the label of a trial, and are `owned` by it or not."""
        for experiment in {trial.experiment for trial in batch.values()}:
            for workload in self.index.workloads_of(kind, experiment):
                ended = batch.get(workload["metadata"]["labels"].get(LABEL_TRIAL, ""))
                if ended is not None and is_owned(workload, TRIALS, ended.uid) is owned:
                    yield ended.name, workload

    async def delete(self, kind: Kind, workload: Object) -> None:
        """Delete one workload by its uid. A workload that is gone already leaves the index."""
        metadata = workload["metadata"]
        try:
            await self.client.delete(
                kind, metadata["namespace"], metadata["name"], uid=metadata["uid"]
            )
        except (NotFound, Conflict):
            self.index.drop(kind, workload)
