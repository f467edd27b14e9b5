"""From a file to a ScalingExperiment or a ResourcePolicy, or to all that is wrong with it.

A file holds YAML 1.2 or JSON, read as kubectl reads it: `1e-4` is a number, `on` is text. Duplicate
keys are refused. Of several documents exactly one may be of the kind that is asked for; documents
of other kinds are not looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.names import EXPERIMENT_KIND, POLICY_KIND
from scaling_operator.api.policy import ResourcePolicy
from scaling_operator.api.problems import InvalidSpec, Problem, listing, shown
from scaling_operator.validation.bounded_yaml import TooMuchYAML, read_yaml
from scaling_operator.validation.checks import check_document, check_policy, without_status
from scaling_operator.validation.errors import read
from scaling_operator.validation.normal_form import normal_form
from scaling_trainer import reading

MAX_BYTES = 1024 * 1024


def load_experiment(path: Path) -> ScalingExperiment:
    """Read and check an experiment file. Raises InvalidSpec with every problem at once."""
    return parse_experiment(_read_text(path, "experiment"), str(path))


def parse_experiment(text: str, source: str) -> ScalingExperiment:
    """Read and check an experiment; `source` names the text where it cannot be read at all.

    Raises InvalidSpec with every problem at once.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        _refuse(source, f"is larger than {MAX_BYTES // 1024} KiB; that is no experiment")
    return experiment_of(_one_of_kind(_documents_in(text, source), source, EXPERIMENT_KIND))


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
    return read(ScalingExperiment, normal_form(without_status(document))[0])


def load_policy(path: Path) -> ResourcePolicy:
    """Read and check a policy file. Raises InvalidSpec with every problem at once."""
    return parse_policy(_read_text(path, "policy"), str(path))


def parse_policy(text: str, source: str) -> ResourcePolicy:
    """Read and check a policy. Raises InvalidSpec with every problem at once."""
    return policy_of(_one_of_kind(_documents_in(text, source), source, POLICY_KIND))


def policy_of(document: Mapping[str, object]) -> ResourcePolicy:
    """Check an object and read it without its status.

    Raises InvalidSpec with every problem at once.
    """
    problems = check_policy(document)
    if problems:
        raise InvalidSpec(problems)
    return read(ResourcePolicy, normal_form(without_status(document))[0])


def _refuse(path: str, message: str) -> NoReturn:
    """Raise InvalidSpec with one problem."""
    raise InvalidSpec((Problem(path, message),))


def _read_text(path: Path, noun: str) -> str:
    """Read a file; `noun` names what it should hold. Raises InvalidSpec."""
    try:
        return reading.read_text(path, MAX_BYTES)
    except reading.FolderInPlace:
        _refuse(str(path), f"is a directory; name the {noun} file in it")
    except reading.TooLarge as error:
        _refuse(str(path), f"{error.reason}; that is no {noun}")
    except reading.NotText as error:
        _refuse(str(path), f"{error.reason}; write YAML or JSON")
    except reading.UnreadableFile as error:
        _refuse(str(path), error.reason)


def _documents_in(text: str, source: str) -> list[object]:
    """Read the documents of a YAML or JSON text; refuse what is not well formed."""
    if text.lstrip().startswith("{"):
        document = _parse_json(text, source)
        if document is not None:
            return [document]
    try:
        return read_yaml(text)
    except MarkedYAMLError as error:
        _refuse(source, _place(error) + _reason(error))
    except RecursionError:
        _refuse(source, "is nested too deeply")
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        # ruamel lets some slips through as plain errors: a number of 5,000 digits, `!!int`.
        _refuse(source, f"is not YAML: {_first_line(error).split(';', maxsplit=1)[0]}")


def _parse_json(text: str, source: str) -> object:
    """Read JSON, which YAML readers take too but for tabs; None where it is not JSON."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for key, value in pairs:
            if key in mapping:
                _refuse(source, f"the key {shown(key)} stands twice in one object; keep one")
            mapping[key] = value
        return mapping

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        _refuse(source, "is nested too deeply")
    except InvalidSpec:
        raise
    except ValueError:
        return None


def _place(error: Any) -> str:
    mark: StringMark | None = error.problem_mark
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _reason(error: Any) -> str:
    if isinstance(error, DuplicateKeyError):
        quoted = re.search('"(.*?)"', str(cast("Any", error).problem))
        key = shown(quoted.group(1)) if quoted else ""
        return f"the key {key} stands twice in one mapping; keep one"
    if isinstance(error, TooMuchYAML):
        return str(cast("Any", error).problem)
    problem = (error.problem or "syntax error")[:200]  # it quotes names of any length
    context = f" ({error.context[:200]})" if error.context else ""
    return f"not valid YAML: {problem}{context}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _one_of_kind(documents: list[object], source: str, wanted: str) -> dict[str, object]:
    """Find the one document of a kind; a single document is taken whatever it calls itself."""
    if not documents:
        _refuse(source, f"is empty; a {wanted} has apiVersion, kind, metadata and spec")
    if len(documents) > 1:
        kinds = [_kind(document) for document in documents]
        documents = [document for document in documents if _kind(document) == wanted]
        if len(documents) != 1:
            contents = f"{len(documents) or 'no'} {wanted} among {listing(kinds)}"
            _refuse(source, f"holds {contents}; exactly one is allowed")
    (document,) = documents
    if not isinstance(document, dict):
        _refuse(
            source,
            f"holds {shown(document)}, not a mapping with apiVersion, kind, metadata and spec",
        )
    return cast("dict[str, object]", document)


def _kind(document: object) -> str:
    if not isinstance(document, Mapping):
        return "something without a kind"
    kind = cast("Mapping[str, object]", document).get("kind", "something without a kind")
    return kind if isinstance(kind, str) else shown(kind)
