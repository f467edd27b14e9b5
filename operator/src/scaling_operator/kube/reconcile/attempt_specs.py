"""Makes the specification of an attempt from a trial and the machine that it gets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.resources import PodResources, fixed_resources
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import AlreadyExists, Invalid, NotFound
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import CLAIM_TEMPLATES
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, WorkloadSettings
from scaling_operator.kube.workloads.claim import claim_template
from scaling_operator.kube.workloads.pod_template import metadata
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.sizing.allocation import Allocation
from scaling_trainer.contract import Execution


@dataclass(frozen=True, slots=True)
class AttemptSpecs:
    """What the attempts of an experiment have in common."""

    key: Key
    spec: ExperimentSpec
    settings: WorkloadSettings

    def unsized(self, trial: ScalingTrial, attempt: int) -> AttemptSpec:
        """Specify an attempt where there is no policy."""
        fixed = self.spec.resources.fixed
        resources = PodResources() if fixed is None else fixed_resources(fixed)
        return self._spec(trial, attempt, resources)

    def sized(
        self, trial: ScalingTrial, attempt: int, allocation: Allocation, sizer: Sizer
    ) -> AttemptSpec:
        """Specify an attempt by a policy, whose queue and priority class come first."""
        policy = sizer.policy
        settings = replace(
            self.settings,
            queue=policy.queue or self.settings.queue,
            priority_class=policy.priority_class or self.settings.priority_class,
        )
        attempt_spec = self._spec(trial, attempt, sizer.request(trial, allocation))
        return replace(attempt_spec, execution=allocation.execution, settings=settings)

    def _spec(self, trial: ScalingTrial, attempt: int, resources: PodResources) -> AttemptSpec:
        return AttemptSpec(
            experiment=self.key.name,
            namespace=self.key.namespace,
            trial=trial,
            attempt=attempt,
            spec=self.spec,
            resources=resources,
            execution=Execution(),
            settings=self.settings,
        )


async def create_claim_template(client: Client, attempt_spec: AttemptSpec) -> None:
    """Create the claim template of an attempt that needs one; an existing template stays.

    Raises Invalid where the cluster has no such templates, or refuses this one.
    """
    body = claim_template(attempt_spec, metadata(attempt_spec))
    if body is None:
        return
    try:
        await client.create(CLAIM_TEMPLATES, attempt_spec.namespace, body)
    except AlreadyExists:
        return
    except NotFound as error:
        message = "this cluster has no resource.k8s.io/v1: backend dra needs Kubernetes 1.34"
        raise Invalid(message) from error
