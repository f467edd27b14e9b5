"""The proxy passes everything on, and spoils exactly what a rule names."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from testbed import proxy
from testbed.access import admit, bind, kubeconfig
from testbed.api_request import ApiRequest, parse
from testbed.cluster import Cluster, Refused
from testbed.effects import Answer, EditWatch, Kill, Reset, each, error_event, once
from testbed.proxy import Proxy
from testbed.until_closed import run_until_closed

WATCH_SECONDS = 2.0
LINES = (
    ("GET", "/api/v1/namespaces/a/pods?watch=true", "watch pods"),
    ("GET", "/api/v1/namespaces/a/pods?limit=500", "list pods"),
    ("GET", "/api/v1/pods", "list pods"),
    ("GET", "/api/v1/namespaces/a/pods/b", "get pods b"),
    ("GET", "/api/v1/namespaces/a", "get namespaces a"),
    ("DELETE", "/api/v1/namespaces/a/pods/b", "delete pods b"),
    (
        "DELETE",
        "/api/v1/namespaces/a/pods?labelSelector=t+in+%28b%2Cc%29",
        "deletecollection pods t in (b,c)",
    ),
    (
        "PATCH",
        "/apis/scaling-operator.dev/v1alpha1/namespaces/a/scalingtrials/t/status",
        "patch scalingtrials/status t",
    ),
    ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l", "update leases l"),
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "create tokenreviews"),
    ("GET", "/version", "list"),
)


@pytest.mark.parametrize(("method", "target", "said"), LINES, ids=[row[2] for row in LINES])
def test_a_request_is_named_as_kubernetes_names_it(method: str, target: str, said: str) -> None:
    assert str(parse(method, target)).startswith(said)


def test_a_create_is_named_by_its_body() -> None:
    body = json.dumps({"metadata": {"name": "b"}}).encode()

    request = parse("POST", "/api/v1/namespaces/a/pods", body)

    assert (str(request), request.namespace) == ("create pods b", "a")


@pytest.fixture(scope="module")
def between(cluster: Cluster, nodes: Sequence[str]) -> Iterator[Proxy]:
    del nodes
    with proxy.running(cluster.server, cluster.control_plane / "pki") as running_proxy:
        yield running_proxy


@pytest.fixture(scope="module")
def through(cluster: Cluster, namespace: str, between: Proxy, tmp_path_factory: Any) -> Cluster:
    """The cluster as a service account sees it that goes through the proxy."""
    folder: Path = tmp_path_factory.mktemp("through")
    admit(cluster, namespace, "tester")
    bind(cluster, "cluster-admin", namespace, "tester")
    config = kubeconfig(cluster, namespace, "tester", folder / "kubeconfig", between.url)
    return Cluster(config, cluster.program, folder / "cache")


@pytest.fixture(autouse=True)
def honest(between: Proxy) -> Iterator[None]:
    yield
    between.pass_on()
    between.passed.clear()


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def create(through: Cluster, namespace: str, name: str) -> str:
    return through.kubectl("-n", namespace, "create", "-f", "-", stdin=config_map(name))


def is_create(request: ApiRequest) -> bool:
    return (request.verb, request.resource) == ("create", "configmaps")


def exists(cluster: Cluster, namespace: str, name: str) -> bool:
    listed = cluster.kubectl("-n", namespace, "get", "configmap", name, "--ignore-not-found")
    return name in listed


def test_what_no_rule_names_is_passed_on_and_noted(
    through: Cluster, namespace: str, between: Proxy
) -> None:
    assert "created" in create(through, namespace, "passed")

    assert [(str(passed.request), passed.code) for passed in between.writes()] == [
        ("create configmaps passed", 201)
    ]


def test_a_request_is_refused_with_the_code_and_never_arrives(
    cluster: Cluster, through: Cluster, namespace: str, between: Proxy
) -> None:
    between.rule = once(is_create, Answer(409, "AlreadyExists"))

    with pytest.raises(Refused, match="by the test's proxy: 409"):
        create(through, namespace, "refused")

    assert not exists(cluster, namespace, "refused")


def test_a_client_waits_as_long_as_it_is_told_to(
    through: Cluster, namespace: str, between: Proxy
) -> None:
    between.rule = once(is_create, Answer(429, "TooManyRequests", retry_after_seconds=1))

    assert "created" in create(through, namespace, "later")


@pytest.mark.parametrize("effect", [Reset(forwarded=False), Kill(forwarded=False)])
def test_a_request_that_is_cut_off_before_never_arrives(
    cluster: Cluster, through: Cluster, namespace: str, between: Proxy, effect: Reset | Kill
) -> None:
    killed: list[int] = []
    between.kill = lambda: killed.append(1)
    between.rule = each(is_create, effect)

    with pytest.raises((Refused, subprocess.TimeoutExpired)):
        create(through, namespace, "cut-before")

    assert not exists(cluster, namespace, "cut-before")
    assert bool(killed) == isinstance(effect, Kill)


@pytest.mark.parametrize("effect", [Reset(forwarded=True), Kill(forwarded=True)])
def test_a_request_whose_reply_is_lost_has_arrived(
    cluster: Cluster, through: Cluster, namespace: str, between: Proxy, effect: Reset | Kill
) -> None:
    name = f"lost-{type(effect).__name__.lower()}"
    between.kill = lambda: None
    between.rule = once(is_create, effect)

    with pytest.raises((Refused, subprocess.TimeoutExpired)):
        create(through, namespace, name)

    assert exists(cluster, namespace, name)


async def watched(through: Cluster, path: str, trust: ssl.SSLContext) -> list[Any]:
    """What a watch gives for a while: events, the text of a line that is none, None at its end."""
    config = json.loads(through.kubeconfig.read_text())
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    url = f"{config['clusters'][0]['cluster']['server']}{path}"
    seen: list[Any] = []
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url, ssl=trust) as answer,
    ):
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                while line := await answer.content.readline():
                    seen.append(_event(line))
            seen.append(None)
        except TimeoutError:
            pass  # it goes on, which is well
    return seen


def _event(line: bytes) -> Any:
    try:
        event = json.loads(line)
    except ValueError:
        return line.decode()
    named = event["object"].get("metadata", {}).get("name")
    return (event["type"], named or event["object"].get("code"))


@pytest.fixture
def watch(cluster: Cluster, through: Cluster, namespace: str) -> Callable[[], list[Any]]:
    """Watch through the proxy while two objects are created, and give what came."""
    trust = ssl.create_default_context(cafile=str(cluster.control_plane / "pki" / "ca.crt"))

    def during() -> list[Any]:
        documents = [config_map(name) for name in ("w1", "w2")]
        for document in documents:
            document["metadata"]["labels"] = {"watched": "yes"}
        body = {"apiVersion": "v1", "kind": "List", "items": documents}
        where = ("-n", namespace)
        timer = threading.Timer(0.5, lambda: cluster.kubectl(*where, "create", "-f-", stdin=body))
        timer.start()
        path = f"/api/v1/namespaces/{namespace}/configmaps?watch=true&labelSelector=watched"
        seen = run_until_closed(watched(through, path, trust))
        timer.join()
        cluster.kubectl(*where, "delete", "configmap", "-l", "watched")
        return seen

    return during


def test_a_watch_streams_as_it_happens(watch: Callable[[], list[Any]]) -> None:
    assert watch() == [("ADDED", "w1"), ("ADDED", "w2")]


EDITS = (
    (
        "an event is dropped",
        EditWatch(lambda number, line: None if number == 0 else line),
        [("ADDED", "w2")],
    ),
    (
        "a line is cut in the middle, and the stream ends",
        EditWatch(lambda _, line: line[:30], ends=lambda number: number == 0),
        ["cut", None],
    ),
    (
        "an error comes instead",
        EditWatch(lambda _, __: error_event(500, "InternalError"), ends=lambda number: number == 0),
        [("ERROR", 500), None],
    ),
)


@pytest.mark.parametrize(("reason", "edit", "seen"), EDITS, ids=[row[0] for row in EDITS])
def test_a_watch_is_edited(
    watch: Callable[[], list[Any]], between: Proxy, reason: str, edit: EditWatch, seen: list[Any]
) -> None:
    del reason
    between.rule = once(lambda request: request.is_watch, edit)

    assert ["cut" if isinstance(event, str) else event for event in watch()] == seen


def test_a_watch_is_refused_with_410(through: Cluster, namespace: str, between: Proxy) -> None:
    between.rule = once(lambda request: request.is_watch, Answer(410, "Expired"))

    with pytest.raises(Refused, match="410"):
        through.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/configmaps?watch=true")
