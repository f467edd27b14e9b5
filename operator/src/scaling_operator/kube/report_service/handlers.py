"""Reports of running attempts, from their pods to their experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from scaling_operator.api.names import LABEL_EXPERIMENT
from scaling_operator.core.reports import Reply, Report
from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.errors import NotFound
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS, TRIALS
from scaling_operator.kube.client.ownership import is_owned
from scaling_operator.kube.reconcile.controller import Controller
from scaling_operator.kube.report_service import http as reports
from scaling_operator.kube.report_service.tokens import PodIdentity
from scaling_operator.kube.settings import Settings
from scaling_operator.kube.workloads.attempt_spec import WorkloadSettings
from scaling_operator.kube.workloads.identity import attempt_of, finishes
from scaling_operator.metrics.operator_metrics import OperatorMetrics
from scaling_operator.report_endpoint.endpoint import NotAnAttempt, NotNow


@dataclass(slots=True)
class ReportService:
    """The report endpoint of an operator process; an async context manager."""

    settings: Settings
    client: Client
    index: Index
    leads: Callable[[], bool]
    operator_metrics: OperatorMetrics
    controller: Controller | None = None
    _server: reports.ReportServer | None = field(default=None)

    async def __aenter__(self) -> ReportService:
        """Serve, where the settings name an address that pods can reach."""
        if self.settings.reports.url is not None:
            listener = reports.ReportHandlers(
                *(self._take, self.leads, self._experiment),
                knows=self._knows,
                accepted=self.operator_metrics.report_accepted,
                refused=self.operator_metrics.report_refused,
                turned_away=self.operator_metrics.turned_away("reports"),
            )
            self._server = await reports.start(
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
        """Give what every attempt's pod has in common, with the certificate as it is now."""
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
        found = attempt_of(pod, in_jobs=self.settings.pods.kind == "job")
        if found is None:
            message = f"pod {sender.pod_name} runs no attempt of a trial"
            raise NotAnAttempt(message)
        key, attempt = Key(sender.namespace, found[0]), found[1]
        reply = None
        if self.controller is not None:
            reply = await self.controller.report(key, attempt, pod, report)
        if reply is None:
            message = "the experiment is being read"
            raise NotNow(message)
        return reply

    async def _experiment(self, sender: PodIdentity) -> Mapping[str, Any]:
        """Hand out a finisher's experiment with its trials, as they are stored."""
        pod = await self._pod(sender)
        name = finishes(pod)
        if name is None:
            message = f"pod {sender.pod_name} is no finisher"
            raise NotAnAttempt(message)
        thing = await self.client.get(EXPERIMENTS, sender.namespace, name)
        if not is_owned(pod, EXPERIMENTS, thing["metadata"]["uid"]):
            message = f"pod {sender.pod_name} is not this experiment's"
            raise NotAnAttempt(message)
        selector = f"{LABEL_EXPERIMENT}={name}"
        trials = await self.client.list(TRIALS, sender.namespace, selector)
        uid = thing["metadata"]["uid"]
        ours = [each for each in trials if each["spec"]["experiment"]["uid"] == uid]
        return {"experiment": thing, "trials": ours}

    def _knows(self, claimed: PodIdentity) -> bool:
        pod = self.index.pod(claimed.namespace, claimed.pod_name)
        return pod is not None and pod["metadata"]["uid"] == claimed.pod_uid

    async def _pod(self, sender: PodIdentity) -> Object:
        """Find the sender's pod; the index may not have it yet."""
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
