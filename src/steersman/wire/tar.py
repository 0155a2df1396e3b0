"""Tar archives as values: reads entries from a stream of bytes, writes headers as bytes.

Not here: files and directories; a caller brings `read` and does what an entry says. One rule: every
length that an archive states is checked against a limit before memory is spent on it. Follows POSIX
pax (ustar with extended headers) and the GNU long names that docker and buildah write.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec
from msgspec import field

BLOCK_BYTES = 512
METADATA_LIMIT = 1 << 20  # one extended header; xattr values are at most 64 kB in Linux
CHUNK_BYTES = 1 << 20
END = bytes(2 * BLOCK_BYTES)

Kind = Literal["file", "directory", "symlink", "hardlink", "character", "block", "fifo"]
_KINDS: Mapping[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "character",
    b"4": "block",
    b"5": "directory",
    b"6": "fifo",
}
_TYPES: Mapping[Kind, bytes] = {kind: code for code, kind in reversed([*_KINDS.items()])}
_XATTR = "SCHILY.xattr."


class TarError(ValueError):
    """The bytes are not a tar archive that this module reads; the message says why."""


class Entry(msgspec.Struct, frozen=True):
    """One member; names are bytes decoded as UTF-8 with surrogate escapes, times are seconds."""

    name: str
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


class Reader:
    """Iterates over the entries of an archive; `data()` gives the content of the current one.

    `read(n)` returns at most n bytes and b"" only at the end. Raises TarError.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._left = 0
        self._padding = 0
        self._defaults: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            yield entry

    def data(self) -> Iterator[bytes]:
        """Yields the rest of the current entry's content in pieces of at most 1 MiB."""
        while self._left:
            chunk = self._read(min(self._left, CHUNK_BYTES))
            if not chunk:
                raise TarError("the archive is truncated")
            self._left -= len(chunk)
            yield chunk

    def _next(self) -> Entry | None:
        records: dict[str, bytes] = dict(self._defaults)
        while True:
            self._skip()
            block = self._exactly(BLOCK_BYTES, at_end=True)
            if not block or block == bytes(BLOCK_BYTES):
                return None
            _check_sum(block)
            if not self._extended(block, records):
                return self._entry(block, records)

    def _extended(self, block: bytes, records: dict[str, bytes]) -> bool:
        """Reads an extended header into `records`; false when the block is an ordinary header."""
        code = block[156:157]
        if code not in (b"x", b"X", b"g", b"L", b"K"):
            return False
        size = _number(block[124:136])
        if size > METADATA_LIMIT:
            raise TarError(f"an extended header of {size} bytes is over {METADATA_LIMIT}")
        content = self._exactly(size)
        self._exactly(-size % BLOCK_BYTES)
        if code in (b"L", b"K"):
            records["path" if code == b"L" else "linkpath"] = content.rstrip(b"\0")
        elif code == b"g":
            self._defaults.update(_pax(content))
            records.update(self._defaults)
        else:
            records.update(_pax(content))
        return True

    def _entry(self, block: bytes, records: Mapping[str, bytes]) -> Entry:
        entry = _ordinary(block, records)
        self._left = entry.size if entry.kind == "file" else 0
        self._padding = -self._left % BLOCK_BYTES
        return entry

    def _skip(self) -> None:
        for _ in self.data():
            pass
        self._exactly(self._padding)
        self._padding = 0

    def _exactly(self, size: int, *, at_end: bool = False) -> bytes:
        parts: list[bytes] = []
        left = size
        while left:
            chunk = self._read(left)
            if not chunk and at_end and left == size:
                return b""
            if not chunk:
                raise TarError("the archive is truncated")
            parts.append(chunk)
            left -= len(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def render(entry: Entry) -> bytes:
    """The header of an entry: one ustar block, after a pax header where ustar cannot say it."""
    records: dict[str, bytes] = {}
    block = bytearray(BLOCK_BYTES)
    _put_text(block, 0, 100, entry.name, "path", records)
    _put_text(block, 157, 100, entry.target, "linkpath", records)
    _put_number(block, 100, 8, entry.mode, "mode", records)
    _put_number(block, 108, 8, entry.uid, "uid", records)
    _put_number(block, 116, 8, entry.gid, "gid", records)
    _put_number(block, 124, 12, entry.size, "size", records)
    _put_number(block, 136, 12, entry.mtime, "mtime", records)
    _put_number(block, 329, 8, entry.device[0], "device", records)
    _put_number(block, 337, 8, entry.device[1], "device", records)
    block[156:157] = _TYPES[entry.kind]
    for name in sorted(entry.xattrs):
        records[_XATTR + name] = entry.xattrs[name]
    return _pax_header(records) + _sealed(block)


def padding(size: int) -> bytes:
    """The zero bytes that follow content of this size."""
    return bytes(-size % BLOCK_BYTES)


def _ordinary(block: bytes, records: Mapping[str, bytes]) -> Entry:
    kind = _KINDS.get(block[156:157])
    if kind is None or any(key.startswith("GNU.sparse.") for key in records):
        raise TarError(f"an entry of type {block[156:157]!r} or a sparse file is not supported")
    name = records.get("path") or _name(block)
    if kind == "file" and name.endswith(b"/"):
        kind = "directory"  # tar before POSIX marked directories so
    size = _decimal(records, "size", block[124:136])
    if kind == "file" and size < 0:
        raise TarError("an entry has a negative size")
    return Entry(
        name=_text(name),
        kind=kind,
        mode=_number(block[100:108]) & 0o7777,
        uid=_decimal(records, "uid", block[108:116]),
        gid=_decimal(records, "gid", block[116:124]),
        size=size if kind == "file" else 0,
        mtime=_decimal(records, "mtime", block[136:148]),
        target=_text(records.get("linkpath") or _until_zero(block[157:257])),
        device=(_number(block[329:337]), _number(block[337:345]))
        if kind in ("character", "block")
        else (0, 0),
        xattrs={
            key.removeprefix(_XATTR): value
            for key, value in records.items()
            if key.startswith(_XATTR)
        },
    )


def _name(block: bytes) -> bytes:
    name, prefix = _until_zero(block[0:100]), _until_zero(block[345:500])
    is_ustar = block[257:263] == b"ustar\0"  # GNU keeps times in the prefix's place
    return prefix + b"/" + name if is_ustar and prefix else name


def _until_zero(value: bytes) -> bytes:
    return value.partition(b"\0")[0]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _number(value: bytes) -> int:
    """A number of a header: octal digits, or GNU's base 256 when the first bit is set."""
    if value[0] & 0x80:
        return int.from_bytes(bytes([value[0] & 0x7F]) + value[1:], "big") - (
            (1 << (8 * len(value) - 1)) if value[0] & 0x40 else 0
        )
    digits = value.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise TarError(f"a header holds {value!r} in place of a number") from None


def _decimal(records: Mapping[str, bytes], key: str, fallback: bytes) -> int:
    if key not in records:
        return _number(fallback)
    whole, _, fraction = records[key].partition(b".")
    digits = whole.removeprefix(b"-") + fraction
    if not digits.isdigit() or len(digits) > 40:
        raise TarError(f"the extended header {key} holds {records[key]!r}")
    return int(whole or b"0")


def _pax(content: bytes) -> dict[str, bytes]:
    """The records of an extended header, each `length key=value\\n`."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 8)
        length = content[at:space] if space >= 0 else b""
        end = at + int(length) if length.isdigit() else 0
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if end > len(content) or not equals or content[end - 1 : end] != b"\n":
            raise TarError("an extended header is malformed")
        records[_text(key)] = value
        at = end
    return records


def _check_sum(block: bytes) -> None:
    blank = block[:148] + b" " * 8 + block[156:]
    stated = _number(block[148:156])
    if stated != sum(blank) and stated != _signed_sum(blank):
        raise TarError("a header has a wrong checksum; this is no tar archive, or it is damaged")


def _signed_sum(blank: bytes) -> int:
    """The checksum as some old tars make it, of signed bytes."""
    return sum(blank) - 256 * sum(byte > 127 for byte in blank)


def _put_text(
    block: bytearray, at: int, size: int, text: str, key: str, records: dict[str, bytes]
) -> None:
    value = text.encode("utf-8", "surrogateescape")
    if len(value) > size:
        records[key] = value
    block[at : at + size] = value[:size].ljust(size, b"\0")


def _put_number(
    block: bytearray, at: int, size: int, number: int, key: str, records: dict[str, bytes]
) -> None:
    digits = b"%0*o" % (size - 1, max(number, 0))
    if number < 0 or len(digits) >= size:
        if key in ("mode", "device"):
            raise TarError(f"tar cannot hold the {key} {number}")
        records[key] = b"%d" % number
        digits = b"0" * (size - 1)
    block[at : at + size] = digits + b"\0"


def _pax_header(records: Mapping[str, bytes]) -> bytes:
    if not records:
        return b""
    content = b"".join(_pax_record(key, records[key]) for key in sorted(records))
    block = bytearray(BLOCK_BYTES)
    block[0:10] = b"PaxHeaders"
    block[156:157] = b"x"
    _put_number(block, 100, 8, 0o644, "mode", {})
    _put_number(block, 124, 12, len(content), "size", {})
    return _sealed(block) + content + padding(len(content))


def _pax_record(key: str, value: bytes) -> bytes:
    body = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(str(length)):  # the length counts its own digits
        length = len(body) + len(str(length))
    return str(length).encode() + body


def _sealed(block: bytearray) -> bytes:
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
