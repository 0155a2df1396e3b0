"""gRPC without I/O: heads, messages, and how calls end, in grpc-go's words."""

from __future__ import annotations

import pytest

from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed, Head, Inbox


def test_a_message_is_taken_when_it_is_whole() -> None:
    inbox = Inbox()
    whole = grpc.frame(b"hello") + grpc.frame(b"")
    for at in range(len(whole)):
        assert len(inbox) == (at >= 10)
        inbox.put(whole[at : at + 1])
        assert inbox.is_cut_off == (at not in (9, 14))
    assert [inbox.take(), inbox.take()] == [b"hello", b""]


def test_what_waits_is_granted_once_it_is_taken_and_what_is_not_whole_at_once() -> None:
    inbox = Inbox()
    inbox.put(grpc.frame(b"x" * 100)[:50])
    assert (inbox.due(), inbox.due()) == (50, 0)
    inbox.put(grpc.frame(b"x" * 100)[50:] + grpc.frame(b"next"))
    assert inbox.due() == 0
    inbox.take()
    assert inbox.due() == 55  # 50 were granted ahead
    inbox.take()
    assert inbox.due() == 9


def test_a_message_that_is_too_large_or_packed_ends_the_call() -> None:
    with pytest.raises(Failed) as caught:
        Inbox(10).put(grpc.frame(b"x" * 11)[:5])
    assert str(caught.value) == (
        "rpc error: code = ResourceExhausted desc = grpc: received message larger than max "
        "(11 vs. 10)"
    )
    Inbox(10).put(grpc.frame(b"x" * 10))
    with pytest.raises(Failed, match="compressed flag set"):
        Inbox().put(b"\1\0\0\0\1x")


def test_a_call_is_headed_as_grpc_says() -> None:
    headers = grpc.call_headers("localhost", "/a.B/C", "kube-probe/1.37", 1.5)
    assert headers == (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.37"),
        ("te", "trailers"),
        ("grpc-timeout", "1500m"),
    )
    assert grpc.parse_call(dict(headers)) == Head("/a.B/C", 1.5)
    endless = grpc.call_headers("localhost", "/a.B/C", "x", None)
    assert grpc.parse_call(dict(endless)) == Head("/a.B/C", None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0001, "1m"), (2.5, "2500m"), (99_999.999, "99999999m"), (1e5, "100000S")],
)
def test_a_time_has_room_for_eight_digits(seconds: float, text: str) -> None:
    assert grpc.render_timeout(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2H", 7200), ("3M", 180), ("5S", 5), ("1500m", 1.5), ("20u", 2e-5), ("10n", 1e-8)],
)
def test_a_time_is_read_in_each_unit(text: str, seconds: float) -> None:
    assert grpc.parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "S", "5x", "-1S", "123456789S"])
def test_a_bad_time_is_refused(text: str) -> None:
    with pytest.raises(Failed, match="malformed grpc-timeout"):
        grpc.parse_timeout(text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({":method": "GET"}, 'invalid method "GET"'),
        ({"content-type": "text/html"}, 'invalid gRPC request content-type "text/html"'),
    ],
)
def test_what_is_no_call_is_refused(change: dict[str, str], text: str) -> None:
    fields = {":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc+proto"}
    assert grpc.parse_call(fields) == Head("/a.B/C")
    with pytest.raises(Failed, match=text):
        grpc.parse_call(fields | change)


def test_headers_say_how_a_call_ends() -> None:
    assert grpc.judge_headers({":status": "200"}, "200") is None
    good = grpc.judge_headers({"grpc-status": "0"}, "200")
    assert good is not None
    assert good.code == grpc.OK
    bad = grpc.judge_headers({"grpc-status": "12", "grpc-message": "no %22B%22"}, "200")
    assert str(bad) == 'rpc error: code = Unimplemented desc = no "B"'
    odd = grpc.judge_headers({"grpc-status": "x"}, "200")
    assert str(odd) == "rpc error: code = Unknown desc = "
    other = grpc.judge_headers({":status": "404"}, "404")
    assert str(other) == (
        "rpc error: code = Unimplemented desc = unexpected HTTP status code received from "
        "server: 404 (Not Found)"
    )


def test_a_reset_says_how_a_call_ends() -> None:
    assert str(grpc.judge_reset(7)) == (
        "rpc error: code = Unavailable desc = stream terminated by RST_STREAM with error code: "
        "REFUSED_STREAM"
    )
    assert grpc.judge_reset(99).code == grpc.UNKNOWN


def test_a_status_is_packed_and_cut() -> None:
    assert grpc.status_headers(0, "") == (("grpc-status", "0"),)
    assert grpc.status_headers(5, "50% of „a“\n")[1] == (
        "grpc-message",
        "50%25 of %E2%80%9Ea%E2%80%9C%0A",
    )
    long = grpc.status_headers(5, "x" * 10_000)[1][1]
    assert len(long) == grpc.MAX_STATUS_BYTES


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/a.B/D", "unknown method D for service a.B"),
        ("/a.C/D", "unknown service a.C"),
        ("a.B/C", 'malformed method name: "a.B/C"'),
        ("/C", 'malformed method name: "/C"'),
    ],
)
def test_what_is_not_served_is_told_as_grpc_go_does(path: str, text: str) -> None:
    error = grpc.unknown_method(path, {"a.B"})
    assert (error.code, error.text) == (grpc.UNIMPLEMENTED, text)


def test_an_error_reads_as_go_prints_it() -> None:
    assert str(Failed(14, "x")) == "rpc error: code = Unavailable desc = x"
    assert str(Failed(99, "x")) == "rpc error: code = Code(99) desc = x"
