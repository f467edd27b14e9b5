"""Creates, observes and deletes the finisher's pod of an experiment, as core.finisher decides."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import LABEL_FINISHES, finisher_name
from scaling_operator.api.status import BestTrial, ExperimentStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.finisher import Finished, FinishingStep, finishing, not_saved, to_finish
from scaling_operator.core.observed import ABSENT, AttemptPhase, AttemptView
from scaling_operator.core.resources import PodResources
from scaling_operator.kube.client.client import Object
from scaling_operator.kube.client.errors import (
    AlreadyExists,
    Invalid,
    PodRefused,
    QuotaExceeded,
)
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS
from scaling_operator.kube.client.ownership import is_owned
from scaling_operator.kube.reconcile.loader import Loaded
from scaling_operator.kube.workloads import finisher, pod
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec
from scaling_trainer.contract import Execution

RECHECK_SECONDS = 10.0


class ForeignPod(Exception):
    """Another pod has the finisher's name."""


@dataclass(frozen=True, slots=True)
class Finisher:
    """Saves the best model of an experiment that has ended."""

    loaded: Loaded

    async def step(self, status: ExperimentStatus) -> tuple[ExperimentStatus, float | None]:
        """Go one step; return the status, and when to go on (seconds since the epoch)."""
        spec = self.loaded.engine.state.spec
        has_claim = spec.artifacts.persistent_volume_claim is not None
        best = to_finish(status, has_claim=has_claim)
        finisher_pod = self._finisher_pod()
        if best is None:
            if finisher_pod is not None and status.export is not None and status.export.saved:
                await self.loaded.backend.sweeper.delete(PODS, finisher_pod)
            return status, None
        now, since = self.loaded.backend.clock(), status.completion_time
        ended = None if since is None else since.timestamp()
        next_step = finishing(best, self._view(best, finisher_pod), spec, now, ended)
        if next_step is FinishingStep.CREATE:
            next_step = await self._start(best, spec, status)
        match next_step:
            case FinishingStep.WAIT | FinishingStep.CREATE:
                pass
            case FinishingStep.DISCARD:
                if finisher_pod is not None:
                    await self.loaded.backend.sweeper.delete(PODS, finisher_pod)
            case Finished(export=export, test_metrics=metrics):
                update = {"test_metrics": metrics}
                updated_best = best if metrics is None else best.model_copy(update=update)
                status = status.model_copy(update={"export": export, "best": updated_best})
                return (
                    status,
                    self.loaded.backend.clock(),
                )  # its condition is derived in the next turn
        return status, self.loaded.backend.clock() + RECHECK_SECONDS

    def _finisher_pod(self) -> Object | None:
        backend = self.loaded.backend
        finisher_pod = backend.index.workload(PODS, backend.key, finisher_name(backend.key.name))
        is_ours = finisher_pod is not None and is_owned(finisher_pod, EXPERIMENTS, backend.uid)
        return finisher_pod if is_ours else None

    def _view(self, best: BestTrial, finisher_pod: Object | None) -> AttemptView:
        if finisher_pod is None:
            return ABSENT
        backend = self.loaded.backend
        if finisher_pod["metadata"]["labels"].get(LABEL_FINISHES) != best.trial:
            return AttemptView(
                AttemptPhase.LOST
            )  # a finisher of an earlier best trial, before further trials ran
        return pod.observe([finisher_pod], backend.grace, backend.clock())

    async def _start(
        self, best: BestTrial, spec: ExperimentSpec, status: ExperimentStatus
    ) -> FinishingStep | Finished:
        """Create the pod, or say why it cannot exist.

        The finisher waits for quota, and for a foreign pod of its name to go, as a trial does.
        """
        try:
            await self._create(best, spec)
        except (QuotaExceeded, ForeignPod) as error:
            since = status.completion_time
            waited_seconds = (
                0.0 if since is None else self.loaded.backend.clock() - since.timestamp()
            )
            if waited_seconds >= spec.trials.pending_timeout.total_seconds():
                return not_saved(best, str(error))
        except (PodRefused, Invalid) as error:
            return not_saved(best, str(error))
        return FinishingStep.WAIT

    async def _create(self, best: BestTrial, spec: ExperimentSpec) -> None:
        backend = self.loaded.backend
        reference = ExperimentReference(name=backend.key.name, uid=backend.uid)
        trial = TrialSpec(
            experiment=reference,
            scale=best.scale,
            number=best.number,
            parameters=best.parameters,
            seed=0,
        )
        attempt_spec = AttemptSpec(
            experiment=backend.key.name,
            namespace=backend.key.namespace,
            trial=ScalingTrial(spec=trial),
            attempt=0,
            spec=spec,
            resources=PodResources(),
            execution=Execution(),
            settings=backend.workload_settings(),
        )
        manifest = finisher.manifest(attempt_spec, backend.uid)
        try:
            finisher_pod = await backend.client.create(PODS, backend.key.namespace, manifest)
        except AlreadyExists:
            finisher_pod = await backend.client.get(
                PODS, backend.key.namespace, manifest["metadata"]["name"]
            )
            if not is_owned(finisher_pod, EXPERIMENTS, backend.uid):
                message = (
                    f"pod {finisher_pod['metadata']['name']} is there and is not this experiment's"
                )
                raise ForeignPod(message) from None
        backend.index.put(PODS, finisher_pod)
