"""The contract's variables in a container's `env`: the operator's first, then the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_operator.api.container import EnvironmentVariable
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import ARTIFACTS_MOUNT, REPORT_MOUNT, RESULT_FILE
from scaling_operator.api.search import FloatParameter
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec
from scaling_trainer.contract import Assignment, environment_of

TOKEN_FILE = "token"  # noqa: S105 - the file's name


def variables(attempt_spec: AttemptSpec) -> list[dict[str, Any]]:
    """Write the variables of an attempt in the order in which `$(NAME)` may refer to them."""
    contract = [
        {"name": name, "value": escaped(value)}
        for name, value in environment_of(assignment_of(attempt_spec)).items()
    ]
    container = attempt_spec.spec.trainer.container
    if container is None:
        # The image's own home belongs to one user; the pod may run as another.
        return [*contract, {"name": "HOME", "value": "/tmp"}]  # noqa: S108 - the pod's own folder
    return [*contract, *(_variable(each) for each in container.env)]


def escaped(value: str) -> str:
    """Write a value so that Kubernetes, which expands `$(NAME)` in it, gives it back as it is."""
    return value.replace("$", "$$")


def assignment_of(attempt_spec: AttemptSpec) -> Assignment:
    """Gather what the attempt is told; paths are those inside the pod."""
    trial, settings, built_in = (
        attempt_spec.trial.spec,
        attempt_spec.settings,
        attempt_spec.spec.trainer.built_in,
    )
    artifacts = Path(ARTIFACTS_MOUNT)
    reports = settings.report_url is not None
    return Assignment(
        experiment=attempt_spec.experiment,
        experiment_uid=trial.experiment.uid,
        scale=trial.scale,
        trial=trial.number,
        attempt=attempt_spec.attempt,
        seed=trial.seed,
        parameters=_typed(attempt_spec),
        result_file=Path(RESULT_FILE),
        checkpoint_dir=artifacts / attempt_spec.experiment / f"{trial.scale}-{trial.number}",
        data_dir=artifacts,
        config=None if built_in is None else built_in.model_dump(mode="json", exclude_unset=True),
        samples=trial.samples,
        execution=attempt_spec.execution,
        report_url=settings.report_url,
        report_token_file=Path(REPORT_MOUNT) / TOKEN_FILE if reports else None,
        report_ca=settings.report_ca if reports else None,
    )


def _typed(attempt_spec: AttemptSpec) -> Mapping[str, Scalar]:
    """Read parameters by their type: JSON through an API server turns 1.0 into 1."""
    searched = attempt_spec.spec.search.parameters
    return {
        name: float(value) if isinstance(searched.get(name), FloatParameter) else value
        for name, value in attempt_spec.trial.spec.parameters.items()
    }


def _variable(variable: EnvironmentVariable) -> dict[str, Any]:
    if variable.value_from is None:
        return {"name": variable.name, "value": variable.value}
    source = variable.value_from.model_dump(mode="json", exclude_defaults=True)
    return {"name": variable.name, "valueFrom": source}
