"""One unary call of gRPC: what is sent, what an answer comes to, and what ends a bad peer."""

from __future__ import annotations

import struct

import pytest

from steersman.wire.http2 import grpc, hpack
from steersman.wire.http2.grpc import Answer, BadPeer, Call

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
BEGUN = [(":status", "200"), ("content-type", "application/grpc")]
WELL = [("grpc-status", "0")]


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(fields: list[tuple[str, str]], end: bool = False) -> bytes:
    return frame(HEADERS, hpack.encode(fields), 4 | end)


def message(data: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(data)) + data


SET = frame(SETTINGS, stream=0)


def answered(*frames: bytes) -> Answer:
    """What a call comes to with an answer, whole and byte by byte."""
    whole, parts = Call(), Call()
    whole.feed(SET + b"".join(frames))
    for byte in SET + b"".join(frames):
        parts.feed(bytes((byte,)))
    assert whole.answer == parts.answer
    assert whole.answer is not None
    return whole.answer


def test_a_call_that_is_answered_gives_its_message() -> None:
    data = frame(DATA, message(b"hello"))
    assert answered(headers(BEGUN), data, headers(WELL, end=True)) == Answer(grpc.OK, "", b"hello")


def test_padding_priorities_and_continuations_are_taken() -> None:
    block = hpack.encode(BEGUN)
    begun = frame(HEADERS, b"\x02" + b"\0\0\0\0\x10" + block[:5] + b"\0\0", 0x28)
    rest = frame(CONTINUATION, block[5:], 4)
    data = frame(DATA, b"\x03" + message(b"x") + b"\0\0\0", 8)
    assert answered(begun, rest, data, headers(WELL, end=True)).message == b"x"


def test_a_message_may_come_in_several_frames() -> None:
    whole = message(b"hello")
    frames = [frame(DATA, whole[:3]), frame(DATA, whole[3:])]
    assert answered(headers(BEGUN), *frames, headers(WELL, end=True)).message == b"hello"


def test_what_another_stream_says_is_not_heard() -> None:
    other = frame(DATA, message(b"other"), stream=3)
    data = frame(DATA, message(b"x"))
    assert answered(headers(BEGUN), other, data, headers(WELL, end=True)).message == b"x"


def test_a_request_is_what_grpc_says() -> None:
    call = Call()
    assert call.open() == grpc.PREFACE + frame(SETTINGS, struct.pack(">HI", 2, 0), stream=0)
    sent = call.request("10.0.0.5:80", "/a.B/C", b"hi", "kube-probe/1.37", 1.5)
    size = int.from_bytes(sent[:3])
    assert hpack.Decoder().decode(sent[9 : 9 + size]) == [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "10.0.0.5:80"),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.37"),
        ("te", "trailers"),
        ("grpc-timeout", "1500m"),
    ]
    assert sent[9 + size :] == frame(DATA, message(b"hi"), 1)


def test_a_long_request_is_sent_in_frames_that_are_allowed() -> None:
    sent = Call().request("a", "/b", b"x" * 20000, "c", 1.0)
    at, sizes, flags = 0, [], []
    while at < len(sent):
        sizes.append(int.from_bytes(sent[at : at + 3]))
        flags.append(sent[at + 4])
        at += 9 + sizes[-1]
    assert sizes[1:] == [16384, 20005 - 16384]
    assert flags == [4, 0, 1]


def test_settings_and_pings_are_acknowledged_and_acknowledgements_are_not() -> None:
    call = Call()
    assert not call.is_open
    assert call.feed(SET) == frame(SETTINGS, b"", 1, 0)
    assert call.is_open
    assert call.feed(frame(PING, b"12345678", 0, 0)) == frame(PING, b"12345678", 1, 0)
    assert call.feed(frame(PING, b"12345678", 1, 0) + frame(SETTINGS, b"", 1, 0)) == b""


@pytest.mark.parametrize(
    ("frames", "answer"),
    [
        (
            [headers([*BEGUN, ("grpc-status", "12"), ("grpc-message", "no %22B%22")], end=True)],
            Answer(grpc.UNIMPLEMENTED, 'no "B"'),
        ),
        (
            [headers([(":status", "404")], end=True)],
            Answer(12, "unexpected HTTP status code received from server: 404 (Not Found)"),
        ),
        (
            [frame(RST, struct.pack(">I", 7))],
            Answer(
                grpc.UNAVAILABLE, "stream terminated by RST_STREAM with error code: REFUSED_STREAM"
            ),
        ),
        (
            [frame(RST, struct.pack(">I", 99))],
            Answer(grpc.UNKNOWN, "stream terminated by RST_STREAM with error code: 99"),
        ),
        (
            [headers(BEGUN), frame(DATA, message(b"x"), 1)],
            Answer(grpc.INTERNAL, "server closed the stream without sending trailers"),
        ),
        (
            [headers(BEGUN, end=True)],
            Answer(grpc.INTERNAL, "server closed the stream without sending trailers"),
        ),
        (
            [frame(GOAWAY, struct.pack(">II", 0, 0), stream=0)],
            Answer(grpc.UNAVAILABLE, "the connection is draining"),
        ),
        (
            [headers(BEGUN), frame(DATA, b"\x01\0\0\0\x01x"), headers(WELL, end=True)],
            Answer(grpc.INTERNAL, "the server did not send one plain message"),
        ),
        (
            [headers(BEGUN), frame(DATA, message(b"x") * 2), headers(WELL, end=True)],
            Answer(grpc.INTERNAL, "the server did not send one plain message"),
        ),
        (
            [headers(BEGUN), *[frame(DATA, b"x" * 16384)] * 3],
            Answer(grpc.RESOURCE_EXHAUSTED, "grpc: received message larger than max (32768 bytes)"),
        ),
    ],
)
def test_a_call_that_fails_says_why(frames: list[bytes], answer: Answer) -> None:
    assert answered(*frames) == answer


def test_a_server_that_leaves_still_answers_what_it_has_begun() -> None:
    leave = frame(GOAWAY, struct.pack(">II", 1, 0), stream=0)
    data = frame(DATA, message(b"x"))
    assert answered(leave, headers(BEGUN), data, headers(WELL, end=True)).message == b"x"


def test_nothing_that_comes_after_the_answer_changes_it() -> None:
    call = Call()
    call.feed(SET + headers([*BEGUN, ("grpc-status", "5")], end=True))
    call.feed(frame(RST, struct.pack(">I", 0)) + frame(GOAWAY, stream=0))
    assert call.answer == Answer(5)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "too large"),
        (frame(PING, b"12345678", stream=0), "the first frame is not of settings"),
        (SET + frame(HEADERS, b"\x80", 4), "no header has the index 0"),
        (SET + frame(HEADERS, hpack.encode(BEGUN)) + SET, "headers that are not continued"),
        (SET + frame(DATA, b"\x05x", 8), "more padding than frame"),
        (SET + frame(DATA, b"", 8), "more padding than frame"),
        (SET * 102, "too many pings"),
        (
            SET + frame(HEADERS, b"x" * 16384) + frame(CONTINUATION, b"x" * 16384) * 4,
            "headers that are too long",
        ),
    ],
)
def test_a_bad_peer_is_left(data: bytes, why: str) -> None:
    with pytest.raises(BadPeer, match=why):
        Call().feed(data)


def test_an_error_reads_as_go_prints_it() -> None:
    assert grpc.error_text(Answer(14, "x")) == "rpc error: code = Unavailable desc = x"
    assert grpc.error_text(Answer(99, "x")) == "rpc error: code = Code(99) desc = x"
