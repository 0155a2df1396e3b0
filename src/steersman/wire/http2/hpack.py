"""Header lists as HTTP/2 packs them (RFC 7541): written without compression, read whole.

No I/O and no streams; `wire/http2/connection.py` speaks the frames. What is read is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import cache
from typing import Final

Header = tuple[str, str]

MAX_TABLE_BYTES: Final = 4096  # SETTINGS_HEADER_TABLE_SIZE, where nobody says otherwise
MAX_LIST_BYTES: Final = 16 * 1024  # of one header list, unpacked
_ENTRY_BYTES: Final = 32  # what an entry counts beside its texts (RFC 7541, 4.1)

# Appendix A from the headers with names alone on
_NAMES: Final = (
    "accept-language accept-ranges accept access-control-allow-origin age allow authorization "
    "cache-control content-disposition content-encoding content-language content-length "
    "content-location content-range content-type cookie date etag expect expires from host "
    "if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link "
    "location max-forwards proxy-authenticate proxy-authorization range referer refresh "
    "retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary "
    "via www-authenticate"
)
_STATIC: Final = (
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    *((":status", code) for code in ("200", "204", "206", "304", "400", "404", "500")),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    *((name, "") for name in _NAMES.split()),
)
# Appendix B is a canonical code: bits -> the bytes with codes of that length, in order
_LENGTHS: Final = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\x00$@[]~",
    14: b"^}",
    15: b"<`{",
    19: b"\\\xc3\xd0",
    20: b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
    21: b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
    22: b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4"
    b"\xc6\xe4\xe8\xe9",
    23: b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4"
    b"\xb6\xb7\xbc\xbf\xc5\xe7\xef",
    24: b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
    25: b"\xc7\xcf\xea\xeb",
    26: b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
    27: b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
    28: b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b"
    b"\x1c\x1d\x1e\x1f\x7f\xdc\xf9",
    30: b"\n\r\x16",
}
_LONGEST_CODE: Final = 30  # in bits; what is no code by then is the end of a string, or nothing
_LONGEST_PADDING: Final = 7


class BadHeaders(ValueError):
    """A block of headers cannot be read; the connection is of no use any more."""


def encode(headers: Iterable[Header]) -> bytes:
    """Returns a block in which nothing is compressed or remembered."""
    block = bytearray()
    for name, value in headers:
        block.append(0)  # a literal that is not indexed, with a new name
        for text in (name.encode(), value.encode()):
            block += _integer(len(text), 7) + text
    return bytes(block)


def _integer(value: int, bits: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes((value,))
    found, rest = bytearray((most,)), value - most
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*found, rest))


class Decoder:
    """Reads the blocks of one connection in their order: a block may rest on those before it."""

    def __init__(self) -> None:
        self._table: deque[Header] = deque()
        self._size = 0
        self._most = MAX_TABLE_BYTES

    def decode(self, block: bytes) -> list[Header]:
        """Returns the headers of a block; raises BadHeaders."""
        headers: list[Header] = []
        room = MAX_LIST_BYTES
        at = 0
        while at < len(block):
            header, at = self._field(block, at)
            if header is not None:
                room -= _size(header)
                if room < 0:
                    raise BadHeaders(f"headers of more than {MAX_LIST_BYTES} bytes")
                headers.append(header)
        return headers

    def _field(self, block: bytes, at: int) -> tuple[Header | None, int]:
        """Reads one field; None for a change of the table's size."""
        first = block[at]
        if first & 0x80:
            index, at = _read_integer(block, at, 7)
            return self._entry(index), at
        if first & 0xE0 == 0x20:
            most, at = _read_integer(block, at, 5)
            self._resize(most)
            return None, at
        kept = first & 0xC0 == 0x40
        index, at = _read_integer(block, at, 6 if kept else 4)
        name, at = (self._entry(index)[0], at) if index else _read_text(block, at)
        value, at = _read_text(block, at)
        if kept:
            self._keep((name, value))
        return (name, value), at

    def _entry(self, index: int) -> Header:
        if 1 <= index <= len(_STATIC):
            return _STATIC[index - 1]
        if len(_STATIC) < index <= len(_STATIC) + len(self._table):
            return self._table[index - len(_STATIC) - 1]
        raise BadHeaders(f"no header has the index {index}")

    def _resize(self, most: int) -> None:
        if most > MAX_TABLE_BYTES:
            raise BadHeaders("a table larger than was allowed")
        self._most = most
        self._evict()

    def _keep(self, header: Header) -> None:
        self._table.appendleft(header)
        self._size += _size(header)
        self._evict()

    def _evict(self) -> None:
        while self._size > self._most:
            self._size -= _size(self._table.pop())


def _size(header: Header) -> int:
    name, value = header
    return len(name) + len(value) + _ENTRY_BYTES


def _read_integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    for shift in range(0, 28, 7):  # what takes more is longer than any block
        if at >= len(block):
            break
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadHeaders("a number that does not end")


def _read_text(block: bytes, at: int) -> tuple[str, int]:
    if at >= len(block):
        raise BadHeaders("a block that ends within a header")
    packed = block[at] & 0x80
    length, at = _read_integer(block, at, 7)
    if at + length > len(block):
        raise BadHeaders("a text that is longer than its block")
    data = block[at : at + length]
    text = _unpack(data) if packed else data
    return text.decode("latin-1"), at + length


@cache
def _codes() -> dict[tuple[int, int], int]:
    """Returns the byte of each code by its length in bits and its value."""
    found: dict[tuple[int, int], int] = {}
    code = before = 0
    for bits, symbols in _LENGTHS.items():
        code <<= bits - before
        before = bits
        for symbol in symbols:
            found[bits, code] = symbol
            code += 1
    return found


def _unpack(data: bytes) -> bytes:
    """Returns what a Huffman code stands for; it is padded with ones to whole bytes."""
    codes = _codes()
    found = bytearray()
    code = bits = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, bits = code << 1 | byte >> shift & 1, bits + 1
            if (symbol := codes.get((bits, code))) is not None:
                found.append(symbol)
                code = bits = 0
            elif bits >= _LONGEST_CODE:
                raise BadHeaders("no such Huffman code")
    if bits > _LONGEST_PADDING or code != (1 << bits) - 1:
        raise BadHeaders("a Huffman code with bad padding")
    return bytes(found)
