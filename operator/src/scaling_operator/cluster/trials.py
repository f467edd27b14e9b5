"""An experiment's ScalingTrials as the API server stores them: create, save, read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scaling_operator.api.names import LABEL_EXPERIMENT, LABEL_SCALE, LABEL_TRIAL, trial_name
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.cluster.client import Client, Object
from scaling_operator.cluster.errors import AlreadyExists, ClusterBusy, Conflict, NotFound
from scaling_operator.cluster.index import Key
from scaling_operator.cluster.kinds import EXPERIMENTS, TRIALS
from scaling_operator.engine.backend import TrialGone

SAVE_TRIES = 5


@dataclass(frozen=True, slots=True)
class StoredTrials:
    """The trials of one experiment. The stored object always wins."""

    client: Client
    experiment: Key
    uid: str

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
            return read_trial(await self.client.create(TRIALS, self.experiment.namespace, body))
        except AlreadyExists:
            stored = read_trial(await self.client.get(TRIALS, self.experiment.namespace, name))
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
                    await self.client.apply_status(TRIALS, self.experiment.namespace, name, body)
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

    def _metadata(self, name: str, trial: ScalingTrial) -> Object:
        return {
            "name": name,
            "namespace": self.experiment.namespace,
            "labels": {
                LABEL_EXPERIMENT: self.experiment.name,
                LABEL_SCALE: str(trial.spec.scale),
                LABEL_TRIAL: name,
            },
            "ownerReferences": [_owner_reference(self.experiment.name, self.uid)],
        }

    async def _read(self, name: str) -> ScalingTrial:
        try:
            return read_trial(await self.client.get(TRIALS, self.experiment.namespace, name))
        except NotFound as error:
            raise TrialGone(name) from error


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


def created_seconds(trial: ScalingTrial) -> float:
    """When the stored object was created, in seconds since the epoch."""
    return datetime.fromisoformat(str(trial.metadata["creationTimestamp"])).timestamp()


def _owner_reference(name: str, uid: str) -> Object:
    return {
        "apiVersion": EXPERIMENTS.api_version,
        "kind": EXPERIMENTS.name,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
