"""How one operator process is set up. Filled by `main` from options and environment variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scaling_operator.kube.workloads.allowed import Allowed


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """The endpoint that trials report to. `url` is how pods reach it; None: no reports."""

    url: str | None = None
    port: int = 8443
    secret: str = "scaling-operator-reports"  # noqa: S105 - the Secret's name
    hosts: tuple[str, ...] = ()
    """Names and addresses in the certificate."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Leadership: which Lease, how long it holds, how often it is renewed."""

    name: str = "scaling-operator"
    duration_seconds: float = 15.0
    renew_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What every attempt's pod has in common, and the bounds of its troubles."""

    trainer_image: str = ""
    kind: Literal["pod", "job"] = "pod"
    queue: str | None = None
    image_pull_policy: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    allowed_service_accounts: frozenset[str] = frozenset()
    allowed: Allowed = field(default_factory=Allowed)
    disk_limit: str | None = None
    """A quantity: the most of a pod's folder on its node's disk; None: no bound."""
    keep_failed_seconds: float = 3600.0
    image_pull_grace_seconds: float = 120.0
    no_result_grace_seconds: float = 30.0
    backoff_seconds: float = 5.0
    """Wait before the first repeated attempt; doubled for each further one in a row."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a process is told."""

    namespace: str
    """Its own: where its Lease and its certificate's Secret lie."""
    name: str
    """Its identity: the holder of the Lease."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces it serves; none: all."""
    kubeconfig: Path | None = None
    address: str | None = None
    """Where its ports listen; None: everywhere."""
    resync_seconds: float = 90.0
    health_port: int = 8080
    metrics_port: int = 9090
    metrics_secure: bool = False
    """Metrics by TLS, for those whom the API server lets read them."""
    dashboard_port: int | None = None
    """optuna-dashboard's; None: it is not served."""
    dashboard_names: tuple[str, ...] = ()
    """What the dashboard is called besides addresses and names of Services."""
    reports: ReportSettings = field(default_factory=ReportSettings)
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    pods: PodSettings = field(default_factory=PodSettings)
