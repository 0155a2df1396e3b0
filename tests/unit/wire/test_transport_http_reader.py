"""The request reader alone: bounds and memory of its own, byte by byte."""

from __future__ import annotations

import gzip

import pytest

from steersman.model.errors import BadRequest, RequestTooLarge, TooManyRequests
from steersman.wire import http
from steersman.wire.http import (
    BODY_BYTES,
    HEADER_BYTES,
    Incoming,
    Refused,
    RequestReader,
    framed,
    head,
    inflate,
    percent_decoded,
    render_date,
)
from steersman.wire.message import Peer
from steersman.wire.status import from_body, to_response

GET = b"GET /a%2Fb?c=d HTTP/1.1\r\nHost: x\r\nAccept: y\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"


def reader() -> tuple[RequestReader, list[Incoming]]:
    taken: list[Incoming] = []
    return RequestReader(Peer(), taken.append), taken


def test_bytes_may_come_one_by_one() -> None:
    side, taken = reader()
    for byte in GET + POST + GET:
        side.feed(bytes((byte,)))
    assert [found.request.method for found in taken] == ["GET", "POST", "GET"]
    assert (taken[0].request.path, taken[0].request.query) == ("/a/b", "c=d")
    assert taken[1].request.body == b"abc"
    assert (side.stage, side.taken) == (http.IDLE, 3)


def outcome(side: RequestReader, taken: list[Incoming], data: bytes) -> object:
    try:
        side.feed(data)
    except Refused as refused:
        return refused.response.status
    return [
        (request.method, request.path, request.query, dict(request.headers), request.body)
        for request in (found.request for found in taken)
    ]


REST = b" HTTP/1.1\r\nHost: x\r\nAccept: y\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /x" + REST,
        b"GET /x?a=%20" + REST,
        b"GET /%zz" + REST,
        b"GET  /x" + REST,
        b"GET /x " + REST,
        b"GET /x y" + REST,
        b"GET x" + REST,
        b"GET http://x/y" + REST,
        b"GET /\xc3\xa9" + REST,
        b"GET /\x01" + REST,
        b"get /x" + REST,
        b"DELETE /x" + REST,
        b"GET /x" + REST.replace(b"1.1", b"1.0"),
        b"GET /x" + REST.replace(b"1.1", b"1.2"),
        b"GET /x HTTP/1.1\r\nEvil: yes" + REST[9:],
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\nGET /x" + REST,
    ],
)
def test_after_a_get_everything_is_read_as_without_it(data: bytes) -> None:
    fresh = reader()
    again = reader()
    again[0].feed(GET)
    assert again[0]._repeated
    again[1].clear()
    assert outcome(*again, data) == outcome(*fresh, data)


def test_two_gets_that_come_together_are_both_read_after_a_repeated_one() -> None:
    side, taken = reader()
    side.feed(GET)
    side.feed(GET + GET)
    assert len(taken) == 3


@pytest.mark.parametrize("special", ["Connection: close", "Content-Length: 0", "Upgrade: x"])
def test_a_get_with_something_special_is_not_kept(special: str) -> None:
    side, _ = reader()
    side.feed(f"GET / HTTP/1.1\r\nHost: x\r\n{special}\r\n\r\n".encode())
    assert not side._repeated


def test_header_bytes_count_over_names_values_and_target() -> None:
    for start in (f"GET /{'a' * HEADER_BYTES} HTTP/1.1", "GET / HTTP/1.1"):
        side, _ = reader()
        lines = "".join(f"h{number}: {'v' * 1000}\r\n" for number in range(70))
        with pytest.raises(Refused) as refused:
            side.feed(f"{start}\r\n{lines}\r\n".encode())
        assert refused.value.response.status == 431


def test_what_never_ends_is_refused_wherever_it_stands() -> None:
    piece = b"b" * 16_384
    for start in (
        b"GET / HTTP/1.1\r\nHost: a\r\nA: ",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: ",
    ):
        side, _ = reader()
        side.feed(start)
        with pytest.raises(Refused):
            for _ in range(6):
                side.feed(piece)


def test_a_body_longer_than_a_head_is_no_long_head() -> None:
    side, taken = reader()
    body = b"b" * (HEADER_BYTES * 3)
    side.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
    for start in range(0, len(body), 10_000):
        side.feed(body[start : start + 10_000])
    side.feed(GET)
    assert [len(found.request.body) for found in taken] == [len(body), 0]


def test_percent_escapes_are_utf_8() -> None:
    assert percent_decoded("/%C3%A9%20%2f") == "/é /"
    for bad in ("/%", "/%g0", "/%a", "/%ff"):
        with pytest.raises(ValueError):
            percent_decoded(bad)


def test_gzip_is_unpacked_up_to_the_bound() -> None:
    assert inflate(gzip.compress(b"abc")) == b"abc"
    assert len(inflate(gzip.compress(b"a" * BODY_BYTES))) == BODY_BYTES
    with pytest.raises(RequestTooLarge):
        inflate(gzip.compress(b"a" * (BODY_BYTES + 1)))
    with pytest.raises(BadRequest):
        inflate(b"abc")


def test_an_empty_piece_does_not_end_a_stream() -> None:
    assert framed(b"") == b""
    assert framed(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"


def test_an_unknown_status_has_a_head_too() -> None:
    assert head(299, "", None, "", "") == b"HTTP/1.1 299 \r\n\r\n"


def test_an_error_survives_the_way_over_the_wire() -> None:
    sent = to_response(TooManyRequests("wait", details={"kind": "pods"}, retry_after_seconds=2))
    assert isinstance(sent.body, bytes)
    assert sent.headers == {"Retry-After": "2"}
    found = from_body(sent.status, sent.body)
    assert isinstance(found, TooManyRequests)
    assert (found.message, found.details) == ("wait", {"kind": "pods"})
    assert found.retry_after_seconds == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"", "the server answered 503"), (b"<html>", "<html>"), (b"[1]", "[1]")],
)
def test_an_answer_that_is_no_status_is_quoted(body: bytes, message: str) -> None:
    found = from_body(503, body)
    assert (found.code, found.message) == (503, message)
    assert len(from_body(500, b"x" * 10_000).message) < 1000


def test_an_unfinished_body_is_counted_and_let_go() -> None:
    side, _ = reader()
    side.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    side.feed(b"defg")
    assert side.body_bytes == 7
    side.drop()
    assert (side.body_bytes, side._pieces) == (0, [])
    other, taken = reader()
    other.feed(POST)
    assert (len(taken), other.body_bytes) == (1, 0)


def test_a_date_is_in_the_form_of_the_header() -> None:
    assert render_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"
