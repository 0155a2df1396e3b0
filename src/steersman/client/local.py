"""The transport inside the server's process: a request is a function call, as one user.

The handler cannot tell it from a socket, but for `Request.user`. Pushed bodies become iterators
through a buffer that is bounded in bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from steersman.client.errors import Unreachable
from steersman.model.errors import APIError
from steersman.wire.message import Channel, Chunk, Handler, Push, Request, Response, Upgrade, User
from steersman.wire.status import from_body, to_response
from steersman.world.interface import Tasks

# A watch is ended by its server long before; this is for pushers that do not look at `pending`
BUFFER_BYTES = 32 * 1024 * 1024
# Bytes on their way through an upgraded stream in each direction
CHANNEL_BYTES = 256 * 1024


class LocalTransport:
    """See `client.interface.Transport`. Tasks are needed for upgraded streams only."""

    def __init__(self, handler: Handler, user: User, tasks: Tasks | None = None) -> None:
        self.identity = user.name
        self._handler = handler
        self._user = user
        self._tasks = tasks

    async def send(self, request: Request) -> Response:
        """Asks the handler; an API error becomes the answer that a socket would carry."""
        try:
            response = await self._ask(request)
        except APIError as error:
            return to_response(error)
        body = response.body
        if isinstance(body, (bytes, AsyncIterator)):
            return response
        if isinstance(body, Upgrade):
            raise Unreachable(f"{request.path} answers with an upgrade")
        if callable(body):
            return _with_body(response, PushedBody(body))
        return _with_body(response, b"".join(body))

    async def upgrade(self, request: Request) -> Channel:
        """Opens an upgraded stream; the other end runs in the transport's tasks."""
        if self._tasks is None:
            raise Unreachable("this transport was made without tasks: it opens no streams")
        response = await self._ask(request)
        if not isinstance(response.body, Upgrade):
            body = response.body if isinstance(response.body, bytes) else b""
            raise from_body(response.status, body)
        here, there = pipe()
        self._tasks.start(_take(response.body, there), name=f"stream {request.path}")
        return here

    async def close(self) -> None:
        """Holds nothing."""

    async def _ask(self, request: Request) -> Response:
        request.user = self._user
        answer = self._handler(request)
        return answer if isinstance(answer, Response) else await answer


def _with_body(response: Response, body: bytes | AsyncIterator[bytes]) -> Response:
    return Response(body, response.status, response.content_type, response.headers)


class PushedBody(AsyncIterator[bytes]):
    """A sink on one side, an iterator on the other; what waits comes out in one piece.

    The pusher is told once that it is over, when the iterator is closed or after `finish`.
    """

    def __init__(self, push: Push) -> None:
        self._waiting: list[bytes] = []
        self._size = 0
        self._finished = False
        self._broken = ""
        self._waiter: asyncio.Future[None] | None = None
        self._told: Callable[[], None] | None = None
        self._told = push(self)

    @property
    def pending(self) -> int:
        """Bytes that nobody has taken yet."""
        return self._size

    def send(self, chunk: Chunk) -> None:
        """Takes a piece; a reader that is far too slow loses the stream."""
        if self._finished:
            return
        self._waiting.append(chunk.data)
        self._size += len(chunk.data)
        if self._size > BUFFER_BYTES:
            self._break_off("its reader is too slow")
        self._wake()

    def finish(self) -> None:
        """Ends the stream after what was sent."""
        self._finished = True
        self._wake()

    def abort(self) -> None:
        """Breaks the stream off: who reads is told that it has not come to its end."""
        self._break_off("the other end has failed")

    def _break_off(self, why: str) -> None:
        self._broken = why
        self._waiting.clear()
        self._size = 0
        self.finish()

    async def __anext__(self) -> bytes:
        while not self._waiting:
            if self._finished:
                self._tell()
                if self._broken:
                    raise Unreachable(f"the stream was ended: {self._broken}")
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return piece

    async def aclose(self) -> None:
        """Gives the stream up."""
        self._finished = True
        self._waiting.clear()
        self._size = 0
        self._tell()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _tell(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            told()


async def _take(upgrade: Upgrade, channel: PipeEnd) -> None:
    try:
        await upgrade.take(channel)
    except (APIError, OSError, Unreachable):
        channel.broken = True  # as a connection breaks off: there is nobody to tell why
    finally:
        channel.close()


class PipeEnd:
    """One end of a channel inside the process; see `wire.message.Channel`."""

    def __init__(self) -> None:
        self.other: PipeEnd = self
        self.broken = False
        self._waiting: list[bytes] = []
        self._size = 0
        self._ended = False
        self._changed = asyncio.Event()

    async def read(self) -> bytes:
        """Returns the next bytes, b"" at the end."""
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        piece = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._changed.set()
        return piece

    async def write(self, data: bytes) -> None:
        """Sends bytes, waiting while the other end is slow; raises ConnectionResetError."""
        other = self.other
        while other._size > CHANNEL_BYTES and not (other._ended or self._ended):
            other._changed.clear()
            await other._changed.wait()
        if other._ended or self._ended:
            raise ConnectionResetError("the connection is closed")
        other._waiting.append(data)
        other._size += len(data)
        other._changed.set()

    def close(self) -> None:
        """Closes both directions; what was sent can still be read."""
        for end in (self, self.other):
            end._ended = True
            end._changed.set()


def pipe() -> tuple[PipeEnd, PipeEnd]:
    """Returns the two ends of a channel."""
    here, there = PipeEnd(), PipeEnd()
    here.other, there.other = there, here
    return here, there
