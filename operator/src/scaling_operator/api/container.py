"""A trainer of one's own: the container, its variables, and the volumes it sees.

The fields are those of a Kubernetes container, with the pod's `volumes` beside them: what the
training reads is part of the question, so all of it is fixed once an experiment is accepted.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from scaling_operator.api.fields import ApiSection, ConfigKey, ObjectName, Quantity
from scaling_operator.api.placement import OUT_OF_BOUNDS
from scaling_trainer.config.base import SectionError

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
VOLUME_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_PART = r"([^/:.][^/:]*|\.[^/:.][^/:]*|\.\.[^/:]+)"
MOUNT_PATH_PATTERN = f"^(/{_PART})+$"
"""One spelling for each place: else `//artifacts` would be another one than `/artifacts`."""
VolumeName = Annotated[str, Field(pattern=VOLUME_NAME_PATTERN, max_length=63)]
Word = Annotated[str, Field(max_length=32_768)]
SOURCES = ("persistentVolumeClaim", "emptyDir", "configMap", "secret")


class KeyReference(ApiSection):
    """A key of a ConfigMap or Secret of the same namespace."""

    name: ObjectName = Field(description="Name of the object.")
    key: ConfigKey = Field(description="Key in it.")
    optional: bool = Field(default=False, description="Start without the variable where absent.")


class ValueSource(ApiSection):
    """Where a variable's value is read from; exactly one of the two."""

    secret_key_ref: KeyReference | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyReference | None = Field(
        default=None, description="A key of a ConfigMap."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> ValueSource:
        if (self.secret_key_ref is None) == (self.config_map_key_ref is None):
            raise SectionError(("", "set exactly one of secretKeyRef, configMapKeyRef"))
        return self


class EnvironmentVariable(ApiSection):
    """A variable for the container."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)] = Field(
        description="Its name."
    )
    value: Annotated[str, Field(max_length=32_768)] = Field(default="", description="Its value.")
    value_from: ValueSource | None = Field(
        default=None, description="Instead of value: read when the pod starts."
    )

    @model_validator(mode="after")
    def _at_most_one(self) -> EnvironmentVariable:
        if self.value and self.value_from is not None:
            raise SectionError(("", "set at most one of value, valueFrom"))
        return self


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


class Volume(ApiSection):
    """A volume of the pod: a name, and exactly one source."""

    REFUSED: ClassVar = {
        "hostPath": "it would open the files of the node; use one of " + ", ".join(SOURCES),
        **dict.fromkeys(
            ("nfs", "iscsi", "fc", "cephfs", "rbd", "glusterfs", "csi", "ephemeral", "image"),
            "storage comes through a claim: use persistentVolumeClaim",
        ),
        "projected": "it could hold a token of the API server; use configMap or secret",
    }

    name: VolumeName = Field(description="What volumeMounts call it.")
    persistent_volume_claim: ClaimVolume | None = Field(
        default=None, description="A claim, such as one that holds a data set."
    )
    empty_dir: EmptyDirVolume | None = Field(
        default=None, description="A folder of the pod's own, such as a larger /dev/shm."
    )
    config_map: ConfigMapVolume | None = Field(default=None, description="Files of a ConfigMap.")
    secret: SecretVolume | None = Field(default=None, description="Files of a Secret.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Volume:
        sources = (self.persistent_volume_claim, self.empty_dir, self.config_map, self.secret)
        if sum(source is not None for source in sources) != 1:
            raise SectionError(("", f"set exactly one of {', '.join(SOURCES)}"))
        return self


class VolumeMount(ApiSection):
    """Where the container sees a volume."""

    REFUSED: ClassVar = {
        "mountPropagation": "it needs a privileged container; a mount is the container's own",
    }

    name: VolumeName = Field(description="Name of one of volumes.")
    mount_path: Annotated[str, Field(pattern=MOUNT_PATH_PATTERN, max_length=1024)] = Field(
        description="Absolute path in the container, without a colon, empty parts, `.` and `..`."
    )
    sub_path: Annotated[str, Field(max_length=1024)] = Field(
        default="", description="Folder or file of the volume to show, instead of all of it."
    )
    read_only: bool = Field(default=False, description="Show it for reading only.")

    @model_validator(mode="after")
    def _sub_path_stays_inside(self) -> VolumeMount:
        if self.sub_path.startswith("/") or ".." in self.sub_path.split("/"):
            raise SectionError(("subPath", "must be a relative path without .."))
        return self


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
