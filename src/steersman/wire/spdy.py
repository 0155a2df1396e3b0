"""SPDY/3.1 framing (draft-mbelshe-httpbis-spdy-00 with 3.1's changes) without I/O.

What Kubernetes' streams need of it: kubectl's port-forward and, in older versions, exec. Flow
control windows are not kept, as the only peer (moby/spdystream) keeps none.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import msgspec
from msgspec import field

# A frame's payload is bounded by its 24-bit length; this is for what peers really send (32 kB)
MAX_FRAME_BYTES = 1024 * 1024
# Header blocks hold half a dozen short pairs
MAX_HEADERS_BYTES = 64 * 1024
# Streams open at once on one connection
MAX_STREAMS = 1_000

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS = 1, 2, 3, 4
_PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 6, 7, 8, 9
_FIN = 0x01
_STREAM_MASK = 0x7FFFFFFF

# Reasons of RST_STREAM (section 2.6.3)
PROTOCOL_ERROR, REFUSED, CANCEL = 1, 3, 5

_DICTIONARY_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date "
    "etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_DICTIONARY_PAIRS = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive")
_DICTIONARY_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,"
    "text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
    "charset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """Returns the text that both sides' header compression begins with (section 2.6.10.1)."""
    words = (*_DICTIONARY_NAMES.split(), *_DICTIONARY_PAIRS, "origin")
    prefixed = b"".join(struct.pack(">I", len(word)) + word.encode() for word in words)
    return prefixed + _DICTIONARY_TAIL.encode()


DICTIONARY = _dictionary()


class ProtocolError(Exception):
    """The other side breaks the protocol; the connection cannot be read any further."""


class Opened(msgspec.Struct, frozen=True):
    """The other side opened a stream; header names are lower case."""

    stream: int
    headers: Mapping[str, str]
    finished: bool = False


