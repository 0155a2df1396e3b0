"""SPDY/3.1 between two sessions, and against frames written by hand."""

from __future__ import annotations

import struct
import zlib

import pytest

from steersman.wire import spdy
from steersman.wire.spdy import Data, GoneAway, Opened, ProtocolError, Replied, Reset, Session


def pair() -> tuple[Session, Session]:
    return Session(client=True), Session(client=False)


def control(kind: int, payload: bytes, flags: int = 0, version: int = 3) -> bytes:
    return struct.pack(">II", 1 << 31 | version << 16 | kind, flags << 24 | len(payload)) + payload


def test_the_dictionary_is_the_one_of_the_specification() -> None:
    # SPDY/3's header compression begins with 78 bb e3 c6 a7 c2: the dictionary's checksum
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2
    _, sent = Session(client=True).open({})
    assert sent[20:24] == bytes.fromhex("e3c6a7c2")


def test_a_stream_is_opened_accepted_used_and_finished() -> None:
    here, there = pair()
    stream, sent = here.open({"streamType": "data", "Port": "80"})
    assert stream == 1
    assert there.feed(sent) == [Opened(1, {"streamtype": "data", "port": "80"})]
    assert here.feed(there.accept(1)) == [Replied(1, {})]
    assert there.feed(here.send(1, b"hello")) == [Data(1, b"hello")]
    assert here.feed(there.send(1, b"hi", finish=True)) == [Data(1, b"hi", True)]
    assert there.send(1, b"late") == b""
    assert there.feed(here.send(1, b"", finish=True)) == [Data(1, b"", True)]
    assert here.send(1, b"late") == b""


def test_each_side_numbers_its_own_streams() -> None:
    here, there = pair()
    assert [here.open({})[0] for _ in range(3)] == [1, 3, 5]
    assert [there.open({})[0] for _ in range(3)] == [2, 4, 6]


def test_headers_are_compressed_in_one_run_over_the_connection() -> None:
    here, there = pair()
    sizes = []
    for number in range(5):
        _, sent = here.open({"streamtype": "error", "port": "8080", "requestid": str(number)})
        sizes.append(len(sent))
        (opened,) = there.feed(sent)
        assert isinstance(opened, Opened) and opened.headers["requestid"] == str(number)
    assert sizes[1] < sizes[0]


def test_bytes_may_come_one_by_one() -> None:
    here, there = pair()
    sent = here.open({"a": "b"})[1] + here.send(1, b"hello", finish=True)
    found = [event for byte in sent for event in there.feed(bytes((byte,)))]
    assert found == [Opened(1, {"a": "b"}), Data(1, b"hello", True)]


def test_a_reset_ends_a_stream_on_both_sides() -> None:
    here, there = pair()
    there.feed(here.open({})[1])
    assert here.feed(there.reset(1)) == [Reset(1, spdy.CANCEL)]
    assert here.send(1, b"x") == b""
    assert there.feed(struct.pack(">II", 1, 1) + b"x") == []  # was on its way


def test_the_other_sides_pings_are_answered() -> None:
    here, there = pair()
    ping = control(6, struct.pack(">I", 1))
    assert there.feed(ping) == []
    assert there.replies() == ping
    assert here.feed(ping) == []  # the answer to its own
    assert here.replies() == b""


def test_what_needs_no_answer_is_passed_over() -> None:
    _, there = pair()
    assert there.feed(control(4, bytes(4)) + control(9, bytes(8))) == []
    assert there.feed(there.go_away()) == [GoneAway()]
    assert there.replies() == b""


def test_too_many_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy, "MAX_STREAMS", 2)
    here, there = pair()
    for _ in range(2):
        there.feed(here.open({})[1])
    assert there.feed(here.open({"x": "y"})[1]) == []
    assert here.feed(there.replies()) == [Reset(5, spdy.REFUSED)]
    there.reset(1)
    assert there.feed(here.open({"x": "y"})[1]) == [Opened(7, {"x": "y"})]


@pytest.mark.parametrize(
    "frame",
    [
        control(1, bytes(4)),  # too short
        control(1, struct.pack(">IIH", 2, 0, 0)),  # a number of the server's
        control(5, bytes(4)),  # unknown
        control(6, bytes(4), version=2),
        control(1, struct.pack(">IIH", 1, 0, 0) + b"nonsense"),
        struct.pack(">II", 99, 1) + b"x",  # data on a stream that was never opened
        struct.pack(">II", 1, spdy.MAX_FRAME_BYTES + 1),
    ],
)
def test_what_breaks_the_protocol_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        Session(client=False).feed(frame)


def test_a_stream_number_cannot_come_again() -> None:
    here, there = pair()
    there.feed(here.open({})[1])
    again, _ = pair()
    with pytest.raises(ProtocolError):
        there.feed(again.open({})[1])


def test_headers_are_bounded_after_decompression() -> None:
    here, there = pair()
    with pytest.raises(ProtocolError, match="too long"):
        there.feed(here.open({"a": "b" * (spdy.MAX_HEADERS_BYTES + 1)})[1])


def test_a_stream_may_be_opened_finished_and_takes_answers_still() -> None:
    here, there = pair()
    _, sent = here.open({"a": "b"})
    finished = sent[:4] + bytes([1]) + sent[5:]
    assert there.feed(finished) == [Opened(1, {"a": "b"}, True)]
    assert there.send(1, b"x") != b""
    assert there.feed(struct.pack(">II", 1, 1) + b"y") == [], "it said that nothing comes"


def test_data_of_a_stream_that_is_over_is_passed_over() -> None:
    here, there = pair()
    there.feed(here.open({})[1])
    data = here.send(1, b"x")
    there.reset(1)
    assert there.feed(data) == []
    with pytest.raises(ProtocolError, match="never opened"):
        there.feed(struct.pack(">II", 5, 0))


def test_a_frame_of_the_largest_size_is_taken() -> None:
    here, there = pair()
    there.feed(here.open({})[1])
    (data,) = there.feed(here.send(1, bytes(spdy.MAX_FRAME_BYTES)))
    assert isinstance(data, Data) and len(data.data) == spdy.MAX_FRAME_BYTES


def test_the_newest_stream_of_the_other_side_is_told_at_the_end() -> None:
    here, there = pair()
    for _ in range(2):
        there.feed(here.open({})[1])
    assert there.go_away()[-8:] == struct.pack(">II", 3, 0)
    assert here.feed(there.go_away()) == [GoneAway()]


def test_an_answer_to_our_own_ping_is_not_answered() -> None:
    here, _ = pair()
    here.feed(control(6, struct.pack(">I", 1)))
    assert here.replies() == b""
    here.feed(control(6, struct.pack(">I", 2)))
    assert here.replies() == control(6, struct.pack(">I", 2))
    assert here.replies() == b""


def test_headers_without_an_event_keep_the_compression_in_its_place() -> None:
    here, there = pair()
    there.feed(here.open({})[1])
    again = here.accept(1, {"c": "d"})
    headers = again[:2] + struct.pack(">H", 8) + again[4:]
    assert there.feed(headers) == []
    assert there.feed(here.open({"e": "f"})[1]) == [Opened(3, {"e": "f"})]
