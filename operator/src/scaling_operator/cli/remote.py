"""Experiments of a cluster, read for people: the connection, and errors in plain words."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.runtime.record import ExperimentRecord
from scaling_operator.validation.load import experiment_of

if TYPE_CHECKING:
    from scaling_operator.kube.client.client import Client

HOME_CONFIG = Path("~/.kube/config")


class RemoteError(Exception):
    """The cluster, or an experiment in it, cannot be read; the message says why."""


class CannotShow(Exception):
    """A dashboard cannot be served, or a report written; the message says why."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which cluster and namespace, as kubectl has them. None: what the kubeconfig says."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Remote:
    """A cluster to read from. `namespace` is None where all namespaces are meant."""

    client: Client
    namespace: str | None

    async def experiments(self) -> list[Mapping[str, Any]]:
        """List experiments as they are stored, by namespace and name."""
        from scaling_operator.kube.client.kinds import EXPERIMENTS  # noqa: PLC0415

        experiments = await self.client.list(EXPERIMENTS, self.namespace)
        return sorted(
            experiments,
            key=lambda experiment: (experiment["metadata"]["namespace"], _name(experiment)),
        )

    async def experiment(self, name: str) -> Mapping[str, Any]:
        """Read an experiment as it is stored. Raises ClusterError."""
        from scaling_operator.kube.client.kinds import EXPERIMENTS  # noqa: PLC0415

        return await self.client.get(EXPERIMENTS, self.namespace, name)

    async def trials(self, experiment: Mapping[str, Any]) -> tuple[ScalingTrial, ...]:
        """Read the trials of an experiment, by scale and number."""
        from scaling_operator.kube.client.kinds import TRIALS  # noqa: PLC0415
        from scaling_operator.kube.workloads.identity import experiment_selector  # noqa: PLC0415

        selector = experiment_selector(_name(experiment))
        documents = await self.client.list(TRIALS, self.namespace, selector)
        trials = [
            ScalingTrial.model_validate(
                {"spec": document["spec"], "status": document.get("status", {})}
            )
            for document in documents
            if document["spec"]["experiment"]["uid"] == experiment["metadata"]["uid"]
        ]
        return tuple(sorted(trials, key=lambda trial: trial.spec.key))

    async def record(self, name: str) -> ExperimentRecord:
        """Read what tables and reports are made from. Raises InvalidSpec, ClusterError."""
        experiment = await self.experiment(name)
        return ExperimentRecord(
            name=_name(experiment),
            uid=str(experiment["metadata"]["uid"]),
            spec=experiment_of(dict(experiment)).spec,
            status=status_of(experiment),
            trials=await self.trials(experiment),
        )


def status_of(experiment: Mapping[str, Any]) -> ExperimentStatus:
    """Read an experiment's status; an empty status where the experiment has none yet."""
    return ExperimentStatus.model_validate(experiment.get("status", {}))


@asynccontextmanager
async def reached(where: Where) -> AsyncGenerator[Remote]:
    """Connect as kubectl would. Raises RemoteError, also for errors within the block."""
    try:
        from scaling_operator.kube.client.connection import connect  # noqa: PLC0415
        from scaling_operator.kube.client.errors import (  # noqa: PLC0415
            ClusterBusy,
            ClusterError,
            NotFound,
        )
    except ModuleNotFoundError as error:
        message = (
            f"{error.name} is not installed: experiments of a cluster need the extra `operator`: "
            "pip install 'scaling-operator[operator]'"
        )
        raise RemoteError(message) from error
    try:
        async with connect(_config(where.kubeconfig), where.context) as client:
            namespace = None if where.everywhere else where.namespace or client.namespace
            yield Remote(client, namespace)
    except NotFound as error:
        message = (
            f"{error}\nIs the operator installed, and is this the right context and namespace?"
        )
        raise RemoteError(message) from error
    except ClusterBusy as error:
        message = f"{error}\nIs the cluster up, and is this the right context?"
        raise RemoteError(message) from error
    except ClusterError as error:
        raise RemoteError(str(error)) from error


def _config(option: Path | None) -> Path:
    """Choose the kubeconfig as kubectl does; $KUBECONFIG may name several files, some missing."""
    name = os.environ.get("KUBECONFIG") if option is None else str(option)
    config = Path(name or HOME_CONFIG.expanduser())
    if not any(Path(path).is_file() for path in str(config).split(os.pathsep)):
        message = f"there is no kubeconfig {config}: name yours by --kubeconfig or $KUBECONFIG"
        raise RemoteError(message)
    return config


def _name(experiment: Mapping[str, Any]) -> str:
    return str(experiment["metadata"]["name"])
