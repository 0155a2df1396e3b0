"""One POST of a document to a server that is not the API, bounded in time and size."""

from __future__ import annotations

from steersman.client.body import read_whole
from steersman.client.errors import Unreachable
from steersman.client.interface import Transport
from steersman.wire.message import Request
from steersman.world.interface import World

_HEADERS = {"content-type": "application/json"}


class NoBody(TimeoutError):
    """The answer began in time, and did not end in time."""


async def post(
    transport: Transport, world: World, path: str, document: bytes, *, seconds: float, most: int
) -> tuple[int, bytes]:
    """Returns the status and the body of the answer.

    Raises TimeoutError after some seconds of wire time, for who is asked does not live by the
    cluster's clock, and Unreachable, also for a body of more than `most` bytes.
    """
    request = Request("POST", path, "", dict(_HEADERS), document)
    began = False
    try:
        async with world.wire_timeout(seconds):
            answer = await transport.send(request)
            began = True
            return answer.status, await _whole(answer.body, most)
    except TimeoutError as error:
        if began:
            raise NoBody from error
        raise


async def _whole(body: object, most: int) -> bytes:
    if (found := await read_whole(body, most)) is None:
        raise Unreachable(f"the answer has more than {most} bytes")
    return found
