"""Views of an experiment's workloads, cached until a workload changes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Set
from dataclasses import dataclass, field

from scaling_operator.core.observed import AttemptView
from scaling_operator.kube.client.client import Object
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import TRIALS
from scaling_operator.kube.client.ownership import is_owned, owner_uid
from scaling_operator.kube.reconcile.workload_kinds import WorkloadKind
from scaling_operator.kube.workloads.attempt_spec import GracePeriods
from scaling_operator.kube.workloads.held_resources import with_machine


@dataclass(frozen=True, slots=True)
class CachedView:
    """A view, the objects that it was made from, and the uid of the trial that owns them."""

    parts: tuple[Object, ...]
    view: AttemptView
    owner_uid: str | None


@dataclass(slots=True)
class ViewCache:
    """A plan views every live trial's workload, and few have changed since the plan before."""

    index: Index
    experiment: Key
    kind: WorkloadKind
    grace: GracePeriods
    clock: Callable[[], float]
    _views: dict[str, CachedView] = field(default_factory=dict[str, CachedView])

    def at(self, workload: Object) -> AttemptView:
        """View a workload, with the machine that it was given."""
        return self.read(workload["metadata"]["name"], workload).view

    def read(self, name: str, workload: Object) -> CachedView:
        """View a workload of this name; the cached view where nothing of it has changed."""
        parts = self.kind.parts(self.index, workload)
        cached = self._views.get(name)
        if cached is not None and _are_same(cached.parts, parts) and not self._is_due(cached.view):
            return cached
        view = with_machine(self.kind.observe(parts, self.grace, self.clock()), workload)
        self._views[name] = cached_view = CachedView(parts, view, owner_uid(workload, TRIALS))
        return cached_view

    def last_view(self, name: str, trial_uid: str | None) -> AttemptView:
        """View a trial's workload that existed and is gone."""
        last = self.index.last_states.get((self.kind.kind, self.experiment), {}).get(name)
        if last is not None and not is_owned(last, TRIALS, trial_uid):
            last = None
        return self.kind.parting_view(self.index, last, self.grace, self.clock())

    def keep(self, names: Set[str]) -> None:
        """Drop the views of all other workloads."""
        for name in self._views.keys() - names:
            del self._views[name]

    def _is_due(self, view: AttemptView) -> bool:
        return view.changes_at_seconds is not None and self.clock() >= view.changes_at_seconds


def _are_same(cached: tuple[Object, ...], parts: tuple[Object, ...]) -> bool:
    """Whether they are the same objects by identity: the index replaces changed ones."""
    return len(cached) == len(parts) and all(map(operator.is_, cached, parts))
