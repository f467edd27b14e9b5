"""The specification of an attempt: its trial, what it runs, and the settings of the platform.

`pod` and `job` make a manifest from it. Nothing here reads a clock or a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import is_experiment_name, trial_name
from scaling_operator.api.problems import Problem, listing, shown
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.reports import AttemptKey
from scaling_operator.core.resources import PodResources
from scaling_operator.kube.workloads.allowed import Allowed, disallowed_names
from scaling_operator.kube.workloads.identity import workload_name
from scaling_trainer.contract import Execution


@dataclass(frozen=True, slots=True)
class WorkloadSettings:
    """What the platform sets for every attempt.

    `report_url` None: no reports, hence no token. `report_ca` is the endpoint's certificate as PEM
    text. `queue` is a Kueue LocalQueue, for Jobs only. `priority_class` is the
    pods' PriorityClass. `default_cpu` and `default_memory` are requests of the built-in trainer
    where nothing else gives it any. `disk_limit` is a quantity: the most that each folder of a pod
    may hold on the disk of its node.
    """

    trainer_image: str
    image_pull_policy: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    report_url: str | None = None
    report_ca: str | None = None
    run_as_user: int = 65532
    allowed_service_accounts: tuple[str, ...] = ()
    allowed: Allowed = field(default_factory=Allowed)
    disk_limit: str | None = None
    queue: str | None = None
    priority_class: str | None = None
    default_cpu: str = "1"
    default_memory: str = "2Gi"


@dataclass(frozen=True, slots=True)
class AttemptSpec:
    """One attempt of a trial. The trial is the stored object: its metadata contain the uid."""

    experiment: str
    namespace: str
    trial: ScalingTrial
    attempt: int
    spec: ExperimentSpec
    resources: PodResources
    execution: Execution
    settings: WorkloadSettings

    @property
    def key(self) -> AttemptKey:
        """The attempt's numbers: scale, trial, attempt."""
        return AttemptKey(self.trial.spec.scale, self.trial.spec.number, self.attempt)

    @property
    def trial_name(self) -> str:
        """Name of the ScalingTrial object."""
        spec = self.trial.spec
        return trial_name(self.experiment, spec.scale, spec.number)

    @property
    def name(self) -> str:
        """Name of the attempt's workload."""
        return workload_name(self.experiment, self.key)


@dataclass(frozen=True, slots=True)
class GracePeriods:
    """How long a problem of a pod may last before it becomes the attempt's reason, in seconds.

    An image that cannot be pulled and a container that cannot be created get the time that a
    registry, or a Secret to be created, may need. A pod whose deletion is overdue by
    `deletion_grace_seconds` has lost its node.
    """

    image_pull_grace_seconds: float = 120.0
    config_error_grace_seconds: float = 30.0
    deletion_grace_seconds: float = 60.0


def platform_problems(spec: ExperimentSpec, settings: WorkloadSettings) -> Iterator[Problem]:
    """Give the problems of a valid experiment that this cluster cannot, or may not, run.

    They are for the condition Accepted=False, before any trial is proposed.
    """
    container = spec.trainer.container
    if container is not None and container.image is None:
        yield Problem("spec.trainer.container.image", "is required on a cluster: name an image")
    if container is None and not settings.trainer_image:
        yield Problem("spec.trainer.builtIn", "the operator was started without --trainer-image")
    account = spec.trainer.pod.service_account_name
    if account not in (None, "default", *settings.allowed_service_accounts):
        allowed = listing(settings.allowed_service_accounts) or "none but the default"
        message = f"{account} is not for experiments; the platform allows: {allowed}"
        yield Problem("spec.trainer.pod.serviceAccountName", message)
    yield from disallowed_names(spec, settings.allowed)
    for at, name in enumerate(spec.search.warm_start.from_):
        if not is_experiment_name(name):
            message = f"{shown(name)} is not the name of an experiment: on a cluster name one"
            yield Problem(f"spec.search.warmStart.from[{at}]", message)