class Replied(msgspec.Struct, frozen=True):
    """The other side accepted a stream that we opened."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Data(msgspec.Struct, frozen=True):
    """Bytes on a stream; `finished`: nothing more comes on it."""

    stream: int
    data: bytes
    finished: bool = False


class Reset(msgspec.Struct, frozen=True):
    """The other side gave a stream up."""

    stream: int
    reason: int


class GoneAway(msgspec.Struct, frozen=True):
    """The other side opens no more streams."""


Event = Opened | Replied | Data | Reset | GoneAway


class Session:
    """One side of a connection.

    `feed` gives what came; `replies` gives what the protocol itself wants sent back then.
    """

    def __init__(self, *, client: bool) -> None:
        self._next = 1 if client else 2
        self._parity = 0 if client else 1
        self._newest = 0
        self._buffer = bytearray()
        self._replies: list[bytes] = []
        # stream -> sides that may still send, as bits: 1 the other side, 2 ours
        self._open: dict[int, int] = {}
        self._packer = zlib.compressobj(zdict=DICTIONARY)
        self._unpacker = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> list[Event]:
        """Returns what the bytes bring; raises ProtocolError."""
        self._buffer += data
        found: list[Event] = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, size = second >> 24, second & 0xFFFFFF
            if size > MAX_FRAME_BYTES:
                raise ProtocolError(f"a frame of {size} bytes")
            if len(self._buffer) < 8 + size:
                break
            payload = bytes(self._buffer[8 : 8 + size])
            del self._buffer[: 8 + size]
            if first >> 31:
                found += self._control(first, flags, payload)
            else:
                found += self._data(first, flags, payload)
        return found

    def replies(self) -> bytes:
        """Returns the bytes to send back at once, and forgets them."""
        waiting = b"".join(self._replies)
        self._replies.clear()
        return waiting

    def open(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Opens a stream; returns its number and the bytes to send."""
        stream, self._next = self._next, self._next + 2
        self._open[stream] = 3
        body = struct.pack(">IIH", stream, 0, 0) + self._pack(headers)
        return stream, _frame(_SYN_STREAM, 0, body)

    def accept(self, stream: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Returns the bytes that accept a stream of the other side."""
        return _frame(_SYN_REPLY, 0, struct.pack(">I", stream) + self._pack(headers or {}))

    def send(self, stream: int, data: bytes, *, finish: bool = False) -> bytes:
        """Returns data for a stream as bytes of the connection; nothing for a closed one."""
        if not self._open.get(stream, 0) & 2:
            return b""
        if finish:
            self._close(stream, 2)
        size = len(data) | (_FIN << 24 if finish else 0)
        return struct.pack(">II", stream, size) + data

    def reset(self, stream: int, reason: int = CANCEL) -> bytes:
        """Returns the bytes that give a stream up."""
        self._open.pop(stream, None)
        return _frame(_RST_STREAM, 0, struct.pack(">II", stream, reason))

    def go_away(self) -> bytes:
        """Returns the bytes that announce the end of the connection."""
        return _frame(_GOAWAY, 0, struct.pack(">II", self._newest, 0))

    def _close(self, stream: int, side: int) -> None:
        left = self._open.get(stream, 0) & ~side
        if left:
            self._open[stream] = left
        else:
            self._open.pop(stream, None)

    def _data(self, stream: int, flags: int, payload: bytes) -> list[Event]:
        if not self._open.get(stream, 0) & 1:
            if stream > max(self._newest, self._next):
                raise ProtocolError(f"data on stream {stream}, which was never opened")
            return []  # on its way while we closed the stream
        finished = bool(flags & _FIN)
        if finished:
            self._close(stream, 1)
        return [Data(stream, payload, finished)]

    def _control(self, first: int, flags: int, payload: bytes) -> list[Event]:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION:
            raise ProtocolError(f"version {version} of SPDY")
        try:
            return self._event(kind, flags, payload)
        except struct.error:
            raise ProtocolError("a frame that is too short") from None

    def _event(self, kind: int, flags: int, payload: bytes) -> list[Event]:
        if kind == _PING:
            (number,) = struct.unpack_from(">I", payload)
            if number % 2 != self._next % 2:  # the other side's; ours need no answer
                self._replies.append(_frame(_PING, 0, payload[:4]))
            return []
        if kind == _GOAWAY:
            return [GoneAway()]
        if kind in (_SETTINGS, _WINDOW_UPDATE):
            return []
        if kind not in (_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _HEADERS):
            raise ProtocolError(f"a frame of unknown type {kind}")
        stream = struct.unpack_from(">I", payload)[0] & _STREAM_MASK
        if kind == _SYN_STREAM:
            return self._opened(stream, flags, self._unpack(payload[10:]))
        if kind == _RST_STREAM:
            self._open.pop(stream, None)
            return [Reset(stream, struct.unpack_from(">I", payload, 4)[0])]
        headers = self._unpack(payload[4:])  # always, or the compression loses its place
        return [Replied(stream, headers)] if kind == _SYN_REPLY else []

    def _opened(self, stream: int, flags: int, headers: Mapping[str, str]) -> list[Event]:
        if stream % 2 != self._parity or stream <= self._newest:
            raise ProtocolError(f"a new stream with number {stream}")
        self._newest = stream
        if len(self._open) >= MAX_STREAMS:
            self._replies.append(self.reset(stream, REFUSED))
            return []
        finished = bool(flags & _FIN)
        self._open[stream] = 2 if finished else 3
        return [Opened(stream, headers, finished)]

    def _pack(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._packer.compress(block) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def _unpack(self, packed: bytes) -> dict[str, str]:
        try:
            block = self._unpacker.decompress(packed, MAX_HEADERS_BYTES)
        except zlib.error:
            raise ProtocolError("headers that cannot be decompressed") from None
        if self._unpacker.unconsumed_tail:
            raise ProtocolError("headers that are too long")
        (count,) = struct.unpack_from(">I", block)
        texts, at = [], 4
        for _ in range(min(2 * count, len(block))):
            (size,) = struct.unpack_from(">I", block, at)
            texts.append(block[at + 4 : at + 4 + size].decode("utf-8", "replace"))
            at += 4 + size
        return dict(zip((name.lower() for name in texts[::2]), texts[1::2], strict=False))


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    first = 1 << 31 | _VERSION << 16 | kind
    return struct.pack(">II", first, flags << 24 | len(payload)) + payload
