"""What the client sends: names never change where a request goes."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from scaling_operator.api.problems import LONGEST_SHOWN
from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.connection import connect
from scaling_operator.kube.client.errors import InvalidName
from scaling_operator.kube.client.kinds import EXPERIMENTS, LEASES, NODES, POLICIES, TRIALS

HOSTILE = [
    pytest.param("", id="empty"),
    pytest.param(".", id="this"),
    pytest.param("..", id="the one above"),
    pytest.param("../x", id="a neighbour"),
    pytest.param("../../team-b/scalingexperiments/theirs", id="another namespace"),
    pytest.param("a/status", id="a subresource"),
    pytest.param("a//b", id="two slashes"),
    pytest.param("a?watch=true", id="a query"),
    pytest.param("a#b", id="a fragment"),
    pytest.param("a;b", id="a parameter"),
    pytest.param("%2e%2e", id="two dots, quoted"),
    pytest.param("%2fapi", id="a slash, quoted"),
    pytest.param("a\0b", id="NUL"),
    pytest.param("a\r\nHost: b", id="a line"),
    pytest.param("a\n", id="the end of a line"),
    pytest.param(" a", id="a space"),
    pytest.param("a\\b", id="a backslash"),
    pytest.param("Upper", id="an upper-case letter"),
    pytest.param("ａ", id="a letter that is folded to another"),  # noqa: RUF001 - meant
    pytest.param("\ud800", id="half a character"),
    pytest.param("a" * 254, id="too long"),
    pytest.param("a" * 1_000_000, id="much too long"),
]

Call = Callable[[Client, str | None, str], Awaitable[object]]
# By name every call of the client that takes the name of an object.
BY_NAME: dict[str, Call] = {
    "get": lambda client, namespace, name: client.get(EXPERIMENTS, namespace, name),
    "replace": lambda client, namespace, name: client.replace(LEASES, namespace, name, {}),
    "apply_status": lambda client, namespace, name: client.apply_status(
        TRIALS, namespace, name, {}
    ),
    "delete": lambda client, namespace, name: client.delete(TRIALS, str(namespace), name),
}
# By name every other call, which takes a namespace at most.
IN_NAMESPACE: dict[str, Call] = {
    "list": lambda client, namespace, _: client.list(EXPERIMENTS, namespace),
    "metadata": lambda client, namespace, _: client.metadata(TRIALS, namespace),
    "names": lambda client, namespace, _: client.names(TRIALS, namespace),
    "create": lambda client, namespace, _: client.create(TRIALS, namespace, {}),
    "delete_collection": lambda client, namespace, _: client.delete_collection(
        TRIALS, str(namespace), "a=b"
    ),
}


@asynccontextmanager
async def answered(folder: Path) -> AsyncGenerator[tuple[Client, list[str]]]:
    """Give a client, and the targets of the requests that reach its server, as they were sent."""
    targets: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        targets.append(f"{request.method} {request.raw_path}")
        return web.json_response({"items": [], "metadata": {}})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        config = folder / "kubeconfig"
        config.write_text(kubeconfig(f"http://127.0.0.1:{runner.addresses[0][1]}"))
        async with connect(config) as client:
            yield client, targets
    finally:
        await runner.cleanup()


def kubeconfig(server: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": server}}],
            "users": [{"name": "me", "user": {"token": "secret"}}],
        }
    )


def test_every_call_of_the_client_is_looked_at_here() -> None:
    calls = {
        name
        for name, method in inspect.getmembers(Client, inspect.iscoroutinefunction)
        if not name.startswith("_") and "kind" in inspect.signature(method).parameters
    }
    assert calls == {*BY_NAME, *IN_NAMESPACE}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_request_is_made_for_a_name_that_no_object_can_have(tmp_path: Path, name: str) -> None:
    async def ask() -> list[str]:
        async with answered(tmp_path) as (client, targets):
            for call in BY_NAME.values():
                with pytest.raises(InvalidName, match=r"is not the name of a [SL]") as said:
                    await call(client, "team-a", name)
                assert len(str(said.value)) < 2 * LONGEST_SHOWN
            for call in (*BY_NAME.values(), *IN_NAMESPACE.values()):
                with pytest.raises(InvalidName, match="is not the name of a namespace"):
                    await call(client, name, "a")
            return targets

    assert asyncio.run(ask()) == []


@pytest.mark.parametrize("name", ["a", "a-1", "a.b", "0", "a" * 253])
def test_a_name_that_an_object_can_have_is_asked_for_as_it_is(tmp_path: Path, name: str) -> None:
    async def ask() -> list[str]:
        async with answered(tmp_path) as (client, targets):
            await client.get(EXPERIMENTS, "team-a", name)
            await client.get(NODES, None, name)
            await client.apply_status(POLICIES, None, name, {})
            return targets

    group = "/apis/scaling-operator.dev/v1alpha1"
    assert asyncio.run(ask()) == [
        f"GET {group}/namespaces/team-a/scalingexperiments/{name}",
        f"GET /api/v1/nodes/{name}",
        f"PATCH {group}/resourcepolicies/{name}/status?fieldManager=scaling-operator&force=true",
    ]


def test_what_selects_objects_stays_one_value_of_the_query(tmp_path: Path) -> None:
    async def ask() -> list[str]:
        async with answered(tmp_path) as (client, targets):
            await client.list(TRIALS, "team-a", "a=b&watch=true#c ../")
            return targets

    (target,) = asyncio.run(ask())
    assert target.endswith("&labelSelector=a%3Db%26watch%3Dtrue%23c+../")


def test_the_last_step_of_a_path_is_quoted_too() -> None:
    path: Any = TRIALS.path("team-a", "a", "../status?x")
    assert path.endswith("/namespaces/team-a/scalingtrials/a/..%2Fstatus%3Fx")
