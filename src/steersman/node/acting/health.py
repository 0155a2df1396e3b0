"""Asks a container for its health over gRPC (grpc.health.v1.Health/Check), in the kubelet's words.

Follows pkg/probe/grpc: until there is a connection it is tried again, all in the probe's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from steersman.model.gotext import quote
from steersman.model.types.container import GRPCAction
from steersman.node.acting.handlers import USER_AGENT, Answer
from steersman.node.status import go_duration
from steersman.node.tools import Tools
from steersman.wire.http2 import grpc
from steersman.wire.protobuf_fields import Malformed, delimited, fields

RETRY_SECONDS: Final = 1.0  # grpc's backoff.DefaultConfig.BaseDelay
_READ_BYTES: Final = 16 * 1024
_CHECK: Final = "/grpc.health.v1.Health/Check"
_STATES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING: Final = 1


class _Connection(NamedTuple):
    call: grpc.Call
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_until(self, is_done: Callable[[], bool]) -> None:
        """Feeds the call until something holds; raises EOFError at the end."""
        while not is_done():
            data = await self.reader.read(_READ_BYTES)
            if not data:
                raise EOFError("EOF")
            if reply := self.call.feed(data):
                self.writer.write(reply)


async def ask_health(tools: Tools, action: GRPCAction, address: str, seconds: float) -> Answer:
    """Calls the health service; good where it answers SERVING."""
    host = f"[{address}]" if ":" in address else address
    authority, within = f"{host}:{action.port}", go_duration(seconds)
    made: _Connection | None = None
    try:
        async with tools.world.timeout(seconds):
            made = await _connect(tools, address, action.port)
            answer = await _call(made, authority, action.service, seconds)
    except TimeoutError:
        if made is not None:
            return Answer(False, f"timeout: health rpc did not complete within {within}")
        why = f"{quote(authority)} within {within}: context deadline exceeded"
        return Answer(False, f"timeout: failed to connect service {why}")
    except (OSError, EOFError, grpc.BadPeer) as error:
        answer = grpc.Answer(grpc.UNAVAILABLE, f"error reading from server: {error}")
    finally:
        if made is not None:
            made.writer.transport.abort()
    return _judge(answer, within)


async def _connect(tools: Tools, address: str, port: int) -> _Connection:
    """Returns a connection on which the server has said that it speaks HTTP/2."""
    while True:
        try:
            return await _try(address, port)
        except (OSError, EOFError, grpc.BadPeer):
            await tools.world.sleep(RETRY_SECONDS)


async def _try(address: str, port: int) -> _Connection:
    reader, writer = await asyncio.open_connection(address, port)
    made = _Connection(grpc.Call(), reader, writer)
    try:
        writer.write(made.call.open())
        await made.read_until(lambda: made.call.is_open)
    except BaseException:
        writer.transport.abort()
        raise
    return made


async def _call(made: _Connection, authority: str, service: str, seconds: float) -> grpc.Answer:
    message = render_request(service)
    made.writer.write(made.call.request(authority, _CHECK, message, USER_AGENT, seconds))
    await made.read_until(lambda: made.call.answer is not None)
    assert made.call.answer is not None
    return made.call.answer


def render_request(service: str) -> bytes:
    """Returns a HealthCheckRequest."""
    return delimited(1, service.encode()) if service else b""


def _judge(answer: grpc.Answer, within: str) -> Answer:
    if answer.code == grpc.UNIMPLEMENTED:
        what = "error: this server does not implement the grpc health protocol"
        return Answer(False, f"{what} (grpc.health.v1.Health): {answer.text}")
    if answer.code == grpc.DEADLINE_EXCEEDED:
        return Answer(False, f"timeout: health rpc did not complete within {within}")
    if answer.code != grpc.OK:
        return Answer(False, f"error: health rpc probe failed: {grpc.error_text(answer)}")
    try:
        state = dict(fields(answer.message)).get(1, 0)
    except Malformed as error:
        broken = grpc.Answer(
            grpc.INTERNAL, f"grpc: failed to unmarshal the received message: {error}"
        )
        return _judge(broken, within)
    if state != _SERVING:
        named = _STATES.get(state, str(state))
        return Answer(False, f"service unhealthy (responded with {quote(named)})")
    return Answer(True, "service healthy")
