"""Pushed streams: what goes out together, in which order, and in pieces of which size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps

import pytest

from steersman.client.channel import Gate
from steersman.listen.streaming import PushSink, batches
from steersman.wire.http import PIECE_BYTES
from steersman.wire.message import Chunk


class Socket(asyncio.Transport):
    """A transport that notes its writes and takes none of them away."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.writes))

    def is_closing(self) -> bool:
        return self.closing


def run(test: Callable[[], Coroutine[object, object, None]]) -> Callable[[], None]:
    @wraps(test)
    def plain() -> None:
        asyncio.run(test())

    del plain.__wrapped__  # type: ignore[attr-defined]
    return plain


def sink(socket: Socket, *, chunked: bool = False, gate: Gate | None = None) -> PushSink:
    return PushSink(socket, gate or Gate(), lambda: None, chunked=chunked)


@run
async def test_what_is_sent_in_one_turn_goes_out_in_one_write() -> None:
    socket = Socket()
    stream = sink(socket)
    stream.send(Chunk(b"one"))
    stream.send(Chunk(b""))
    stream.send(Chunk(b"two"))
    assert not socket.writes
    assert stream.pending == 6
    await asyncio.sleep(0)
    assert socket.writes == [b"onetwo"]
    stream.send(Chunk(b"three"))
    await asyncio.sleep(0)
    assert socket.writes == [b"onetwo", b"three"]


@run
async def test_what_a_transport_holds_counts_once_it_says_that_it_is_too_much() -> None:
    socket, gate = Socket(), Gate()
    stream = sink(socket, gate=gate)
    stream.send(Chunk(b"one"))
    await asyncio.sleep(0)
    assert stream.pending == 0
    gate.pause()
    assert stream.pending == 3
    stream.send(Chunk(b"two"))
    assert stream.pending == 6
    gate.resume()
    assert stream.pending == 3


@run
async def test_the_end_comes_behind_what_was_sent_before_it() -> None:
    socket = Socket()
    stream = sink(socket, chunked=True)
    stream.send(Chunk(b"one"))
    stream.finish()
    stream.send(Chunk(b"late"))
    await asyncio.sleep(0)
    assert b"".join(socket.writes) == b"3\r\none\r\n0\r\n\r\n"
    assert stream.pending == 0


@run
async def test_a_transport_that_closes_is_written_to_no_more() -> None:
    socket = Socket()
    stream = sink(socket)
    stream.send(Chunk(b"one"))
    socket.closing = True
    await asyncio.sleep(0)
    assert not socket.writes


@run
async def test_much_that_is_sent_in_one_turn_goes_out_in_bounded_writes() -> None:
    socket = Socket()
    stream = sink(socket)
    for number in range(5):
        stream.send(Chunk(bytes([number]) * (PIECE_BYTES // 2 - 1)))
    await asyncio.sleep(0)
    assert [len(write) for write in socket.writes] == [PIECE_BYTES - 2] * 2 + [PIECE_BYTES // 2 - 1]


@pytest.mark.parametrize("sizes", [[], [1], [PIECE_BYTES, 1], [1, PIECE_BYTES], [3 * PIECE_BYTES]])
def test_batches_lose_nothing_and_are_bounded(sizes: list[int]) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    found = list(batches(pieces))
    assert b"".join(found) == b"".join(pieces)
    assert all(0 < len(batch) <= PIECE_BYTES for batch in found)
