"""One experiment's objects in a cluster as its engine's backend."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import (
    LABEL_EXPERIMENT,
    LABEL_SCALE,
    LABEL_TRIAL,
    Reason,
    attempt_name,
    trial_name,
)
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.cluster.client import Client, Object
from scaling_operator.cluster.errors import (
    AlreadyExists,
    ClusterBusy,
    Conflict,
    Invalid,
    NotFound,
    PodRefused,
    QuotaExceeded,
)
from scaling_operator.cluster.index import Index, Key
from scaling_operator.cluster.kinds import EXPERIMENTS, TRIALS
from scaling_operator.cluster.ordering import Orders, claim
from scaling_operator.cluster.sweeper import Sweeper
from scaling_operator.cluster.workload_kinds import WorkloadKind
from scaling_operator.cluster.workloads.order import AttemptOrder, Bounds, WorkloadSettings
from scaling_operator.cluster.workloads.record import with_record
from scaling_operator.core.observed import ABSENT, AttemptPhase, AttemptView, Leftover
from scaling_operator.core.reports import AttemptKey
from scaling_operator.core.sizing.choice import Refusal as NoMachine
from scaling_operator.engine.backend import TrialGone
from scaling_operator.engine.book import Book
from scaling_operator.engine.sizer import Sizer

log = logging.getLogger(__name__)
SAVE_TRIES = 5
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0


@dataclass(slots=True)
class Refusal:
    """A pod that the API server did not take, and when to try again."""

    reason: Reason
    message: str
    times: int
    retry_at_seconds: float


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
    bounds: Bounds
    keep_failed_seconds: float
    clock: Callable[[], float]
    sizer: Sizer | None = None
    refused: dict[AttemptKey, Refusal] = field(default_factory=dict[AttemptKey, Refusal])
    _seen: set[AttemptKey] = field(default_factory=set[AttemptKey])
    _going: set[str] = field(default_factory=set[str])
    """Names of workloads whose deletion was asked for."""
    _outlived: set[AttemptKey] = field(default_factory=set[AttemptKey])
    """Older attempts of trials that live: they are deleted one by one."""

    def view(self, trial: ScalingTrial, key: AttemptKey) -> AttemptView:
        """Show where an attempt stands: its workload, or why there is none."""
        name = self._name(key)
        workload = self.index.workload(self.kind.kind, self.key, name)
        if workload is not None and _owner_uid(workload) == trial.metadata.get("uid"):
            self._seen.add(key)
            view = self.kind.view(self.index, self.key, workload, self.bounds, self.clock())
            return with_record(view, workload)
        if workload is not None:
            message = "a workload of this name belongs to an older trial; it goes away"
            return AttemptView(AttemptPhase.WAITING, message=message, since_seconds=self.clock())
        refusal = self.refused.get(key)
        if refusal is not None and self.clock() < refusal.retry_at_seconds:
            since = _waits_since(trial)
            return AttemptView(
                AttemptPhase.WAITING, refusal.reason, refusal.message, since_seconds=since
            )
        if key in self._seen:
            now = self.clock()
            return self.kind.parting_view(self.index, self.key, name, self.bounds, now)
        return ABSENT

    def leftovers(self, book: Book) -> Iterator[Leftover]:
        """Name the workloads that nobody waits for."""
        self.index.bury(self.kind.kind, self.key, lambda name: self._is_awaited(book, name))
        present: set[str] = set()
        for workload in self.index.workloads_of(self.kind.kind, self.key):
            name = workload["metadata"]["name"]
            present.add(name)
            key = self._key_of(name)
            if key is not None and not book.is_current(key) and name not in self._going:
                yield self._leftover(book, key, workload)
        self._going &= present

    def _is_awaited(self, book: Book, name: str) -> bool:
        key = self._key_of(name)
        return key is not None and book.is_current(key)

    @property
    def wake_at_seconds(self) -> float | None:
        """When a refused pod is tried again; one that may not start has had its turn."""
        since = self.clock() - 1.0
        moments = (refusal.retry_at_seconds for refusal in self.refused.values())
        return min((moment for moment in moments if since < moment < math.inf), default=None)

    def look_again(self) -> None:
        """Try anew what is under way for long: deletions that may have been lost."""
        self._going.clear()

    async def create(self, trial: ScalingTrial) -> ScalingTrial:
        """Create the ScalingTrial: the commit of a proposal. The stored object wins."""
        name = trial_name(self.key.name, trial.spec.scale, trial.spec.number)
        metadata = {
            "name": name,
            "namespace": self.key.namespace,
            "labels": {
                LABEL_EXPERIMENT: self.key.name,
                LABEL_SCALE: str(trial.spec.scale),
                LABEL_TRIAL: name,
            },
            "ownerReferences": [_owner_reference(self.key.name, self.uid)],
        }
        body = {
            "apiVersion": TRIALS.api_version,
            "kind": TRIALS.name,
            "metadata": metadata,
            "spec": trial.spec.model_dump(mode="json", exclude_none=True),
        }
        try:
            return read_trial(await self.client.create(TRIALS, self.key.namespace, body))
        except AlreadyExists:
            stored = read_trial(await self.client.get(TRIALS, self.key.namespace, name))
        if stored.spec.experiment.uid != self.uid:
            message = f"{name} belongs to a deleted experiment of the same name"
            raise ClusterBusy(message, retry_after_seconds=2.0)
        return stored

    async def save(self, trial: ScalingTrial) -> ScalingTrial:
        """Write a trial's status; the first end that is written stays."""
        name = str(trial.metadata["name"])
        status = trial.status.model_dump(mode="json", exclude_none=True)
        version = trial.metadata["resourceVersion"]
        for _ in range(SAVE_TRIES):
            body = {"metadata": {"resourceVersion": version}, "status": status}
            try:
                return read_trial(
                    await self.client.apply_status(TRIALS, self.key.namespace, name, body)
                )
            except NotFound as error:
                raise TrialGone(name) from error
            except Conflict:
                stored = await self._read(name)
            if stored.metadata["uid"] != trial.metadata["uid"]:
                raise TrialGone(name)
            if stored.status.state.ended:
                return stored
            version = stored.metadata["resourceVersion"]
        message = f"{name} changes faster than it can be written"
        raise ClusterBusy(message)

    async def launch(self, trial: ScalingTrial, attempt: int) -> None:
        """Create the attempt's workload; one of this name that is ours already is adopted."""
        key = AttemptKey(trial.spec.scale, trial.spec.number, attempt)
        order = self._order(trial, attempt)
        if order is None:
            return
        manifest = self.kind.manifest(order)
        try:
            await claim(self.client, order)
            made = await self.client.create(self.kind.kind, self.key.namespace, manifest)
        except AlreadyExists:
            made = await self.client.get(self.kind.kind, self.key.namespace, self._name(key))
        except QuotaExceeded as error:
            self._refuse(key, Reason.QUOTA_EXCEEDED, str(error))
            return
        except (PodRefused, Invalid) as error:
            self.refused[key] = Refusal(Reason.CONFIG_ERROR, str(error), 1, math.inf)
            return
        self.refused.pop(key, None)
        self._seen.add(key)
        self.index.put(self.kind.kind, made)

    async def discard(self, keys: tuple[AttemptKey, ...]) -> None:
        """Delete workloads: those of ended trials together, an older attempt's by itself."""
        for key in keys:
            name = self._name(key)
            self._going.add(name)
            workload = self.index.workload(self.kind.kind, self.key, name)
            if workload is None:
                continue
            trial = workload["metadata"].get("labels", {}).get(LABEL_TRIAL)
            if trial is None or key in self._outlived:
                await self._delete(workload)
            else:
                self.sweeper.add(self.kind.kind, self.key.namespace, trial)

    async def publish(self, status: ExperimentStatus) -> None:
        """Write the experiment's status whole."""
        body = {"status": status.model_dump(mode="json", exclude_none=True)}
        stored = await self.client.apply_status(
            EXPERIMENTS, self.key.namespace, self.key.name, body
        )
        self.index.put(EXPERIMENTS, stored)

    async def _read(self, name: str) -> ScalingTrial:
        try:
            return read_trial(await self.client.get(TRIALS, self.key.namespace, name))
        except NotFound as error:
            raise TrialGone(name) from error

    def _order(self, trial: ScalingTrial, attempt: int) -> AttemptOrder | None:
        """Order an attempt; None where no machine is left for it, which is then its view."""
        orders = Orders(self.key, self.spec, self.workload_settings())
        if self.sizer is None:
            return orders.unsized(trial, attempt)
        found = self.sizer.allocation(trial)
        if isinstance(found, NoMachine):
            key = AttemptKey(trial.spec.scale, trial.spec.number, attempt)
            reason = self.sizer.reason_of_refusal(trial)
            self.refused[key] = Refusal(reason, str(found), 1, math.inf)
            return None
        return orders.sized(trial, attempt, found, self.sizer)

    def _refuse(self, key: AttemptKey, reason: Reason, message: str) -> None:
        before = self.refused.get(key)
        times = 1 if before is None else before.times + 1
        pause = min(FIRST_RETRY_SECONDS * 2.0 ** min(times - 1, 10), LONGEST_RETRY_SECONDS)
        self.refused[key] = Refusal(reason, message, times, self.clock() + pause)

    async def _delete(self, workload: Object) -> None:
        metadata = workload["metadata"]
        try:
            await self.client.delete(
                self.kind.kind, self.key.namespace, metadata["name"], uid=metadata["uid"]
            )
        except (NotFound, Conflict):
            self.index.drop(self.kind.kind, workload)

    def _leftover(self, book: Book, key: AttemptKey, workload: Object) -> Leftover:
        view = self.kind.view(self.index, self.key, workload, self.bounds, self.clock())
        if (key.scale, key.number) in book.live:
            self._outlived.add(key)
        else:
            self._outlived.discard(key)
        told = book.pruned_seconds.get(key)
        failed = view.phase is AttemptPhase.EXITED and view.exit_code != 0
        return Leftover(
            *(key.scale, key.number, key.attempt, view),
            told_to_stop=told is not None,
            told_seconds=told or 0.0,
            kept_until_seconds=view.since_seconds + self.keep_failed_seconds if failed else 0.0,
        )

    def _name(self, key: AttemptKey) -> str:
        return attempt_name(self.key.name, key.scale, key.number, key.attempt)

    def _key_of(self, name: str) -> AttemptKey | None:
        parts = name.removeprefix(f"{self.key.name}-").split("-")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004
            return None
        return AttemptKey(*(int(part) for part in parts))


def read_trial(thing: Object) -> ScalingTrial:
    """Read a stored trial; of its metadata only what is needed is kept."""
    metadata: dict[str, Any] = thing["metadata"]
    kept = ("name", "uid", "resourceVersion", "creationTimestamp")
    return ScalingTrial.model_validate(
        {
            "metadata": {name: metadata[name] for name in kept if name in metadata},
            "spec": thing["spec"],
            "status": thing.get("status") or {},
        }
    )


def _owner_reference(name: str, uid: str) -> Object:
    return {
        "apiVersion": EXPERIMENTS.api_version,
        "kind": EXPERIMENTS.name,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _owner_uid(workload: Object) -> str | None:
    owners: list[Object] = workload["metadata"].get("ownerReferences", [])
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)


def _waits_since(trial: ScalingTrial) -> float:
    """When the attempt began to wait: a restart of ours must not begin the wait anew."""
    if trial.status.attempts and trial.status.attempts[-1].completion_time is not None:
        return trial.status.attempts[-1].completion_time.timestamp()
    return created_seconds(trial)


def created_seconds(trial: ScalingTrial) -> float:
    """When the stored object was created, in seconds since the epoch."""
    return datetime.fromisoformat(str(trial.metadata["creationTimestamp"])).timestamp()
