"""Asks a container for its health over gRPC (grpc.health.v1.Health/Check), in the kubelet's words.

Follows pkg/probe/grpc: until there is a connection it is tried again, all in the probe's time.
"""

from __future__ import annotations

from typing import Final

from steersman.client.grpc import Channel, connect_tcp
from steersman.model.gotext import quote
from steersman.model.types.container import GRPCAction
from steersman.node.acting.handlers import USER_AGENT, Answer
from steersman.node.status import go_duration
from steersman.node.tools import Tools
from steersman.wire.http2 import grpc
from steersman.wire.http2.connection import BadPeer
from steersman.wire.http2.grpc import Failed
from steersman.wire.protobuf.fields import Malformed, delimited, fields

RETRY_SECONDS: Final = 1.0  # grpc's backoff.DefaultConfig.BaseDelay
MAX_MESSAGE_BYTES: Final = 32 * 1024  # a container is not trusted, and its answer is one number
_CHECK: Final = "/grpc.health.v1.Health/Check"
_STATES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING: Final = 1


async def ask_health(tools: Tools, action: GRPCAction, address: str, seconds: float) -> Answer:
    """Calls the health service; good where it answers SERVING."""
    host = f"[{address}]" if ":" in address else address
    authority, within = f"{host}:{action.port}", go_duration(seconds)
    made: Channel | None = None
    try:
        async with tools.world.timeout(seconds):
            made = await _connect(tools, address, action.port)
            message = await made.call(_CHECK, render_request(action.service), seconds)
    except TimeoutError:
        if made is not None:
            return Answer(False, f"timeout: health rpc did not complete within {within}")
        why = f"{quote(authority)} within {within}: context deadline exceeded"
        return Answer(False, f"timeout: failed to connect service {why}")
    except Failed as error:
        return _judge_failure(error, within)
    finally:
        if made is not None:
            made.close()
    return _judge(message, within)


async def _connect(tools: Tools, address: str, port: int) -> Channel:
    """Returns a connection on which the server has said that it speaks HTTP/2."""
    while True:
        try:
            return await connect_tcp(
                address, port, tools.world, agent=USER_AGENT, max_message_bytes=MAX_MESSAGE_BYTES
            )
        except (OSError, EOFError, BadPeer):
            await tools.world.sleep(RETRY_SECONDS)


def render_request(service: str) -> bytes:
    """Returns a HealthCheckRequest."""
    return delimited(1, service.encode()) if service else b""


def _judge_failure(error: Failed, within: str) -> Answer:
    if error.code == grpc.UNIMPLEMENTED:
        what = "error: this server does not implement the grpc health protocol"
        return Answer(False, f"{what} (grpc.health.v1.Health): {error.text}")
    if error.code == grpc.DEADLINE_EXCEEDED:
        return Answer(False, f"timeout: health rpc did not complete within {within}")
    return Answer(False, f"error: health rpc probe failed: {error}")


def _judge(message: bytes, within: str) -> Answer:
    try:
        state = dict(fields(message)).get(1, 0)
    except Malformed as error:
        text = f"grpc: failed to unmarshal the received message: {error}"
        return _judge_failure(Failed(grpc.INTERNAL, text), within)
    if state != _SERVING:
        named = _STATES.get(state, str(state))
        return Answer(False, f"service unhealthy (responded with {quote(named)})")
    return Answer(True, "service healthy")
