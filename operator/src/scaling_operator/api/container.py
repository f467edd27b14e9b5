"""A trainer of one's own: the container, its variables, and the volumes it sees.

The fields are those of a Kubernetes container, with the pod's `volumes` beside them. The data that
training reads are part of the question, so all fields are fixed once an experiment is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.alias_generators import to_snake

from scaling_operator.api.fields import ApiSection, CheckedSection, ConfigKey, ObjectName, Quantity
from scaling_operator.api.names import (
    DNS_LABEL_LENGTH,
    DNS_LABEL_PATTERN,
    RESERVED_MOUNTS,
    RESERVED_VARIABLES,
    RESERVED_VOLUMES,
    VARIABLE_NAME_PATTERN,
)
from scaling_operator.api.placement import OUT_OF_BOUNDS
from scaling_operator.api.problems import Problem
from scaling_operator.api.rules import Rule, exactly_one_of, literal

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
_PART = r"([^/:.][^/:]*|\.[^/:.][^/:]*|\.\.[^/:]+)"
MOUNT_PATH_PATTERN = f"^(/{_PART})+$"
"""Each place has one spelling: else `//artifacts` would be another place than `/artifacts`."""
VolumeName = Annotated[str, Field(pattern=DNS_LABEL_PATTERN, max_length=DNS_LABEL_LENGTH)]
Word = Annotated[str, Field(max_length=32_768)]


class KeyReference(ApiSection):
    """A key of a ConfigMap or Secret of the same namespace."""

    name: ObjectName = Field(description="Name of the object.")
    key: ConfigKey = Field(description="Key in it.")
    optional: bool = Field(default=False, description="Start without the variable where absent.")


class ValueSource(CheckedSection):
    """Where a variable's value is read from; exactly one of the two."""

    RULES: ClassVar[tuple[Rule[ValueSource], ...]] = (
        exactly_one_of("secret_key_ref", "config_map_key_ref"),
    )

    secret_key_ref: KeyReference | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyReference | None = Field(
        default=None, description="A key of a ConfigMap."
    )


_ONE_VALUE = "set at most one of value, valueFrom"


def _has_one_value(variable: EnvironmentVariable) -> Iterator[Problem]:
    if variable.value and variable.value_from is not None:
        yield Problem("", _ONE_VALUE)


class EnvironmentVariable(CheckedSection):
    """A variable for the container."""

    RULES: ClassVar[tuple[Rule[EnvironmentVariable], ...]] = (
        Rule(
            holds=lambda variable: not variable.name.startswith(RESERVED_VARIABLES),
            sentence=lambda variable: (
                f"{variable.name} belongs to the contract: choose a name "
                f"without {RESERVED_VARIABLES}"
            ),
            cel=f"!self.name.startsWith({literal(RESERVED_VARIABLES)})",
            message=f"names that begin with {RESERVED_VARIABLES} belong to the contract",
            field="name",
        ),
        Rule(
            check=_has_one_value,
            cel="!has(self.valueFrom) || !has(self.value) || self.value == ''",
            message=_ONE_VALUE,
            field="value",
        ),
    )

    name: Annotated[str, Field(pattern=VARIABLE_NAME_PATTERN, max_length=256)] = Field(
        description="Its name."
    )
    value: Annotated[str, Field(max_length=32_768)] = Field(default="", description="Its value.")
    value_from: ValueSource | None = Field(
        default=None, description="Instead of value: read when the pod starts."
    )


class ClaimVolume(ApiSection):
    """A PersistentVolumeClaim of the same namespace, seen by all trials at once."""

    claim_name: ObjectName = Field(description="Its name.")
    read_only: bool = Field(default=False, description="Attach it for reading only.")


class EmptyDirVolume(ApiSection):
    """A folder that lives as long as the pod."""

    medium: Literal["Memory"] | None = Field(
        default=None,
        description="Memory: it counts against the memory of the pod. Absent: the node's disk.",
    )
    size_limit: Quantity | None = Field(default=None, description="The most it may hold.")


class ConfigMapVolume(ApiSection):
    """A ConfigMap of the same namespace, one file for each key."""

    name: ObjectName = Field(description="Its name.")
    optional: bool = Field(default=False, description="Start with an empty folder where absent.")


class SecretVolume(ApiSection):
    """A Secret of the same namespace, one file for each key."""

    secret_name: ObjectName = Field(description="Its name.")
    optional: bool = Field(default=False, description="Start with an empty folder where absent.")


VOLUME_SOURCES = ("persistentVolumeClaim", "emptyDir", "configMap", "secret")


