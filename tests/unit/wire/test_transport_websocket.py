"""WebSocket frames, sentence by sentence of RFC 6455, and Kubernetes' channels on top."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.wire import channels
from steersman.wire.channels import Channels, Data, Ended
from steersman.wire.websocket import (
    MAX_MESSAGE_BYTES,
    Message,
    ProtocolError,
    WebSocket,
    accept_key,
    handshake,
    is_handshake,
    masked_with,
    offered,
)

KEY = b"\x37\xfa\x21\x3d"


def client() -> WebSocket:
    return WebSocket(mask=lambda: KEY)


def test_the_examples_of_the_specification_are_read_and_written() -> None:
    # section 5.7
    hello = bytes.fromhex("810548656c6c6f")
    masked = bytes.fromhex("818537fa213d7f9f4d5158")
    assert WebSocket().encode("text", b"Hello") == hello
    assert client().encode("text", b"Hello") == masked
    assert client().feed(hello) == [Message("text", b"Hello")]
    assert WebSocket().feed(masked) == [Message("text", b"Hello")]
    fragments = bytes.fromhex("010348656c80026c6f")
    assert client().feed(fragments) == [Message("text", b"Hello")]
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_messages_of_every_size_come_through_byte_by_byte_too(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    sent = client().encode("binary", data)
    assert WebSocket().feed(sent) == [Message("binary", data)]
    server = WebSocket()
    step = max(1, size // 50)
    found = [
        message
        for start in range(0, len(sent), step)
        for message in server.feed(sent[start : start + step])
    ]
    assert found == [Message("binary", data)]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_a_mask_put_on_twice_is_taken_off(data: bytes, key: bytes) -> None:
    slowly = bytes(byte ^ key[place % 4] for place, byte in enumerate(data))
    assert masked_with(data, key) == slowly
    assert masked_with(slowly, key) == data


def test_control_frames_may_come_between_fragments() -> None:
    frames = bytes.fromhex("010348656c") + bytes.fromhex("8902aabb") + bytes.fromhex("80026c6f")
    side = client()
    found = side.feed(frames)
    assert found == [Message("ping", b"\xaa\xbb"), Message("text", b"Hello")]
    assert WebSocket().feed(side.pong(found[0])) == [Message("pong", b"\xaa\xbb")]


def test_a_close_carries_its_code_and_is_the_last_message() -> None:
    sent = client().close(1001, "going away")
    server = WebSocket()
    data = (1001).to_bytes(2, "big") + b"going away"
    assert server.feed(sent + client().encode("text", b"late")) == [Message("close", data)]
    assert server.closed
    assert len(WebSocket().close(1000, "x" * 300)) == 2 + 125


@pytest.mark.parametrize(
    "frame",
    [
        "c10548656c6c6f",  # a reserved bit
        "83056c6c6c6c6c",  # an unknown opcode
        "8b00",  # an unknown control opcode
        "0900",  # a control frame in fragments
        "897e0080" + "00" * 128,  # a control frame over 125 bytes
        "80026c6f",  # a continuation of nothing
        "010348656c810161",  # a new message within fragments
        "880103",  # half a close code
        "818537fa213d7f9f4d5158",  # masked by the server
    ],
)
def test_what_breaks_the_protocol_is_refused(frame: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        client().feed(bytes.fromhex(frame))
    assert refused.value.code == 1002


def test_a_server_takes_no_unmasked_frame() -> None:
    with pytest.raises(ProtocolError):
        WebSocket().feed(bytes.fromhex("810548656c6c6f"))


def test_text_must_be_utf_8() -> None:
    with pytest.raises(ProtocolError) as refused:
        client().feed(bytes.fromhex("8101ff"))
    assert refused.value.code == 1007


def test_a_message_over_the_bound_is_refused_before_it_is_there() -> None:
    head = bytes((0x82, 127)) + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big")
    with pytest.raises(ProtocolError) as refused:
        client().feed(head)
    assert refused.value.code == 1009
    side = WebSocket(mask=lambda: KEY, max_message=10)
    side.feed(bytes.fromhex("0206") + b"a" * 6)
    with pytest.raises(ProtocolError):
        side.feed(bytes.fromhex("8005"))


HANDSHAKE = {
    "connection": "keep-alive, Upgrade",
    "upgrade": "WebSocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-protocol": "v5.channel.k8s.io, v4.channel.k8s.io",
}


def test_a_handshake_is_granted_with_the_chosen_protocol() -> None:
    assert is_handshake(HANDSHAKE)
    assert not is_handshake({**HANDSHAKE, "upgrade": "h2c"})
    assert not is_handshake({})
    assert offered(HANDSHAKE) == ["v5.channel.k8s.io", "v4.channel.k8s.io"]
    assert handshake(HANDSHAKE, "v5.channel.k8s.io") == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    }
    assert "Sec-WebSocket-Protocol" not in handshake(HANDSHAKE)


@pytest.mark.parametrize("change", [{"sec-websocket-version": "8"}, {"sec-websocket-key": ""}])
def test_a_handshake_of_another_kind_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        handshake({**HANDSHAKE, **change})


# Channels


def sides(protocol: str) -> tuple[Channels, Channels]:
    return Channels(protocol, client()), Channels(protocol, WebSocket())


def test_the_best_protocol_that_both_speak_is_chosen() -> None:
    assert (
        channels.choose(["v4.channel.k8s.io", channels.V5], channels.REMOTE_COMMAND) == channels.V5
    )
    assert channels.choose(["v4.channel.k8s.io"], channels.REMOTE_COMMAND) == channels.V4
    assert channels.choose(["other"], channels.REMOTE_COMMAND) == ""


@pytest.mark.parametrize("protocol", channels.REMOTE_COMMAND)
def test_each_channel_carries_its_own_bytes(protocol: str) -> None:
    here, there = sides(protocol)
    sent = here.encode(channels.STDIN, b"\x00\xffa") + here.encode(channels.RESIZE, b"{}")
    assert there.feed(sent) == [Data(0, b"\x00\xffa"), Data(4, b"{}")]
    assert here.feed(there.encode(channels.STDOUT, b"out")) == [Data(1, b"out")]


def test_in_v5_the_end_of_a_channel_is_told_and_before_it_is_not() -> None:
    here, there = sides(channels.V5)
    assert there.feed(here.end(channels.STDIN)) == [Ended(0)]
    assert sides(channels.V4)[0].end(channels.STDIN) == b""
    four, other = sides(channels.V4)
    assert other.feed(four.encode(255, b"\x00")) == [Data(255, b"\x00")]


def test_the_end_of_a_channel_without_a_name_breaks_the_protocol() -> None:
    here, there = sides(channels.V5)
    with pytest.raises(ProtocolError):
        there.feed(here.encode(channels.CLOSE, b""))


@pytest.mark.parametrize("text", [b"x", b"1?", b"1YQ"])
def test_text_that_is_no_channel_breaks_the_protocol(text: bytes) -> None:
    there = Channels(channels.V4_BASE64, WebSocket())
    with pytest.raises(ProtocolError):
        there.feed(client().encode("text", text))


def test_pings_are_answered_and_closes_returned() -> None:
    here, there = sides(channels.V5)
    assert there.feed(client().encode("ping", b"x")) == []
    assert client().feed(there.replies()) == [Message("pong", b"x")]
    assert there.replies() == b""
    assert there.feed(here.close()) == [Ended(None)]
    assert client().feed(there.replies())[0].kind == "close"


def test_empty_messages_mean_nothing() -> None:
    assert Channels(channels.V5, WebSocket()).feed(client().encode("binary", b"")) == []


@pytest.mark.parametrize(
    ("stdout", "stderr", "channel"), [(True, True, 1), (False, True, 2), (False, False, 3)]
)
def test_a_server_announces_itself_on_its_lowest_channel(
    stdout: bool, stderr: bool, channel: int
) -> None:
    here, there = sides(channels.V5)
    assert here.feed(there.opened(stdout=stdout, stderr=stderr)) == [Data(channel, b"")]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (b'{"Width":80,"Height":24}', (80, 24)),
        (b'{"Width":0,"Height":24}', None),
        (b'{"Width":80}', None),
        (b'{"Width":70000,"Height":1}', None),
        (b"[]", None),
        (b"nonsense", None),
    ],
)
def test_a_terminal_size_is_read_or_left(text: bytes, size: Any) -> None:
    assert channels.terminal_size(text) == size


@pytest.mark.parametrize("code", [0, 1, 137])
def test_an_exit_code_comes_back_from_its_status(code: int) -> None:
    assert channels.exit_code(json.dumps(channels.exit_status(code)).encode()) == code


@pytest.mark.parametrize("text", [b"nonsense", b"[]", b'{"status":"Failure","message":"no"}'])
def test_other_failures_have_no_exit_code(text: bytes) -> None:
    assert channels.exit_code(text) is None


def test_a_port_is_announced_low_byte_first() -> None:
    assert channels.port_announcement(0x1F90) == b"\x90\x1f"
