"""The three CustomResourceDefinitions, rendered from the models.

`make generate` writes them; a test fails when a file and the models differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.names import (
    EXPERIMENT_KIND,
    EXPERIMENT_NAME_LENGTH,
    EXPERIMENT_NAME_PATTERN,
    GROUP,
    POLICY_KIND,
    TRIAL_KIND,
    VERSION,
)
from scaling_operator.api.policy import ResourcePolicy
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.validation.crd_schema import Schema, structural


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; a wide one shows with `-o wide` only."""

    name: str
    type: str
    path: str
    wide: bool = False

    def rendered(self) -> dict[str, Any]:
        """Render as an entry of additionalPrinterColumns."""
        entry: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return entry | ({"priority": 1} if self.wide else {})


@dataclass(frozen=True, slots=True)
class Definition:
    """One of our kinds: its model, its names, and how it is listed."""

    model: type[BaseModel]
    kind: str
    plural: str
    short: str
    scope: str
    columns: tuple[Column, ...]
    has_status: bool = True


_AGE = Column("Age", "date", ".metadata.creationTimestamp")
_COUNTS = ".status.counts"
KINDS: tuple[Definition, ...] = (
    Definition(
        ScalingExperiment,
        EXPERIMENT_KIND,
        "scalingexperiments",
        "sx",
        "Namespaced",
        (
            Column("Phase", "string", ".status.phase"),
            Column("Running", "integer", f"{_COUNTS}.running"),
            Column("Succeeded", "integer", f"{_COUNTS}.succeeded"),
            Column("Pruned", "integer", f"{_COUNTS}.pruned"),
            Column("Failed", "integer", f"{_COUNTS}.failed"),
            Column("Max", "integer", f"{_COUNTS}.max"),
            Column("Best", "number", ".status.best.values[0]"),
            _AGE,
            Column("Metric", "string", ".spec.objective.metric", wide=True),
            Column("Algorithm", "string", ".spec.search.algorithm.name", wide=True),
            Column("Queued", "integer", f"{_COUNTS}.queued", wide=True),
            Column("Stopped", "integer", f"{_COUNTS}.stopped", wide=True),
            Column("Trial", "string", ".status.best.trial", wide=True),
            Column("Parameters", "string", ".status.best.parameters", wide=True),
            Column("GPU-hours", "number", ".status.ledger.usedGpuHours", wide=True),
            Column("Cost", "number", ".status.ledger.usedCost", wide=True),
        ),
    ),
    Definition(
        ScalingTrial,
        TRIAL_KIND,
        "scalingtrials",
        "sxt",
        "Namespaced",
        (
            Column("State", "string", ".status.state"),
            Column("Reason", "string", ".status.reason"),
            Column("Value", "number", ".status.values[0]"),
            _AGE,
            Column("Experiment", "string", ".spec.experiment.name", wide=True),
            Column("Scale", "integer", ".spec.scale", wide=True),
            Column("Number", "integer", ".spec.number", wide=True),
            Column("Steps", "integer", ".status.steps", wide=True),
            Column("Seconds", "number", ".status.seconds", wide=True),
            Column("Message", "string", ".status.message", wide=True),
        ),
    ),
    Definition(
        ResourcePolicy,
        POLICY_KIND,
        "resourcepolicies",
        "rsp",
        "Cluster",
        (
            Column("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Reason", "string", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Queue", "string", ".spec.queue"),
            _AGE,
            Column("Shapes", "string", ".spec.shapes[*].name", wide=True),
        ),
    ),
)


def definition(kind: Definition) -> dict[str, Any]:
    """Render a CustomResourceDefinition."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root(kind)},
        "additionalPrinterColumns": [column.rendered() for column in kind.columns],
        **({"subresources": {"status": {}}} if kind.has_status else {}),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
            },
            "scope": kind.scope,
            "versions": [version],
        },
    }


def _root(kind: Definition) -> Schema:
    schema = structural(kind.model)
    properties = schema["properties"]
    root: Schema = {
        "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
        "kind": {"type": "string", "description": kind.kind},
        "metadata": {"type": "object"},  # Kubernetes describes it
        "spec": properties["spec"],
    }
    if kind.kind == EXPERIMENT_KIND:
        root["metadata"]["properties"] = {"name": _experiment_name()}
    if kind.has_status:
        root["status"] = properties["status"]
    if kind.kind == TRIAL_KIND:
        # A trial runs from its creation on; no write has to say so.
        root["status"]["default"] = {"state": "Running"}
    schema |= {"type": "object", "required": ["spec"], "properties": root}
    unbounded = tuple(_without_bounds(schema, ""))
    if unbounded:
        message = f"{kind.kind} has values without bounds or descriptions: {', '.join(unbounded)}"
        raise ValueError(message)
    return schema


def _experiment_name() -> Schema:
    return {
        "type": "string",
        "description": "Lower-case letters, digits and -, from which names of pods are made.",
        "pattern": EXPERIMENT_NAME_PATTERN,
        "maxLength": EXPERIMENT_NAME_LENGTH,
    }


_OURS = ("spec", "status")


def _without_bounds(node: Mapping[str, Any], path: str) -> Iterator[str]:
    """Find texts, lists and maps without a bound, and fields without a description."""
    if path.startswith(tuple(f".{name}" for name in _OURS)):
        if "description" not in node and not path.endswith(("[]", "{}")):
            yield f"{path} (no description)"
        yield from (f"{path} (no {bound})" for bound in _missing_bounds(node))
    for name, child in node.get("properties", {}).items():
        yield from _without_bounds(child, f"{path}.{name}")
    if isinstance(node.get("items"), dict):
        yield from _without_bounds(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _without_bounds(node["additionalProperties"], f"{path}{{}}")


def _missing_bounds(node: Mapping[str, Any]) -> Iterator[str]:
    is_map = "additionalProperties" in node or "x-kubernetes-preserve-unknown-fields" in node
    match node.get("type"):
        case "string" if not {"enum", "format", "maxLength"} & node.keys():
            yield "maxLength"
        case "array" if "maxItems" not in node:
            yield "maxItems"
        case "object" if is_map and "maxProperties" not in node:
            yield "maxProperties"
        case _:
            pass
