"""What the endpoint answers, in words that can be counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Middleware

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
STANDBY = "Standby"
OTHER = "Other"


def counted(
    accepted: Callable[[str], None], refused: Callable[[str], None], is_active: Callable[[], bool]
) -> Middleware:
    """Make a middleware that tells of final results that were taken, and of all refusals.

    An accepted report is told by whoever knows what was answered.
    """

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            is_standby = error.status == HTTPStatus.SERVICE_UNAVAILABLE and not is_active()
            refused(STANDBY if is_standby else REASONS.get(error.status, OTHER))
            raise
        if request.path == "/v1/result":
            accepted("result")
        return response

    return count
