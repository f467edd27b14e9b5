"""Reports over TLS from a pod to its experiment: which pods are heard, and what they are told."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from fake_cluster import FakeCluster, Object
from fake_kubelet import start, succeed
from shell import TEAM, Shell
from testbed.documents import Change, played

from scaling_operator.api.names import REPORT_AUDIENCE, Phase
from scaling_operator.kube.client.kinds import EXPERIMENTS, PODS, SECRETS, TRIALS
from scaling_operator.kube.report_service.service import ReportService
from scaling_operator.kube.settings import (
    PodSettings,
    ReportSettings,
    Settings,
)
from scaling_operator.metrics.operator_metrics import OperatorMetrics, new_registry

HOST, SYSTEM = "127.0.0.1", "scaling-system"
ON_A_CLAIM: Change = ("spec/artifacts", {"persistentVolumeClaim": {"claimName": "kept"}})
REPORT: Object = {"seq": 1, "step": 1, "metrics": {"loss": 0.5}}
PREFIX = "scaling-operator.dev"


@dataclass(slots=True)
class Endpoint:
    """A report endpoint that listens, as a pod sees it."""

    shell: Shell
    port: int
    context: ssl.SSLContext

    async def ask(self, token: str, path: str, body: Object | None = None) -> tuple[int, Any]:
        """Send a request with a token; get status and document, or text."""
        verb = "GET" if body is None else "POST"
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.request(
                verb, f"https://{HOST}:{self.port}{path}", json=body, ssl=self.context
            ) as answer,
        ):
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    async def report(self, token: str) -> tuple[int, Any]:
        """Report with a token."""
        return await self.ask(token, "/v1/report", REPORT)

    def token_of(self, name: str, uid: str | None = None) -> str:
        """Give out a token that is bound to a pod."""
        uid = uid or str(self.shell.cluster.one(PODS, TEAM, name)["metadata"]["uid"])
        names = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
        extra = dict(zip(names, ([name], [uid]), strict=True))
        user = {"username": f"system:serviceaccount:{TEAM}:default", "extra": extra}
        token = f"token-of-{name}-{uid}"
        status = {"authenticated": True, "audiences": [REPORT_AUDIENCE], "user": user}
        self.shell.cluster.tokens[token] = status
        return token


@asynccontextmanager
async def report_service(shell: Shell, kind: str = "pod") -> AsyncGenerator[Endpoint]:
    cluster: FakeCluster = shell.cluster
    reports = ReportSettings(url=f"https://{HOST}", port=0, hosts=(HOST,))
    pods = PodSettings(trainer_image="trainer:1", kind="job" if kind == "job" else "pod")
    settings = Settings(SYSTEM, "operator-0", address=HOST, reports=reports, pods=pods)
    cluster.add(SECRETS, SYSTEM, {"metadata": {"name": reports.secret}, "data": {}})
    operator_metrics = OperatorMetrics(new_registry("0"))
    ear = ReportService(
        settings=settings,
        client=shell.client,
        index=shell.index,
        leads=lambda: shell.leads,
        operator_metrics=operator_metrics,
        controller=shell.controller,
    )
    async with ear:
        authority = ear.workload_settings().report_ca
        server = ear._server  # pyright: ignore[reportPrivateUsage]
        assert server is not None
        yield Endpoint(shell, server.port, ssl.create_default_context(cadata=authority))


async def began(shell: Shell, *changes: Change) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", *changes))
    await shell.settle()
    start(shell.cluster, TEAM, "study-0-0-0")


def foreign(name: str, *owners: Object, **marks: str) -> Object:
    """Write a pod of somebody who has copied our labels."""
    labels = {f"{PREFIX}/{key}": value for key, value in marks.items()}
    metadata = {"name": name, "labels": labels, "ownerReferences": list(owners)}
    return {"metadata": metadata, "spec": {"containers": []}, "status": {"phase": "Running"}}


ATTEMPT = {"experiment": "study", "scale": "0", "trial": "study-0-0", "attempt": "0"}


async def test_an_attempts_report_reaches_its_trial(shell: Shell) -> None:
    await began(shell)
    async with report_service(shell) as endpoint:
        status, document = await endpoint.report(endpoint.token_of("study-0-0-0"))
        assert (status, document["action"], document["seq"]) == (200, "continue", 1)
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
    await shell.until(lambda: shell.status("study").phase is Phase.SUCCEEDED)
    (trial,) = shell.trials("study")
    assert [(point.step, point.value) for point in trial.status.curve] == [(1, 0.5)]


async def test_a_pod_that_the_index_does_not_know_yet_is_asked_for(shell: Shell) -> None:
    await began(shell)
    pod = shell.cluster.one(PODS, TEAM, "study-0-0-0")
    async with report_service(shell) as endpoint:
        shell.index.drop(PODS, pod)
        assert (await endpoint.report(endpoint.token_of("study-0-0-0")))[0] == 200
    assert "get pods team/study-0-0-0" in shell.cluster.requests


async def test_who_is_no_attempt_is_refused(shell: Shell) -> None:
    await began(shell)
    older = {"kind": "ScalingTrial", "apiVersion": f"{PREFIX}/v1alpha1", "controller": True}
    shell.cluster.add(PODS, TEAM, foreign("web"))
    shell.cluster.add(PODS, TEAM, foreign("copy", **ATTEMPT))
    marks = {**ATTEMPT, "attempt": "1"}
    shell.cluster.add(PODS, TEAM, foreign("study-0-0-1", **marks))
    owner = {**older, "name": "study-0-0", "uid": "of another one"}
    shell.cluster.add(PODS, TEAM, foreign("study-0-0-2", owner, **{**ATTEMPT, "attempt": "2"}))
    async with report_service(shell) as endpoint:
        for name in ("web", "copy", "study-0-0-1", "study-0-0-2"):
            assert (await endpoint.report(endpoint.token_of(name)))[0] == 403, name
        gone = endpoint.token_of("none", uid="1")
        assert (await endpoint.report(gone))[0] == 403
        renewed = endpoint.token_of("study-0-0-0", uid="older")
        assert (await endpoint.report(renewed))[0] == 403
        assert (await endpoint.report("made up"))[0] == 401


async def test_while_an_experiment_is_being_read_its_pods_come_later(shell: Shell) -> None:
    await began(shell)
    following = Shell(shell.cluster)
    async with report_service(following) as endpoint:
        token = endpoint.token_of("study-0-0-0")
        assert (await endpoint.report(token))[0] == 503
        await following.settle()
        assert (await endpoint.report(token))[0] == 200
    following.close()


async def test_a_replica_that_does_not_lead_takes_no_report(shell: Shell) -> None:
    await began(shell)
    async with report_service(shell) as endpoint:
        shell.leads = False
        assert (await endpoint.report(endpoint.token_of("study-0-0-0")))[0] == 503


async def test_an_attempt_that_is_over_is_told_to_stop(shell: Shell) -> None:
    await began(shell, ("spec/trials", {"max": 2, "parallel": 2}))
    failed = {"state": "Failed", "message": "by another replica"}
    shell.cluster.edit(TRIALS, TEAM, "study-0-0", lambda trial: trial.update(status=failed))
    shell.controller.invalidate(list(shell.controller.loaded))
    await shell.settle()
    async with report_service(shell) as endpoint:
        status, document = await endpoint.report(endpoint.token_of("study-0-0-0"))
        assert (status, document["action"]) == (200, "stop")
        status, document = await endpoint.report(endpoint.token_of("study-0-1-0"))
        assert (status, document["action"]) == (200, "continue")


async def test_a_finisher_gets_its_experiment_and_nobody_else_does(shell: Shell) -> None:
    await began(shell, ON_A_CLAIM)
    marks = {"experiment": "study", "finishes": "0-0"}
    shell.cluster.add(PODS, TEAM, foreign("study-finish", **marks))
    async with report_service(shell) as endpoint:
        assert (await endpoint.ask(endpoint.token_of("study-finish"), "/v1/experiment"))[0] == 403
        assert (await endpoint.ask(endpoint.token_of("study-0-0-0"), "/v1/experiment"))[0] == 403
        shell.cluster.remove(PODS, TEAM, "study-finish")
        succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.5)
        await shell.until(lambda: "study-finish" in shell.pods())
        status, document = await endpoint.ask(endpoint.token_of("study-finish"), "/v1/experiment")
    assert status == 200
    assert document["experiment"]["metadata"]["name"] == "study"
    assert [trial["metadata"]["name"] for trial in document["trials"]] == ["study-0-0"]


async def test_without_an_address_that_pods_reach_nobody_listens(shell: Shell) -> None:
    settings = Settings(SYSTEM, "operator-0", pods=PodSettings(trainer_image="trainer:1"))
    operator_metrics = OperatorMetrics(new_registry("0"))
    ear = ReportService(settings, shell.client, shell.index, lambda: True, operator_metrics)
    async with ear:
        pod_settings = ear.workload_settings()
    assert (pod_settings.report_url, pod_settings.report_ca) == (None, None)
    assert not shell.cluster.requests
