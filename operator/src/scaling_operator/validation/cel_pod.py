"""Rules of a container of one's own and of a trainer's pod in CEL, by the name of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scaling_operator.api.container import SOURCES
from scaling_operator.api.names import RESERVED_MOUNTS, RESERVED_VOLUMES
from scaling_operator.validation.cel import Rule, given, literal


def _exactly_one(fields: Sequence[str]) -> Rule:
    return Rule(
        f"[{', '.join(f'has(self.{each})' for each in fields)}].exists_one(each, each)",
        f"set exactly one of {', '.join(fields)}",
    )


_CONTAINER = (
    Rule(
        f"has(self.image) || {given('command')}",
        "set image (for a cluster), command (for a local run), or both",
        ".image",
    ),
    Rule(
        "!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes) && "
        "self.volumes.exists(volume, volume.name == mount.name))",
        "each of volumeMounts must name one of volumes",
        ".volumeMounts",
    ),
    Rule(
        "!has(self.volumes) || "
        "self.volumes.all(one, self.volumes.exists_one(other, other.name == one.name))",
        "each name of volumes may stand once",
        ".volumes",
    ),
    Rule(
        "!has(self.volumeMounts) || self.volumeMounts.all(one, "
        "self.volumeMounts.exists_one(other, other.mountPath == one.mountPath))",
        "each mountPath may stand once",
        ".volumeMounts",
    ),
)
_OPERATOR = (
    Rule(
        f"!(self.operator in ['In', 'NotIn']) || {given('values')}",
        "operators In and NotIn need values",
        ".values",
    ),
    Rule(
        f"!(self.operator in ['Exists', 'DoesNotExist']) || !{given('values')}",
        "operators Exists and DoesNotExist take no values",
        ".values",
    ),
    Rule(
        f"!(self.operator in ['Gt', 'Lt']) || ({given('values')} && size(self.values) == 1 && "
        "self.values[0].matches('^[0-9]+$'))",
        "operators Gt and Lt need one whole number",
        ".values",
    ),
)
_EXISTS = "(has(self.operator) && self.operator == 'Exists')"
POD_RULES: Mapping[str, tuple[Rule, ...]] = {
    "Container": _CONTAINER,
    "EnvironmentVariable": (
        Rule(
            "!self.name.startsWith('SCALING_')",
            "names that begin with SCALING_ belong to the contract",
            ".name",
        ),
        Rule(
            "!has(self.valueFrom) || !has(self.value) || self.value == ''",
            "set at most one of value, valueFrom",
            ".value",
        ),
    ),
    "ValueSource": (_exactly_one(("secretKeyRef", "configMapKeyRef")),),
    "Volume": (
        _exactly_one(SOURCES),
        Rule(
            f"!self.name.startsWith({literal(RESERVED_VOLUMES)})",
            f"names that begin with {RESERVED_VOLUMES} belong to the operator",
            ".name",
        ),
    ),
    "VolumeMount": (
        Rule(
            f"!{literal(RESERVED_MOUNTS)}.exists(each, self.mountPath == each || "
            "self.mountPath.startsWith(each + '/'))",
            f"the operator mounts its own at {', '.join(RESERVED_MOUNTS)}",
            ".mountPath",
        ),
        Rule(
            "!has(self.subPath) || "
            "(!self.subPath.startsWith('/') && !('..' in self.subPath.split('/')))",
            "must be a relative path without ..",
            ".subPath",
        ),
    ),
    "NodeRequirement": _OPERATOR,
    "LabelRequirement": _OPERATOR[:2],
    "Toleration": (
        Rule(
            f"!{_EXISTS} || !has(self.value) || self.value == ''",
            "operator Exists takes no value",
            ".value",
        ),
        Rule(
            f"{_EXISTS} || (has(self.key) && self.key != '')",
            "without a key, operator must be Exists",
            ".key",
        ),
    ),
}