class Volume(CheckedSection):
    """A volume of the pod: a name, and exactly one source."""

    REFUSED: ClassVar = {
        "hostPath": f"it would open the files of the node; use one of {', '.join(VOLUME_SOURCES)}",
        **dict.fromkeys(
            ("nfs", "iscsi", "fc", "cephfs", "rbd", "glusterfs", "csi", "ephemeral", "image"),
            "storage comes through a claim: use persistentVolumeClaim",
        ),
        "projected": "it could hold a token of the API server; use configMap or secret",
    }
    RULES: ClassVar[tuple[Rule[Volume], ...]] = (
        exactly_one_of(*map(to_snake, VOLUME_SOURCES)),
        Rule(
            holds=lambda volume: not volume.name.startswith(RESERVED_VOLUMES),
            cel=f"!self.name.startsWith({literal(RESERVED_VOLUMES)})",
            message=f"names that begin with {RESERVED_VOLUMES} belong to the operator",
            field="name",
        ),
    )

    name: VolumeName = Field(description="What volumeMounts call it.")
    persistent_volume_claim: ClaimVolume | None = Field(
        default=None, description="A claim, such as one that holds a data set."
    )
    empty_dir: EmptyDirVolume | None = Field(
        default=None, description="A folder of the pod's own, such as a larger /dev/shm."
    )
    config_map: ConfigMapVolume | None = Field(default=None, description="Files of a ConfigMap.")
    secret: SecretVolume | None = Field(default=None, description="Files of a Secret.")


def _is_reserved(path: str) -> bool:
    return any(path == mount or path.startswith(f"{mount}/") for mount in RESERVED_MOUNTS)


def _stays_inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


class VolumeMount(CheckedSection):
    """Where the container sees a volume."""

    REFUSED: ClassVar = {
        "mountPropagation": "it needs a privileged container; a mount is the container's own",
    }
    RULES: ClassVar[tuple[Rule[VolumeMount], ...]] = (
        Rule(
            holds=lambda mount: not _is_reserved(mount.mount_path),
            cel=f"!{literal(RESERVED_MOUNTS)}.exists(each, self.mountPath == each || "
            "self.mountPath.startsWith(each + '/'))",
            message=f"the operator mounts its own at {', '.join(RESERVED_MOUNTS)}",
            field="mountPath",
        ),
        Rule(
            holds=lambda mount: _stays_inside(mount.sub_path),
            cel="!has(self.subPath) || "
            "(!self.subPath.startsWith('/') && !('..' in self.subPath.split('/')))",
            message="must be a relative path without ..",
            field="subPath",
        ),
    )

    name: VolumeName = Field(description="Name of one of volumes.")
    mount_path: Annotated[str, Field(pattern=MOUNT_PATH_PATTERN, max_length=1024)] = Field(
        description="Absolute path in the container, without a colon, empty parts, `.` and `..`."
    )
    sub_path: Annotated[str, Field(max_length=1024)] = Field(
        default="", description="Folder or file of the volume to show, instead of all of it."
    )
    read_only: bool = Field(default=False, description="Show it for reading only.")


class Container(ApiSection):
    """A trainer of your own. `$(NAME)` in command and args expands to a variable's value."""

    REFUSED: ClassVar = {
        **OUT_OF_BOUNDS,
        **{
            name: f"it says where and as whom the pod runs: write it in spec.trainer.pod.{name}"
            for name in (
                "nodeSelector",
                "tolerations",
                "affinity",
                "imagePullSecrets",
                "serviceAccountName",
            )
        },
        "securityContext": (
            "write runAsUser, runAsGroup and fsGroup in spec.trainer.pod.securityContext; the rest "
            "is the restricted profile's: not privileged, no capabilities, no escalation"
        ),
        "resources": "the machine of a trial stands in spec.resources",
        "envFrom": "it could replace variables of the contract: name each one in env",
        "ports": "nothing talks to a trial; it reports by itself",
        "terminationMessagePath": "the result lies there; the program finds it in "
        "$SCALING_RESULT_FILE",
    }

    image: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Image; a local run does not use it."
    )
    image_pull_policy: PullPolicy | None = Field(
        default=None,
        description="When the image is pulled. Absent: Always for the tag latest, else if absent.",
    )
    command: tuple[Word, ...] = Field(
        default=(), max_length=100, description="Program and first arguments; a local run needs it."
    )
    args: tuple[Word, ...] = Field(default=(), max_length=1000, description="Further arguments.")
    env: tuple[EnvironmentVariable, ...] = Field(
        default=(), max_length=200, description="Variables beside SCALING_*."
    )
    working_dir: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Folder to start in."
    )
    volumes: tuple[Volume, ...] = Field(
        default=(), max_length=50, description="Volumes of the pod, beside that of artifacts."
    )
    volume_mounts: tuple[VolumeMount, ...] = Field(
        default=(), max_length=50, description="Where the container sees them."
    )
