"""From a file to a ScalingExperiment or a ResourcePolicy, or to all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.names import EXPERIMENT_KIND, POLICY_KIND
from scaling_operator.api.policy import ResourcePolicy
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.validation.checks import check_document, check_policy
from scaling_operator.validation.documents import MAX_BYTES, choose, parse, read_text, refuse
from scaling_operator.validation.normal import normal_form
from scaling_operator.validation.sections import read


def load_experiment(path: Path) -> ScalingExperiment:
    """Read and check an experiment file. Raises InvalidSpec with every problem at once."""
    return parse_experiment(read_text(path, "experiment"), str(path))


def parse_experiment(text: str, source: str) -> ScalingExperiment:
    """Read and check an experiment; `source` names the text where it cannot be read at all.

    Raises InvalidSpec with every problem at once.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        refuse(source, f"is larger than {MAX_BYTES // 1024} KiB; that is no experiment")
    return experiment_of(choose(parse(text, source), source, EXPERIMENT_KIND))


def experiment_of(document: Mapping[str, object]) -> ScalingExperiment:
    """Check an object and read it without its status: that is not its author's to say.

    Raises InvalidSpec with every problem at once.
    """
    problems = check_document(document)
    if problems:
        raise InvalidSpec(problems)
    return read_checked(document)


def read_checked(document: Mapping[str, object]) -> ScalingExperiment:
    """Read an object that `check_document` finds nothing wrong with."""
    asked = {name: value for name, value in document.items() if name != "status"}
    return read(ScalingExperiment, normal_form(asked)[0])


def load_policy(path: Path) -> ResourcePolicy:
    """Read and check a policy file. Raises InvalidSpec with every problem at once."""
    return parse_policy(read_text(path, "policy"), str(path))


def parse_policy(text: str, source: str) -> ResourcePolicy:
    """Read and check a policy. Raises InvalidSpec with every problem at once."""
    document = choose(parse(text, source), source, POLICY_KIND)
    problems = check_policy(document)
    if problems:
        raise InvalidSpec(problems)
    document.pop("status", None)
    return read(ResourcePolicy, normal_form(document)[0])
