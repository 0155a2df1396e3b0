"""A server of gRPC on Unix sockets, without TLS: calls with one message, answered by any number.

It is the edge for what handlers raise: `Failed` is the caller's to see, anything else is a fault
of ours and told as such. Deadlines and cancelling end a handler.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from steersman.client.http2 import Link
from steersman.listen.serve import clear_socket
from steersman.wire.http2 import grpc
from steersman.wire.http2.connection import Connection, Data, Event, Headers, Reset
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.messages import Rpc, decode, encode
from steersman.world.interface import World

# Of one socket: a kubelet or a sidecar has one or two, tools as many as they are started
MAX_CONNECTIONS: Final = 512
Handler = Callable[[bytes], AsyncGenerator[bytes]]
Q = TypeVar("Q")
A = TypeVar("A")
log = logging.getLogger(__name__)


def unary(method: Rpc[Q, A], handle: Callable[[Q], Awaitable[A]]) -> tuple[str, Handler]:
    """Returns the entry of a method that gives one answer."""

    async def handler(message: bytes) -> AsyncGenerator[bytes]:
        yield encode(await handle(decode(method.ask, message)))

    return method.path, handler


def streaming(method: Rpc[Q, A], handle: Callable[[Q], AsyncGenerator[A]]) -> tuple[str, Handler]:
    """Returns the entry of a method that gives answers for as long as it likes."""

    async def handler(message: bytes) -> AsyncGenerator[bytes]:
        async with aclosing(handle(decode(method.ask, message))) as answers:
            async for answer in answers:
                yield encode(answer)

    return method.path, handler


class GRPCServer:
    """Serves methods by their paths; to be entered with `async with`, left by stopping."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        world: World,
        *,
        max_message_bytes: int = grpc.MAX_MESSAGE_BYTES,
    ) -> None:
        self.handlers = handlers
        self.services = {path[1:].rpartition("/")[0] for path in handlers}
        self.world = world
        self.max_message_bytes = max_message_bytes
        self.tasks = world.tasks()
        self.links: set[_Link] = set()
        self._servers: list[tuple[asyncio.AbstractServer, Path]] = []

    async def listen_unix(self, path: Path, mode: int = 0o600) -> None:
        """Listens on a Unix socket; takes the place of one that nobody listens on any more.
        Raises OSError."""
        clear_socket(path)
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Link(self), str(path), start_serving=False)
        os.chmod(path, mode)  # before anybody can connect
        await server.start_serving()
        self._servers.append((server, path))

    async def listen_on(self, listening: socket.socket, path: Path) -> None:
        """Listens on a socket that is there already, at a path that goes with the server."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Link(self), sock=listening)
        self._servers.append((server, path))

    async def closed(self) -> None:
        """Waits for ever, but for being cancelled."""
        await asyncio.Event().wait()

    async def __aenter__(self) -> GRPCServer:
        await self.tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server, path in self._servers:
            server.close()
            path.unlink(missing_ok=True)
        self.tasks.stop()
        for link in list(self.links):
            link.abort()
        await self.tasks.__aexit__(kind, error, trace)


class _Asked:
    """A call whose message is on its way, or that is answered."""

    def __init__(self, head: grpc.Head, max_message_bytes: int) -> None:
        self.head = head
        self.inbox = grpc.Inbox(max_message_bytes)
        self.task: asyncio.Task[None] | None = None


class _Link(Link):
    """One client."""

    def __init__(self, server: GRPCServer) -> None:
        super().__init__(Connection(is_client=False))
        self._server = server
        self._calls: dict[int, _Asked] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts it in, or turns it away."""
        super().connection_made(transport)
        if len(self._server.links) >= MAX_CONNECTIONS:
            self.abort()
            return
        self._server.links.add(self)

    def ended(self, error: Exception) -> None:
        """Ends what is done for it."""
        self._server.links.discard(self)
        for stream in list(self._calls):
            self._cancel(stream)

    def heard(self, event: Event) -> None:
        """Takes a call, piece by piece."""
        try:
            if isinstance(event, Headers):
                self._begin(event)
            elif isinstance(event, Data):
                self._put(event)
            elif isinstance(event, Reset):
                self._cancel(event.stream)
        except Failed as error:
            assert isinstance(event, Headers | Data)
            self._calls.pop(event.stream, None)
            headers = (*grpc.ANSWER_HEADERS, *grpc.status_headers(error.code, error.text))
            self.connection.say(event.stream, headers, ends=True)

    def _begin(self, event: Headers) -> None:
        if event.stream in self._calls:
            return  # what stands after a message says nothing here
        head = grpc.parse_call(event.fields)
        if head.path not in self._server.handlers:
            raise grpc.unknown_method(head.path, self._server.services)
        self._calls[event.stream] = _Asked(head, self._server.max_message_bytes)
        if event.ends:
            raise Failed(grpc.INTERNAL, "a call without a message")

    def _put(self, event: Data) -> None:
        if (asked := self._calls.get(event.stream)) is None or asked.task is not None:
            return
        asked.inbox.put(event.data)
        self.connection.grant(event.stream, asked.inbox.due())
        if not event.ends:
            return
        if len(asked.inbox) != 1 or asked.inbox.is_cut_off:
            raise Failed(grpc.INTERNAL, "a call has one message")
        work = self._answer(event.stream, asked.head, asked.inbox.take())
        asked.task = self._server.tasks.start(work, name=asked.head.path)

    def _cancel(self, stream: int) -> None:
        asked = self._calls.pop(stream, None)
        if asked is not None and asked.task is not None:
            asked.task.cancel()

    async def _answer(self, stream: int, head: grpc.Head, message: bytes) -> None:
        code, text = grpc.OK, ""
        self.connection.say(stream, grpc.ANSWER_HEADERS)
        try:
            async with self._server.world.wire_timeout(head.seconds):
                await self._send_all(stream, self._server.handlers[head.path](message))
        except TimeoutError:
            code, text = grpc.DEADLINE_EXCEEDED, "context deadline exceeded"
        except Failed as error:
            code, text = error.code, error.text
        except (ConnectionError, EOFError):
            return  # the client is gone
        except Exception as error:
            log.exception("%s", head.path)
            code, text = grpc.INTERNAL, f"{type(error).__name__}: {error}"
        self._calls.pop(stream, None)
        self.connection.say(stream, grpc.status_headers(code, text), ends=True)
        self.flush()

    async def _send_all(self, stream: int, answers: AsyncGenerator[bytes]) -> None:
        async with aclosing(answers):
            async for answer in answers:
                self.connection.write(stream, grpc.frame(answer))
                self.flush()
                await self.sent(stream)
