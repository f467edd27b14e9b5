"""Which Secrets, claims, taints and labels of nodes the platform lets experiments name.

The patterns are those of file names: `*` stands for any text, and alone for everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.placement import Affinity
from scaling_operator.api.problems import Problem, listing

EVERYTHING = ("*",)
EVERY_TAINT = "every taint"
NamesByPath = Iterator[tuple[str, str]]
"""Paths in an experiment, each with the name that stands there."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Patterns of the Secrets, claims, keys of taints and labels of nodes that may be named."""

    secrets: tuple[str, ...] = EVERYTHING
    claims: tuple[str, ...] = EVERYTHING
    tolerations: tuple[str, ...] = EVERYTHING
    node_labels: tuple[str, ...] = EVERYTHING


def disallowed_names(spec: ExperimentSpec, allowed: Allowed) -> Iterator[Problem]:
    """Give a problem for each name that an experiment may not use."""
    yield from _refused(_secrets(spec), allowed.secrets, "Secrets")
    yield from _refused(_claims(spec), allowed.claims, "claims")
    yield from _refused(_taints(spec), allowed.tolerations, "taints")
    yield from _refused(_node_labels(spec), allowed.node_labels, "labels of nodes")


def _refused(names: NamesByPath, patterns: tuple[str, ...], what: str) -> Iterator[Problem]:
    for path, name in names:
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            allowed = listing([pattern for pattern in patterns if pattern]) or "none"
            message = f"{name} is not for experiments; {what} that the platform allows: {allowed}"
            yield Problem(path, message)


def _secrets(spec: ExperimentSpec) -> NamesByPath:
    container = spec.trainer.container
    if container is not None:
        for at, variable in enumerate(container.env):
            source = variable.value_from
            if source is not None and source.secret_key_ref is not None:
                path = f"spec.trainer.container.env[{at}].valueFrom.secretKeyRef.name"
                yield path, source.secret_key_ref.name
        for at, volume in enumerate(container.volumes):
            if volume.secret is not None:
                path = f"spec.trainer.container.volumes[{at}].secret.secretName"
                yield path, volume.secret.secret_name
    for at, pull in enumerate(spec.trainer.pod.image_pull_secrets):
        yield f"spec.trainer.pod.imagePullSecrets[{at}].name", pull.name


def _claims(spec: ExperimentSpec) -> NamesByPath:
    own, container = spec.artifacts.persistent_volume_claim, spec.trainer.container
    if own is not None:
        yield "spec.artifacts.persistentVolumeClaim.claimName", own.claim_name
    for at, volume in enumerate(container.volumes if container is not None else ()):
        claim = volume.persistent_volume_claim
        if claim is not None:
            path = f"spec.trainer.container.volumes[{at}].persistentVolumeClaim.claimName"
            yield path, claim.claim_name


def _taints(spec: ExperimentSpec) -> NamesByPath:
    for at, toleration in enumerate(spec.trainer.pod.tolerations):
        yield f"spec.trainer.pod.tolerations[{at}].key", toleration.key or EVERY_TAINT


def _node_labels(spec: ExperimentSpec) -> NamesByPath:
    pod = spec.trainer.pod
    for key in pod.node_selector:
        yield f"spec.trainer.pod.nodeSelector.{key}", key
    for key in _keys(pod.affinity):
        yield "spec.trainer.pod.affinity.nodeAffinity", key


def _keys(affinity: Affinity) -> Iterator[str]:
    nodes = affinity.node_affinity
    if nodes is None:
        return
    required = nodes.required_during_scheduling_ignored_during_execution
    terms = list(required.node_selector_terms) if required is not None else []
    preferred = nodes.preferred_during_scheduling_ignored_during_execution
    for term in [*terms, *(preference.preference for preference in preferred)]:
        yield from (preference.key for preference in term.match_expressions)
