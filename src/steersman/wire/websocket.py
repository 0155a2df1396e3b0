"""WebSocket (RFC 6455) without I/O: bytes to messages and back, for either side.

Extensions are not spoken. After a `ProtocolError` the connection is to be closed with its code.
"""

from __future__ import annotations

import base64
import hashlib
import string
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

# One message, fragments joined; kubectl sends pieces of 32 kB at most
MAX_MESSAGE_BYTES = 1024 * 1024
# RFC 6455 section 5.5
MAX_CONTROL_BYTES = 125
VERSION = "13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Kind = Literal["text", "binary", "close", "ping", "pong"]
_CONTINUATION, _CLOSE, _PING, _PONG = 0, 8, 9, 10
_KINDS: Mapping[int, Kind] = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_OPCODES: Mapping[Kind, int] = {kind: opcode for opcode, kind in _KINDS.items()}

# In front of a token in base64 among the subprotocols
BEARER = "base64url.bearer.authorization.k8s.io."
_BASE64URL = frozenset(string.ascii_letters + string.digits + "-_")

# Close codes (section 7.4.1)
NORMAL = 1000
PROTOCOL_ERROR = 1002
NOT_TEXT = 1007
TOO_BIG = 1009


class ProtocolError(Exception):
    """The other side breaks the protocol; `code` is what to close with."""

    def __init__(self, why: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(why)
        self.code = code


class Message(msgspec.Struct, frozen=True):
    """One whole message; a close carries its code as two bytes and a reason, or nothing."""

    kind: Kind
    data: bytes


class WebSocket:
    """One side of a connection.

    mask: draws a fresh four-byte key for each frame; given on the client's side, None on the
          server's (section 5.1: clients mask, servers do not)
    """

    def __init__(
        self, *, mask: Callable[[], bytes] | None = None, max_message: int = MAX_MESSAGE_BYTES
    ) -> None:
        self._mask = mask
        self._max_message = max_message
        self._buffer = bytearray()
        self._fragments: list[bytes] = []
        self._fragments_size = 0
        self._kind: Kind | None = None
        self.closed = False

    def feed(self, data: bytes) -> list[Message]:
        """Returns the messages that are whole now; raises ProtocolError.

        Pings are among them: the caller sends `pong` back.
        """
        self._buffer += data
        found = []
        while not self.closed and (frame := self._frame()) is not None:
            if (message := self._take(*frame)) is not None:
                found.append(message)
                self.closed = message.kind == "close"
        return found

    def encode(self, kind: Kind, data: bytes) -> bytes:
        """Returns a message as one frame."""
        size = len(data)
        first = 0x80 | _OPCODES[kind]
        masked = 0x80 if self._mask is not None else 0
        if size < 126:
            head = bytes((first, masked | size))
        elif size < 1 << 16:
            head = bytes((first, masked | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((first, masked | 127)) + size.to_bytes(8, "big")
        if self._mask is None:
            return head + data
        key = self._mask()
        return head + key + masked_with(data, key)

    def close(self, code: int = NORMAL, reason: str = "") -> bytes:
        """Returns the frame that closes, or answers a close."""
        room = MAX_CONTROL_BYTES - 2
        return self.encode("close", code.to_bytes(2, "big") + reason.encode()[:room])

    def pong(self, ping: Message) -> bytes:
        """Returns the answer to a ping."""
        return self.encode("pong", ping.data)

    def _frame(self) -> tuple[bool, int, bytes] | None:
        """Takes one frame out of the buffer: whether it is final, opcode, payload."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, opcode, masked = bool(buffer[0] & 0x80), buffer[0] & 0x0F, bool(buffer[1] & 0x80)
        if buffer[0] & 0x70:
            raise ProtocolError("a frame of an extension that was not agreed on")
        if masked == (self._mask is not None):
            raise ProtocolError("only the client masks its frames")
        size, start = buffer[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        self._check(final, opcode, size)
        end = start + (4 if masked else 0) + size
        if len(buffer) < end:
            return None
        payload = bytes(buffer[end - size : end])
        if masked:
            payload = masked_with(payload, bytes(buffer[start : start + 4]))
        del buffer[:end]
        return final, opcode, payload

    def _check(self, final: bool, opcode: int, size: int) -> None:
        """Refuses a frame by its head, before its payload is waited for."""
        if opcode != _CONTINUATION and opcode not in _KINDS:
            raise ProtocolError(f"a frame of unknown type {opcode}")
        if opcode >= _CLOSE:
            if not final or size > MAX_CONTROL_BYTES:
                raise ProtocolError("a control frame in pieces or too long")
        elif self._fragments_size + size > self._max_message:
            raise ProtocolError(f"a message over {self._max_message} bytes", TOO_BIG)

    def _take(self, final: bool, opcode: int, payload: bytes) -> Message | None:
        """Joins fragments; returns a message once it is whole."""
        if opcode >= _CLOSE:
            if opcode == _CLOSE and len(payload) == 1:
                raise ProtocolError("a close with half a code")
            return Message(_KINDS[opcode], payload)
        if (opcode == _CONTINUATION) != (self._kind is not None):
            raise ProtocolError("fragments out of order")
        kind = self._kind or _KINDS[opcode]
        if not final:
            self._kind = kind
            self._fragments.append(payload)
            self._fragments_size += len(payload)
            return None
        if self._fragments:
            payload = b"".join([*self._fragments, payload])
            self._fragments.clear()
            self._fragments_size = 0
        self._kind = None
        if kind == "text":
            try:
                payload.decode()
            except UnicodeDecodeError:
                raise ProtocolError("text that is not UTF-8", NOT_TEXT) from None
        return Message(kind, payload)


def masked_with(data: bytes, key: bytes) -> bytes:
    """Returns the data with a mask put on or taken off (section 5.3)."""
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
    return mixed.to_bytes(size, "little")


def accept_key(key: str) -> str:
    """Returns the Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.strip().encode() + _GUID).digest()).decode()


def is_handshake(headers: Mapping[str, str]) -> bool:
    """Says whether a request, by its lower-case headers, wants to become a WebSocket."""
    connection = headers.get("connection", "").lower()
    return "upgrade" in connection and headers.get("upgrade", "").lower() == "websocket"


def offered(headers: Mapping[str, str]) -> list[str]:
    """Returns the subprotocols that a client offers, in its order of preference, but no token."""
    return [name for name in _protocols(headers) if not name.startswith(BEARER)]


def bearer(headers: Mapping[str, str]) -> str:
    """Returns the token that a browser, which can send no header, hides among its subprotocols, ""
    where there is none; raises ProtocolError (apiserver's request/websocket/protocol.go)."""
    hidden = [name for name in _protocols(headers) if name.startswith(BEARER)]
    if not hidden:
        return ""
    if len(hidden) > 1:
        raise ProtocolError("multiple base64.bearer.authorization tokens specified")
    text = hidden[0].removeprefix(BEARER)
    try:
        if not _BASE64URL.issuperset(text):
            raise ValueError
        token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        raise ProtocolError("invalid base64.bearer.authorization token encoding") from None
    if token and not offered(headers):
        raise ProtocolError("missing additional subprotocol")
    return token


def without_bearer(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Returns headers as they may go on to somebody else: the token is for this server alone."""
    if BEARER not in headers.get("sec-websocket-protocol", ""):
        return headers
    return {**headers, "sec-websocket-protocol": ", ".join(offered(headers))}


def _protocols(headers: Mapping[str, str]) -> list[str]:
    names = headers.get("sec-websocket-protocol", "").split(",")
    return [name.strip() for name in names if name.strip()]


def handshake(headers: Mapping[str, str], protocol: str = "") -> dict[str, str]:
    """Returns the headers of the 101 that grants a WebSocket; raises ProtocolError."""
    if headers.get("sec-websocket-version") != VERSION:
        raise ProtocolError(f"only version {VERSION} of WebSocket is spoken")
    key = headers.get("sec-websocket-key", "")
    if not key:
        raise ProtocolError("the handshake lacks Sec-WebSocket-Key")
    answer = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(key),
    }
    return {**answer, "Sec-WebSocket-Protocol": protocol} if protocol else answer
