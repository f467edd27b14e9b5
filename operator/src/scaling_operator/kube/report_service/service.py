"""Takes reports of running attempts from their pods to their experiments.

It serves HTTPS on a port of its own; the API server checks the tokens. Connections, handshakes,
bodies and rates are bounded (`report_endpoint`, and below): anybody who runs a pod can reach it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from scaling_operator.api.names import REPORT_AUDIENCE
from scaling_operator.core.reports import Reply, Report
from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.errors import ClusterBusy, ClusterError, NotFound
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS, TRIALS
from scaling_operator.kube.client.ownership import is_owned
from scaling_operator.kube.reconcile.controller import Controller
from scaling_operator.kube.report_service.serving_certificate import (
    ServingCertificate,
    open_certificate,
)
from scaling_operator.kube.report_service.tokens import PodIdentity, PodReview, Tokens
from scaling_operator.kube.settings import Settings
from scaling_operator.kube.workloads.attempt_spec import WorkloadSettings
from scaling_operator.kube.workloads.identity import (
    attempt_of_pod,
    experiment_selector,
    finished_experiment,
)
from scaling_operator.metrics.operator_metrics import OperatorMetrics
from scaling_operator.report_endpoint.endpoint import (
    Endpoint,
    NotAnAttempt,
    NotNow,
    Rate,
    application,
    counted,
)
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import BoundedServer, Port, ignore_refusal, listen

# A connection costs 0.28 MB, a new one 2 ms (measured). The pods of a node may share an address.
LIMITS = PortLimits(
    connections=500, connections_per_address=30, opened_per_second=20.0, opened_at_once=100
)
RETRY_SECONDS = 30.0

_UNREACHABLE = "the operator cannot reach the API server now"

T = TypeVar("T")


def _none_is_known(pod: PodIdentity) -> bool:
    del pod
    return False


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReportHandlers:
    """How the operator handles reports. The functions may raise ClusterError and NotAnAttempt."""

    on_report: Callable[[PodIdentity, Report], Awaitable[Reply]]
    is_active: Callable[[], bool]
    experiment: Callable[[PodIdentity], Awaitable[Mapping[str, Any]]] | None = None
    is_known: Callable[[PodIdentity], bool] = _none_is_known
    """Whether the index has this pod."""
    accepted: Callable[[str], None] = ignore_refusal
    """Called with the answer to each accepted report."""
    refused: Callable[[str], None] = ignore_refusal
    """Called with the reason of each refused report."""
    turned_away: Callable[[str], None] = ignore_refusal
    """Called with the reason of each connection or request refused before it was a report."""


async def serve_reports(
    settings: Settings, client: Client, listener: ReportHandlers, address: str | None = None
) -> ReportServer:
    """Read or issue the certificate, and serve reports at `address`; None: on all addresses.

    Raises ClusterError where the Secret cannot be read or written, and OSError.
    """
    certificate = await open_certificate(settings, client)
    app = application(
        _endpoint(client, listener),
        counted(listener.accepted, listener.refused, listener.is_active),
    )
    port = Port(address, settings.reports.port, LIMITS, certificate.context)
    try:
        server = await listen(app, port, listener.turned_away)
    except BaseException:
        await certificate.close()
        raise
    return ReportServer(certificate, server)


@dataclass(slots=True)
class ReportServer:
    """A report endpoint that listens; `serve_reports` makes it."""

    _certificate: ServingCertificate
    _server: BoundedServer

    @property
    def authority(self) -> str:
        """The certificate that pods trust, as PEM text: SCALING_REPORT_CA."""
        return self._certificate.authority

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    async def stop(self) -> None:
        """End the connections; the senders try again, here or at another replica."""
        await self._certificate.close()
        await self._server.stop()

    async def refresh(self) -> None:
        """Renew a certificate that is due, or take that which another replica has renewed.

        Raises ClusterError and OSError.
        """
        await self._certificate.refresh()


def _endpoint(client: Client, listener: ReportHandlers) -> Endpoint[PodIdentity]:
    tokens = Tokens(PodReview(client, REPORT_AUDIENCE), listener.is_known)
    experiment_of = listener.experiment

    async def authenticate(token: str, address: str) -> PodIdentity | None:
        return await _or_not_now(tokens.authenticate(token, address))

    async def on_report(sender: PodIdentity, report: Report) -> Reply:
        reply = await _or_not_now(listener.on_report(sender, report))
        listener.accepted(reply.answer.value)
        return reply

    async def experiment(sender: PodIdentity) -> Mapping[str, Any]:
        if experiment_of is None:
            message = "this operator describes no experiments"
            raise NotAnAttempt(message)
        return await _or_not_now(experiment_of(sender))

    return Endpoint(authenticate, on_report, listener.is_active, experiment, Rate())


async def _or_not_now(request: Awaitable[T]) -> T:
    """Ask the sender to come again where the API server does not answer."""
    try:
        return await request
    except ClusterBusy as error:
        raise NotNow(_UNREACHABLE, error.retry_after_seconds) from error
    except ClusterError as error:
        # The sender can do nothing about it, and should not read it.
        log.warning("a report waits: %s", error)
        raise NotNow(_UNREACHABLE, RETRY_SECONDS) from error


@dataclass(slots=True)
class ReportService:
    """The report endpoint of an operator process; an async context manager."""

    settings: Settings
    client: Client
    index: Index
    leads: Callable[[], bool]
    operator_metrics: OperatorMetrics
    controller: Controller | None = None
    _server: ReportServer | None = field(default=None)

    async def __aenter__(self) -> ReportService:
        """Serve, where the settings name a URL that pods can reach."""
        if self.settings.reports.url is not None:
            listener = ReportHandlers(
                on_report=self._take,
                is_active=self.leads,
                experiment=self._experiment,
                is_known=self._is_known,
                accepted=self.operator_metrics.report_accepted,
                refused=self.operator_metrics.report_refused,
                turned_away=self.operator_metrics.turned_away("reports"),
            )
            self._server = await serve_reports(
                self.settings, self.client, listener, self.settings.address
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the connections."""
        if self._server is not None:
            await self._server.stop()

    def workload_settings(self) -> WorkloadSettings:
        """Give the platform's settings of all attempts, with the present certificate."""
        pods = self.settings.pods
        return WorkloadSettings(
            trainer_image=pods.trainer_image,
            image_pull_policy=pods.image_pull_policy,
            image_pull_secrets=pods.image_pull_secrets,
            report_url=self.settings.reports.url,
            report_ca=None if self._server is None else self._server.authority,
            allowed_service_accounts=tuple(sorted(pods.allowed_service_accounts)),
            allowed=pods.allowed,
            disk_limit=pods.disk_limit,
            queue=pods.queue,
        )

    async def _take(self, sender: PodIdentity, report: Report) -> Reply:
        pod = await self._pod(sender)
        claimed = attempt_of_pod(pod, in_jobs=self.settings.pods.kind == "job")
        if claimed is None:
            message = f"pod {sender.pod_name} runs no attempt of a trial"
            raise NotAnAttempt(message)
        key, attempt = Key(sender.namespace, claimed[0]), claimed[1]
        reply = None
        if self.controller is not None:
            reply = await self.controller.report(key, attempt, pod, report)
        if reply is None:
            message = "the experiment is being read"
            raise NotNow(message)
        return reply

    async def _experiment(self, sender: PodIdentity) -> Mapping[str, Any]:
        """Give a finisher the stored experiment with its stored trials."""
        pod = await self._pod(sender)
        name = finished_experiment(pod)
        if name is None:
            message = f"pod {sender.pod_name} is no finisher"
            raise NotAnAttempt(message)
        experiment = await self.client.get(EXPERIMENTS, sender.namespace, name)
        if not is_owned(pod, EXPERIMENTS, experiment["metadata"]["uid"]):
            message = f"pod {sender.pod_name} is not this experiment's"
            raise NotAnAttempt(message)
        selector = experiment_selector(name)
        trials = await self.client.list(TRIALS, sender.namespace, selector)
        uid = experiment["metadata"]["uid"]
        ours = [trial for trial in trials if trial["spec"]["experiment"]["uid"] == uid]
        return {"experiment": experiment, "trials": ours}

    def _is_known(self, claimed: PodIdentity) -> bool:
        pod = self.index.pod(claimed.namespace, claimed.pod_name)
        return pod is not None and pod["metadata"]["uid"] == claimed.pod_uid

    async def _pod(self, sender: PodIdentity) -> Object:
        """Find the sender's pod; where the index lacks it, at the API server."""
        pod = self.index.pod(sender.namespace, sender.pod_name)
        if pod is None or pod["metadata"]["uid"] != sender.pod_uid:
            try:
                pod = await self.client.get(PODS, sender.namespace, sender.pod_name)
            except NotFound as error:
                raise NotAnAttempt(str(error)) from error
        if pod["metadata"]["uid"] != sender.pod_uid:
            message = f"pod {sender.pod_name} is another one now"
            raise NotAnAttempt(message)
        return pod
