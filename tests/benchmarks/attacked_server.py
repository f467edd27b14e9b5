"""The operator's ports in one process, with all that an operator loads, and no cluster behind them.

Started by bench_attacks.py. It writes its ports and its authority as one line of JSON, and ends
with its standard input.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, cast

from scaling_operator.api.names import REPORT_AUDIENCE
from scaling_operator.core.reports import Answer, Reply, Report
from scaling_operator.kube import operate
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.kinds import TOKEN_REVIEWS, Kind
from scaling_operator.kube.health import Health, serve_health
from scaling_operator.kube.logs import LogFormat, set_up
from scaling_operator.kube.metrics_port import serve_metrics
from scaling_operator.kube.report_service import service as reports
from scaling_operator.kube.report_service.tokens import PodIdentity, claimed_pod
from scaling_operator.kube.settings import ReportSettings, Settings
from scaling_operator.metrics import families
from scaling_operator.metrics.exposition import Exposition
from scaling_operator.metrics.operator_metrics import OperatorMetrics, new_registry
from scaling_operator.metrics.samples import Sample
from scaling_operator.search.dashboard import Mirror, served

HERE = "127.0.0.1"
SERIES = 9500  # as 50 experiments of 100 trials have


@dataclass(slots=True)
class ApiServer:
    """A Secret, and reviews: a pod's token is one that says so, `prometheus` may read metrics."""

    secret: dict[str, Any] = field(default_factory=dict[str, Any])

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        del kind, namespace, name
        return dict(self.secret)

    async def replace(
        self, kind: Kind, namespace: str | None, name: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        del kind, namespace, name
        self.secret = body
        return body

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> Any:
        del namespace
        await asyncio.sleep(0.01)  # as long as an API server takes
        if kind != TOKEN_REVIEWS:
            return {"status": {"allowed": True}}
        token = str(body["spec"]["token"])
        pod = claimed_pod(token)
        if pod is None and token != "prometheus":
            return {"status": {"authenticated": False}}
        about = "authentication.kubernetes.io/pod"
        name = token if pod is None else pod.pod_name
        extra = {f"{about}-name": [name], f"{about}-uid": [name]}
        user = {"username": "system:serviceaccount:team:default", "extra": extra}
        return {"status": {"authenticated": True, "audiences": [REPORT_AUDIENCE], "user": user}}


@dataclass(frozen=True, slots=True)
class Well:
    """The health of a process that is well."""

    def sick(self) -> None:
        """Nothing is wrong."""

    def unready(self) -> None:
        """Nothing is missing."""

    def leads(self) -> bool:
        """It leads."""
        return True


def samples() -> Iterator[Sample]:
    for number in range(SERIES):
        yield Sample(families.BEST, ("team", f"experiment-{number // 5}", str(number % 5)), 0.1)


async def take(sender: PodIdentity, report: Report) -> Reply:
    del sender
    return Reply(Answer.CONTINUE, report.seq)


async def main() -> None:
    """Serve until standard input ends."""
    set_up(LogFormat.JSON)
    registry = new_registry("0")
    operator_metrics = OperatorMetrics(registry)
    settings = Settings(
        namespace="scaling",
        name="attacked",
        address=HERE,
        metrics_port=0,
        metrics_secure=True,
        reports=ReportSettings(port=0, hosts=(HERE,)),
    )
    api = ApiServer()
    client = cast("Client", api)
    listener = reports.ReportHandlers(
        on_report=take,
        is_active=lambda: True,
        accepted=operator_metrics.report_accepted,
        refused=operator_metrics.report_refused,
        is_known=lambda _: True,
        turned_away=operator_metrics.turned_away("reports"),
    )
    async with AsyncExitStack() as stack:
        exposition = Exposition(registry, samples, fresh_seconds=operate.FRESH_SECONDS)
        metrics = serve_metrics(
            exposition, settings, client, operator_metrics.turned_away("metrics")
        )
        health = serve_health(
            cast("Health", Well()), HERE, 0, operator_metrics.turned_away("health")
        )
        ports = {
            "metrics": (await stack.enter_async_context(metrics)).port,
            "health": (await stack.enter_async_context(health)).port,
        }
        server = await reports.serve_reports(settings, client, listener, HERE)
        stack.push_async_callback(server.stop)
        ports["reports"] = server.port
        if find_spec("optuna_dashboard") is not None:
            turned_away = operator_metrics.turned_away("dashboard")
            dashboard = served(Mirror().application(), HERE, 0, turned_away)
            ports["dashboard"] = stack.enter_context(dashboard)
        authority = base64.b64decode(api.secret["data"]["ca.crt"]).decode()
        ready_message = {"ports": ports, "authority": authority, "secured": ["reports", "metrics"]}
        sys.stdout.write(json.dumps(ready_message) + "\n")
        sys.stdout.flush()
        logging.getLogger(__name__).info("serving since %.0f", time.time())
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
