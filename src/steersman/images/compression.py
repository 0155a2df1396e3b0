"""Reads a blob as the bytes that it was compressed from: gzip, zstd or plain, told by its magic.

One rule: output is made in pieces and its ratio to the input is bounded, so that a small blob
cannot fill the disk or the memory.
"""

import hashlib
import importlib
import zlib
from collections.abc import Callable

from steersman.images.errors import Corrupt, Refused

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
CHUNK_BYTES = 1 << 18
RATIO_LIMIT = (
    200  # real layers reach 10; zeros in log files can pass it for a while, hence the slack
)
RATIO_SLACK_BYTES = 64 << 20

Read = Callable[[int], bytes]


class Plain:
    """The uncompressed bytes of `read`, hashed on the way; `read` has the contract of a raw file.

    After the end, `digest` is that of everything that was read, the diff ID of a layer.
    """

    def __init__(self, read: Read, ratio_limit: int = RATIO_LIMIT) -> None:
        head = read_up_to(read, len(ZSTD_MAGIC))
        source = _Source(read, head)
        if head.startswith(GZIP_MAGIC):
            self._pull: Read = _Gzip(source, ratio_limit).read
        elif head == ZSTD_MAGIC:
            self._pull = _zstd(source, ratio_limit)
        else:
            self._pull = source.read
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Reads at most `size` bytes; b"" only at the end. Raises Corrupt and Refused."""
        data = self._pull(size)
        self._hash.update(data)
        return data

    def drain(self, limit: int) -> None:
        """Reads to the end, which may be at most `limit` bytes away."""
        while data := self.read(CHUNK_BYTES):
            limit -= len(data)
            if limit < 0:
                raise Refused("the layer goes on long after the end of its archive")

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


class _Source:
    """The compressed bytes; gives back what was read to tell the format."""

    def __init__(self, read: Read, head: bytes) -> None:
        self._read, self._head = read, head
        self.consumed = 0

    def read(self, size: int) -> bytes:
        data, self._head = self._head[:size], self._head[size:]
        data = data or self._read(size)
        self.consumed += len(data)
        return data


class _Gzip:
    """Members of a gzip stream, one after another."""

    def __init__(self, source: _Source, ratio_limit: int) -> None:
        self._source, self._ratio_limit = source, ratio_limit
        self._member = zlib.decompressobj(wbits=31)
        self._input = b""
        self._produced = 0

    def read(self, size: int) -> bytes:
        while True:
            if not self._input:
                self._input = self._source.read(CHUNK_BYTES)
            if not self._input:
                return self._end()
            data = self._inflate(size)
            if data:
                self._produced += len(data)
                _check_ratio(self._produced, self._source.consumed, self._ratio_limit)
                return data

    def _inflate(self, size: int) -> bytes:
        if self._member.eof:
            self._member = zlib.decompressobj(wbits=31)
        try:
            data = self._member.decompress(self._input, size)
        except zlib.error as error:
            raise Corrupt(f"the gzip data is damaged: {error}") from None
        self._input = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return data

    def _end(self) -> bytes:
        data = b"" if self._member.eof else self._member.flush()
        if not data and not self._member.eof:
            raise Corrupt("the gzip data is truncated")
        return data


def _zstd(source: _Source, ratio_limit: int) -> Read:
    try:
        zstandard = importlib.import_module("zstandard")  # an extra; the standard library has none
    except ImportError:
        raise Refused(
            "the layer is compressed with zstd; install the Python package zstandard to read it"
        ) from None
    reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
    produced = 0

    def read(size: int) -> bytes:
        nonlocal produced
        try:
            data: bytes = reader.read(size)
        except zstandard.ZstdError as error:
            raise Corrupt(f"the zstd data is damaged: {error}") from None
        produced += len(data)
        _check_ratio(produced, source.consumed, ratio_limit)
        return data

    return read


def _check_ratio(produced: int, consumed: int, ratio_limit: int) -> None:
    if produced > RATIO_SLACK_BYTES and produced > consumed * ratio_limit:
        raise Refused(f"the layer expands to over {ratio_limit} times its size")


def read_up_to(read: Read, size: int) -> bytes:
    """Reads `size` bytes, or fewer at the end."""
    data = b""
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data
