"""Answers laid out for people to read: where `pretty` asks for it, and for the tools that people
use by hand (apiserver's negotiation.isPrettyPrint)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import orjson

from steersman.wire.message import JSON, Request, Response

AGENTS: Final = ("curl", "Wget", "Mozilla/5.0")
# A list that is longer goes out as it is: it would be held twice in memory
MOST_BYTES: Final = 16 * 1024 * 1024


def is_wanted(request: Request) -> bool:
    """Says whether the answer to a request is laid out."""
    if request.query and "pretty" in request.query and request.param("pretty"):
        return request.param("pretty") in ("1", "t", "T", "TRUE", "true", "True")
    headers = request.headers
    if headers.get("user-agent", "").startswith(AGENTS):
        return True
    return "pretty=1" in headers.get("accept", "")


def laid_out(response: Response) -> Response:
    """Returns a response in JSON laid out; any other, and a watch, stays as it is."""
    if response.content_type != JSON:
        return response
    if isinstance(response.body, bytes) and response.body:
        response.body = _indented(response.body)
    elif isinstance(response.body, AsyncIterator):
        response.body = _gathered(response.body)
    return response


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields a document that comes in pieces, laid out where it is not too long."""
    held: list[bytes] = []
    size = 0
    async for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            break
    whole = b"".join(held)
    yield whole if size > MOST_BYTES else _indented(whole)
    async for piece in pieces:
        yield piece


def _indented(body: bytes) -> bytes:
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
