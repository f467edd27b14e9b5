"""All that worker processes may take at once fits into the operator's container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from scaling_operator.api.quantities import parse_quantity
from scaling_operator.processes.process import CHECK, FIT, MIB, STUDY
from scaling_operator.processes.workers import SEARCH_PROCESSES

VALUES = Path(__file__).parents[3] / "charts" / "scaling-operator" / "values.yaml"
OPERATOR_BYTES = 512 * MIB
"""The operator's own under attack, or with hostile tenants' objects: docs/testing.md has less."""
LOADED_BYTES = 96 * MIB
"""A process that has loaded what it needs, before its first work."""


def test_the_chart_s_limit_holds_all_processes_at_their_bounds() -> None:
    yaml: Any = YAML(typ="safe", pure=True)
    values = yaml.load(VALUES.read_text())
    search = LOADED_BYTES + max(CHECK.memory_bytes, STUDY.memory_bytes)
    fitting = LOADED_BYTES + FIT.memory_bytes
    limit = parse_quantity(values["resources"]["limits"]["memory"])
    assert OPERATOR_BYTES + SEARCH_PROCESSES * search + fitting <= limit
