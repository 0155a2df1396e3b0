"""A connection of HTTP/2: what is sent, what is heard, and what ends a bad peer."""

from __future__ import annotations

import struct

import pytest

from steersman.wire.http2 import connection as http2
from steersman.wire.http2 import hpack
from steersman.wire.http2.connection import (
    MAX_STREAMS,
    PREFACE,
    BadPeer,
    Connection,
    Data,
    Event,
    Headers,
    Leaving,
    Reset,
)

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
BEGUN = [(":status", "200"), ("content-type", "application/grpc")]
ASKED = [(":method", "POST"), (":path", "/a.B/C")]


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(fields: list[tuple[str, str]], end: bool = False, stream: int = 1) -> bytes:
    return frame(HEADERS, hpack.encode(fields), 4 | end, stream)


def parts(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Frames as kind, flags, stream and payload."""
    found = []
    while data:
        size = int.from_bytes(data[:3])
        kind, flags, stream = struct.unpack(">BBI", data[3:9])
        found.append((kind, flags, stream, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


SET = frame(SETTINGS, stream=0)


def client() -> Connection:
    """A client with one stream begun, whose server has said its settings."""
    made = Connection(is_client=True)
    made.feed(SET)
    assert made.open() == 1
    made.say(1, ASKED)
    made.take()
    return made


def server() -> Connection:
    made = Connection(is_client=False)
    made.feed(PREFACE + SET)
    made.take()
    return made


def heard(*frames: bytes) -> list[Event]:
    """What a client hears, whole and byte by byte."""
    whole, pieces = client(), client()
    events = whole.feed(b"".join(frames))
    one_by_one = [event for byte in b"".join(frames) for event in pieces.feed(bytes((byte,)))]
    assert one_by_one == events
    return events


def test_a_client_begins_with_the_preface_and_its_settings() -> None:
    made = Connection(is_client=True)
    assert made.take() == PREFACE + frame(SETTINGS, struct.pack(">HI", 2, 0), stream=0)
    assert not made.is_open


def test_a_server_begins_with_how_many_streams_it_takes() -> None:
    made = Connection(is_client=False)
    settings = struct.pack(">HI", 3, MAX_STREAMS)
    assert made.take() == frame(SETTINGS, settings, stream=0)
    assert made.feed(PREFACE[:5]) == made.feed(PREFACE[5:]) == []


def test_settings_and_pings_are_acknowledged_and_acknowledgements_are_not() -> None:
    made = Connection(is_client=True)
    made.take()
    made.feed(SET)
    assert made.is_open
    assert made.take() == frame(SETTINGS, b"", 1, 0)
    made.feed(frame(PING, b"12345678", 0, 0))
    assert made.take() == frame(PING, b"12345678", 1, 0)
    made.feed(frame(PING, b"12345678", 1, 0) + frame(SETTINGS, b"", 1, 0))
    assert made.take() == b""


def test_streams_of_a_client_have_odd_numbers_and_end_with_their_data() -> None:
    made = client()
    made.write(1, b"hi", ends=True)
    assert made.open() == 3
    made.say(3, ASKED)
    assert parts(made.take()) == [
        (HEADERS, 4, 3, hpack.encode(ASKED)),
        (DATA, 1, 1, b"hi"),
    ]
    made.write(1, b"more")  # after the end
    assert made.take() == b""


def test_an_answer_is_heard_piece_by_piece() -> None:
    events = heard(
        headers(BEGUN), frame(DATA, b"abc"), frame(DATA, b"d"), headers([("a", "b")], end=True)
    )
    assert events == [
        Headers(1, dict(BEGUN), False),
        Data(1, b"abc", False),
        Data(1, b"d", False),
        Headers(1, {"a": "b"}, True),
    ]


def test_padding_priorities_and_continuations_are_taken() -> None:
    block = hpack.encode(BEGUN)
    begun = frame(HEADERS, b"\x02" + b"\0\0\0\0\x10" + block[:5] + b"\0\0", 0x28)
    rest = frame(CONTINUATION, block[5:], 4)
    data = frame(DATA, b"\x03x\0\0\0", 8)
    assert heard(begun, rest, data) == [Headers(1, dict(BEGUN), False), Data(1, b"x", False)]


def test_padding_is_granted_at_once_and_data_when_it_is_taken() -> None:
    made = client()
    made.feed(frame(DATA, b"\x03xy\0\0\0", 8))
    assert parts(made.take()) == [
        (WINDOW, 0, 0, struct.pack(">I", 6)),
        (WINDOW, 0, 1, struct.pack(">I", 4)),
    ]
    made.grant(1, 2)
    assert made.take() == frame(WINDOW, struct.pack(">I", 2))
    made.grant(1, 0)
    made.write(1, b"", ends=True)
    assert made.take() == frame(DATA, b"", 1)
    made.feed(frame(DATA, b"", 1))
    made.grant(1, 5)  # nothing more comes
    assert made.take() == b""


def test_what_another_stream_says_is_not_heard() -> None:
    assert heard(frame(DATA, b"x", stream=3), frame(RST, b"\0\0\0\x08", stream=3)) == []


def test_a_stream_that_is_broken_off_is_heard_once() -> None:
    assert heard(frame(RST, b"\0\0\0\x08"), frame(DATA, b"x")) == [Reset(1, 8)]


def test_a_farewell_names_the_last_stream() -> None:
    assert heard(frame(GOAWAY, struct.pack(">II", 5, 0), stream=0)) == [Leaving(5)]


def test_long_data_goes_out_in_frames_as_far_as_the_windows_allow() -> None:
    made = client()
    made.write(1, b"x" * 100_000, ends=True)
    sent = parts(made.take()) + parts(made.take())
    assert [len(it[3]) for it in sent] == [16384, 16384, 16384, 16383]
    assert {it[1] for it in sent} == {0}
    assert not made.is_sent(1)
    made.feed(frame(WINDOW, struct.pack(">I", 40_000)))
    assert made.take() == b""  # the connection's window is used up too
    made.feed(frame(WINDOW, struct.pack(">I", 10), stream=0))
    assert [len(it[3]) for it in parts(made.take())] == [10]
    made.feed(frame(WINDOW, struct.pack(">I", 40_000), stream=0))
    assert [(it[1], len(it[3])) for it in parts(made.take())] == [
        (0, 16384),
        (0, 16384),
        (1, 100_000 - 65_535 - 10 - 2 * 16384),
    ]
    assert made.is_sent(1)


def test_one_take_gives_about_what_there_is_room_for() -> None:
    made = client()
    made.write(1, b"x" * 60_000)
    assert sum(len(it[3]) for it in parts(made.take(20_000))) == 20_000


def test_a_smaller_window_holds_begun_streams_back_until_it_is_wide_again() -> None:
    made = client()
    made.write(1, b"x" * 100)
    made.feed(frame(SETTINGS, struct.pack(">HI", 4, 60), stream=0))
    assert [len(it[3]) for it in parts(made.take()) if it[0] == DATA] == [60]
    made.feed(frame(SETTINGS, struct.pack(">HI", 4, 10), stream=0))  # 50 behind
    made.feed(frame(WINDOW, struct.pack(">I", 50)))
    assert [it for it in parts(made.take()) if it[0] == DATA] == []
    made.feed(frame(WINDOW, struct.pack(">I", 40)))
    assert [len(it[3]) for it in parts(made.take())] == [40]


def test_an_answer_that_ends_early_breaks_the_request_off() -> None:
    made = client()
    made.write(1, b"x" * 70_000, ends=True)
    made.take()
    made.feed(headers(BEGUN, end=True))
    assert parts(made.take()) == [(RST, 0, 1, struct.pack(">I", http2.CANCEL))]


def test_a_server_hears_calls_and_says_all_before_it_ends() -> None:
    made = server()
    events = made.feed(headers(ASKED) + frame(DATA, b"hi", 1))
    assert events == [Headers(1, dict(ASKED), False), Data(1, b"hi", True)]
    made.say(1, BEGUN)
    made.write(1, b"x" * 70_000)
    made.say(1, [("grpc-status", "0")], ends=True)
    sent = parts(made.take()) + parts(made.take())
    assert [it[0] for it in sent] == [WINDOW, HEADERS, DATA, DATA, DATA, DATA]
    made.feed(frame(WINDOW, struct.pack(">I", 70_000)))
    made.feed(frame(WINDOW, struct.pack(">I", 70_000), stream=0))
    assert [it[:2] for it in parts(made.take())] == [(DATA, 0), (HEADERS, 5)]
    made.say(1, BEGUN)  # it is over
    assert made.take() == b""


def test_a_server_that_has_said_all_hears_no_more_of_a_call() -> None:
    made = server()
    made.feed(headers(ASKED))
    made.say(1, BEGUN, ends=True)
    assert [it[:2] for it in parts(made.take())] == [(HEADERS, 5), (RST, 0)]
    assert made.feed(frame(DATA, b"late")) == []


def test_more_calls_than_a_server_takes_are_refused() -> None:
    made = server()
    calls = [headers(ASKED, stream=1 + 2 * it) for it in range(MAX_STREAMS + 1)]
    assert len(made.feed(b"".join(calls))) == MAX_STREAMS
    assert parts(made.take()) == [
        (RST, 0, 1 + 2 * MAX_STREAMS, struct.pack(">I", http2.REFUSED_STREAM))
    ]


def test_long_headers_are_continued() -> None:
    made, other = server(), client()
    made.feed(headers(ASKED))
    made.say(1, [("grpc-message", "x" * 15_000), ("other", "y" * 1_000)] * 1, ends=True)
    made.say(1, BEGUN)
    whole = made.take()
    assert other.feed(whole)[-1] == Headers(
        1, {"grpc-message": "x" * 15_000, "other": "y" * 1_000}, True
    )
    block = hpack.encode([("a", "x" * 40_000)])
    assert [(it[0], it[1]) for it in parts(http2._blocks(1, block, 1))] == [
        (HEADERS, 1),
        (CONTINUATION, 0),
        (CONTINUATION, 4),
    ]


def test_a_farewell_of_ours_names_the_last_call() -> None:
    made = server()
    made.feed(headers(ASKED, stream=7))
    made.leave()
    assert parts(made.take()) == [(GOAWAY, 0, 0, struct.pack(">II", 7, 0))]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "too large"),
        (frame(PING, b"12345678", stream=0), "the first frame is not of settings"),
        (SET + frame(HEADERS, b"\x80", 4), "no header has the index 0"),
        (SET + frame(HEADERS, hpack.encode(BEGUN)) + SET, "headers that are not continued"),
        (
            SET + frame(HEADERS, b"") + frame(CONTINUATION, b"", 4, 3),
            "headers that are not continued",
        ),
        (SET + frame(DATA, b"\x05x", 8), "more padding than frame"),
        (SET + frame(DATA, b"", 8), "more padding than frame"),
        (SET * 102, "too many pings"),
        (frame(SETTINGS, b"12345", stream=0), "settings that are cut off"),
        (frame(SETTINGS, struct.pack(">HI", 4, 2**31), stream=0), "a window that is too large"),
        (SET + frame(WINDOW, struct.pack(">I", 2**31 - 1), stream=0), "a window that is too large"),
        (SET + frame(DATA, b"x" * 16384) * 4, "more data than its window"),
        (
            SET + frame(HEADERS, b"x" * 16384) + frame(CONTINUATION, b"x" * 16384) * 4,
            "headers that are too long",
        ),
    ],
)
def test_a_bad_peer_is_left(data: bytes, why: str) -> None:
    made = Connection(is_client=True)
    made.open()
    with pytest.raises(BadPeer, match=why):
        made.feed(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "does not begin as HTTP/2 does"),
        (PREFACE + SET + headers(ASKED, stream=2), "a number of the other side's"),
    ],
)
def test_a_bad_client_is_left(data: bytes, why: str) -> None:
    with pytest.raises(BadPeer, match=why):
        Connection(is_client=False).feed(data)
