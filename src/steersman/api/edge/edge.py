"""The server's edge: bounds the time of requests from outside, and tells browsers what they need.

Follows apiserver's filters WithRequestDeadline, WithTimeoutForNonLongRunningRequests, WithCORS and
WithHSTS. The server's own parts, whose calls are function calls, do not pass here.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Final

from steersman.api.edge.settings import EdgeSettings
from steersman.api.fairness.configuration import is_long
from steersman.api.route import parse
from steersman.model.duration import parse_go
from steersman.model.errors import APIError, BadRequest, Timeout
from steersman.model.structural.patterns import matcher
from steersman.wire import media
from steersman.wire.message import Handler, Request, Response
from steersman.world.interface import World

_WRONG: Final = "invalid timeout specified in the request URL"
_LATE: Final = "Timeout: request did not complete within the allotted timeout"
_HEADERS: Final = (
    "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, "
    "X-Requested-With, If-Modified-Since"
)
_SHARED: Final = {
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS, PUT, DELETE, PATCH",
    "Access-Control-Allow-Headers": _HEADERS,
    "Access-Control-Expose-Headers": "Date",
    "Access-Control-Allow-Credentials": "true",
}

Awaited = Coroutine[Any, Any, Response]


class Edge:
    """Stands before a handler; `handle` is what listeners call."""

    def __init__(self, handler: Handler, settings: EdgeSettings, world: World) -> None:
        self._handler = handler
        self._seconds = settings.request_seconds
        self._origins = [matcher(origin) for origin in settings.origins]
        self._fixed: dict[str, str] = {}
        if settings.transport_security:
            told = "; ".join(settings.transport_security)
            self._fixed["Strict-Transport-Security"] = told
        self._world = world

    def handle(self, request: Request) -> Response | Awaited:
        """Answers a request; raises the errors of `model.errors`."""
        if not self._origins and not self._fixed:
            return self._bounded(request)
        headers = self._headers(request.headers.get("origin", ""))
        if request.method == "OPTIONS" and len(headers) > len(self._fixed):
            return Response(b"", 204, headers=headers)
        if not headers:
            return self._bounded(request)
        try:
            answer = self._bounded(request)
        except APIError as error:
            answer = media.refusal(error, request.headers.get("accept", ""))
        return (
            _with(headers, answer)
            if isinstance(answer, Response)
            else _told(headers, answer, request)
        )

    def _headers(self, origin: str) -> Mapping[str, str]:
        """Returns what every answer to a page of an origin bears."""
        if origin and any(matches(origin) for matches in self._origins):
            return {**self._fixed, "Access-Control-Allow-Origin": origin, **_SHARED}
        return self._fixed

    def _bounded(self, request: Request) -> Response | Awaited:
        seconds = self._seconds
        if "timeout=" in request.query and not _is_long(request):
            seconds = min(seconds, _wanted(request.param("timeout")) or seconds)
        answer = self._handler(request)
        if isinstance(answer, Response) or _is_long(request):
            return answer
        return self._in_time(answer, seconds)

    async def _in_time(self, answer: Awaited, seconds: float) -> Response:
        try:
            async with self._world.wire_timeout(seconds):
                return await answer
        except TimeoutError as error:
            raise Timeout(_LATE) from error
        finally:
            answer.close()  # where it never began


def _is_long(request: Request) -> bool:
    asked = parse(request)
    return asked.verb == "watch" or is_long(asked)


def _wanted(text: str) -> float:
    """Returns the seconds that a client gives its request, 0 for none; raises BadRequest."""
    if not text:
        return 0.0
    try:
        return max(parse_go(text), 0.0)
    except ValueError as error:
        raise BadRequest(f"{_WRONG} - {error}") from error


async def _told(headers: Mapping[str, str], coming: Awaited, request: Request) -> Response:
    try:
        answer = await coming
    except APIError as error:
        answer = media.refusal(error, request.headers.get("accept", ""))
    return _with(headers, answer)


def _with(headers: Mapping[str, str], response: Response) -> Response:
    response.headers = {**headers, **(response.headers or {})}
    return response
