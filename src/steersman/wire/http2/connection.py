"""One connection of HTTP/2 (RFC 9113) with many streams, of either side: bytes in, events out.

No I/O and no meaning: frames, settings, pings, headers, data and the windows of flow control.
Without pushed streams, priorities and TLS. The peer is not trusted: what it sends is bounded by
windows that its reader opens with `grant`, and by `MAX_STREAMS`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from steersman.wire.http2 import hpack

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES: Final = 16384  # SETTINGS_MAX_FRAME_SIZE, where nobody says otherwise
WINDOW_BYTES: Final = 65_535  # of a connection and of each stream, where nobody says otherwise
MAX_WINDOW_BYTES: Final = 2**31 - 1
MAX_BLOCK_BYTES: Final = 64 * 1024  # of headers, packed, over all continuations
MAX_STREAMS: Final = 100  # calls of a client at a time, the least that RFC 9113 recommends
MAX_REPLIES: Final = 100  # settings and pings that came in one go; who sends more is no peer
_HEAD: Final = struct.Struct(">BHBBI")  # length in 8 and 16 bits, type, flags, stream
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_ENABLE_PUSH, _MOST_STREAMS, _INITIAL_WINDOW = 2, 3, 4
NO_ERROR, REFUSED_STREAM, CANCEL = 0, 7, 8


class BadPeer(ValueError):
    """The other side does not speak HTTP/2, or badly; the connection is of no use any more."""


class Headers(NamedTuple):
    """Headers have come, or what stands after the data."""

    stream: int
    fields: dict[str, str]
    ends: bool


class Data(NamedTuple):
    """Bytes have come; they are to be granted again once they are taken."""

    stream: int
    data: bytes
    ends: bool


class Reset(NamedTuple):
    """The other side has broken a stream off."""

    stream: int
    number: int


class Leaving(NamedTuple):
    """The other side takes no streams after the last one that it names."""

    last: int


Event = Headers | Data | Reset | Leaving


class _Stream:
    """What one stream has to send, as far as windows let it, and how much it may hear."""

    __slots__ = ("heard_all", "pending", "room", "said_all", "sending", "trailers", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.room = WINDOW_BYTES  # how much the other side may still send
        self.pending: deque[memoryview] = deque()
        self.sending = True
        self.trailers = b""  # a block of headers that ends the stream behind its data
        self.said_all = False
        self.heard_all = False


class Connection:
    """One side of a connection: `feed` it with all that comes, send what `take` gives."""

    def __init__(self, *, is_client: bool) -> None:
        self.is_open = False  # the other side's settings are here
        self._is_client = is_client
        self._preface = b"" if is_client else PREFACE
        self._buffer = b""
        self._headers = hpack.Decoder()
        self._block = b""
        self._block_stream, self._block_ends = 0, False
        self._streams: dict[int, _Stream] = {}
        self._last = -1 if is_client else 0  # the last stream that the client has begun
        self._window = self._initial_window = WINDOW_BYTES
        self._replies = 0
        settings = (_ENABLE_PUSH, 0) if is_client else (_MOST_STREAMS, MAX_STREAMS)
        hello = PREFACE if is_client else b""
        self._out = bytearray(hello + _frame(_SETTINGS, 0, 0, struct.pack(">HI", *settings)))

    # What is said

    def open(self) -> int:
        """Returns the number of a new stream of the client."""
        self._last += 2
        self._streams[self._last] = _Stream(self._initial_window)
        return self._last

    def say(self, stream: int, headers: Iterable[hpack.Header], *, ends: bool = False) -> None:
        """Sends headers; those that end a stream stand behind all of its data."""
        if (found := self._streams.get(stream)) is None:
            return
        block = hpack.encode(headers)
        if ends:
            found.trailers, found.sending = block, False
        else:
            self._out += _blocks(stream, block, 0)

    def write(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """Has data sent as soon as the windows allow."""
        if (found := self._streams.get(stream)) is not None and found.sending:
            found.pending.append(memoryview(data))
            found.sending = not ends

    def is_sent(self, stream: int) -> bool:
        """Whether nothing that was written waits for a window, or for its turn."""
        found = self._streams.get(stream)
        return found is None or not found.pending

    def reset(self, stream: int, number: int = CANCEL) -> None:
        """Breaks a stream off."""
        if self._streams.pop(stream, None) is not None:
            self._out += _frame(_RST, 0, stream, number.to_bytes(4))

    def grant(self, stream: int, count: int) -> None:
        """Lets the other side send so many bytes more on a stream, since as many were taken."""
        found = self._streams.get(stream)
        if count and found is not None and not found.heard_all:
            found.room += count
            self._out += _frame(_WINDOW, 0, stream, count.to_bytes(4))

    def leave(self) -> None:
        """Says that no more streams are taken."""
        last = max(self._last, 0)
        self._out += _frame(_GOAWAY, 0, 0, struct.pack(">II", last, NO_ERROR))

    @property
    def backlog(self) -> int:
        """How many bytes wait to be sent that no window holds back."""
        return len(self._out)

    def take(self, room: int = 4 * MAX_FRAME_BYTES) -> bytes:
        """Returns what is to be sent now, with about `room` bytes of data; b"" when there is
        nothing."""
        sent, self._out = self._out, bytearray()
        for stream, found in list(self._streams.items()):
            room = self._drain(stream, found, sent, room)
        return bytes(sent)

    def _drain(self, stream: int, found: _Stream, sent: bytearray, room: int) -> int:
        """Takes what one stream may send; returns the room that is left."""
        while found.pending:
            first = found.pending[0]
            size = max(0, min(len(first), found.window, self._window, room, MAX_FRAME_BYTES))
            if first and not size:
                return room
            rest = first[size:]
            found.pending.popleft()
            if rest:
                found.pending.appendleft(rest)
            last = not found.sending and not found.pending and not found.trailers
            found.window -= size
            self._window -= size
            room -= size
            sent += _frame(_DATA, _END_STREAM if last else 0, stream, bytes(first[:size]))
            found.said_all = last
        if found.trailers:
            sent += _blocks(stream, found.trailers, _END_STREAM)
            found.trailers, found.said_all = b"", True
        self._forget(stream, found, sent)
        return room

    def _forget(self, stream: int, found: _Stream, sent: bytearray) -> None:
        """Forgets a stream that both have ended. A server that has said all hears no more."""
        if not found.said_all:
            return
        if not found.heard_all and not self._is_client:
            sent += _frame(_RST, 0, stream, NO_ERROR.to_bytes(4))
        if found.heard_all or not self._is_client:
            self._streams.pop(stream, None)

    # What is heard

    def feed(self, data: bytes) -> list[Event]:
        """Takes what has come. Raises BadPeer."""
        self._buffer += data
        self._replies = 0
        if self._preface:
            size = min(len(self._preface), len(self._buffer))
            if self._buffer[:size] != self._preface[:size]:
                raise BadPeer("the connection does not begin as HTTP/2 does")
            self._preface, self._buffer = self._preface[size:], self._buffer[size:]
        events: list[Event] = []
        for kind, flags, stream, payload in self._frames():
            if not self.is_open and kind != _SETTINGS:
                raise BadPeer("the first frame is not of settings")
            if self._block_stream and (kind != _CONTINUATION or stream != self._block_stream):
                raise BadPeer("headers that are not continued")
            events += self._hear(kind, flags, stream, payload)
        return events

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

    def _hear(self, kind: int, flags: int, stream: int, payload: bytes) -> Iterator[Event]:
        if kind in (_SETTINGS, _PING):
            self._acknowledge(kind, flags, payload)
        elif kind == _WINDOW:
            self._widen(stream, payload)
        elif kind == _GOAWAY and len(payload) >= 8:
            yield Leaving(int.from_bytes(payload[:4]) & 0x7FFFFFFF)
        elif kind == _RST:
            if self._streams.pop(stream, None) is not None:
                yield Reset(stream, int.from_bytes(payload[:4]))
        elif kind == _HEADERS:
            self._block_stream, self._block_ends = stream, bool(flags & _END_STREAM)
            yield from self._extend(_unpadded(flags, payload, 5 if flags & _PRIORITY else 0), flags)
        elif kind == _CONTINUATION:
            yield from self._extend(payload, flags)
        elif kind == _DATA:
            yield from self._hear_data(flags, stream, payload)

    def _acknowledge(self, kind: int, flags: int, payload: bytes) -> None:
        self.is_open = True
        if flags & _ACK:
            return
        self._replies += 1
        if self._replies > MAX_REPLIES:
            raise BadPeer("too many pings")
        if kind == _SETTINGS:
            self._set(payload)
        self._out += _frame(kind, _ACK, 0, payload if kind == _PING else b"")

    def _set(self, payload: bytes) -> None:
        if len(payload) % 6:
            raise BadPeer("settings that are cut off")
        for number, value in struct.iter_unpack(">HI", payload):
            if number == _INITIAL_WINDOW:
                if value > MAX_WINDOW_BYTES:
                    raise BadPeer("a window that is too large")
                change, self._initial_window = value - self._initial_window, value
                for stream in self._streams.values():
                    stream.window += change

    def _widen(self, stream: int, payload: bytes) -> None:
        count = int.from_bytes(payload[:4]) & MAX_WINDOW_BYTES
        if not stream:
            self._window += count
        elif (found := self._streams.get(stream)) is not None:
            found.window += count
        if self._window > MAX_WINDOW_BYTES:
            raise BadPeer("a window that is too large")

    def _hear_data(self, flags: int, stream: int, payload: bytes) -> Iterator[Event]:
        if payload:  # the windows of the streams bound what is kept
            self._out += _frame(_WINDOW, 0, 0, len(payload).to_bytes(4))
        data = _unpadded(flags, payload, 0)
        found = self._streams.get(stream)
        if found is None or found.heard_all:
            return  # of a stream that was broken off
        found.room -= len(payload)
        if found.room < 0:
            raise BadPeer("more data than its window")
        self.grant(stream, len(payload) - len(data))
        yield Data(stream, data, self._note_end(stream, bool(flags & _END_STREAM)))

    def _extend(self, part: bytes, flags: int) -> Iterator[Event]:
        self._block += part
        if len(self._block) > MAX_BLOCK_BYTES:
            raise BadPeer("headers that are too long")
        if not flags & _END_HEADERS:
            return
        block, self._block = self._block, b""
        stream, self._block_stream = self._block_stream, 0
        try:
            headers = dict(self._headers.decode(block))
        except hpack.BadHeaders as error:
            raise BadPeer(str(error)) from error
        if not self._is_client and stream > self._last:
            self._begin(stream)
        if stream in self._streams:
            yield Headers(stream, headers, self._note_end(stream, self._block_ends))

    def _begin(self, stream: int) -> None:
        if not stream % 2:
            raise BadPeer("a stream with a number of the other side's")
        self._last = stream
        if len(self._streams) < MAX_STREAMS:
            self._streams[stream] = _Stream(self._initial_window)
        else:
            self._out += _frame(_RST, 0, stream, REFUSED_STREAM.to_bytes(4))

    def _note_end(self, stream: int, ends: bool) -> bool:
        if ends:
            found = self._streams[stream]
            found.heard_all = True
            if self._is_client and found.said_all:
                del self._streams[stream]
            elif self._is_client:  # an answer may end before its request
                self.reset(stream)
        return ends


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def _blocks(stream: int, block: bytes, flags: int) -> bytes:
    """Returns a block of headers as frames."""
    if len(block) <= MAX_FRAME_BYTES:
        return _frame(_HEADERS, flags | _END_HEADERS, stream, block)
    found = _frame(_HEADERS, flags, stream, block[:MAX_FRAME_BYTES])
    for at in range(MAX_FRAME_BYTES, len(block), MAX_FRAME_BYTES):
        last = _END_HEADERS if at + MAX_FRAME_BYTES >= len(block) else 0
        found += _frame(_CONTINUATION, last, stream, block[at : at + MAX_FRAME_BYTES])
    return found


def _unpadded(flags: int, payload: bytes, prefix: int) -> bytes:
    """Returns a payload without its padding and without a priority before it."""
    if not flags & _PADDED:
        return payload[prefix:]
    if not payload or payload[0] + 1 + prefix > len(payload):
        raise BadPeer("more padding than frame")
    return payload[1 + prefix : len(payload) - payload[0]]
