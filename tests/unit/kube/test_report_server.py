"""The report endpoint over TLS on this machine, with the client that trainers use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from scaling_operator.api.names import REPORT_AUDIENCE
from scaling_operator.core.reports import Answer, Reply, Report
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import ClusterBusy, ClusterForbidden, Conflict
from scaling_operator.kube.client.kinds import Kind
from scaling_operator.kube.report_service import service as reports
from scaling_operator.kube.report_service.service import ReportHandlers, ReportServer
from scaling_operator.kube.report_service.tokens import PodIdentity
from scaling_operator.kube.settings import ReportSettings, Settings
from scaling_operator.report_endpoint.endpoint import Rate
from scaling_operator.server.limits import PortLimits
from scaling_trainer import report_client
from scaling_trainer.report import Reporter
from scaling_trainer.report_client import ReportClient
from scaling_trainer.results import Result

POD = PodIdentity("team", "case-study-0-1-0", "uid-1")


@dataclass(slots=True)
class ApiServer:
    """As much of an API server as the endpoint talks to: one Secret, and reviews of tokens."""

    secret: dict[str, Any] = field(default_factory=lambda: {"metadata": {"resourceVersion": "1"}})
    pods: dict[str, PodIdentity] = field(default_factory=lambda: {"token": POD})
    error: Exception | None = None

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        assert (kind.name, namespace, name) == ("Secret", "scaling", "scaling-operator-reports")
        return dict(self.secret)

    async def replace(
        self, kind: Kind, namespace: str | None, name: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        del kind, namespace, name
        version = self.secret["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != version:
            message = "modified"
            raise Conflict(message)
        self.secret = body | {"metadata": {"resourceVersion": str(int(version) + 1)}}
        return self.secret

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> Any:
        assert (kind.name, namespace) == ("TokenReview", None)
        if self.error is not None:
            raise self.error
        pod = self.pods.get(body["spec"]["token"])
        if pod is None:
            return {"status": {"authenticated": False}}
        name, uid = "pod-name", "pod-uid"
        extra = {
            f"authentication.kubernetes.io/{name}": [pod.pod_name],
            f"authentication.kubernetes.io/{uid}": [pod.pod_uid],
        }
        user = {"username": f"system:serviceaccount:{pod.namespace}:default", "extra": extra}
        return {"status": {"authenticated": True, "audiences": [REPORT_AUDIENCE], "user": user}}


@dataclass(slots=True)
class Operator:
    """What hears the reports."""

    heard: list[tuple[PodIdentity, Report]] = field(
        default_factory=list[tuple[PodIdentity, Report]]
    )
    active: bool = True
    answer: Answer = Answer.CONTINUE
    error: Exception | None = None
    turned_away: list[str] = field(default_factory=list[str])

    async def on_report(self, sender: PodIdentity, report: Report) -> Reply:
        if self.error is not None:
            raise self.error
        self.heard.append((sender, report))
        return Reply(self.answer, report.seq)

    async def experiment(self, sender: PodIdentity) -> Mapping[str, Any]:
        return {"pod": sender.pod_name}

    def seqs(self) -> list[int]:
        return [report.seq for _, report in self.heard]


def settings_for(*hosts: str, port: int = 0) -> Settings:
    return Settings("scaling", "replica-1", reports=ReportSettings(port=port, hosts=hosts))


@dataclass(slots=True)
class Bench:
    """A server that runs, and what stands on both sides of it."""

    api: ApiServer
    operator: Operator
    server: ReportServer
    token: Path

    async def begin(self, settings: Settings) -> ReportServer:
        listener = ReportHandlers(
            on_report=self.operator.on_report,
            is_active=lambda: self.operator.active,
            experiment=self.operator.experiment,
            turned_away=self.operator.turned_away.append,
        )
        return await reports.serve_reports(
            settings, cast("Client", self.api), listener, "127.0.0.1"
        )

    def reporter(self, ca: str | None = None) -> Reporter:
        url = f"https://127.0.0.1:{self.server.port}"
        return Reporter(None, ReportClient(url, self.token, ca or self.server.authority))


Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], Bench]:
    """Run a story against a server that listens."""
    token = tmp_path / "token"
    token.write_text("token\n")

    async def run(story: Story) -> Bench:
        bench = Bench(ApiServer(), Operator(), cast("ReportServer", None), token)
        bench.server = await bench.begin(settings_for("127.0.0.1"))
        try:
            await story(bench)
        finally:
            await bench.server.stop()
        return bench

    return lambda story: asyncio.run(run(story))


Play = Callable[[Story], Bench]


async def reported(reporter: Reporter, loss: float = 1.0) -> bool:
    """Report from a thread: the client blocks, as a training does."""
    return await asyncio.to_thread(reporter.report, None, {"val_loss": loss})


def test_a_trainer_s_reports_arrive_with_its_pod_s_name(play: Play) -> None:
    async def story(bench: Bench) -> None:
        trainer = bench.reporter()
        assert await reported(trainer) is False
        bench.operator.answer = Answer.PRUNE
        assert await reported(trainer) is True
        await asyncio.to_thread(trainer.result, Result(metrics={"val_loss": 1.0}))

    bench = play(story)
    assert bench.operator.heard == [(POD, Report(n, n, {"val_loss": 1.0})) for n in (1, 2)]


def test_a_trainer_that_trusts_another_authority_says_nothing(play: Play) -> None:
    async def story(bench: Bench) -> None:
        another = await Bench(ApiServer(), Operator(), bench.server, bench.token).begin(
            settings_for("127.0.0.1")
        )
        await another.stop()
        trainer = bench.reporter(ca=another.authority)
        assert await reported(trainer) is False
        trainer.close()

    assert play(story).operator.heard == []


def test_a_renewed_certificate_disturbs_nobody(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(bench: Bench) -> None:
        before, after = bench.reporter(), bench.reporter()
        await reported(before)
        authority, data = bench.server.authority, bench.api.secret["data"]
        # Another replica, or the next version of the chart, wants it for one more name.
        another = await bench.begin(settings_for("127.0.0.1", "reports.scaling.svc"))
        await another.stop()
        assert bench.api.secret["data"] != data

        for _ in range(2):
            # Both want their own; in the end one is gone. Either way the authority stays.
            await bench.server.refresh()
        assert bench.server.authority == authority
        await reported(before)
        await reported(after)
        before.close()
        after.close()

    assert play(story).operator.seqs() == [1, 2, 1]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_same_trainers_are_trusted_after_a_restart(play: Play) -> None:
    async def story(bench: Bench) -> None:
        trainer = bench.reporter()
        port = bench.server.port
        await reported(trainer)
        await bench.server.stop()
        bench.server = await bench.begin(settings_for("127.0.0.1", port=port))
        await reported(trainer)
        trainer.close()

    assert play(story).operator.seqs() == [1, 2]


def test_a_standby_hears_nothing_and_the_leader_everything(play: Play) -> None:
    async def story(bench: Bench) -> None:
        bench.operator.active = False
        trainer = bench.reporter()
        for _ in range(3):
            assert await reported(trainer) is False
        assert bench.operator.heard == []
        bench.operator.active = True
        await asyncio.to_thread(trainer.result, Result(metrics={"val_loss": 1.0}))

    assert play(story).operator.seqs() == [1, 2, 3]


@pytest.mark.parametrize("where", ["the review of the token", "the write of the answer"])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ClusterBusy("etcd is away"), id="busy"),
        pytest.param(ClusterForbidden("not the leader"), id="forbidden"),
    ],
)
def test_while_the_api_server_is_away_reports_wait(
    play: Play, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    monkeypatch.setattr(report_client, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(report_client, "FIRST_PAUSE_SECONDS", 0.05)

    async def story(bench: Bench) -> None:
        failing: Any = bench.api if where.startswith("the review") else bench.operator
        failing.error = error
        trainer = bench.reporter()
        for _ in range(3):
            assert await reported(trainer) is False
        assert bench.operator.heard == []
        failing.error = None
        await asyncio.sleep(0.06)
        await reported(trainer)
        trainer.close()

    assert play(story).operator.seqs() == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_pod_that_reports_without_end_is_slowed_down_and_loses_nothing(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "Rate", lambda: Rate(per_second=2.0, burst=5))

    async def story(bench: Bench) -> None:
        trainer = bench.reporter()
        for _ in range(9):
            await reported(trainer)
        # On a slow machine a few more than 5 have their turn meanwhile.
        assert 5 <= len(bench.operator.heard) < 9
        await asyncio.to_thread(trainer.result, Result(metrics={"val_loss": 1.0}))

    assert play(story).operator.seqs() == list(range(1, 10))


def test_connections_are_bounded_and_who_waits_makes_room(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "LIMITS", PortLimits(connections=2, connections_per_address=2))

    async def story(bench: Bench) -> None:
        trainers = [bench.reporter() for _ in range(3)]
        for trainer in trainers:
            await reported(trainer)
        # The third took the first one's connection, which was idle.
        assert bench.operator.seqs() == [1, 1, 1]
        assert bench.operator.turned_away == ["TooMany"]
        for trainer in trainers:
            await asyncio.to_thread(trainer.result, Result(metrics={"val_loss": 1.0}))
            trainer.close()

    assert play(story).operator.seqs() == [1, 1, 1]
