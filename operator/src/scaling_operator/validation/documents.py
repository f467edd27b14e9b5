"""From a text to the document in it: YAML 1.2 or JSON with duplicate keys refused.

As kubectl reads them: `1e-4` is a number, `on` is text. Of several documents exactly one may be of
the kind that is asked for; others are not ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError

from scaling_operator.api.problems import InvalidSpec, Problem, listing, shown
from scaling_operator.validation.bounded_yaml import TooMuchYAML, read_yaml
from scaling_trainer import reading

MAX_BYTES = 1024 * 1024


def refuse(path: str, message: str) -> NoReturn:
    """Raise InvalidSpec with one problem."""
    raise InvalidSpec((Problem(path, message),))


def read_text(path: Path, noun: str) -> str:
    """Read a file; `noun` names what it should hold. Raises InvalidSpec."""
    try:
        return reading.read_text(path, MAX_BYTES)
    except reading.FolderInPlace:
        refuse(str(path), f"is a directory; name the {noun} file in it")
    except reading.TooLarge as error:
        refuse(str(path), f"{error.reason}; that is no {noun}")
    except reading.NotText as error:
        refuse(str(path), f"{error.reason}; write YAML or JSON")
    except reading.UnreadableFile as error:
        refuse(str(path), error.reason)


def parse(text: str, source: str) -> list[object]:
    """Read the documents of a YAML or JSON text; refuse what is not well formed."""
    if text.lstrip().startswith("{"):
        document = _parse_json(text, source)
        if document is not None:
            return [document]
    try:
        return read_yaml(text)
    except MarkedYAMLError as error:
        refuse(source, _place(error) + _reason(error))
    except RecursionError:
        refuse(source, "is nested too deeply")
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        # ruamel lets some slips through as plain errors: a number of 5,000 digits, `!!int`.
        refuse(source, f"is not YAML: {_first_line(error).split(';', maxsplit=1)[0]}")


def _parse_json(text: str, source: str) -> object:
    """Read JSON, which YAML readers take too but for tabs; None where it is not JSON."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for key, value in pairs:
            if key in mapping:
                refuse(source, f"the key {shown(key)} stands twice in one object; keep one")
            mapping[key] = value
        return mapping

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        refuse(source, "is nested too deeply")
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


def choose(documents: list[object], source: str, wanted: str) -> dict[str, object]:
    """Find the one document of a kind; a single document is taken whatever it calls itself."""
    if not documents:
        refuse(source, f"is empty; a {wanted} has apiVersion, kind, metadata and spec")
    if len(documents) > 1:
        kinds = [_kind(document) for document in documents]
        documents = [each for each in documents if _kind(each) == wanted]
        if len(documents) != 1:
            found = f"{len(documents) or 'no'} {wanted} among {listing(kinds)}"
            refuse(source, f"holds {found}; exactly one is allowed")
    (document,) = documents
    if not isinstance(document, dict):
        what = shown(document)
        refuse(source, f"holds {what}, not a mapping with apiVersion, kind, metadata and spec")
    return cast("dict[str, object]", document)


def _kind(document: object) -> str:
    if not isinstance(document, Mapping):
        return "something without a kind"
    kind = cast("Mapping[str, object]", document).get("kind", "something without a kind")
    return kind if isinstance(kind, str) else shown(kind)
