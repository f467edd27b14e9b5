"""The backend of an experiment's engine: the experiment's objects in a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Reason
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import ABSENT, AttemptPhase, AttemptView, StaleWorkload
from scaling_operator.core.reports import AttemptKey
from scaling_operator.kube.client.client import Client, Object, write_status
from scaling_operator.kube.client.errors import (
    AlreadyExists,
    ClusterBusy,
    ClusterError,
    Invalid,
    NotFound,
    PodRefused,
    QuotaExceeded,
)
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, JOBS, PODS, TRIALS
from scaling_operator.kube.client.ownership import is_owned
from scaling_operator.kube.reconcile.attempt_specs import AttemptSpecs, create_claim_template
from scaling_operator.kube.reconcile.launch_backoff import LaunchBackoff, LaunchRefusal
from scaling_operator.kube.reconcile.namespace_usage import HeldMachines
from scaling_operator.kube.reconcile.stale_workloads import Sweeper, WorkloadCleanup
from scaling_operator.kube.reconcile.trials import StoredTrials
from scaling_operator.kube.reconcile.view_cache import ViewCache
from scaling_operator.kube.reconcile.workload_kinds import WorkloadKind
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, GracePeriods, WorkloadSettings
from scaling_operator.kube.workloads.identity import workload_name
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.runtime.state import ExperimentState
from scaling_operator.sizing.admission import demand_of_record
from scaling_operator.sizing.machines import NoMachine


@dataclass(slots=True)
class ClusterBackend:
    """Reads the index, writes through the client."""

    key: Key
    uid: str
    spec: ExperimentSpec
    client: Client
    index: Index
    sweeper: Sweeper
    kind: WorkloadKind
    workload_settings: Callable[[], WorkloadSettings]
    grace: GracePeriods
    keep_failed_seconds: float
    clock: Callable[[], float]
    held_machines: HeldMachines
    sizer: Sizer | None = None
    _view_cache: ViewCache = field(init=False)
    _trials: StoredTrials = field(init=False)
    _launch_backoff: LaunchBackoff = field(init=False)
    _stale_workloads: WorkloadCleanup = field(init=False)
    _launched: set[AttemptKey] = field(default_factory=set[AttemptKey])

    def __post_init__(self) -> None:
        """Make the parts that need each other."""
        self._view_cache = ViewCache(self.index, self.key, self.kind, self.grace, self.clock)
        self._trials = StoredTrials(self.client, self.key, self.uid, self.clock)
        self._launch_backoff = LaunchBackoff(self.clock)
        self._stale_workloads = WorkloadCleanup(
            index=self.index,
            sweeper=self.sweeper,
            experiment=self.key,
            kind=self.kind,
            view_cache=self._view_cache,
            uid_of=self._trials.uid_of,
            keep_failed_seconds=self.keep_failed_seconds,
        )

    def view(self, trial: ScalingTrial, key: AttemptKey) -> AttemptView:
        """Show the state of an attempt: its workload, or why it has none."""
        name = workload_name(self.key.name, key)
        workload = self.index.workload(self.kind.kind, self.key, name)
        if workload is not None:
            cached = self._view_cache.read(name, workload)
            uid = self._trials.uid_of(key.trial)
            if uid is not None and cached.owner_uid == uid:
                self._launched.add(key)
                return cached.view
        if workload is not None and key not in self._launched:
            return _refused(trial, self._launch_backoff.blocked(key, _not_ours(name)))
        refusal = self._launch_backoff.current(key)
        if refusal is not None:
            return _refused(trial, refusal)
        if key in self._launched:
            return self._view_cache.last_view(name, self._trials.uid_of(key.trial))
        return ABSENT

    def note(self, trials: Iterable[ScalingTrial]) -> None:
        """Take in trials that are stored already."""
        for trial in trials:
            self._trials.add(trial)

    def owns(self, key: AttemptKey, workload: Object) -> bool:
        """Whether a workload belongs to the trial of an attempt."""
        return is_owned(workload, TRIALS, self._trials.uid_of(key.trial))

    def runs(self, key: AttemptKey, pod: Object) -> bool | None:
        """Whether a pod runs an attempt; None where the index has no Job of the attempt yet."""
        if self.kind.kind is PODS:
            return self.owns(key, pod)
        workload = self.index.workload(self.kind.kind, self.key, workload_name(self.key.name, key))
        if workload is None:
            return None
        return self.owns(key, workload) and is_owned(pod, JOBS, workload["metadata"]["uid"])

    def stale_workloads(self, state: ExperimentState) -> Iterator[StaleWorkload]:
        """Give the workloads that no live trial waits for."""
        return self._stale_workloads.list_stale(state)

    @property
    def wake_at_seconds(self) -> float | None:
        """When a refused pod is tried again."""
        return self._launch_backoff.wake_at_seconds

    def missing(self, state: ExperimentState, stored: Mapping[str, str]) -> list[str]:
        """Name the trials that should be stored and are not; `stored` are names and uids."""
        names = state.names(self.key.name)
        return [
            name
            for name, trial_key in names.items()
            if stored.get(name) != self._trials.uid_of(trial_key)
        ]

    def retry_deletions(self) -> None:
        """Request deletions again that may have been lost."""
        self._stale_workloads.retry_deletions()

    async def create(self, trial: ScalingTrial) -> ScalingTrial:
        """Create the ScalingTrial: the commit of a proposal."""
        return await self._trials.create(trial)

    async def save(self, trial: ScalingTrial) -> ScalingTrial:
        """Write a trial's status; the first end that is written stays."""
        return await self._trials.save(trial)

    async def launch(self, trial: ScalingTrial, attempt: int) -> None:
        """Create the attempt's workload, or adopt the trial's own workload of this name."""
        key = AttemptKey(*trial.spec.key, attempt)
        attempt_spec = self._attempt_spec(trial, attempt)
        if attempt_spec is None or not self._reserve(key, attempt_spec):
            return
        try:
            await self._create(key, attempt_spec)
        except ClusterBusy:
            raise  # the workload may exist: its reservation stays
        except ClusterError:
            self.held_machines.release(self.key, attempt_spec.name)
            raise
        self.held_machines.release(self.key, attempt_spec.name)

    async def _create(self, key: AttemptKey, attempt_spec: AttemptSpec) -> None:
        manifest = self.kind.manifest(attempt_spec)
        try:
            await create_claim_template(self.client, attempt_spec)
            workload = await self.client.create(self.kind.kind, self.key.namespace, manifest)
        except AlreadyExists:
            name = workload_name(self.key.name, key)
            workload = await self.client.get(self.kind.kind, self.key.namespace, name)
            if not self.owns(key, workload):
                self._launch_backoff.note_for_now(key, None, _not_ours(name))
                return
        except QuotaExceeded as error:
            self._launch_backoff.note_for_now(key, Reason.QUOTA_EXCEEDED, str(error))
            return
        except (PodRefused, Invalid) as error:
            self._launch_backoff.note_for_good(key, Reason.CONFIG_ERROR, str(error))
            return
        self._launch_backoff.forget(key)
        self._launched.add(key)
        self.index.put(self.kind.kind, workload)

    async def discard(self, keys: tuple[AttemptKey, ...]) -> None:
        """Delete workloads that no live trial waits for."""
        await self._stale_workloads.discard(keys)

    async def publish(self, status: ExperimentStatus) -> None:
        """Write the experiment's whole status. Raises NotFound where the experiment is gone."""
        experiment = self.index.experiments.get(self.key)
        if experiment is None or experiment["metadata"]["uid"] != self.uid:
            message = f"{self.key} is gone"
            raise NotFound(message)
        document = status.model_dump(mode="json", exclude_none=True)
        try:
            stored = await write_status(self.client, EXPERIMENTS, experiment, document)
        except NotFound:
            self.index.drop(EXPERIMENTS, experiment)  # the event of its deletion was lost
            raise
        self.index.put(EXPERIMENTS, stored)

    def _reserve(self, key: AttemptKey, attempt_spec: AttemptSpec) -> bool:
        """Reserve room under the policy's limits: others may have taken it since the plan."""
        recorded = attempt_spec.resources.recorded
        if self.sizer is None or recorded is None:
            return True
        demand, limits = demand_of_record(recorded), self.sizer.policy.limits
        exceeded_limit = self.held_machines.reserve(self.key, attempt_spec.name, demand, limits)
        if exceeded_limit is not None:
            self._launch_backoff.note_for_now(key, Reason.QUOTA_EXCEEDED, exceeded_limit)
        return exceeded_limit is None

    def _attempt_spec(self, trial: ScalingTrial, attempt: int) -> AttemptSpec | None:
        """Specify an attempt; None where no machine is left: the next plan ends the trial."""
        attempt_specs = AttemptSpecs(self.key, self.spec, self.workload_settings())
        if self.sizer is None:
            return attempt_specs.unsized(trial, attempt)
        allocation = self.sizer.allocation(trial)
        if isinstance(allocation, NoMachine):
            return None
        return attempt_specs.sized(trial, attempt, allocation, self.sizer)


def _not_ours(name: str) -> str:
    return f"{name} is there and is not this trial's: the attempt begins when it is gone"


def _refused(trial: ScalingTrial, refusal: LaunchRefusal) -> AttemptView:
    """View an attempt without a workload. Its waiting time counts from the stored `queuedTime`."""
    queued = trial.status.queued_time
    since = refusal.since_seconds if queued is None else queued.timestamp()
    return AttemptView(
        phase=AttemptPhase.WAITING,
        reason=refusal.reason,
        message=refusal.message,
        since_seconds=since,
        is_refused=True,
    )
