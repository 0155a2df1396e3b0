"""Messages between agent, warm parent and shims: a length, then JSON; descriptors travel along.

No sockets are opened here and nothing waits, but for the two blocking calls at the end that the
processes without a loop use. Rule: a message is bounded, and says how many descriptors it has.
"""

from __future__ import annotations

import json
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Document = dict[str, Any]

# An OCI document with the largest environment that execve takes (2 MiB) fits, escaped.
MAX_MESSAGE_BYTES = 8 << 20
# SCM_MAX_FD is 253; no message of ours has more than stdin, stdout and stderr.
MAX_DESCRIPTORS = 3
READ_BYTES = 1 << 16
_HEADER = struct.Struct("=I")
_ANCILLARY_BYTES = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)


class ProtocolError(Exception):
    """The other side does not speak this protocol."""


class Message:
    """One message with the descriptors that came with it; whoever takes it owns them."""

    __slots__ = ("descriptors", "document")

    def __init__(self, document: Document, descriptors: list[int]) -> None:
        self.document = document
        self.descriptors = descriptors


def encode(document: Document, descriptors: int = 0) -> bytes:
    """The bytes of one message; ProtocolError if it is over the bound."""
    if descriptors:
        document = {**document, "descriptors": descriptors}
    body = json.dumps(document, separators=(",", ":")).encode()
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"a message of {len(body)} bytes is over {MAX_MESSAGE_BYTES}")
    return _HEADER.pack(len(body)) + body


class Decoder:
    """Turns what arrives on a socket into messages, in order."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._descriptors: list[int] = []

    @property
    def empty(self) -> bool:
        """Whether nothing has come that is not whole yet."""
        return not self._buffer and not self._descriptors

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> list[Message]:
        """The messages that these bytes complete."""
        self._buffer += data
        self._descriptors += descriptors
        messages = []
        while (body := self._next_body()) is not None:
            messages.append(self._parse(body))
        return messages

    def _next_body(self) -> bytes | None:
        if len(self._buffer) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._buffer)
        if length > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a message of {length} bytes is announced")
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return body

    def _parse(self, body: bytes) -> Message:
        try:
            document = json.loads(body)
        except ValueError as error:
            raise ProtocolError(f"not JSON: {error}") from None
        if not isinstance(document, dict):
            raise ProtocolError("a message is an object")
        count = document.pop("descriptors", 0)
        if not isinstance(count, int) or not 0 <= count <= len(self._descriptors):
            raise ProtocolError(f"{count!r} descriptors announced, {len(self._descriptors)} came")
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return Message(document, taken)

    def close(self) -> None:
        """Closes descriptors that no message has claimed."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()


def receive_part(connection: socket.socket) -> tuple[bytes, list[int]]:
    """What one recvmsg gives: bytes, empty at the end, and descriptors (closed on exec)."""
    data, ancillary, _, _ = connection.recvmsg(
        READ_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
    )
    descriptors: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors += struct.unpack(f"={len(payload) // 4}i", payload[: len(payload) // 4 * 4])
    return data, descriptors


def send_part(connection: socket.socket, data: bytes, descriptors: Sequence[int]) -> int:
    """Sends what fits now; the descriptors go with the first byte. Gives the bytes taken."""
    if not descriptors:
        return connection.send(data)
    return socket.send_fds(connection, [data], list(descriptors))
