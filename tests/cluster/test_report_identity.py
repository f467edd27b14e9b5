"""Reports over HTTPS whose tokens a real API server judges, with keys in a real Secret."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from testbed.cluster import Cluster
from testbed.until_closed import run_until_closed

from scaling_operator.api.names import REPORT_AUDIENCE
from scaling_operator.core.reports import Answer, Reply, Report
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.connection import connect
from scaling_operator.kube.report_service import service as reports
from scaling_operator.kube.report_service.service import ReportHandlers, ReportServer
from scaling_operator.kube.report_service.tokens import PodIdentity, PodReview, Tokens
from scaling_operator.kube.settings import ReportSettings, Settings
from scaling_trainer.report import Reporter
from scaling_trainer.report_client import ReportClient
from scaling_trainer.results import Result

SECRET = "scaling-operator-reports"


@dataclass(slots=True)
class Heard:
    reports: list[tuple[PodIdentity, Report]] = field(
        default_factory=list[tuple[PodIdentity, Report]]
    )

    async def on_report(self, sender: PodIdentity, report: Report) -> Reply:
        self.reports.append((sender, report))
        return Reply(Answer.CONTINUE, report.seq)


@pytest.fixture
def pod(cluster: Cluster, namespace: str) -> PodIdentity:
    """A pod that is there; nothing needs to run in it."""
    name = f"trainer-{time.monotonic_ns()}"
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "trainer", "image": "none.invalid/none"}]},
    }
    said = cluster.kubectl("-n", namespace, "create", "-o", "json", "-f", "-", stdin=document)
    return PodIdentity(namespace, name, json.loads(said)["metadata"]["uid"])


def token_for(
    cluster: Cluster, namespace: str, *bound: str, audience: str = REPORT_AUDIENCE
) -> str:
    command = ("-n", namespace, "create", "token", "default", "--audience", audience)
    said = cluster.kubectl(*command, *bound)
    return said.strip()


def bound_to(pod: PodIdentity) -> tuple[str, ...]:
    uid = f"--bound-object-uid={pod.pod_uid}"
    return ("--bound-object-kind=Pod", f"--bound-object-name={pod.pod_name}", uid)


def delete(cluster: Cluster, pod: PodIdentity) -> None:
    now = ("--force", "--grace-period=0")
    cluster.kubectl("-n", pod.namespace, "delete", "pod", pod.pod_name, *now)


def reviewed(cluster: Cluster, token: str) -> PodIdentity | None:
    async def ask() -> PodIdentity | None:
        async with connect(cluster.kubeconfig) as client:
            return await Tokens(PodReview(client, REPORT_AUDIENCE)).authenticate(token, "127.0.0.1")

    return run_until_closed(ask())


def test_a_pod_is_known_by_its_bound_token(cluster: Cluster, pod: PodIdentity) -> None:
    token = token_for(cluster, pod.namespace, *bound_to(pod))

    assert reviewed(cluster, token) == pod


def test_a_token_is_refused_once_its_pod_is_gone(cluster: Cluster, pod: PodIdentity) -> None:
    token = token_for(cluster, pod.namespace, *bound_to(pod))
    delete(cluster, pod)
    # The API server remembers a token's review for some seconds.
    deadline = time.monotonic() + 30
    while reviewed(cluster, token) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_tokens_for_others_and_of_no_pod_are_refused(cluster: Cluster, pod: PodIdentity) -> None:
    for_others = token_for(cluster, pod.namespace, *bound_to(pod), audience="somebody-else")
    of_no_pod = token_for(cluster, pod.namespace)

    for token in (for_others, of_no_pod, f"{for_others[:-4]}AAAA", "nonsense"):
        assert reviewed(cluster, token) is None


def settings_in(namespace: str, *hosts: str) -> Settings:
    return Settings(namespace, "one", reports=ReportSettings(port=0, secret=SECRET, hosts=hosts))


@asynccontextmanager
async def serving(client: Client, namespace: str, heard: Heard) -> AsyncGenerator[ReportServer]:
    listener = ReportHandlers(heard.on_report, lambda: True)
    server = await reports.serve_reports(
        settings_in(namespace, "127.0.0.1"), client, listener, "127.0.0.1"
    )
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def empty_secret(cluster: Cluster, namespace: str) -> Any:
    """The Secret as the chart creates it."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}}
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=secret)
    yield
    cluster.kubectl("-n", namespace, "delete", "secret", SECRET)


@pytest.mark.usefixtures("empty_secret")
def test_a_trainer_s_reports_come_with_the_name_of_its_pod(
    cluster: Cluster, pod: PodIdentity, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(token_for(cluster, pod.namespace, *bound_to(pod)))
    heard = Heard()

    def train(server: ReportServer) -> None:
        url = f"https://127.0.0.1:{server.port}"
        trainer = Reporter(None, ReportClient(url, token, server.authority))
        for _ in range(3):
            trainer.report(None, {"val_loss": 0.5})
        trainer.result(Result(metrics={"val_loss": 0.25}))

    async def run() -> None:
        async with (
            connect(cluster.kubeconfig) as client,
            serving(client, pod.namespace, heard) as server,
        ):
            await asyncio.to_thread(train, server)

    run_until_closed(run())
    assert heard.reports == [(pod, Report(n, n, {"val_loss": 0.5})) for n in (1, 2, 3)]


@pytest.mark.usefixtures("empty_secret")
def test_two_replicas_that_start_at_once_show_the_same_certificate(
    cluster: Cluster, namespace: str
) -> None:
    async def run() -> tuple[str, str]:
        async with connect(cluster.kubeconfig) as client:
            server_contexts = [serving(client, namespace, Heard()) for _ in range(2)]
            first, second = await asyncio.gather(
                *(server_context.__aenter__() for server_context in server_contexts)
            )
            for server_context in server_contexts:
                await server_context.__aexit__(None, None, None)
            return first.authority, second.authority

    authorities = run_until_closed(run())
    stored = cluster.read("-n", namespace, "secret", SECRET)["data"]
    assert {base64.b64decode(stored["ca.crt"]).decode()} == set(authorities)


@pytest.mark.usefixtures("empty_secret")
def test_the_chart_s_secret_applied_again_keeps_the_keys(cluster: Cluster, namespace: str) -> None:
    async def start() -> str:
        async with (
            connect(cluster.kubeconfig) as client,
            serving(client, namespace, Heard()) as server,
        ):
            return server.authority

    before = run_until_closed(start())
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}}
    for way in ((), ("--server-side", "--force-conflicts")):
        cluster.kubectl("-n", namespace, "apply", *way, "-f", "-", stdin=secret)
    assert run_until_closed(start()) == before
