"""The samples that people begin with, as documents that a test may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"


def read(name: str) -> dict[str, Any]:
    """Read a sample by its name."""
    yaml = cast("Any", YAML(typ="safe"))
    document: dict[str, Any] = yaml.load(SAMPLES / f"{name}.yaml")
    return document
