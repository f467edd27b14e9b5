"""The endpoint that running trials report to: `POST /v1/report` and `POST /v1/result`.

The same protocol locally and on a cluster; a shell says who a token belongs to and what a report
means. Bodies are bounded before they are parsed, and carry no identity: that is the token's.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from scaling_operator.api.names import METRIC_NAME_PATTERN
from scaling_operator.core.reports import Answer, AttemptKey, Report

MAX_BODY_BYTES = 16 * 1024
MAX_METRICS = 500
MAX_STEP = 2**53


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a shell brings: whom a token belongs to (None: nobody), what follows from a report."""

    authenticate: Callable[[str], Awaitable[AttemptKey | None]]
    on_report: Callable[[AttemptKey, Report], Awaitable[Answer]]


class BadReport(ValueError):
    """A body that is not a report; the message goes back to the sender."""


def parse_report(body: bytes) -> Report:
    """Read a report. Raises BadReport that names the field and what is allowed."""
    document = _object(body)
    return Report(
        seq=_whole(document, "seq"),
        step=_whole(document, "step"),
        metrics=_metrics(document.get("metrics")),
    )


def application(endpoint: Endpoint) -> web.Application:
    """Make the web application; the shell runs it where it likes."""

    async def report(request: web.Request) -> web.Response:
        key = await _identify(request)
        try:
            parsed = parse_report(await request.read())
        except BadReport as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        answer = await endpoint.on_report(key, parsed)
        return web.json_response({"seq": parsed.seq, "durable": parsed.seq, "action": answer.value})

    async def result(request: web.Request) -> web.Response:
        # The result file comes with the exit code and wins; a pushed result is only acknowledged.
        await _identify(request)
        try:
            _object(await request.read())
        except BadReport as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.json_response({"action": Answer.CONTINUE.value})

    async def _identify(request: web.Request) -> AttemptKey:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        key = await endpoint.authenticate(token) if scheme == "Bearer" and token else None
        if key is None:
            raise web.HTTPUnauthorized(text="the bearer token belongs to no running attempt")
        return key

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/v1/report", report)
    app.router.add_post("/v1/result", result)
    return app


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise BadReport(message) from error
    if not isinstance(document, dict):
        message = "the body is not a JSON object"
        raise BadReport(message)
    return cast("dict[str, Any]", document)


def _whole(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_STEP:
        message = f"{name} is {value!r}; it must be a whole number from 1"
        raise BadReport(message)
    return value


def _metrics(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        message = "metrics is missing or no object"
        raise BadReport(message)
    metrics = cast("dict[str, Any]", value)
    if len(metrics) > MAX_METRICS:
        message = f"metrics has {len(metrics)} entries; at most {MAX_METRICS} are allowed"
        raise BadReport(message)
    for name, number in metrics.items():
        if not re.fullmatch(METRIC_NAME_PATTERN, name):
            message = f"metrics.{name[:80]}: a name has letters, digits and _ alone"
            raise BadReport(message)
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not math.isfinite(number)
        ):
            message = f"metrics.{name} is {number!r}; it must be a finite number"
            raise BadReport(message)
    return metrics
