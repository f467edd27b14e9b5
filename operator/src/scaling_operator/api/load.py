"""From a file to a ScalingExperiment, or to everything that is wrong with it.

Files are YAML 1.2 or JSON with duplicate keys refused, as kubectl reads them: `1e-4` is a number,
`on` is text. Of several documents exactly one may be a ScalingExperiment; others are not ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError

from scaling_operator.api.checks import check_document
from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.names import EXPERIMENT_KIND
from scaling_operator.api.normal import normal_form
from scaling_operator.api.problems import InvalidSpec, Problem, listing, shown
from scaling_operator.api.sections import read

MAX_BYTES = 1024 * 1024


class _Constructor(SafeConstructor):
    """Values as JSON knows them: a date stays the text that was written."""


def _text(constructor: Any, node: Any) -> str:
    return constructor.construct_scalar(node)


# ruamel has no types of its own: what goes in and comes out is Any here and checked afterwards.
cast("Any", _Constructor).add_constructor("tag:yaml.org,2002:timestamp", _text)


def load_experiment(path: Path) -> ScalingExperiment:
    """Read and check an experiment file. Raises InvalidSpec with every problem at once."""
    return parse_experiment(_read_text(path), str(path))


def parse_experiment(text: str, source: str) -> ScalingExperiment:
    """Read and check an experiment; `source` names the text where it cannot be read at all.

    Raises InvalidSpec with every problem at once.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        _refuse(source, f"is larger than {MAX_BYTES // 1024} KiB; that is no experiment")
    document = _choose(_parse(text, source), source)
    problems = check_document(document)
    if problems:
        raise InvalidSpec(problems)
    # A file taken from `kubectl get -o yaml` may be run again: its status is not ours to read.
    document.pop("status", None)
    return read(ScalingExperiment, normal_form(document)[0])


def _refuse(path: str, message: str) -> NoReturn:
    raise InvalidSpec((Problem(path, message),))


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        _refuse(str(path), "no such file")
    except IsADirectoryError:
        _refuse(str(path), "is a directory; name the experiment file in it")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        _refuse(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(raw) > MAX_BYTES:
        _refuse(str(path), f"is larger than {MAX_BYTES // 1024} KiB; that is no experiment")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(str(path), f"is not UTF-8 text (byte {error.start}); write YAML or JSON")


def _parse(text: str, source: str) -> list[object]:
    """Read the documents of a YAML or JSON text; refuse what is not well formed."""
    if text.lstrip().startswith("{"):
        document = _parse_json(text, source)
        if document is not None:
            return [document]
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        return [each for each in yaml.load_all(text) if each is not None]
    except MarkedYAMLError as error:
        _refuse(source, _place(error) + _reason(error))
    except RecursionError:
        _refuse(source, "is nested too deeply")
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        # ruamel lets some slips through as plain errors: a number of 5,000 digits, `!!int x`.
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
    context = f" ({error.context})" if error.context else ""
    return f"not valid YAML: {error.problem or 'syntax error'}{context}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _choose(documents: list[object], source: str) -> dict[str, object]:
    """Find the one ScalingExperiment; a single document is taken whatever it calls itself."""
    if not documents:
        _refuse(source, "is empty; an experiment has apiVersion, kind, metadata and spec")
    if len(documents) > 1:
        kinds = [_kind(document) for document in documents]
        documents = [each for each in documents if _kind(each) == EXPERIMENT_KIND]
        if len(documents) != 1:
            found = f"{len(documents) or 'no'} {EXPERIMENT_KIND} among {listing(kinds)}"
            _refuse(source, f"holds {found}; exactly one is allowed")
    (document,) = documents
    if not isinstance(document, dict):
        what = shown(document)
        _refuse(source, f"holds {what}, not a mapping with apiVersion, kind, metadata and spec")
    return cast("dict[str, object]", document)


def _kind(document: object) -> str:
    if not isinstance(document, Mapping):
        return "something without a kind"
    kind = cast("Mapping[str, object]", document).get("kind", "something without a kind")
    return kind if isinstance(kind, str) else shown(kind)
