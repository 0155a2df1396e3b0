"""One unary call of gRPC on a connection of its own: bytes in, bytes out, no I/O.

The part of HTTP/2 (RFC 9113) that a client of one request needs: frames, settings, pings, headers
and one message each way, without TLS and without padding or priorities of its own. The peer is not
trusted: everything is bounded, and the window is never opened, so that an answer is short.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import msgspec

from steersman.wire.http2 import hpack

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES: Final = 16384  # SETTINGS_MAX_FRAME_SIZE, where nobody says otherwise
MAX_MESSAGE_BYTES: Final = 32 * 1024  # less than the window of 65,535 bytes
MAX_BLOCK_BYTES: Final = 64 * 1024  # of headers, packed, over all continuations
MAX_ANSWERS: Final = 100  # settings and pings that are answered; who sends more is no server
_HEAD: Final = struct.Struct(">BHBBI")  # length in 8 and 16 bits, type, flags, stream
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 6, 7, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_STREAM: Final = 1

OK, CANCELED, UNKNOWN, DEADLINE_EXCEEDED = 0, 1, 2, 4
PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 7, 8, 12
INTERNAL, UNAVAILABLE = 13, 14
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


class BadPeer(ValueError):
    """The other side does not speak HTTP/2, or badly."""


class Answer(msgspec.Struct, frozen=True):
    """What came of a call: `message` is the answer where `code` is OK, else `text` says why."""

    code: int
    text: str = ""
    message: bytes = b""


def error_text(answer: Answer) -> str:
    """Returns a failed call as Go prints its error."""
    known = 0 <= answer.code < len(NAMES)
    code = NAMES[answer.code] if known else f"Code({answer.code})"
    return f"rpc error: code = {code} desc = {answer.text}"


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


class Call:
    """One call. First `open`, then `request` once `is_open`, and `feed` with all that comes;
    `answer` is set when it is over."""

    def __init__(self) -> None:
        self.is_open = False
        self.answer: Answer | None = None
        self._buffer = b""
        self._headers = hpack.Decoder()
        self._block = b""
        self._block_ends = False
        self._status = 0
        self._message = b""
        self._answers = 0

    def open(self) -> bytes:
        """Returns what the connection begins with."""
        # No pushed streams; the table of headers stays as small as it begins
        return PREFACE + _frame(_SETTINGS, 0, 0, struct.pack(">HI", 2, 0))

    def request(
        self, authority: str, path: str, message: bytes, agent: str, seconds: float
    ) -> bytes:
        """Returns the request, which shall be done within a time."""
        assert len(message) < MAX_MESSAGE_BYTES
        headers = hpack.encode(
            (
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", authority),
                ("content-type", "application/grpc"),
                ("user-agent", agent),
                ("te", "trailers"),
                ("grpc-timeout", f"{max(1, int(seconds * 1000))}m"),
            )
        )
        data = struct.pack(">BI", 0, len(message)) + message
        begun = _frame(_HEADERS, _END_HEADERS, _STREAM, headers)
        sent = [begun]
        for at in range(0, len(data), MAX_FRAME_BYTES):
            part = data[at : at + MAX_FRAME_BYTES]
            last = _END_STREAM if at + MAX_FRAME_BYTES >= len(data) else 0
            sent.append(_frame(_DATA, last, _STREAM, part))
        return b"".join(sent)

    def feed(self, data: bytes) -> bytes:
        """Takes what has come; returns what is to be sent for it. Raises BadPeer."""
        self._buffer += data
        reply = b""
        for kind, flags, stream, payload in self._frames():
            if not self.is_open and kind != _SETTINGS:
                raise BadPeer("the first frame is not of settings")
            if self._block and kind != _CONTINUATION:
                raise BadPeer("headers that are not continued")
            if kind in (_SETTINGS, _PING):
                reply += self._acknowledge(kind, flags, payload)
            elif kind == _GOAWAY and self.answer is None:
                self._leave(payload)
            elif stream == _STREAM and self.answer is None:
                self._take(kind, flags, payload)
        return reply

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        while len(self._buffer) >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(self._buffer)
            size = high << 16 | low
            if size > MAX_FRAME_BYTES:
                raise BadPeer("a frame that is too large")
            end = _HEAD.size + size
            if len(self._buffer) < end:
                return
            payload, self._buffer = self._buffer[_HEAD.size : end], self._buffer[end:]
            yield kind, flags, stream & 0x7FFFFFFF, payload

    def _acknowledge(self, kind: int, flags: int, payload: bytes) -> bytes:
        self.is_open = True
        if flags & _ACK:
            return b""
        self._answers += 1
        if self._answers > MAX_ANSWERS:
            raise BadPeer("too many pings")
        return _frame(kind, _ACK, 0, payload if kind == _PING else b"")

    def _leave(self, payload: bytes) -> None:
        """Takes the farewell of a server; a call that it has begun is still answered."""
        if len(payload) < 8 or int.from_bytes(payload[:4]) & 0x7FFFFFFF < _STREAM:
            self.answer = Answer(UNAVAILABLE, "the connection is draining")

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _RST:
            self._break(int.from_bytes(payload[:4]))
        elif kind == _HEADERS:
            self._block_ends = bool(flags & _END_STREAM)
            self._extend(_unpadded(flags, payload, 5 if flags & _PRIORITY else 0), flags)
        elif kind == _CONTINUATION:
            self._extend(payload, flags)
        elif kind == _DATA:
            self._message += _unpadded(flags, payload, 0)
            if len(self._message) > MAX_MESSAGE_BYTES:
                text = f"grpc: received message larger than max ({MAX_MESSAGE_BYTES} bytes)"
                self.answer = Answer(RESOURCE_EXHAUSTED, text)
            elif flags & _END_STREAM:
                text = "server closed the stream without sending trailers"
                self.answer = Answer(INTERNAL, text)

    def _break(self, number: int) -> None:
        name, code = _BROKEN[number] if number < len(_BROKEN) else (str(number), UNKNOWN)
        text = f"stream terminated by RST_STREAM with error code: {name}"
        self.answer = Answer(code, text)

    def _extend(self, part: bytes, flags: int) -> None:
        self._block += part
        if len(self._block) > MAX_BLOCK_BYTES:
            raise BadPeer("headers that are too long")
        if flags & _END_HEADERS:
            block, self._block = self._block, b""
            try:
                headers = dict(self._headers.decode(block))
            except hpack.BadHeaders as error:
                raise BadPeer(str(error)) from error
            self._hear(headers)

    def _hear(self, headers: dict[str, str]) -> None:
        """Takes headers, or what comes after the message."""
        status = headers.get(":status", "")
        self._status = self._status or (int(status) if status.isdecimal() else 0)
        if (code := headers.get("grpc-status")) is not None:
            text = unquote(headers.get("grpc-message", ""))
            self.answer = self._end(int(code) if code.isdecimal() else UNKNOWN, text)
        elif self._status != 200:
            phrase = next((it.phrase for it in HTTPStatus if it == self._status), "")
            text = "unexpected HTTP status code received from server: "
            text += f"{self._status} ({phrase})"
            self.answer = Answer(_OF_HTTP.get(self._status, UNKNOWN), text)
        elif self._block_ends:
            self.answer = Answer(INTERNAL, "server closed the stream without sending trailers")

    def _end(self, code: int, text: str) -> Answer:
        if code != OK:
            return Answer(code, text)
        packed, length = struct.unpack_from(">BI", self._message.ljust(5, b"\0"))
        if packed or length != len(self._message) - 5:
            return Answer(INTERNAL, "the server did not send one plain message")
        return Answer(OK, "", self._message[5:])


def _unpadded(flags: int, payload: bytes, prefix: int) -> bytes:
    """Returns a payload without its padding and without a priority before it."""
    if not flags & _PADDED:
        return payload[prefix:]
    if not payload or payload[0] + 1 + prefix > len(payload):
        raise BadPeer("more padding than frame")
    return payload[1 + prefix : len(payload) - payload[0]]
