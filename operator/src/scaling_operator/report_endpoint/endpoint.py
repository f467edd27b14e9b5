"""The report endpoint: identifies the sender, bounds rate and size, then calls the shell.

The order matters: a token is checked before anything that came with it is parsed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from aiohttp import web
from aiohttp.typedefs import Middleware

from scaling_operator.core.reports import Answer, Reply, Report
from scaling_operator.report_endpoint.bodies import BadReport, check_result, parse_report
from scaling_operator.server.throttle import Throttle

Sender = TypeVar("Sender", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate of one sender's requests; further ones get 429 and Retry-After."""

    per_second: float = 10.0
    burst: int = 64
    """Requests at once: a very short training sends all points of its curve."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[Sender]):
    """The functions of a shell: who owns a token (None: nobody), what follows from a report.

    `authenticate` also gets the address that sent the token. `on_report` may get a report twice,
    where an answer was lost, and must then answer the same. `is_active` is false in a standby,
    which answers 503 and closes. `experiment` makes the table that the finisher gets. Without a
    `rate` senders have no limit: locally they are our own. All but `is_active` may raise NotNow;
    `on_report` and `experiment` may also raise NotAnAttempt.
    """

    authenticate: Callable[[str, str], Awaitable[Sender | None]]
    on_report: Callable[[Sender, Report], Awaitable[Reply]]
    is_active: Callable[[], bool] = _always
    experiment: Callable[[Sender], Awaitable[Mapping[str, Any]]] | None = None
    rate: Rate | None = None


class NotNow(Exception):
    """The shell cannot answer before `retry_after_seconds`: what it depends on is away."""

    def __init__(self, message: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotAnAttempt(Exception):
    """The token is good, but its pod runs no attempt of a trial."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REASONS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "BadToken",
    HTTPStatus.FORBIDDEN: "NoAttempt",
    HTTPStatus.BAD_REQUEST: "Invalid",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "TooLarge",
    HTTPStatus.TOO_MANY_REQUESTS: "TooMany",
    HTTPStatus.REQUEST_TIMEOUT: "TooSlow",
    HTTPStatus.SERVICE_UNAVAILABLE: "NotNow",
}
STANDBY_REASON = "Standby"
OTHER_REASON = "Other"


def counted(
    accepted: Callable[[str], None], refused: Callable[[str], None], is_active: Callable[[], bool]
) -> Middleware:
    """Make a middleware that counts accepted final results, and all refusals by reason.

    The shell counts accepted reports: it knows the answers.
    """

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            is_standby = error.status == HTTPStatus.SERVICE_UNAVAILABLE and not is_active()
            refused(STANDBY_REASON if is_standby else REASONS.get(error.status, OTHER_REASON))
            raise
        if request.path == "/v1/result":
            accepted("result")
        return response

    return count


MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0
"""Time for a body to arrive."""

SenderHandler = Callable[[web.Request, Sender], Awaitable[web.Response]]


def application(endpoint: Endpoint[Sender], *middlewares: Middleware) -> web.Application:
    """Make the web application; the shell runs it."""
    handlers = _Handlers(endpoint)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=middlewares)
    app.router.add_post("/v1/report", handlers.guarded(handlers.report))
    app.router.add_post("/v1/result", handlers.guarded(handlers.result))
    if endpoint.experiment is not None:
        app.router.add_get("/v1/experiment", handlers.guarded(handlers.experiment))
    return app


class _Handlers(Generic[Sender]):
    def __init__(self, endpoint: Endpoint[Sender]) -> None:
        self._endpoint = endpoint
        rate = endpoint.rate
        self._throttle = rate and Throttle[Sender](rate.per_second, rate.burst)

    def guarded(
        self, handler: SenderHandler[Sender]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Wrap a handler: it gets only admitted requests, with their senders."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request, await self._admit(request))
            except NotNow as error:
                raise web.HTTPServiceUnavailable(
                    text=str(error), headers=_retry_after(error.retry_after_seconds)
                ) from error
            except NotAnAttempt as error:
                raise web.HTTPForbidden(text=str(error)) from error

        return handle

    async def report(self, request: web.Request, sender: Sender) -> web.Response:
        """Handle an intermediate report."""
        try:
            parsed = parse_report(await _body(request))
        except BadReport as error:
            raise web.HTTPBadRequest(text=_text(error)) from error
        reply = await self._endpoint.on_report(sender, parsed)
        return web.json_response(
            {"seq": parsed.seq, "durable": reply.durable, "action": reply.answer.value}
        )

    async def result(self, request: web.Request, sender: Sender) -> web.Response:
        """Acknowledge a result: the result file counts, which comes with the exit code."""
        del sender
        try:
            check_result(await _body(request))
        except BadReport as error:
            raise web.HTTPBadRequest(text=_text(error)) from error
        return web.json_response({"action": Answer.CONTINUE.value})

    async def experiment(self, request: web.Request, sender: Sender) -> web.Response:
        """Answer with the sender's experiment."""
        del request
        assert self._endpoint.experiment is not None  # noqa: S101 - else there is no such route
        return web.json_response(await self._endpoint.experiment(sender))

    async def _admit(self, request: web.Request) -> Sender:
        if not self._endpoint.is_active():
            # The connection closes, so the next try may reach another replica at the same address.
            raise web.HTTPServiceUnavailable(
                text="this replica is a standby", headers={"Connection": "close"}
            )
        sender = await self._identify(request)
        wait_seconds = self._throttle.take(sender) if self._throttle else 0
        if wait_seconds > 0:
            raise web.HTTPTooManyRequests(
                text="too many requests; come again later", headers=_retry_after(wait_seconds)
            )
        return sender

    async def _identify(self, request: web.Request) -> Sender:
        token = bearer_token(request)
        if token:
            sender = await self._endpoint.authenticate(token, request.remote or "")
            if sender is not None:
                return sender
        raise web.HTTPUnauthorized(text="the bearer token belongs to no running attempt")


def bearer_token(request: web.Request) -> str:
    """Read the bearer token of a request; empty: none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(headers={"Connection": "close"}) from error


def _text(error: Exception) -> str:
    """Write an error in characters that can be sent, whatever the sender has sent."""
    return str(error).encode(errors="backslashreplace").decode()


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
