"""Bodies that do not go out in one write: pushed, pulled and long ones.

Pieces are at most `PIECE_BYTES`, so that nobody else waits long for the loop.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from steersman.client.channel import Gate
from steersman.wire.http import LAST_CHUNK, PIECE_BYTES
from steersman.wire.message import Chunk

# gzip's fastest, as upstream's deferred response writer
COMPRESS_LEVEL = 1


class PushSink:
    """See `wire.message.Sink`. `ended` is called once the stream is finished from our side.

    What is sent in one turn of the loop goes out in one write at its end: under load that is a
    whole group of commits, for the price of one event.

    What `told` is set to is called exactly once: when the client goes, or soon after `finish`
    (not within it, for who finishes may be walking over its sinks).
    """

    __slots__ = (
        *("_chunked", "_closed", "_ended", "_gate", "_loop", "_told", "_transport"),
        *("_waiting", "_waiting_bytes"),
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        gate: Gate,
        ended: Callable[[], None],
        *,
        chunked: bool,
    ) -> None:
        self._transport = transport
        self._gate = gate
        self._ended = ended
        self._chunked = chunked
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._told: Callable[[], None] | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    @property
    def pending(self) -> int:
        """Bytes that wait here, and in the transport where it says that it has too many: to count
        them costs as much as an event, and each event to each watcher asks."""
        if self._closed:
            return 0
        if not self._gate.paused:
            return self._waiting_bytes
        size: int = self._transport.get_write_buffer_size()
        return self._waiting_bytes + size

    def send(self, chunk: Chunk) -> None:
        """Takes a piece; ignored once closed. An empty one would end the stream and is left."""
        if self._closed or not chunk.data:
            return
        if not self._waiting:
            self._loop.call_soon(self._flush)
        piece = chunk.framed if self._chunked else chunk.data
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)

    def _flush(self) -> None:
        pieces, self._waiting = self._waiting, []
        size, self._waiting_bytes = self._waiting_bytes, 0
        if self._transport.is_closing():
            return
        if 0 < size <= PIECE_BYTES:
            self._transport.write(b"".join(pieces))
            return
        for batch in batches(pieces):
            self._transport.write(batch)

    def finish(self) -> None:
        """Ends the stream cleanly after what was sent."""
        if self._closed:
            return
        self._closed = True
        if self._chunked:
            self._waiting.append(LAST_CHUNK)
            self._waiting_bytes += len(LAST_CHUNK)
        self._flush()
        self._loop.call_soon(self._tell)
        self._ended()

    def abort(self) -> None:
        """Breaks the connection off; the client is told nothing more."""
        if not self._closed:
            self._transport.abort()

    def close(self) -> None:
        """Says that the client is gone."""
        if not self._closed:
            self._closed = True
            self._tell()

    def when_closed(self, told: Callable[[], None]) -> None:
        """Sets what to call when the stream is over, which it may already be."""
        self._told = told
        if self._closed:
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            told()


def batches(body: bytes | Sequence[bytes]) -> Iterator[bytes]:
    """Yields a body in pieces for one write each: short ones joined, long ones cut."""
    waiting: list[bytes] = []
    size = 0
    for piece in (body,) if isinstance(body, bytes) else body:
        size += len(piece)
        if size > PIECE_BYTES and waiting:
            yield from cut(b"".join(waiting))
            waiting.clear()
            size = len(piece)
        waiting.append(piece)
    if waiting:
        yield from cut(b"".join(waiting))


def cut(piece: bytes) -> Iterator[bytes]:
    """Yields a piece in parts of at most `PIECE_BYTES`."""
    if len(piece) <= PIECE_BYTES:
        yield piece
        return
    for start in range(0, len(piece), PIECE_BYTES):
        yield piece[start : start + PIECE_BYTES]


async def pulled(body: bytes | Sequence[bytes]) -> AsyncIterator[bytes]:
    """Yields a body's batches."""
    for batch in batches(body):
        yield batch


async def gzipped(body: bytes | Sequence[bytes]) -> AsyncIterator[bytes]:
    """Yields a body's gzip form; the work is done in a thread."""
    packer = zlib.compressobj(COMPRESS_LEVEL, wbits=zlib.MAX_WBITS | 16)
    for batch in batches(body):
        if packed := await asyncio.to_thread(packer.compress, batch):
            yield packed
    yield await asyncio.to_thread(packer.flush)
