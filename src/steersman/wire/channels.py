"""Kubernetes' channel protocols over WebSocket: several streams of bytes in one connection.

v5.channel.k8s.io (KEP-4006), v4 and what was before it, binary and in base64; no I/O. The first
byte of a message, or the first digit of a text, names the channel.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from steersman.wire.websocket import ProtocolError, WebSocket

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
# Before version 4 a failure was told in plain words; who names no protocol means the first
V1 = "channel.k8s.io"
V1_BASE64 = "base64.channel.k8s.io"
UNNAMED = ""
PLAIN = (UNNAMED, V1, V1_BASE64)
# What exec and attach take, best first
REMOTE_COMMAND = (V5, V4, V4_BASE64, V1, V1_BASE64)
# What port-forward takes over channels: two for each port, data and error
PORT_FORWARD = (V4, V4_BASE64, V1, V1_BASE64)
_BASE64 = (V4_BASE64, V1_BASE64)
# kubectl's own port-forward: SPDY bytes in binary messages (KEP-4006, tunneling)
TUNNEL = "SPDY/3.1+portforward.k8s.io"

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4
# v5: the payload is the number of a channel to which nothing more will be sent
CLOSE = 255


def choose(offered: Iterable[str], supported: Iterable[str]) -> str:
    """Returns the first supported protocol that was offered, "" where there is none."""
    known = set(offered)
    return next((name for name in supported if name in known), "")


class Data(msgspec.Struct, frozen=True):
    """Bytes on a channel."""

    channel: int
    data: bytes


class Ended(msgspec.Struct, frozen=True):
    """Nothing more comes on a channel; None stands for the whole connection."""

    channel: int | None


class Channels:
    """One side of a connection that speaks a channel protocol.

    `feed` gives what came; `replies` gives what the protocol itself wants sent back then.
    """

    def __init__(self, protocol: str, websocket: WebSocket) -> None:
        self.protocol = protocol
        self._websocket = websocket
        self._replies: list[bytes] = []

    def feed(self, data: bytes) -> list[Data | Ended]:
        """Returns what the bytes bring; raises ProtocolError."""
        found: list[Data | Ended] = []
        for message in self._websocket.feed(data):
            if message.kind == "ping":
                self._replies.append(self._websocket.pong(message))
            elif message.kind == "close":
                self._replies.append(self._websocket.close())
                found.append(Ended(None))
            elif message.kind != "pong" and message.data:
                found.append(self._event(message.data))
        return found

    def replies(self) -> bytes:
        """Returns the bytes to send back at once, and forgets them."""
        waiting = b"".join(self._replies)
        self._replies.clear()
        return waiting

    def encode(self, channel: int, data: bytes) -> bytes:
        """Returns data for a channel as bytes of the connection."""
        if self.protocol in _BASE64:
            return self._websocket.encode("text", b"%d" % channel + base64.b64encode(data))
        return self._websocket.encode("binary", bytes((channel,)) + data)

    def end(self, channel: int) -> bytes:
        """Returns what tells the other side that a channel is over; before v5 nothing can."""
        return self.encode(CLOSE, bytes((channel,))) if self.protocol == V5 else b""

    def close(self, code: int = 1000) -> bytes:
        """Returns what closes the connection."""
        return self._websocket.close(code)

    def opened(self, *, stdout: bool, stderr: bool) -> bytes:
        """Returns what a server sends first: an empty message on the lowest channel it writes
        to, by which clients know that the command runs (kubelet's remotecommand)."""
        return self.encode(STDOUT if stdout else STDERR if stderr else ERROR, b"")

    def _event(self, data: bytes) -> Data | Ended:
        if self.protocol in _BASE64:
            return _decoded(data)
        if self.protocol == V5 and data[0] == CLOSE:
            if len(data) != 2:
                raise ProtocolError("the end of a channel that is not named")
            return Ended(data[1])
        return Data(data[0], data[1:])


def _decoded(data: bytes) -> Data:
    try:
        return Data(int(data[:1]), base64.b64decode(data[1:], validate=True))
    except (ValueError, binascii.Error):
        raise ProtocolError("text that is not a channel's number and base64") from None


def terminal_size(data: bytes) -> tuple[int, int] | None:
    """Returns columns and rows of a message on the resize channel, None where it holds none."""
    try:
        found: Any = json.loads(data)
        size = int(found["Width"]), int(found["Height"])
    except (ValueError, TypeError, KeyError):
        return None
    return size if all(0 < number < 1 << 16 for number in size) else None


def exit_status(code: int) -> Mapping[str, Any]:
    """Returns the Status for the error channel that tells a command's exit code (v4 and later)."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def ending(protocol: str, status: Mapping[str, Any]) -> bytes:
    """Returns what the error channel says at the end (kubelet: v4WriteStatusFunc, v1...)."""
    if protocol not in PLAIN:
        return json.dumps(status).encode()
    return b"" if status["status"] == "Success" else str(status.get("message", "")).encode()


def exit_code(status: bytes) -> int | None:
    """Returns the exit code that a Status on the error channel tells, None for other failures."""
    try:
        found: Any = json.loads(status)
        if found.get("status") == "Success":
            return 0
        causes = (found.get("details") or {}).get("causes") or ()
        codes = [cause.get("message") for cause in causes if cause.get("reason") == "ExitCode"]
        return int(codes[0]) if codes else None
    except (ValueError, TypeError, AttributeError):
        return None


def port_announcement(port: int) -> bytes:
    """Returns the first message of each of a port's two channels: the port, low byte first."""
    return port.to_bytes(2, "little")
