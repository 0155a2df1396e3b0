"""Answers in another media type than JSON: YAML and Protocol Buffers.

Whoever answers a call writes JSON; what the client wants is made of it once, at the end. Lists and
watches alone are written in Protocol Buffers as they come, since they may be long. What a client
accepts of a call is read in `api.present`, here what it accepts of a refusal before there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from steersman.model.errors import APIError, NotAcceptable
from steersman.wire.message import JSON, Response
from steersman.wire.status import to_response

YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

# Choices looked at in one Accept header; clients send fewer than ten
MAX_CHOICES = 64
# Bytes of an answer that are laid out in lines: about 0.1 s of work
MOST_IN_LINES = 1024 * 1024

Awaited = Coroutine[Any, Any, Response]


def answered(
    answer: Callable[[], Response | Awaited], write: Callable[[Response], Response]
) -> Response | Awaited:
    """Returns the answer of a call, and an error that it raises, as it is to be written."""
    try:
        found = answer()
    except APIError as error:
        return write(to_response(error))
    return write(found) if isinstance(found, Response) else _awaited(found, write)


async def _awaited(answer: Awaited, write: Callable[[Response], Response]) -> Response:
    try:
        return write(await answer)
    except APIError as error:
        return write(to_response(error))


def refusal(error: Exception, accept: str) -> Response:
    """Returns the answer that tells an error which is not that of a call, in the media type that
    an Accept header asks for; where that is none of ours, JSON all the same (ErrorNegotiated)."""
    response = to_response(error)
    media = JSON if isinstance(error, NotAcceptable) else accepted(accept)
    return response if media == JSON else written(response, media)


def accepted(accept: str) -> str:
    """Returns the first media type of a header in which a Status can be told, else JSON."""
    for choice in accept.split(",")[:MAX_CHOICES]:
        media, *parameters = (part.strip() for part in choice.split(";"))
        if any(parameter.startswith("as=") for parameter in parameters):
            continue
        if media in (YAML, PROTOBUF):
            return media
        if media in (JSON, "*/*", "application/*"):
            break
    return JSON


def written(response: Response, media: str) -> Response:
    """Returns a response in JSON in another media type; what has a type of its own keeps it."""
    if response.content_type != JSON or not isinstance(response.body, bytes):
        return response
    return Response(encoded(response.body, media), response.status, media, response.headers)


def encoded(body: bytes, media: str) -> bytes:
    """Returns a document in JSON in another media type."""
    if media == YAML:
        return _to_yaml(body)
    from steersman.wire.protobuf import writer  # loaded with the first client that takes it

    return writer.encode(orjson.loads(body))


def _to_yaml(body: bytes) -> bytes:
    """Returns JSON as YAML: in lines, or as it is where it is long, since JSON is YAML too."""
    if len(body) > MOST_IN_LINES:
        return body
    from steersman.wire import yaml  # loaded with the first client that asks for it

    return yaml.dump(orjson.loads(body)).encode()
