"""Views of an experiment's workloads, made once for each state of them that is seen."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field

from scaling_operator.cluster.client import Object
from scaling_operator.cluster.index import Index, Key
from scaling_operator.cluster.kinds import PODS, TRIALS
from scaling_operator.cluster.ownership import is_owned
from scaling_operator.cluster.workload_kinds import WorkloadKind
from scaling_operator.cluster.workloads.order import Bounds
from scaling_operator.cluster.workloads.record import with_record
from scaling_operator.core.observed import AttemptView


@dataclass(slots=True)
class Looks:
    """A plan looks at every live trial's workload; few have changed since the plan before."""

    index: Index
    experiment: Key
    kind: WorkloadKind
    bounds: Bounds
    clock: Callable[[], float]
    _known: dict[str, tuple[Object, AttemptView]] = field(
        default_factory=dict[str, tuple[Object, AttemptView]]
    )

    def at(self, workload: Object) -> AttemptView:
        """View a workload, with the machine that it was given."""
        name = workload["metadata"]["name"]
        known = self._known.get(name)
        if known is not None and known[0] is workload and not self._is_due(known[1]):
            return known[1]
        seen = self.kind.view(self.index, self.experiment, workload, self.bounds, self.clock())
        view = with_record(seen, workload)
        if self.kind.kind is PODS:  # a Job's view is made of its pods too
            self._known[name] = (workload, view)
        return view

    def parting(self, name: str, trial_uid: str | None) -> AttemptView:
        """View a workload of a trial that was seen and is gone."""
        last = self.index.gone.get((self.kind.kind, self.experiment), {}).get(name)
        if last is not None and not is_owned(last, TRIALS, trial_uid):
            last = None
        return self.kind.parting_view(self.index, self.experiment, last, self.bounds, self.clock())

    def keep(self, names: Set[str]) -> None:
        """Forget all other workloads."""
        for name in self._known.keys() - names:
            del self._known[name]

    def _is_due(self, view: AttemptView) -> bool:
        return view.changes_at_seconds is not None and self.clock() >= view.changes_at_seconds
