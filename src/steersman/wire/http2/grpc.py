"""gRPC over a connection of HTTP/2: how a call is headed, how messages are cut, how it ends.

No I/O; streams and windows are `connection`'s. Texts and codes are those that grpc-go gives,
since they are seen in events and conditions.
"""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from steersman.wire.http2.hpack import Header

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024  # grpc-go's defaultClientMaxReceiveMessageSize
MAX_STATUS_BYTES: Final = 4096  # of a text, before it is packed into headers
_PREFIX_BYTES: Final = 5  # whether it is compressed, and how long it is
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MOST_DIGITS: Final = 8  # of a grpc-timeout
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if code != 0x25)

OK, CANCELED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = range(7)
PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE = range(7, 12)
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED = range(12, 17)
# As Go prints a code (google.golang.org/grpc/codes)
_CODES: Final = (
    "OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied "
    "ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable "
    "DataLoss Unauthenticated"
)
NAMES: Final = _CODES.split()
# What a stream is broken off with, as Go names it, and the code of gRPC (transport/http_util.go)
_BROKEN: Final = (
    ("NO_ERROR", INTERNAL),
    ("PROTOCOL_ERROR", INTERNAL),
    ("INTERNAL_ERROR", INTERNAL),
    ("FLOW_CONTROL_ERROR", RESOURCE_EXHAUSTED),
    ("SETTINGS_TIMEOUT", INTERNAL),
    ("STREAM_CLOSED", INTERNAL),
    ("FRAME_SIZE_ERROR", INTERNAL),
    ("REFUSED_STREAM", UNAVAILABLE),
    ("CANCEL", CANCELED),
    ("COMPRESSION_ERROR", INTERNAL),
    ("CONNECT_ERROR", INTERNAL),
    ("ENHANCE_YOUR_CALM", RESOURCE_EXHAUSTED),
    ("INADEQUATE_SECURITY", PERMISSION_DENIED),
    ("HTTP_1_1_REQUIRED", INTERNAL),
)
# Of an answer that is none of gRPC's (grpc's doc/http-grpc-status-mapping.md)
_OF_HTTP: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
NOT_CLOSED: Final = "server closed the stream without sending trailers"


class Failed(Exception):
    """A call that did not end well, on either side; it reads as Go prints its error."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        known = 0 <= self.code < len(NAMES)
        code = NAMES[self.code] if known else f"Code({self.code})"
        return f"rpc error: code = {code} desc = {self.text}"


class Head(msgspec.Struct, frozen=True):
    """What a call is headed with: `seconds` is the time it has, None for all."""

    path: str
    seconds: float | None = None


def frame(message: bytes) -> bytes:
    """Returns a message behind its length, not compressed."""
    return b"\0" + len(message).to_bytes(4) + message


class Inbox:
    """What one stream has received: cut into messages, kept until they are taken."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max = max_message_bytes
        self._buffer = bytearray()
        self._messages: deque[bytes] = deque()
        self._owed = 0  # bytes that came and are not granted again; negative for granted ahead

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_cut_off(self) -> bool:
        """Whether a message has begun that is not whole."""
        return bool(self._buffer)

    def put(self, data: bytes) -> None:
        """Takes what has come; raises Failed."""
        self._buffer += data
        self._owed += len(data)
        while len(self._buffer) >= _PREFIX_BYTES:
            length = int.from_bytes(self._buffer[1:_PREFIX_BYTES])
            if self._buffer[0]:
                raise Failed(INTERNAL, "grpc: compressed flag set with identity or empty encoding")
            if length > self._max:
                text = f"grpc: received message larger than max ({length} vs. {self._max})"
                raise Failed(RESOURCE_EXHAUSTED, text)
            end = _PREFIX_BYTES + length
            if len(self._buffer) < end:
                return
            self._messages.append(bytes(self._buffer[_PREFIX_BYTES:end]))
            self._owed -= end
            del self._buffer[:end]

    def take(self) -> bytes:
        """Returns the next message."""
        message = self._messages.popleft()
        self._owed += len(message) + _PREFIX_BYTES
        return message

    def due(self) -> int:
        """Returns how many bytes are to be granted now: of messages that were taken, and of one
        that is not whole, for else it would never be."""
        due = max(self._owed, 0)
        self._owed -= due
        return due


# The client's side


def call_headers(
    authority: str, path: str, agent: str, seconds: float | None
) -> tuple[Header, ...]:
    """Returns the headers of a call that shall be done within a time."""
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", agent),
        ("te", "trailers"),
    )
    return headers if seconds is None else (*headers, ("grpc-timeout", render_timeout(seconds)))


def render_timeout(seconds: float) -> str:
    """Returns a time as a header says it, which has room for eight digits."""
    millis = max(1, int(seconds * 1000))
    return f"{millis}m" if millis < 10**_MOST_DIGITS else f"{min(int(seconds), 10**8 - 1)}S"


def judge_headers(fields: dict[str, str], status: str) -> Failed | None:
    """Returns how a call has ended by the headers that came; None where it goes on. An end that
    is good has the code OK. `status` is HTTP's, which stands in the first headers."""
    if (code := fields.get("grpc-status")) is not None:
        text = unquote(fields.get("grpc-message", ""))
        return Failed(int(code) if code.isdecimal() else UNKNOWN, text)
    number = int(status) if status.isdecimal() else 0
    if number != HTTPStatus.OK:
        phrase = next((it.phrase for it in HTTPStatus if it == number), "")
        text = f"unexpected HTTP status code received from server: {number} ({phrase})"
        return Failed(_OF_HTTP.get(number, UNKNOWN), text)
    return None


def judge_reset(number: int) -> Failed:
    """Returns how a call has ended that was broken off."""
    name, code = _BROKEN[number] if number < len(_BROKEN) else (str(number), UNKNOWN)
    return Failed(code, f"stream terminated by RST_STREAM with error code: {name}")


# The server's side

ANSWER_HEADERS: Final = ((":status", "200"), ("content-type", "application/grpc"))


def parse_call(fields: dict[str, str]) -> Head:
    """Returns what a call asks for; raises Failed."""
    if fields.get(":method") != "POST":
        raise Failed(INTERNAL, f'invalid method "{fields.get(":method", "")}"')
    kind = fields.get("content-type", "")
    if not kind.startswith("application/grpc"):
        raise Failed(INTERNAL, f'invalid gRPC request content-type "{kind}"')
    timeout = fields.get("grpc-timeout")
    return Head(fields.get(":path", ""), None if timeout is None else parse_timeout(timeout))


def parse_timeout(text: str) -> float:
    """Returns a time in seconds; raises Failed."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal() or len(number) > _MOST_DIGITS:
        raise Failed(INTERNAL, f'malformed grpc-timeout: transport: timeout unit is not "{text}"')
    return int(number) * _UNITS[unit]


def status_headers(code: int, text: str) -> tuple[Header, ...]:
    """Returns how a call ends."""
    found: tuple[Header, ...] = (("grpc-status", str(code)),)
    if text:
        packed = quote(text.encode()[:MAX_STATUS_BYTES], safe=_PLAIN)
        found = (*found, ("grpc-message", packed))
    return found


def unknown_method(path: str, services: set[str]) -> Failed:
    """Returns what a server says of a path that it does not serve, in grpc-go's words."""
    service, _, method = path.removeprefix("/").rpartition("/")
    if not path.startswith("/") or not service:
        return Failed(UNIMPLEMENTED, f'malformed method name: "{path}"')
    if service in services:
        return Failed(UNIMPLEMENTED, f"unknown method {method} for service {service}")
    return Failed(UNIMPLEMENTED, f"unknown service {service}")
