"""Calls over gRPC, without TLS: one connection, many calls, one message or a stream of answers.

Every failure is `Failed`, with grpc-go's code and words; deadlines are in wire time. Messages are
bytes here, `typed` ones are put on top by `wire.rpc.messages`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from steersman.client.http2 import Link
from steersman.model.gotext import quote
from steersman.wire.http2 import grpc
from steersman.wire.http2.connection import (
    BadPeer,
    Connection,
    Data,
    Event,
    Headers,
    Leaving,
    Reset,
)
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.messages import Rpc, decode, encode
from steersman.world.interface import World

AGENT: Final = "grpc-steersman/1"
_DEADLINE: Final = "context deadline exceeded"
_DRAINING: Final = "the connection is draining"

Q = TypeVar("Q")
A = TypeVar("A")


class _Reply:
    """What has come of one call."""

    def __init__(self, max_message_bytes: int) -> None:
        self.inbox = grpc.Inbox(max_message_bytes)
        self.status = ""
        self.end: Failed | None = None
        self.waiter: asyncio.Future[None] | None = None

    def hear(self, event: Headers | Data | Reset) -> None:
        """Takes what comes for it."""
        if self.end is not None:
            return
        if isinstance(event, Reset):
            self.finish(grpc.judge_reset(event.number))
            return
        try:
            if isinstance(event, Data):
                self.inbox.put(event.data)
            else:
                self.status = self.status or event.fields.get(":status", "")
                self.end = grpc.judge_headers(event.fields, self.status)
        except Failed as error:
            self.end = error
        if event.ends and self.end is None:
            self.end = Failed(grpc.INTERNAL, grpc.NOT_CLOSED)
        self._wake()

    def finish(self, end: Failed) -> None:
        """Ends it, where it has not ended."""
        self.end = self.end or end
        self._wake()

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class _Link(Link):
    """The connection, and the calls on it."""

    def __init__(self) -> None:
        super().__init__(Connection(is_client=True))
        self.replies: dict[int, _Reply] = {}
        self.is_drained = False  # the server takes no further calls

    def heard(self, event: Event) -> None:
        """Gives it to the call."""
        if isinstance(event, Leaving):
            self.is_drained = True
            for stream, reply in list(self.replies.items()):
                if stream > event.last:
                    reply.finish(Failed(grpc.UNAVAILABLE, _DRAINING))
            self.leave()
        elif (known := self.replies.get(event.stream)) is not None:
            known.hear(event)

    def leave(self) -> None:
        """Closes a connection on which nothing is done any more."""
        if self.is_drained and not self.replies:
            self.close()

    def ended(self, error: Exception) -> None:
        """Ends all calls."""
        for reply in list(self.replies.values()):
            reply.finish(_lost(error))


class Channel:
    """A connection to a server; to be left with `async with` or `close`."""

    def __init__(
        self, link: _Link, world: World, authority: str, agent: str, max_message_bytes: int
    ) -> None:
        self._link = link
        self._world = world
        self._authority = authority
        self._agent = agent
        self._max = max_message_bytes

    @property
    def is_lost(self) -> bool:
        """Whether no call can be made any more."""
        return self._link.lost is not None or self._link.is_drained

    async def call(self, path: str, message: bytes, seconds: float | None) -> bytes:
        """Makes a call that is answered by one message; raises Failed."""
        found = None
        async with aclosing(self.stream(path, message, seconds)) as answers:
            async for answer in answers:
                if found is not None:
                    raise Failed(grpc.INTERNAL, "the server did not send one plain message")
                found = answer
        if found is None:
            raise Failed(grpc.INTERNAL, "the server did not send one plain message")
        return found

    async def stream(
        self, path: str, message: bytes, seconds: float | None
    ) -> AsyncGenerator[bytes]:
        """Makes a call that is answered by any number of messages; raises Failed. Who stops
        asking breaks the call off; a slow reader holds the server back."""
        if self._link.lost is not None:
            raise _lost(self._link.lost)
        if self._link.is_drained:
            raise Failed(grpc.UNAVAILABLE, _DRAINING)
        reply = _Reply(self._max)
        stream = self._link.connection.open()
        self._link.replies[stream] = reply
        try:
            headers = grpc.call_headers(self._authority, path, self._agent, seconds)
            self._link.connection.say(stream, headers)
            self._link.connection.write(stream, grpc.frame(message), ends=True)
            self._link.flush()
            until = None if seconds is None else self._world.monotonic() + seconds
            while (answer := await self._next(stream, reply, until)) is not None:
                yield answer
        finally:
            del self._link.replies[stream]
            self._link.connection.reset(stream)
            self._link.flush()
            self._link.leave()

    async def ask(self, method: Rpc[Q, A], message: Q, seconds: float | None) -> A:
        """Makes a call with messages of a table; raises Failed."""
        answer = await self.call(method.path, encode(message), seconds)
        return decode(method.answer, answer)

    async def follow(
        self, method: Rpc[Q, A], message: Q, seconds: float | None = None
    ) -> AsyncGenerator[A]:
        """Makes a call with messages of a table that is answered by many; raises Failed."""
        async with aclosing(self.stream(method.path, encode(message), seconds)) as answers:
            async for answer in answers:
                yield decode(method.answer, answer)

    async def _next(self, stream: int, reply: _Reply, until: float | None) -> bytes | None:
        """Returns the next message, None at a good end."""
        left = None if until is None else max(0.0, until - self._world.monotonic())
        try:
            async with self._world.wire_timeout(left):
                while not reply.inbox and reply.end is None:
                    reply.waiter = asyncio.get_running_loop().create_future()
                    # A message that is not whole needs its window
                    self._link.connection.grant(stream, reply.inbox.due())
                    self._link.flush()
                    await reply.waiter
        except TimeoutError:
            raise Failed(grpc.DEADLINE_EXCEEDED, _DEADLINE) from None
        if reply.inbox and (reply.end is None or reply.end.code == grpc.OK):
            return reply.inbox.take()
        assert reply.end is not None
        if reply.end.code != grpc.OK:
            raise reply.end
        if reply.inbox.is_cut_off:
            raise Failed(grpc.INTERNAL, "unexpected EOF")
        return None

    async def over(self) -> None:
        """Waits until no call can be made any more."""
        await self._link.over()

    def close(self) -> None:
        """Closes the connection; calls under way fail."""
        self._link.abort()

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def connect_unix(
    path: Path,
    world: World,
    seconds: float,
    *,
    agent: str = AGENT,
    max_message_bytes: int = grpc.MAX_MESSAGE_BYTES,
) -> Channel:
    """Returns a channel to a Unix socket; raises Failed."""
    link = _Link()
    try:
        async with world.wire_timeout(seconds):
            await asyncio.get_running_loop().create_unix_connection(lambda: link, str(path))
            await link.opened()
    except TimeoutError:
        link.abort()
        raise Failed(grpc.DEADLINE_EXCEEDED, _DEADLINE) from None
    except OSError as error:
        raise _not_connected("unix", str(path), error) from error
    except (EOFError, BadPeer) as error:
        link.abort()
        raise _lost(error) from error
    except BaseException:
        link.abort()
        raise
    return Channel(link, world, "localhost", agent, max_message_bytes)


async def connect_tcp(
    host: str, port: int, world: World, *, agent: str = AGENT, max_message_bytes: int
) -> Channel:
    """Returns a channel to an address; raises OSError, EOFError and BadPeer. Not bounded in
    time."""
    link = _Link()
    await asyncio.get_running_loop().create_connection(lambda: link, host, port)
    try:
        await link.opened()
    except BaseException:
        link.abort()
        raise
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Channel(link, world, authority, agent, max_message_bytes)


def _lost(error: Exception) -> Failed:
    return Failed(grpc.UNAVAILABLE, f"error reading from server: {error}")


def _not_connected(network: str, address: str, error: OSError) -> Failed:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    dialing = f"transport: Error while dialing: dial {network} {address}: connect: {reason}"
    return Failed(grpc.UNAVAILABLE, f"connection error: desc = {quote(dialing)}")
