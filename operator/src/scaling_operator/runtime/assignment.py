"""What an attempt is told: the contract's Assignment, the same for a process and for a pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import FloatParameter
from scaling_operator.api.trial import TrialSpec
from scaling_trainer.contract import Assignment


@dataclass(frozen=True, slots=True)
class AttemptLocations:
    """Where an attempt's files are and where its reports go, as its own process sees them."""

    result_file: Path
    checkpoint_dir: Path
    data_dir: Path
    report_url: str | None = None
    report_token_file: Path | None = None
    report_ca: str | None = None
    """The endpoint's certificate authority as PEM text."""


def assignment_of(
    experiment: str,
    spec: ExperimentSpec,
    trial: TrialSpec,
    attempt: int,
    locations: AttemptLocations,
) -> Assignment:
    """Write the assignment of an attempt; what a cluster alone tells is left to its defaults."""
    built_in = spec.trainer.built_in
    return Assignment(
        experiment=experiment,
        scale=trial.scale,
        trial=trial.number,
        attempt=attempt,
        seed=trial.seed,
        parameters=_typed(spec, trial),
        result_file=locations.result_file,
        checkpoint_dir=locations.checkpoint_dir,
        data_dir=locations.data_dir,
        config=None if built_in is None else built_in.model_dump(mode="json", exclude_unset=True),
        samples=trial.samples,
        report_url=locations.report_url,
        report_token_file=locations.report_token_file,
        report_ca=locations.report_ca,
    )


def _typed(spec: ExperimentSpec, trial: TrialSpec) -> Mapping[str, Scalar]:
    """Read parameters by their type: JSON through an API server turns 1.0 into 1."""
    searched = spec.search.parameters
    return {
        name: float(value) if isinstance(searched.get(name), FloatParameter) else value
        for name, value in trial.parameters.items()
    }
