"""The contract between an operator and any trainer.

The operator sets environment variables. The trainer writes one small JSON result and exits with a
code.

The operator and the trainer both import this module, locally and in a pod, so that the two cannot
disagree. The module needs the standard library alone: any image can install it.
`docs/own-trainer.md` describes the contract in prose.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scaling_trainer.strict_json import NotAnObject, read_object_of_unique_names

Scalar = str | int | float | bool

EXIT_ACCELERATOR_OOM = 86
EXIT_DIVERGED = 87
EXIT_DATA_ERROR = 88
"""The data cannot be used with any parameters: every other trial would fail too."""
EXIT_NO_SPACE = 89
"""No space is left for the trial's files. The trial runs again once somebody has freed space."""

_SHOWN = 80
_MOST_DIGITS = 20
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class ContractError(ValueError):
    """A variable of the contract is missing or unreadable."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How a trial runs on its machine. No setting here changes the metrics.

    The global batch stays the same.
    """

    micro_batch: int | None = None
    accumulation: int = 1
    recompute: str = "none"
    devices: int = 1
    sharding: str = "none"


_EXECUTION: Mapping[str, tuple[type, ...]] = {
    "micro_batch": (int, type(None)),
    "accumulation": (int,),
    "recompute": (str,),
    "devices": (int,),
    "sharding": (str,),
}


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one attempt is given.

    Its identity, what to train, where its files lie and where reports go.
    """

    experiment: str
    scale: int
    trial: int
    attempt: int
    seed: int
    parameters: Mapping[str, Scalar]
    result_file: Path
    checkpoint_dir: Path
    data_dir: Path
    experiment_uid: str | None = None
    """Tells apart experiments of one name on a cluster. A local folder holds one experiment."""
    config: Mapping[str, Any] | None = None
    samples: float | None = None
    execution: Execution = field(default_factory=Execution)
    report_url: str | None = None
    report_token_file: Path | None = None
    report_ca: str | None = None


def parameter_variable(name: str) -> str:
    """Name the variable that carries a parameter.

    `optimizer.learning_rate` → SCALING_PARAM_OPTIMIZER_LEARNING_RATE.
    """
    return "SCALING_PARAM_" + name.upper().replace(".", "_")


def parameter_text(value: Scalar) -> str:
    """Write a value as JSON, but text without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def environment_of(assignment: Assignment) -> dict[str, str]:
    """Render the variables of an attempt; `read_assignment` reads them back."""
    variables = {
        "SCALING_EXPERIMENT": assignment.experiment,
        "SCALING_SCALE": str(assignment.scale),
        "SCALING_TRIAL": str(assignment.trial),
        "SCALING_ATTEMPT": str(assignment.attempt),
        "SCALING_SEED": str(assignment.seed),
        "SCALING_PARAMETERS": json.dumps(dict(assignment.parameters)),
        "SCALING_EXECUTION": json.dumps(asdict(assignment.execution)),
        "SCALING_RESULT_FILE": str(assignment.result_file),
        "SCALING_CHECKPOINT_DIR": str(assignment.checkpoint_dir),
        "SCALING_DATA_DIR": str(assignment.data_dir),
    }
    for name, value in assignment.parameters.items():
        variables[parameter_variable(name)] = parameter_text(value)
    optional = {
        "SCALING_EXPERIMENT_UID": assignment.experiment_uid,
        "SCALING_CONFIG": None if assignment.config is None else json.dumps(assignment.config),
        "SCALING_SAMPLES": None if assignment.samples is None else f"{assignment.samples:.17g}",
        "SCALING_REPORT_URL": assignment.report_url,
        "SCALING_REPORT_TOKEN_FILE": None
        if assignment.report_token_file is None
        else str(assignment.report_token_file),
        "SCALING_REPORT_CA": assignment.report_ca,
    }
    return variables | {name: value for name, value in optional.items() if value is not None}


def read_assignment(environment: Mapping[str, str]) -> Assignment:
    """Read the variables of an attempt. Raises ContractError that names the variable."""
    token_file = environment.get("SCALING_REPORT_TOKEN_FILE")
    return Assignment(
        experiment=_required(environment, "SCALING_EXPERIMENT"),
        scale=_whole_number(environment, "SCALING_SCALE"),
        trial=_whole_number(environment, "SCALING_TRIAL"),
        attempt=_whole_number(environment, "SCALING_ATTEMPT"),
        seed=_whole_number(environment, "SCALING_SEED"),
        parameters=_parameters(environment),
        result_file=Path(_required(environment, "SCALING_RESULT_FILE")),
        checkpoint_dir=Path(_required(environment, "SCALING_CHECKPOINT_DIR")),
        data_dir=Path(_required(environment, "SCALING_DATA_DIR")),
        experiment_uid=environment.get("SCALING_EXPERIMENT_UID"),
        config=_json_object(environment, "SCALING_CONFIG")
        if "SCALING_CONFIG" in environment
        else None,
        samples=_samples(environment),
        execution=_execution(environment),
        report_url=environment.get("SCALING_REPORT_URL"),
        report_token_file=None if token_file is None else Path(token_file),
        report_ca=environment.get("SCALING_REPORT_CA"),
    )


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Expand `$(NAME)` as Kubernetes does in command and args.

    `$$` escapes, unknown names stay as they are.
    """

    def replace(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return environment.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replace, text)


def _required(environment: Mapping[str, str], name: str) -> str:
    try:
        return environment[name]
    except KeyError:
        message = f"{name} is not set"
        raise ContractError(message) from None


def _whole_number(environment: Mapping[str, str], name: str) -> int:
    text = _required(environment, name)
    # int() also accepts signs, blanks and underscores; isdecimal() does not.
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        message = f"{name} is {text[:_SHOWN]!r}, not a whole number"
        raise ContractError(message)
    return int(text)


def _samples(environment: Mapping[str, str]) -> float | None:
    text = environment.get("SCALING_SAMPLES")
    if text is None:
        return None
    try:
        samples = float(text)
    except ValueError:
        samples = math.nan
    if not (math.isfinite(samples) and samples > 0):
        message = f"SCALING_SAMPLES is {text[:_SHOWN]!r}, not a number above 0"
        raise ContractError(message)
    return samples


def _execution(environment: Mapping[str, str]) -> Execution:
    if "SCALING_EXECUTION" not in environment:
        return Execution()
    document = _json_object(environment, "SCALING_EXECUTION")
    for name, value in document.items():
        if type(value) not in _EXECUTION.get(name, ()) or (isinstance(value, int) and value < 1):
            message = (
                f"SCALING_EXECUTION: {name[:_SHOWN]!r} is {repr(value)[:_SHOWN]}; "
                f"known are {', '.join(_EXECUTION)}, and their numbers are whole and from 1"
            )
            raise ContractError(message)
    return Execution(**document)


def _json_object(environment: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        return read_object_of_unique_names(
            _required(environment, name).encode(errors="surrogatepass"), name
        )
    except NotAnObject as error:
        raise ContractError(str(error)) from error


def _parameters(environment: Mapping[str, str]) -> dict[str, Scalar]:
    document = _json_object(environment, "SCALING_PARAMETERS")
    for name, value in document.items():
        # Python's reader accepts NaN and infinity, which JSON does not have.
        is_finite = isinstance(value, float) and math.isfinite(value)
        if not (is_finite or isinstance(value, str | int)):
            message = f"SCALING_PARAMETERS: {name[:_SHOWN]!r} is no text, number, true or false"
            raise ContractError(message)
    return document
