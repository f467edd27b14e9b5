"""Every expression of every panel, rule and alert, with where it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

CHART = Path(__file__).parents[3] / "charts" / "scaling-operator"
RULES = tuple(sorted((CHART / "rules").glob("*.yaml")))
BOARDS = tuple(sorted((CHART / "dashboards").glob("*.json")))
_COMPARISON = re.compile(r" (>=|<=|==|!=|>|<) (?!bool)")
_NAME = re.compile(r"\bscaling[a-z0-9_:]*")
_STRING = re.compile(r'"[^"]*"')


class Expression(NamedTuple):
    """PromQL, and the place it is from."""

    place: str
    text: str


def rules(kind: str) -> list[dict[str, Any]]:
    """Read the rules of a kind: `alert` or `record`."""
    yaml: Any = YAML(typ="safe", pure=True)
    documents = [yaml.load(file.read_text()) for file in RULES]
    groups: list[dict[str, Any]] = [group for document in documents for group in document["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def panels() -> Iterator[Expression]:
    """Give the queries of all panels, as they stand there."""
    for file in BOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield Expression(f"{file.stem}: {panel['title']}", target["expr"])


def filled(expression: str, rate_interval: str, namespace: str = ".*") -> str:
    """Put values for Grafana's variables: every experiment, of one namespace or of all."""
    text = expression.replace("$__rate_interval", rate_interval)
    return re.sub(r"\$experiment\b", ".*", re.sub(r"\$namespace\b", namespace, text))


def compared(expression: str) -> str:
    """Have each comparison say 0 or 1, so that a value on both sides is seen to be there."""
    return _COMPARISON.sub(r" \1 bool ", " ".join(expression.split()))


def of_any_condition(expression: str) -> str:
    """Ask for every condition instead of one."""
    return re.sub(r'(scaling_[a-z]+_condition)\{condition="[A-Za-z]+"\}', r"\1", expression)


def names(expression: str) -> set[str]:
    """Name the metrics of an expression."""
    return set(_NAME.findall(_STRING.sub('""', expression)))
