"""The report endpoint over HTTP on this machine: who may say what, how much, and what follows."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp.typedefs import Middleware
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_operator.core.reports import Answer, Reply, Report
from scaling_operator.report_endpoint.bodies import BadReport, parse_report
from scaling_operator.report_endpoint.endpoint import (
    MAX_BODY_BYTES,
    Endpoint,
    NotAnAttempt,
    NotNow,
    Rate,
    application,
    counted,
)
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import Port, listen
from scaling_operator.server.throttle import Throttle

BODY: dict[str, Any] = {"seq": 1, "step": 1, "metrics": {"val_loss": 0.5}}


@dataclass(slots=True)
class Shell:
    """What stands behind the endpoint in these tests."""

    heard: list[tuple[str, Report]] = field(default_factory=list[tuple[str, Report]])
    reply: Reply = field(default_factory=lambda: Reply(Answer.CONTINUE, durable=0))
    error: Exception | None = None
    active: bool = True
    asked: int = 0

    async def authenticate(self, token: str, address: str) -> str | None:
        assert address == "127.0.0.1"
        self.asked += 1
        return token.removeprefix("good-") if token.startswith("good-") else None

    async def on_report(self, sender: str, report: Report) -> Reply:
        if self.error is not None:
            raise self.error
        self.heard.append((sender, report))
        return self.reply

    async def experiment(self, sender: str) -> Mapping[str, Any]:
        return {"of": sender}

    def endpoint(self, rate: Rate | None = None) -> Endpoint[str]:
        return Endpoint(
            authenticate=self.authenticate,
            on_report=self.on_report,
            is_active=lambda: self.active,
            experiment=self.experiment,
            rate=rate,
        )


@dataclass(frozen=True, slots=True)
class Said:
    status: int
    text: str
    headers: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.text)


Send = Callable[..., Awaitable[Said]]


def talk(
    endpoint: Endpoint[str],
    conversation: Callable[[Send], Awaitable[None]],
    *middlewares: Middleware,
) -> None:
    """Serve an endpoint while a conversation with it lasts."""

    async def run() -> None:
        app = application(endpoint, *middlewares)
        server = await listen(app, Port("127.0.0.1", 0, PortLimits(100, 100)))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:

            async def send(
                body: Any = BODY,
                path: str = "/v1/report",
                method: str = "POST",
                **headers: str,
            ) -> Said:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                headers = {"Authorization": "Bearer good-pod"} | headers
                async with session.request(method, path, data=data, headers=headers) as answer:
                    return Said(answer.status, await answer.text(), answer.headers)

            try:
                await conversation(send)
            finally:
                await session.close()
                await server.stop()

    asyncio.run(run())


FIGURES: tuple[tuple[Any, dict[str, float]], ...] = (
    ({"samples": 640, "seconds": 2.5}, {"samples": 640, "seconds": 2.5}),
    ({"peakHostBytes": 10, "mood": 3}, {"peakHostBytes": 10}),
    ({"samples": -1, "seconds": "soon", "peakDeviceBytes": True}, {}),
    (["samples"], {}),
    (None, {}),
)


@pytest.mark.parametrize(
    ("sent", "taken"),
    FIGURES,
    ids=["known", "an-unknown-one", "odd-ones", "no-object", "none"],
)
def test_figures_are_taken_where_they_are_known_and_never_refuse_a_report(
    sent: Any, taken: dict[str, float]
) -> None:
    assert parse_report(json.dumps(BODY | {"figures": sent}).encode()).figures == taken


COUNTED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("a-bad-token", {"Authorization": "Bearer wrong"}, "BadToken"),
    ("no-json", {"body": b"{"}, "Invalid"),
    ("a-large-body", {"body": b" " * (MAX_BODY_BYTES + 1)}, "TooLarge"),
    ("another-path", {"path": "/v1/other"}, "Other"),
)


@pytest.mark.parametrize(
    ("sent", "reason"), [row[1:] for row in COUNTED], ids=[row[0] for row in COUNTED]
)
def test_a_refusal_is_counted_by_its_reason(sent: dict[str, Any], reason: str) -> None:
    accepted: list[str] = []
    refused: list[str] = []
    shell = Shell()
    counting = counted(accepted.append, refused.append, lambda: shell.active)

    async def conversation(send: Send) -> None:
        assert (await send(**sent)).status >= 400

    talk(shell.endpoint(), conversation, counting)
    assert (accepted, refused) == ([], [reason])


@pytest.mark.parametrize(
    ("error", "active", "reason"),
    [
        (NotAnAttempt("no"), True, "NoAttempt"),
        (NotNow("later"), True, "NotNow"),
        (None, False, "Standby"),
    ],
)
def test_what_the_shell_refuses_is_counted_too(
    *, error: Exception | None, active: bool, reason: str
) -> None:
    refused: list[str] = []
    shell = Shell(error=error, active=active)
    counting = counted(lambda _: None, refused.append, lambda: shell.active)

    async def conversation(send: Send) -> None:
        assert (await send()).status >= 400

    talk(shell.endpoint(), conversation, counting)
    assert refused == [reason]


def test_a_result_is_counted_as_accepted() -> None:
    accepted: list[str] = []
    counting = counted(accepted.append, lambda _: None, lambda: True)

    async def conversation(send: Send) -> None:
        await send({"v": 1, "metrics": {"loss": 1}}, "/v1/result")

    talk(Shell().endpoint(), conversation, counting)
    assert accepted == ["result"]


def test_a_report_reaches_the_shell_and_its_reply_the_sender() -> None:
    shell = Shell(reply=Reply(Answer.PRUNE, durable=7))

    async def conversation(send: Send) -> None:
        said = await send({"seq": 9, "step": 12, "metrics": {"val_loss": 1}})

        assert (said.status, said.json()) == (200, {"seq": 9, "durable": 7, "action": "prune"})

    talk(shell.endpoint(), conversation)
    assert shell.heard == [("pod", Report(seq=9, step=12, metrics={"val_loss": 1}))]


def test_the_experiment_is_told_to_whom_it_belongs() -> None:
    async def conversation(send: Send) -> None:
        said = await send(b"", "/v1/experiment", "GET")

        assert (said.status, said.json()) == (200, {"of": "pod"})

    talk(Shell().endpoint(), conversation)


def test_a_result_is_read_and_acknowledged() -> None:
    async def conversation(send: Send) -> None:
        good = await send({"v": 1, "value": 0.5}, "/v1/result")
        bad = await send({"v": 1, "value": "0.5"}, "/v1/result")

        assert (good.status, good.json()) == (200, {"action": "continue"})
        assert (bad.status, bad.text) == (400, "value is '0.5', not a finite number")

    talk(Shell().endpoint(), conversation)


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("Bearer bad", id="a token that belongs to nobody"),
        pytest.param("Bearer ", id="no token"),
        pytest.param("good-pod", id="no scheme"),
        pytest.param("Basic good-pod", id="another scheme"),
    ],
)
def test_a_stranger_is_refused_before_its_body_is_looked_at(authorization: str) -> None:
    async def conversation(send: Send) -> None:
        for path in ("/v1/report", "/v1/result"):
            assert (await send(b"no JSON", path, Authorization=authorization)).status == 401
        assert (await send(b"", "/v1/experiment", "GET", Authorization=authorization)).status == 401

    talk(Shell().endpoint(), conversation)


def test_a_standby_answers_nobody_and_closes() -> None:
    shell = Shell(active=False)

    async def conversation(send: Send) -> None:
        said = await send()

        assert (said.status, said.headers.get("Connection")) == (503, "close")
        assert "Retry-After" not in said.headers
        shell.active = True
        assert (await send()).status == 200

    talk(shell.endpoint(), conversation)
    assert shell.asked == 1


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        pytest.param(NotNow("the API server is away", 2.5), 503, "3", id="away for a while"),
        pytest.param(NotNow("soon", 0.0), 503, "1", id="away for a moment"),
        pytest.param(NotAnAttempt("no trial's pod"), 403, None, id="a pod of somebody else"),
    ],
)
def test_what_the_shell_cannot_do_is_said(
    error: Exception, status: int, retry_after: str | None
) -> None:
    async def conversation(send: Send) -> None:
        said = await send()

        assert (said.status, said.headers.get("Retry-After")) == (status, retry_after)
        assert said.text == str(error)

    talk(Shell(error=error).endpoint(), conversation)


def test_each_sender_has_a_rate_of_its_own() -> None:
    shell = Shell()

    async def conversation(send: Send) -> None:
        said = [await send() for _ in range(4)]
        assert [answer.status for answer in said] == [200, 200, 200, 429]
        assert int(said[-1].headers["Retry-After"]) == 100
        # The connection stays, and another sender is not concerned.
        assert said[-1].headers.get("Connection") != "close"
        assert (await send(Authorization="Bearer good-other")).status == 200

    talk(shell.endpoint(Rate(per_second=0.01, burst=3)), conversation)
    assert [sender for sender, _ in shell.heard] == ["pod"] * 3 + ["other"]


def test_without_a_rate_nobody_is_held_up() -> None:
    async def conversation(send: Send) -> None:
        assert {(await send()).status for _ in range(200)} == {200}

    talk(Shell().endpoint(), conversation)


def padded(size: int) -> bytes:
    return json.dumps(BODY).encode().ljust(size)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(padded(MAX_BODY_BYTES), 200, id="as long as may be"),
        pytest.param(padded(MAX_BODY_BYTES + 1), 413, id="longer"),
        pytest.param(padded(10**6), 413, id="much longer"),
    ],
)
def test_a_body_is_bounded(body: bytes, status: int) -> None:
    async def conversation(send: Send) -> None:
        assert (await send(body)).status == status
        assert (await send()).status == 200

    talk(Shell().endpoint(), conversation)


def test_a_body_that_would_unpack_to_more_is_not_unpacked() -> None:
    async def conversation(send: Send) -> None:
        packed = gzip.compress(b" " * 10**7)
        assert (await send(packed, **{"Content-Encoding": "gzip"})).status == 400

    talk(Shell().endpoint(), conversation)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param(b"", "the body is not JSON", id="nothing"),
        pytest.param(b"\xff", "the body is not JSON", id="no UTF-8"),
        pytest.param(b"[" * 10_000, "the body is not JSON", id="deeper than can be read"),
        pytest.param(b"[]", "the body is not a JSON object", id="a list"),
        pytest.param({}, "seq is None; it must be a whole number from 1", id="no number"),
        pytest.param(BODY | {"seq": 0}, "seq is 0; it must", id="counts from 1"),
        pytest.param(BODY | {"seq": True}, "seq is True; it must", id="a truth value"),
        pytest.param(BODY | {"step": 1.5}, "step is 1.5; it must", id="half a step"),
        pytest.param(BODY | {"step": 2**53 + 1}, "step is 9007199254740993", id="beyond a double"),
        pytest.param(BODY | {"step": "x" * 9999}, "step is 'xxx", id="text, which is cut"),
        pytest.param(
            BODY | {"metrics": list[Any]()}, "metrics is missing or no object", id="no object"
        ),
        pytest.param(
            BODY | {"metrics": {"a b!": 1}}, "metrics.a b!: a name has letters", id="a mark"
        ),
        pytest.param(
            BODY | {"metrics": {"\ud800" * 90: 1}}, "metrics.\\ud800", id="halves of letters"
        ),
        pytest.param(b'{"seq":1,"seq":2}', "the body is not JSON: 'seq' stands in it", id="two"),
        pytest.param(BODY | {"metrics": {"a": None}}, "metrics.a is None", id="no value"),
        pytest.param(BODY | {"metrics": {"a": True}}, "metrics.a is True", id="true as a value"),
        pytest.param(b'{"seq":1,"step":1,"metrics":{"a":NaN}}', "metrics.a is nan", id="NaN"),
        pytest.param(b'{"seq":1,"step":1,"metrics":{"a":1e999}}', "metrics.a is inf", id="inf"),
        pytest.param(BODY | {"metrics": {"a": 10**400}}, "metrics.a is 1000", id="no double"),
        pytest.param(BODY | {"phase": 3}, "phase is 3; it must be a word", id="a phase of 3"),
        pytest.param(BODY | {"phase": "a b"}, "phase is 'a b'", id="a phase of two words"),
        pytest.param(
            BODY | {"metrics": {f"m{n}": 0 for n in range(501)}},
            "metrics has 501 entries; at most 500 are allowed",
            id="too many",
        ),
    ],
)
def test_a_bad_report_is_refused_by_the_field_s_name(body: Any, complaint: str) -> None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BadReport) as refusal:
        parse_report(text)
    assert str(refusal.value).startswith(complaint)
    assert len(str(refusal.value)) < 200


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_body_whatever_breaks_the_reader(body: bytes) -> None:
    with pytest.raises(BadReport):
        parse_report(body)


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5), st.sampled_from([0.5, 1.0, 10.0]))
def test_no_sender_ever_does_more_than_its_rate(
    pauses: list[float], burst: int, per_second: float
) -> None:
    now = 0.0
    throttle = Throttle[str](per_second, burst, clock=lambda: now)
    taken: list[float] = []
    for pause in pauses:
        now += pause
        wait_seconds = throttle.take("pod")
        if wait_seconds == 0:
            taken.append(now)
        else:
            # What it says is what it takes: a moment later there is one.
            assert throttle.wait("pod") == wait_seconds
            assert 0 < wait_seconds <= 1 / per_second
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            most = burst + (taken[last] - taken[first]) * per_second
            assert last - first + 1 <= most + 1e-9


def test_a_throttle_forgets_whom_it_has_not_heard_the_longest() -> None:
    throttle = Throttle[int](1.0, 1, clock=lambda: 0.0, max_keys=2)
    assert [throttle.take(key) for key in (1, 2, 1, 3)] == [0, 0, 1, 0]
    # 2 was quiet the longest and begins anew; 1 is still remembered.
    assert throttle.wait(1) == 1
    assert throttle.wait(2) == 0


HALVES = ["\\ud800", "\\udfff", "a\\ud83d", "\\udc00\\ud800"]
PLACES = [
    pytest.param('{"seq": 1, "step": 1, "metrics": {"%s": 1}}', id="a name"),
    pytest.param('{"seq": 1, "step": 1, "metrics": {"a": "%s"}}', id="a value"),
    pytest.param('{"seq": "%s", "step": 1, "metrics": {}}', id="a number"),
    pytest.param('{"seq": 1, "step": 1, "metrics": {}, "phase": "%s"}', id="the phase"),
    pytest.param('{"seq": 1, "step": 1, "metrics": {}, "%s": 1}', id="a field that nobody reads"),
    pytest.param('{"seq": 1, "step": 1, "metrics": {}, "x": [{"y": "%s"}]}', id="deep within"),
    pytest.param('["%s"]', id="no object"),
    pytest.param('{"%s": 1, "%s": 1}', id="twice"),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", ["/v1/report", "/v1/result"])
def test_half_a_character_anywhere_is_refused_and_not_logged(
    caplog: pytest.LogCaptureFixture, path: str, place: str
) -> None:
    async def conversation(send: Send) -> None:
        for half in HALVES:
            escaped = place.replace("%s", half).encode()
            raw = place.replace("%s", json.loads(f'"{half}"')).encode(errors="surrogatepass")
            for body in (escaped, raw):
                assert (await send(body, path)).status == 400

    talk(Shell().endpoint(), conversation)
    assert caplog.records == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.binary(max_size=80)
        | st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters()),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
            max_leaves=8,
        ).map(lambda value: json.dumps(BODY | {"metrics": value}).encode()),
        max_size=20,
    )
)
def test_no_body_whatever_is_our_fault(bodies: list[bytes]) -> None:
    async def conversation(send: Send) -> None:
        for body in bodies:
            for path in ("/v1/report", "/v1/result"):
                assert (await send(body, path)).status in (200, 400)

    talk(Shell().endpoint(), conversation)
