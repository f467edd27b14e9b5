"""The metrics by TLS: for those whom the API server knows and lets read them, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import pytest

from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import ClusterBusy, NotFound
from scaling_operator.kube.client.kinds import SECRETS, SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Kind
from scaling_operator.kube.metrics_port import serve_metrics
from scaling_operator.kube.report_service import tokens
from scaling_operator.kube.settings import ReportSettings, Settings
from scaling_operator.metrics.exposition import Exposition
from scaling_operator.metrics.operator_metrics import new_registry
from scaling_operator.metrics.samples import Sample

PROMETHEUS: dict[str, Any] = {
    "username": "system:serviceaccount:monitoring:prometheus",
    "uid": "1",
    "groups": ["system:serviceaccounts"],
    "extra": {"authentication.kubernetes.io/pod-name": ["prometheus-0"]},
}
TENANT = {"username": "system:serviceaccount:team:default"}


@dataclass(slots=True)
class ApiServer:
    """A Secret, two accounts, and one rule: Prometheus may read the metrics."""

    secret: dict[str, Any] | None = field(default_factory=dict[str, Any])
    users: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"prometheus": PROMETHEUS, "tenant": TENANT}
    )
    asked: list[str] = field(default_factory=list[str])
    error: Exception | None = None

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        assert (kind, namespace, name) == (SECRETS, "scaling", "scaling-operator-reports")
        if self.secret is None:
            raise NotFound(name)
        return dict(self.secret)

    async def replace(
        self, kind: Kind, namespace: str | None, name: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        del kind, namespace, name
        self.secret = body
        return body

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> Any:
        assert namespace is None
        if self.error is not None:
            raise self.error
        self.asked.append(kind.plural)
        if kind == TOKEN_REVIEWS:
            user = self.users.get(body["spec"]["token"])
            return {"status": {"authenticated": user is not None, "user": user}}
        assert kind == SUBJECT_ACCESS_REVIEWS
        assert body["spec"].pop("nonResourceAttributes") == {"path": "/metrics", "verb": "get"}
        subject = {key.replace("username", "user"): value for key, value in PROMETHEUS.items()}
        return {"status": {"allowed": body["spec"] == subject}}


Scrape = Callable[..., Awaitable[tuple[int, str]]]


def play(
    api: ApiServer, story: Callable[[Scrape], Awaitable[None]], *, secure: bool = True
) -> list[str]:
    """Scrape a port while a story lasts; return what it refused."""
    reports = ReportSettings(hosts=("127.0.0.1",))
    settings = Settings("scaling", "one", address="127.0.0.1", metrics_port=0, reports=reports)
    settings = dataclasses.replace(settings, metrics_secure=secure)
    refused: list[str] = []

    async def run() -> None:
        exposition = Exposition(new_registry("1.2.3"), lambda: ())
        client = cast("Client", api)
        async with serve_metrics(exposition, settings, client, refused.append) as server:
            trust: Any = True
            if secure:
                assert api.secret is not None
                authority = base64.b64decode(api.secret["data"]["ca.crt"]).decode()
                trust = ssl.create_default_context(cadata=authority)
            url = f"{'https' if secure else 'http'}://127.0.0.1:{server.port}/metrics"

            async def scrape(token: str | None = None) -> tuple[int, str]:
                headers = {} if token is None else {"Authorization": f"Bearer {token}"}
                async with (
                    aiohttp.ClientSession(headers=headers) as session,
                    session.get(url, ssl=trust) as answer,
                ):
                    return answer.status, await answer.text()

            await story(scrape)

    asyncio.run(run())
    return refused


def test_who_may_get_the_path_reads_the_metrics() -> None:
    async def story(scrape: Scrape) -> None:
        status, text = await scrape("prometheus")
        assert (status, 'version="1.2.3"' in text) == (200, True)

    assert play(ApiServer(), story) == []


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        pytest.param(None, 401, "BadToken", id="no token"),
        pytest.param("nobody", 401, "BadToken", id="a token that the API server does not know"),
        pytest.param("tenant", 403, "Forbidden", id="somebody who may not"),
    ],
)
def test_everybody_else_is_refused_and_counted(token: str | None, status: int, reason: str) -> None:
    async def story(scrape: Scrape) -> None:
        said = await scrape(token)
        assert said[0] == status
        assert "scaling_operator" not in said[1]

    assert play(ApiServer(), story) == [reason]


def test_an_answer_of_the_api_server_counts_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    api = ApiServer()
    both = ["tokenreviews", "subjectaccessreviews"]

    async def story(scrape: Scrape) -> None:
        for token in ("prometheus", "tenant", "prometheus", "tenant"):
            await scrape(token)
        assert api.asked == both * 2

    play(api, story)
    monkeypatch.setattr(tokens, "CACHE_SECONDS", 0.0)

    async def later(scrape: Scrape) -> None:
        assert (await scrape("prometheus"))[0] == 200
        api.users.clear()
        assert (await scrape("prometheus"))[0] == 401

    play(api, later)


def test_while_the_api_server_is_away_a_scrape_waits() -> None:
    async def story(scrape: Scrape) -> None:
        assert (await scrape("prometheus"))[0] == 503

    assert play(ApiServer(error=ClusterBusy("etcd is away")), story) == ["NotNow"]


def test_without_its_secret_the_port_is_not_served() -> None:
    async def story(scrape: Scrape) -> None:
        await scrape()

    with pytest.raises(NotFound):
        play(ApiServer(secret=None), story)


def test_plain_metrics_ask_nobody() -> None:
    api = ApiServer()

    async def story(scrape: Scrape) -> None:
        assert (await scrape())[0] == 200

    play(api, story, secure=False)
    assert (api.asked, api.secret) == ([], {})


def test_many_scrapes_at_once_are_written_once() -> None:
    looks: list[float] = []
    now = [0.0]

    def look() -> Iterator[Sample]:
        looks.append(now[0])
        yield from ()

    exposition = Exposition(new_registry("1.0"), look, fresh_seconds=0.5, clock=lambda: now[0])

    async def scrapes(accept: str) -> int:
        return len(set(await asyncio.gather(*(exposition.answer(accept) for _ in range(100)))))

    async def story() -> None:
        for accept in ("text/plain", "application/openmetrics-text"):
            assert await scrapes(accept) == 1
        now[0] = 0.6
        assert await scrapes("text/plain") == 1

    asyncio.run(story())
    assert looks == [0.0, 0.0, 0.6]
