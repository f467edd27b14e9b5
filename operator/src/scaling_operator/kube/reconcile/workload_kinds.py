"""The kinds of workload that can run an attempt: Pod and Job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scaling_operator.api.names import Reason
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.kube.client.client import Object
from scaling_operator.kube.client.index import Index
from scaling_operator.kube.client.kinds import JOBS, PODS, Kind
from scaling_operator.kube.workloads import job, pod
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, GracePeriods
from scaling_operator.kube.workloads.pod_view import interruption_of


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """What is created for an attempt, and how its objects become a view."""

    kind: Kind
    manifest: Callable[[AttemptSpec], Object]
    parts: Callable[[Index, Object], tuple[Object, ...]]
    """The objects that a workload's view is made from, the workload first."""
    observe: Callable[[Sequence[Object], GracePeriods, float], AttemptView]

    def parting_view(
        self, index: Index, last: Object | None, grace: GracePeriods, now_seconds: float
    ) -> AttemptView:
        """View an attempt whose workload is gone, by its last state where that is known.

        A pod that ends and is deleted at once shows its end, or what ended it, in its last state.
        """
        deleted = (Reason.POD_DELETED, "its workload was deleted")
        if last is not None:
            view = self.observe(self.parts(index, last), grace, now_seconds)
            if view.phase in (AttemptPhase.EXITED, AttemptPhase.LOST):
                return view
            deleted = interruption_of(last, {}) or deleted
        return AttemptView(AttemptPhase.LOST, *deleted, since_seconds=now_seconds)


def _single(index: Index, workload: Object) -> tuple[Object, ...]:
    del index
    return (workload,)


def _with_pods(index: Index, workload: Object) -> tuple[Object, ...]:
    return workload, *index.pods_of(workload)


POD_KIND = WorkloadKind(PODS, pod.manifest, _single, pod.observe)
JOB_KIND = WorkloadKind(JOBS, job.manifest, _with_pods, job.observe)
