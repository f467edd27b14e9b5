"""How one operator process is set up, and every default of it.

`main` fills the settings from options and environment variables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scaling_operator.kube.workloads.allowed import Allowed
from scaling_operator.kube.workloads.attempt_spec import GracePeriods


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """The endpoint that trials report to. Pods reach it at `url`; None: no reports."""

    url: str | None = None
    port: int = 8443
    secret: str = "scaling-operator-reports"  # noqa: S105 - the Secret's name
    hosts: tuple[str, ...] = ()
    """Names and addresses in the certificate."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """The Lease: its name, how long it holds, how often it is renewed."""

    name: str = "scaling-operator"
    duration_seconds: float = 15.0
    renew_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What every attempt's pod has in common, and how long its problems may last."""

    trainer_image: str = ""
    kind: Literal["pod", "job"] = "pod"
    queue: str | None = None
    image_pull_policy: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    allowed_service_accounts: frozenset[str] = frozenset()
    allowed: Allowed = field(default_factory=Allowed)
    disk_limit: str | None = None
    """A quantity: the most that a pod's folder holds on the disk of its node; None: no limit."""
    keep_failed_seconds: float = 3600.0
    grace: GracePeriods = field(default_factory=GracePeriods)
    no_result_grace_seconds: float = 30.0
    backoff_seconds: float = 5.0
    """Wait before the first repeated attempt; doubled for each further one in a row."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a process."""

    namespace: str
    """The process' own namespace, with the Lease and the certificate's Secret."""
    name: str
    """The process' identity as the holder of the Lease."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces to serve; empty: all."""
    kubeconfig: Path | None = None
    address: str | None = None
    """Where the ports listen; None: on all addresses."""
    resync_seconds: float = 90.0
    health_port: int = 8080
    metrics_port: int = 9090
    metrics_secure: bool = False
    """Metrics by TLS, for clients that the API server allows."""
    dashboard_port: int | None = None
    """Port of optuna-dashboard; None: it is not served."""
    dashboard_names: tuple[str, ...] = ()
    """Names of the dashboard besides addresses and names of Services."""
    reports: ReportSettings = field(default_factory=ReportSettings)
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    pods: PodSettings = field(default_factory=PodSettings)
