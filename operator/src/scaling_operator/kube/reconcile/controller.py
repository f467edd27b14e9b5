"""Reconciles experiments: gather → plan → apply for one of them, whatever woke it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from scaling_operator.api.names import ConditionReason, Phase, TrialState
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.api.status import Condition, ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.actions import Plan
from scaling_operator.core.conditions import is_requested, news, stops_work
from scaling_operator.core.finisher import to_finish
from scaling_operator.core.reports import AttemptKey, Reply, Report
from scaling_operator.core.status import failing, is_failing, spec_refused
from scaling_operator.kube.client.client import Object, write_status
from scaling_operator.kube.client.errors import NotFound
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, TRIALS
from scaling_operator.kube.logs import about
from scaling_operator.kube.reconcile.events import Event, EventRecorder, ObjectReference
from scaling_operator.kube.reconcile.finisher import Finisher
from scaling_operator.kube.reconcile.loader import Loaded, Loader, status_of
from scaling_operator.kube.reconcile.namespace_usage import HeldMachines, NamespaceUsage
from scaling_operator.kube.reconcile.policies import publish_policy
from scaling_operator.kube.recorder import Recorder, TrialChanged
from scaling_operator.processes.process import WorkExceeded
from scaling_operator.report_endpoint.endpoint import NotAnAttempt

log = logging.getLogger(__name__)
PUBLISH_SECONDS = 1.0


@dataclass(slots=True)
class Controller:
    """All experiments of this operator."""

    index: Index
    loader: Loader
    events: EventRecorder
    recorder: Recorder
    clock: Callable[[], float]
    loaded: dict[Key, Loaded] = field(default_factory=dict[Key, Loaded])
    _stale: set[Key] = field(default_factory=set[Key])
    _too_costly: dict[Key, tuple[str, int]] = field(default_factory=dict[Key, tuple[str, int]])
    """Versions of experiments whose search exceeds its limits: they are not tried again."""
    namespace_usage: NamespaceUsage = field(init=False)

    def __post_init__(self) -> None:
        """Start counting what all workloads hold."""
        self.namespace_usage = NamespaceUsage(HeldMachines(self.index, self.clock))

    async def reconcile(self, key: Key) -> float | None:
        """Advance an experiment as far as possible now.

        Returns when to reconcile again, in seconds since the epoch; None: when something happens.
        """
        if not key.namespace:
            return await self._reconcile_policy(key.name)
        if not key.name:
            return self._reconcile_namespace(key.namespace)
        try:
            return await self._reconcile(key)
        except Exception:
            self.namespace_usage.stop_waiting(key)
            raise
        finally:
            if self.namespace_usage.has_changed(key):
                for other in self.namespace_usage.waiting(key):
                    self.loader.wake(other)

    async def _reconcile(self, key: Key) -> float | None:
        if key in self._stale:
            self.close(key)
        experiment = self.index.experiments.get(key)
        if experiment is None or "deletionTimestamp" in experiment["metadata"]:
            self.close(key)  # Kubernetes' garbage collector does the rest
            self._too_costly.pop(key, None)
            self.index.forget(key)
            self.namespace_usage.held_machines.forget(key)
            self.recorder.forget(key)
            return None
        if self._too_costly.get(key) == _version(experiment):
            return None
        try:
            return await self._advance(key, experiment)
        except InvalidSpec as invalid:
            message = "; ".join(str(problem) for problem in invalid.problems)
            await self._refuse(key, experiment, ConditionReason.INVALID_SPEC, message)
            return None
        except WorkExceeded as exceeded:
            # The same search would exceed its limits again, now and after each restart.
            self._too_costly[key] = _version(experiment)
            self.close(key)
            await self._refuse(key, experiment, ConditionReason.SEARCH_TOO_COSTLY, str(exceeded))
            return None
        finally:
            await self.events.send()

    def close(self, key: Key) -> None:
        """Drop an experiment from memory. Only the worker that reconciles it may do so."""
        self._stale.discard(key)
        loaded = self.loaded.pop(key, None)
        self.namespace_usage.peers.pop(key, None)
        if loaded is not None:
            loaded.engine.close()

    def notify(self, key: Key) -> None:
        """Wake the worker that reconciles an experiment: something about it has changed."""
        loaded = self.loaded.get(key)
        if loaded is not None:
            loaded.engine.in_flight.wake()

    def invalidate(self, keys: Iterable[Key]) -> None:
        """Have experiments read anew at their next turn: somebody else has changed them."""
        self._stale.update(key for key in keys if key in self.loaded)

    async def report(
        self, key: Key, attempt: AttemptKey, pod: Object, report: Report
    ) -> Reply | None:
        """Take a report from the pod of an attempt; None where the pod cannot be checked yet.

        Raises NotAnAttempt where the pod does not run that attempt.
        """
        loaded = self.loaded.get(key)
        runs = None if loaded is None else loaded.backend.runs(attempt, pod)
        if loaded is None or runs is None:
            return None
        if not runs:
            message = f"pod {pod['metadata']['name']} is not of this experiment"
            raise NotAnAttempt(message)
        return await loaded.reports.take(attempt, report)

    async def _advance(self, key: Key, experiment: Object) -> float | None:
        loaded = self.loaded.get(key)
        if loaded is not None and loaded.uid != experiment["metadata"]["uid"]:
            self.close(key)
            loaded = None
        if loaded is not None and self.loader.is_outdated(loaded, experiment):
            await self.loader.read_spec(
                key, experiment
            )  # raises where it is invalid: then the spec before goes on
            self.close(key)
            loaded = None
        if loaded is None:
            if self._is_finished(key, experiment):
                return None
            hooks = self.recorder.hooks(key, experiment["spec"], self._event_of_trial(key))
            loaded = await self.loader.open(key, experiment, hooks, self.namespace_usage)
            self.loaded[key] = loaded
        else:
            await self.loader.update_spec(key, loaded, experiment)
        settled = await loaded.engine.settle(self.clock() + PUBLISH_SECONDS)
        self.recorder.settled(key)
        await loaded.reports.save_due(self.clock())
        status, finish_seconds = await Finisher(loaded).step(settled.status)
        due = [finish_seconds, await self._publish(key, loaded, status)]
        due.append(self.clock() if settled.actions else None)
        return self._next_turn(key, loaded, settled, due)

    async def _reconcile_policy(self, name: str) -> None:
        """Write whether a policy can be used; wake its experiments, with an Event for each."""
        change = await publish_policy(self.loader.client, self.index, name, self.clock)
        for key, policy_name in self.loader.policies.names_used(self.index.experiments):
            if policy_name != name:
                continue
            self.loader.wake(key)
            experiment = self.index.experiments[key]
            if change is not None and not self._is_finished(key, experiment):
                regarding = ObjectReference(EXPERIMENTS, *key, str(experiment["metadata"]["uid"]))
                self._record_events(regarding, *change, prefix=f"ResourcePolicy {name}: ")
        await self.events.send()

    def _reconcile_namespace(self, namespace: str) -> None:
        """Wake the experiments of a namespace: its labels decide which policies they may use."""
        for key in self.index.experiments:
            if key.namespace == namespace:
                self.loader.wake(key)

    def _next_turn(
        self, key: Key, loaded: Loaded, settled: Plan, others: Sequence[float | None]
    ) -> float | None:
        times = (
            settled.wake_at_seconds,
            loaded.reports.wake_at_seconds,
            loaded.backend.wake_at_seconds,
            *others,
        )
        due = [time for time in times if time is not None]
        if not due and self._is_finished(key, self.index.experiments.get(key, {})):
            self.close(key)
        return min(due, default=None)

    def _is_finished(self, key: Key, experiment: Object) -> bool:
        """Whether an experiment has nothing left to do: then its trials need not be in memory."""
        if not experiment:
            return True
        status = status_of(experiment)
        kind = self.loader.kind.kind
        return (
            status.phase in (Phase.SUCCEEDED, Phase.FAILED)
            and status.observed_generation == experiment["metadata"]["generation"]
            and not status.counts.running + status.counts.queued
            and not any(self.index.workloads_of(kind, key))
            and to_finish(status, has_claim=_has_claim(experiment)) is None
            and not is_failing(status)
        )

    async def _publish(self, key: Key, loaded: Loaded, status: ExperimentStatus) -> float | None:
        """Write a changed status at most once a second; return when to write a waiting one."""
        before = loaded.engine.state.status
        if status == before and loaded.published_seconds:
            return None
        now = self.clock()
        if now < loaded.published_seconds + PUBLISH_SECONDS and status.phase is before.phase:
            return loaded.published_seconds + PUBLISH_SECONDS
        await loaded.backend.publish(status)
        loaded.engine.state.status = status
        loaded.published_seconds = now
        regarding = ObjectReference(EXPERIMENTS, *key, loaded.uid)
        self._record_events(regarding, before.conditions, status.conditions)
        return None

    async def report_fault(self, key: Key, error: Exception) -> None:
        """Write into an experiment's status that the operator fails on it."""
        experiment = self.index.experiments.get(key)
        if experiment is None:
            return
        message = f"{type(error).__name__}: {error}; it is tried again, see the operator's log"
        generation = experiment["metadata"]["generation"]
        status = failing(status_of(experiment), message, generation, self.clock())
        await self._write_status(key, experiment, status)
        await self.events.send()

    async def _refuse(
        self, key: Key, experiment: Object, reason: ConditionReason, message: str
    ) -> None:
        self.namespace_usage.stop_waiting(key)
        generation = experiment["metadata"]["generation"]
        status = spec_refused(status_of(experiment), reason, message, generation, self.clock())
        await self._write_status(key, experiment, status)

    async def _write_status(self, key: Key, experiment: Object, status: ExperimentStatus) -> None:
        """Write a status that no plan has made, with its Event, if the status has changed."""
        before = status_of(experiment)
        if status == before:
            return
        document = status.model_dump(mode="json", exclude_none=True)
        try:
            stored = await write_status(self.loader.client, EXPERIMENTS, experiment, document)
        except NotFound:
            return
        self.index.put(EXPERIMENTS, stored)
        regarding = ObjectReference(EXPERIMENTS, *key, str(experiment["metadata"]["uid"]))
        self._record_events(regarding, before.conditions, status.conditions)

    def _event_of_trial(self, key: Key) -> TrialChanged:
        def changed(before: ScalingTrial, after: ScalingTrial) -> None:
            reason, message = _event_reason(before, after)
            if reason:
                name, uid = str(after.metadata["name"]), str(after.metadata["uid"])
                regarding = ObjectReference(TRIALS, key.namespace, name, uid)
                self.events.add(key, Event(regarding, reason, message))

        return changed

    def _record_events(
        self,
        regarding: ObjectReference,
        before: Iterable[Condition],
        after: Iterable[Condition],
        prefix: str = "",
    ) -> None:
        """Record an Event for each condition that a person should know of."""
        key = Key(regarding.namespace, regarding.name)
        for condition in news(before, after):
            is_trouble = stops_work(condition) and not is_requested(condition)
            message = prefix + (condition.message or condition.type)
            self.events.add(key, Event(regarding, condition.reason, message, is_trouble))
            level = logging.WARNING if is_trouble else logging.INFO
            fields = about(key, reason=condition.reason)
            log.log(level, "%s: %s", condition.type, message, extra=fields)


def _version(experiment: Object) -> tuple[str, int]:
    """Give uid and generation: they differ after each change, and after a recreation."""
    return str(experiment["metadata"]["uid"]), int(experiment["metadata"]["generation"])


def _has_claim(experiment: Object) -> bool:
    return "persistentVolumeClaim" in experiment["spec"].get("artifacts", {})


def _event_reason(before: ScalingTrial, after: ScalingTrial) -> tuple[str, str]:
    """Give reason and message of a change that a person should know of; else empty texts."""
    status = after.status
    if status.state is TrialState.FAILED or (
        status.state is TrialState.QUEUED and before.status.state is not TrialState.QUEUED
    ):
        return str(status.reason or ""), status.message
    if len(status.attempts) > len(before.status.attempts):
        last = status.attempts[-1]
        return str(last.reason or ""), last.message
    return "", ""
