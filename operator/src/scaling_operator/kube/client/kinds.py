"""The kinds of objects that the operator reads and writes, with their paths in the API."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from scaling_operator.api.names import (
    EXPERIMENT_KIND,
    GROUP,
    POLICY_KIND,
    TRIAL_KIND,
    VERSION,
    is_namespace,
    is_object_name,
)
from scaling_operator.api.problems import shown
from scaling_operator.kube.client.errors import InvalidName


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of object: one of the constants below. The core group is empty."""

    group: str
    version: str
    plural: str
    name: str

    @property
    def api_version(self) -> str:
        """As an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str = "") -> str:
        """Path of a collection, an object or its subresource. Raises InvalidName.

        A tenant may choose a name: a name that no object can have never becomes part of a path.
        """
        if namespace is not None and not is_namespace(namespace):
            message = f"{shown(namespace)} is not the name of a namespace"
            raise InvalidName(message)
        if name is not None and not is_object_name(name):
            message = f"{shown(name)} is not the name of a {self.name}"
            raise InvalidName(message)
        steps = [] if namespace is None else ["namespaces", namespace]
        steps += [
            self.plural,
            *(() if name is None else (name,)),
            *((subresource,) if subresource else ()),
        ]
        root = "/apis" if self.group else "/api"
        return "/".join((root, self.api_version, *(quote(step, safe="") for step in steps)))


EXPERIMENTS = Kind(GROUP, VERSION, "scalingexperiments", EXPERIMENT_KIND)
TRIALS = Kind(GROUP, VERSION, "scalingtrials", TRIAL_KIND)
POLICIES = Kind(GROUP, VERSION, "resourcepolicies", POLICY_KIND)
NAMESPACES = Kind("", "v1", "namespaces", "Namespace")
PODS = Kind("", "v1", "pods", "Pod")
JOBS = Kind("batch", "v1", "jobs", "Job")
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Kind("events.k8s.io", "v1", "events", "Event")
SECRETS = Kind("", "v1", "secrets", "Secret")
NODES = Kind("", "v1", "nodes", "Node")
CLAIM_TEMPLATES = Kind("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate")
TOKEN_REVIEWS = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
SUBJECT_ACCESS_REVIEWS = Kind(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview"
)
