"""Views of an experiment's workloads, made once for each state of them that is seen."""

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
    """The objects that were seen, what they showed, and the uid of the trial that owns them."""

    parts: tuple[Object, ...]
    view: AttemptView
    owner_uid: str | None


@dataclass(slots=True)
class ViewCache:
    """A plan looks at every live trial's workload; few have changed since the plan before."""

    index: Index
    experiment: Key
    kind: WorkloadKind
    grace: GracePeriods
    clock: Callable[[], float]
    _known: dict[str, CachedView] = field(default_factory=dict[str, CachedView])

    def at(self, workload: Object) -> AttemptView:
        """View a workload, with the machine that it was given."""
        return self.read(workload["metadata"]["name"], workload).view

    def read(self, name: str, workload: Object) -> CachedView:
        """Look at a workload of this name; as before, where nothing of it has changed."""
        parts = self.kind.parts(self.index, workload)
        known = self._known.get(name)
        if known is not None and _are_same(known.parts, parts) and not self._is_due(known.view):
            return known
        view = with_machine(self.kind.observe(parts, self.grace, self.clock()), workload)
        self._known[name] = seen = CachedView(parts, view, owner_uid(workload, TRIALS))
        return seen

    def last_view(self, name: str, trial_uid: str | None) -> AttemptView:
        """View a workload of a trial that was seen and is gone."""
        last = self.index.gone.get((self.kind.kind, self.experiment), {}).get(name)
        if last is not None and not is_owned(last, TRIALS, trial_uid):
            last = None
        return self.kind.parting_view(self.index, last, self.grace, self.clock())

    def keep(self, names: Set[str]) -> None:
        """Forget all other workloads."""
        for name in self._known.keys() - names:
            del self._known[name]

    def _is_due(self, view: AttemptView) -> bool:
        return view.changes_at_seconds is not None and self.clock() >= view.changes_at_seconds


def _are_same(known: tuple[Object, ...], parts: tuple[Object, ...]) -> bool:
    """Whether they are the very objects: the index replaces what has changed."""
    return len(known) == len(parts) and all(map(operator.is_, known, parts))
