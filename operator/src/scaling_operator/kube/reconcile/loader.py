"""Loads an experiment: reads and checks its object and trials, and builds its engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.policy import ResourcePolicy
from scaling_operator.api.problems import InvalidSpec, Problem
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.core.fit_types import FitView
from scaling_operator.core.observed import Rules
from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import TRIALS
from scaling_operator.kube.reconcile.backend import ClusterBackend
from scaling_operator.kube.reconcile.namespace_usage import NamespaceUsage, Peer
from scaling_operator.kube.reconcile.policies import Policies, SizingInputs
from scaling_operator.kube.reconcile.stale_workloads import Sweeper
from scaling_operator.kube.reconcile.trials import read_trial
from scaling_operator.kube.reconcile.warmstart import warm_points
from scaling_operator.kube.reconcile.workload_kinds import JOB_KIND, POD_KIND, WorkloadKind
from scaling_operator.kube.settings import PodSettings
from scaling_operator.kube.workloads.attempt_spec import WorkloadSettings, platform_problems
from scaling_operator.kube.workloads.identity import experiment_selector
from scaling_operator.law.fit_worker import FitWorker
from scaling_operator.processes.workers import Workers
from scaling_operator.runtime.engine import Engine
from scaling_operator.runtime.hooks import Hooks
from scaling_operator.runtime.reports import Reports
from scaling_operator.runtime.sizer import Sizer
from scaling_operator.runtime.state import ExperimentState, read_state
from scaling_operator.runtime.study_settings import trials_per_scale
from scaling_operator.search.extras import missing_extra
from scaling_operator.sizing.admission import Peers
from scaling_operator.sizing.usage import NO_LIMITS
from scaling_operator.validation.load import read_checked

SAVE_CURVES_AFTER_SECONDS = 10.0
QUEUEING_GRACE_SECONDS = 5.0
TRIALS_AT_A_TIME = 50
"""Read without a pause: some milliseconds, in which the event loop does nothing else."""


@dataclass(slots=True)
class Loaded:
    """An experiment in memory."""

    uid: str
    engine: Engine
    backend: ClusterBackend
    reports: Reports
    published_seconds: float = 0.0
    sizing_inputs: SizingInputs = None, None, None


@dataclass(frozen=True, slots=True)
class Loader:
    """Opens experiments."""

    client: Client
    index: Index
    sweeper: Sweeper
    settings: PodSettings
    workload_settings: Callable[[], WorkloadSettings]
    wake: Callable[[Key], None]
    clock: Callable[[], float]
    workers: Workers

    @property
    def policies(self) -> Policies:
        """The ResourcePolicies of the index."""
        return Policies(self.index)

    @property
    def kind(self) -> WorkloadKind:
        """Kind of an attempt's workload."""
        return JOB_KIND if self.settings.kind == "job" else POD_KIND

    async def open(
        self, key: Key, experiment: Object, hooks: Hooks, namespace_usage: NamespaceUsage
    ) -> Loaded:
        """Read an experiment and its trials. Raises InvalidSpec."""
        spec = await self.read_spec(key, experiment)
        uid = str(experiment["metadata"]["uid"])
        state = read_state(spec, self.rules(spec, key.namespace), status_of(experiment), ())
        state.generation = int(experiment["metadata"]["generation"])
        sizing_inputs = self.policies.sizing_inputs(experiment)
        sizer = self._make_sizer(state, key.namespace, lambda: namespace_usage.peers_of(key, state))
        backend = ClusterBackend(
            key=key,
            uid=uid,
            spec=spec,
            client=self.client,
            index=self.index,
            sweeper=self.sweeper,
            kind=self.kind,
            workload_settings=self.workload_settings,
            grace=self.settings.grace,
            keep_failed_seconds=self.settings.keep_failed_seconds,
            clock=self.clock,
            held_machines=namespace_usage.held_machines,
            sizer=sizer,
        )
        await self._read_trials(key, uid, state, backend)
        if not all(view.open for view in state.scales.values()):
            state.warm_points = await warm_points(self.client, key.namespace, spec)
        if sizer is not None and sizer.policy.limits != NO_LIMITS:
            await namespace_usage.held_machines.list_namespace(
                self.client, self.kind.kind, key.namespace
            )

        def fitted(view: FitView) -> None:
            state.fit = view

        fits = FitWorker(fitted, lambda: self.wake(key), self.workers.fits(key.namespace))
        studies = self.workers.studies(key.namespace, spec.search)
        engine = Engine(
            key.name,
            uid,
            state,
            backend,
            hooks=hooks,
            clock=self.clock,
            fit_worker=fits,
            studies=studies,
        )
        reports = Reports(engine, lambda: self.wake(key), SAVE_CURVES_AFTER_SECONDS)
        if sizer is not None:
            namespace_usage.peers[key] = Peer(sizer, engine.in_flight)
        return Loaded(uid, engine, backend, reports, sizing_inputs=sizing_inputs)

    def _make_sizer(
        self, state: ExperimentState, namespace: str, peers: Callable[[], Peers]
    ) -> Sizer | None:
        """Give the state its machines; return the sizer, None without a usable policy."""
        policy = self.policies.find(state.spec, namespace)
        if not isinstance(policy, ResourcePolicy):
            state.machines = policy
            return None
        sizer = Sizer(state.spec, policy.spec, state.rules.max_trials, peers)
        state.machines = sizer
        return sizer

    def is_outdated(self, loaded: Loaded, experiment: Object) -> bool:
        """Whether the trials need a new size: the policy or the resources have changed."""
        return loaded.sizing_inputs != self.policies.sizing_inputs(experiment)

    async def update_spec(self, key: Key, loaded: Loaded, experiment: Object) -> None:
        """Take over a changed spec while the experiment runs. Raises InvalidSpec."""
        generation = int(experiment["metadata"]["generation"])
        if generation != loaded.engine.state.generation:
            spec = await self.read_spec(key, experiment)
            state = loaded.engine.state
            state.spec, state.generation = spec, generation
            state.rules = self.rules(spec, key.namespace)
            loaded.backend.spec = spec
            if loaded.backend.sizer is not None:
                loaded.backend.sizer.follow(spec, state.rules.max_trials)

    async def read_spec(self, key: Key, experiment: Object) -> ExperimentSpec:
        """Read a spec that this cluster can carry out. Raises InvalidSpec."""
        invalid = await self.workers.check(key.namespace, experiment)
        if invalid:
            raise InvalidSpec(invalid)
        spec = (await asyncio.to_thread(read_checked, experiment)).spec
        problems = [*platform_problems(spec, self.workload_settings())]
        # The worker process loads the sampler, within bounds; this process never does.
        extra = missing_extra(spec.search, loads=False)
        if extra is not None:
            problems.append(Problem("spec.search.algorithm", extra))
        if problems:
            raise InvalidSpec(tuple(problems))
        return spec

    def rules(self, spec: ExperimentSpec, namespace: str) -> Rules:
        """Give the core's limits that are settings of this operator."""
        policy = self.policies.find(spec, namespace)
        escalations = (
            policy.spec.escalation.max_escalations if isinstance(policy, ResourcePolicy) else 0
        )
        return Rules(
            max_trials=trials_per_scale(spec),
            max_escalations=escalations,
            no_result_grace_seconds=self.settings.no_result_grace_seconds,
            queueing_grace_seconds=QUEUEING_GRACE_SECONDS,
            backoff_seconds=self.settings.backoff_seconds,
            fits=True,
        )

    async def _read_trials(
        self, key: Key, uid: str, state: ExperimentState, backend: ClusterBackend
    ) -> None:
        """Add all stored trials, some at a time: the event loop goes on in between."""
        first_started = state.started_seconds
        created: list[float] = []
        labels = experiment_selector(key.name)
        async for page in self.client.pages(TRIALS, key.namespace, labels):
            for index, stored in enumerate(page):
                trial = read_trial(stored)
                if trial.is_of(uid):
                    created.append(trial.created_seconds or 0.0)
                    state.note(trial, created[-1])
                    backend.note((trial,))
                if index % TRIALS_AT_A_TIME == 0:
                    await asyncio.sleep(0)
        # The API server sorts by name: 10 before 2.
        state.live = dict(sorted(state.live.items()))
        state.started_seconds = (
            min(created, default=None) if first_started is None else first_started
        )


def status_of(experiment: Object) -> ExperimentStatus:
    """Read an experiment's stored status."""
    status: dict[str, Any] = experiment.get("status") or {}
    return ExperimentStatus.model_validate(status)
