"""Packed headers: the examples of RFC 7541, and what a peer must not be able to do."""

from __future__ import annotations

import pytest

from steersman.wire.http2.hpack import MAX_LIST_BYTES, BadHeaders, Decoder, encode


def test_requests_with_huffman_coding_are_read_as_the_rfc_says() -> None:
    # Appendix C.4: the second and third rest on what the table keeps of those before
    decoder = Decoder()
    first = decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))
    path = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
    host = (":authority", "www.example.com")
    assert first == [*path, host]
    second = decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf"))
    assert second == [*path, host, ("cache-control", "no-cache")]
    block = "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"
    assert decoder.decode(bytes.fromhex(block)) == [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        host,
        ("custom-key", "custom-value"),
    ]


def test_what_is_written_is_read_back() -> None:
    headers = [(":method", "POST"), ("te", "trailers"), ("x" * 200, "y" * 3000), ("empty", "")]
    decoder = Decoder()
    for _ in range(2):
        assert decoder.decode(encode(headers)) == headers


def test_a_literal_that_is_never_indexed_is_not_kept() -> None:
    decoder = Decoder()
    assert decoder.decode(b"\x10\x01a\x01b") == [("a", "b")]
    with pytest.raises(BadHeaders, match="index 62"):
        decoder.decode(b"\xbe")


def test_the_oldest_entries_leave_a_table_that_is_full() -> None:
    decoder = Decoder()
    decoder.decode(b"\x3f\x25")  # 68 bytes: two entries of 34
    for name in (b"a", b"c"):
        decoder.decode(b"\x40\x01" + name + b"\x01b")
    assert decoder.decode(b"\xbe\xbf") == [("c", "b"), ("a", "b")]
    decoder.decode(b"\x3f\x24")  # 67: the older one goes
    assert decoder.decode(b"\xbe") == [("c", "b")]
    with pytest.raises(BadHeaders):
        decoder.decode(b"\xbf")


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"\x80", "no header has the index 0"),
        (b"\xbe", "no header has the index 62"),
        (b"\x3f\xe2\x1f", "a table larger than was allowed"),
        (b"\x00\x05ab", "a text that is longer than its block"),
        (b"\x00\x01a", "a block that ends within a header"),
        (b"\xff\xff\xff\xff\xff\xff", "a number that does not end"),
        (b"\xff", "a number that does not end"),
        (b"\x00\x01a\x82\xff\xff", "a Huffman code with bad padding"),
        (b"\x00\x01a\x81\x00", "a Huffman code with bad padding"),
        (b"\x00\x01a\x84\xff\xff\xff\xff", "no such Huffman code"),
    ],
)
def test_a_block_that_cannot_be_is_refused(block: bytes, why: str) -> None:
    with pytest.raises(BadHeaders, match=why):
        Decoder().decode(block)


def test_a_long_text_of_what_is_no_code_is_refused_at_its_beginning() -> None:
    # Without a bound on a code's bits this takes seconds: they grew as long as the text
    text = b"\xff" * 60_000
    with pytest.raises(BadHeaders, match="no such Huffman code"):
        Decoder().decode(b"\x00\x01a\xff\xe1\xd3\x03" + text)


def test_a_small_block_cannot_become_a_long_list() -> None:
    kept = b"\x40\x01a\x7f\xe1\x0f" + b"b" * 2144  # one entry of two thousand bytes
    with pytest.raises(BadHeaders, match=f"more than {MAX_LIST_BYTES} bytes"):
        Decoder().decode(kept + b"\xbe" * 8)
