"""An experiment's ScalingTrials as the API server stores them: created, saved and read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scaling_operator.api.names import TrialKey, trial_name
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.trial_status import status_refused
from scaling_operator.kube.client.client import Client, Object, write_status
from scaling_operator.kube.client.errors import AlreadyExists, ClusterBusy, Invalid, NotFound
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, TRIALS
from scaling_operator.kube.workloads.identity import owner_reference, trial_labels
from scaling_operator.runtime.backend import TrialGone


@dataclass(frozen=True, slots=True)
class StoredTrials:
    """The trials of one experiment. The stored object always wins."""

    client: Client
    experiment: Key
    uid: str
    clock: Callable[[], float] = time.time
    _uids: dict[TrialKey, str] = field(default_factory=dict[TrialKey, str])
    """Uids of all trials that are or were stored: what they own is ours to delete."""

    def add(self, trial: ScalingTrial) -> ScalingTrial:
        """Add a stored trial."""
        self._uids[trial.spec.key] = str(trial.metadata["uid"])
        return trial

    def uid_of(self, trial_key: TrialKey) -> str | None:
        """Give the uid of a trial of this experiment; None where it has no such trial."""
        return self._uids.get(trial_key)

    async def create(self, trial: ScalingTrial) -> ScalingTrial:
        """Create the ScalingTrial: the commit of a proposal. The stored object wins."""
        name = trial_name(self.experiment.name, trial.spec.scale, trial.spec.number)
        body = {
            "apiVersion": TRIALS.api_version,
            "kind": TRIALS.name,
            "metadata": self._metadata(name, trial),
            "spec": trial.spec.model_dump(mode="json", exclude_none=True),
        }
        try:
            created = await self.client.create(TRIALS, self.experiment.namespace, body)
            return self.add(read_trial(created))
        except AlreadyExists:
            stored = read_trial(await self.client.get(TRIALS, self.experiment.namespace, name))
        if not stored.is_of(self.uid):
            message = f"{name} belongs to a deleted experiment of the same name"
            raise ClusterBusy(message, retry_after_seconds=2.0)
        return self.add(stored)

    async def save(self, trial: ScalingTrial) -> ScalingTrial:
        """Write a trial's status; the end that is written first stays.

        A status that the API server refuses ends the trial as InvalidResult: the server would
        refuse it again. Raises TrialGone, and Invalid where the server refuses that end too.
        """
        try:
            try:
                return await self._write(trial)
            except Invalid as error:
                return await self._write(await self._refused(trial, str(error)))
        except NotFound as error:
            raise TrialGone(str(trial.metadata["name"])) from error

    async def _write(self, trial: ScalingTrial) -> ScalingTrial:
        read = {"metadata": {**trial.metadata, "namespace": self.experiment.namespace}}
        status = trial.status.model_dump(mode="json", exclude_none=True)
        return read_trial(await write_status(self.client, TRIALS, read, status, _has_ended))

    async def _refused(self, trial: ScalingTrial, message: str) -> ScalingTrial:
        """Read a trial whose status was refused, and end it. A stored end stays."""
        name = str(trial.metadata["name"])
        stored = read_trial(await self.client.get(TRIALS, self.experiment.namespace, name))
        if stored.metadata["uid"] != trial.metadata["uid"]:
            raise TrialGone(name)
        if stored.status.state.ended:
            return stored
        return stored.model_copy(
            update={"status": status_refused(stored.status, message, self.clock())}
        )

    def _metadata(self, name: str, trial: ScalingTrial) -> Object:
        return {
            "name": name,
            "namespace": self.experiment.namespace,
            "labels": trial_labels(self.experiment.name, trial.spec.scale, trial.spec.number),
            "ownerReferences": [owner_reference(EXPERIMENTS.name, self.experiment.name, self.uid)],
        }


def read_trial(stored: Object) -> ScalingTrial:
    """Read a stored trial, with the metadata that the operator needs."""
    metadata: dict[str, Any] = stored["metadata"]
    kept = ("name", "uid", "resourceVersion", "creationTimestamp")
    return ScalingTrial.model_validate(
        {
            "metadata": {name: metadata[name] for name in kept if name in metadata},
            "spec": stored["spec"],
            "status": stored.get("status") or {},
        }
    )


def _has_ended(stored: Object) -> bool:
    return read_trial(stored).status.state.ended
