"""YAML 1.2 of bounded size: reading ends soon for any text.

The reader takes some 50 microseconds for a value, its time grows quadratically with the depth of
brackets, and an alias or a merge stands for as much as its author likes. So values, levels and
merges are counted while they are read. Larger documents are for JSON, which is read a thousand
times faster.
"""

from __future__ import annotations

from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode
from ruamel.yaml.scanner import Scanner

from scaling_operator.validation.normal_form import MAX_DEPTH

MAX_YAML_BYTES = 256 * 1024
MAX_YAML_VALUES = 5_000
_MERGE = "tag:yaml.org,2002:merge"


class TooMuchYAML(MarkedYAMLError):
    """A text with more values or levels than are read; `problem` names the bound that it passes."""


def read_yaml(text: str) -> list[object]:
    """Read the documents of a text, empty ones left out.

    Raises TooMuchYAML and other YAMLErrors; RecursionError for a merge of itself; and what ruamel
    lets through as plain errors: ValueError, TypeError, LookupError, AttributeError.
    """
    if len(text) > MAX_YAML_BYTES:
        _refuse(f"has more than {MAX_YAML_BYTES // 1024} KiB of YAML; write it as JSON", None)
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Scanner, yaml.Composer, yaml.Constructor = _Scanner, _Composer, _Constructor
    return [document for document in yaml.load_all(text) if document is not None]


# ruamel has no types: its arguments and results are Any here, and checked afterwards.
class _Scanner(Scanner):
    """Refuses brackets that are nested too deeply, before they become a structure."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: Any) -> None:  # noqa: N803
        scanner = cast("Any", self)
        if scanner.flow_level >= MAX_DEPTH:
            _refuse(_too_deep(), scanner.reader.get_mark())
        cast("Any", super()).fetch_flow_collection_start(TokenClass, to_push)


class _Composer(Composer):
    """Counts values and levels."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        cast("Any", super()).__init__(*arguments, **named)
        self.warn_double_anchors = False  # the second of a name counts, as YAML has it
        self.values = 0
        self.level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.values += 1
        self.level += 1
        mark = cast("Any", self).parser.peek_event().start_mark
        if self.values > MAX_YAML_VALUES:
            message = f"has more than {MAX_YAML_VALUES:,} values; write them as JSON"
            _refuse(message, mark)
        if self.level > MAX_DEPTH:
            _refuse(_too_deep(), mark)
        node = cast("Any", super()).compose_node(parent, index)
        self.level -= 1
        return node


class _Constructor(SafeConstructor):
    """Values as JSON knows them: a date stays the text that was written; merges are counted."""

    merged = 0

    def flatten_mapping(self, node: Any) -> Any:
        pairs: list[tuple[Any, Any]] = list(node.value)
        for key, value in pairs:
            if key.tag == _MERGE:
                several: Any = cast("Any", value).value if isinstance(value, SequenceNode) else ()
                for merged in several or (value,):
                    self._count(merged)
        return cast("Any", super()).flatten_mapping(node)

    def _count(self, merged: Any) -> None:
        """Count the values that a merge adds. It is flat afterwards, so none counts twice."""
        if isinstance(merged, MappingNode):
            self.flatten_mapping(merged)
            self.merged += 1 + len(cast("Any", merged).value)
        if self.merged > MAX_YAML_VALUES:
            message = f"has merges (`<<`) that add more than {MAX_YAML_VALUES:,} values"
            _refuse(message, cast("Any", merged).start_mark)


def _text(constructor: Any, node: Any) -> str:
    return constructor.construct_scalar(node)


cast("Any", _Constructor).add_constructor("tag:yaml.org,2002:timestamp", _text)


def _too_deep() -> str:
    return f"is nested too deeply: at most {MAX_DEPTH} levels are read"


def _refuse(problem: str, mark: Any) -> None:
    raise TooMuchYAML(None, None, problem, mark)
