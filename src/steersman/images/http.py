"""A small HTTP/1.1 client for registries: GET with a streamed body, one connection per request.

Not here: redirects, tokens, meaning of status codes. One rule: every wait has a deadline and every
buffer a bound; what fails below HTTP is Unreachable. Follows RFC 9112.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Protocol, Self
from urllib.parse import urlsplit

import msgspec

from steersman.images.errors import Refused, Unreachable

CONNECT_SECONDS = 15.0  # name resolution, TCP and TLS
ANSWER_SECONDS = 60.0  # registries look into slow storage before they answer
IDLE_SECONDS = 60.0  # between two pieces of a body
HEADER_LIMIT = 1 << 16
CHUNK_BYTES = 1 << 18


class Response(Protocol):
    """An answer whose body is still to come; leaving `async with` ends the connection."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names are in lower case."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yields the body in pieces. Raises Unreachable when it breaks off."""

    async def read(self, limit: int) -> bytes:
        """Reads the whole body. Raises Refused when it is over `limit` bytes."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


class Http(Protocol):
    """What the registry client needs of HTTP."""

    async def get(self, url: str, headers: Mapping[str, str]) -> Response: ...


class _Address(msgspec.Struct, frozen=True):
    host: str
    port: int
    is_tls: bool
    target: str
    authority: str


class StreamHttp:
    """Http over asyncio's streams; `context` replaces the system's certificates (for tests)."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context

    async def get(self, url: str, headers: Mapping[str, str]) -> Response:
        """Sends a GET and returns when the headers have come. Raises Unreachable and Refused."""
        address = _address(url)
        request = _request(address, headers)
        reader, writer = await self._connect(address)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                writer.write(request)
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
            status, found = _parse_head(head)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            writer.transport.abort()
            raise _unreachable(address, error) from None
        except BaseException:
            writer.transport.abort()
            raise
        return _StreamResponse(address, status, found, reader, writer)

    async def _connect(
        self, address: _Address
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if address.is_tls and self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(
                    address.host,
                    address.port,
                    ssl=self._context if address.is_tls else None,
                    limit=HEADER_LIMIT,
                )
        except (OSError, TimeoutError) as error:
            raise _unreachable(address, error) from None


class _StreamResponse:
    """The answer of a StreamHttp."""

    def __init__(
        self,
        address: _Address,
        status: int,
        headers: Mapping[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.status, self.headers = status, headers
        self._address, self._reader, self._writer = address, reader, writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def read(self, limit: int) -> bytes:
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise Refused(f"{self._address.authority} answers with over {limit} bytes")
        return bytes(body)

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            pieces = self._chunked()
        elif "content-length" in self.headers:
            pieces = self._counted(_length(self.headers["content-length"]))
        else:
            pieces = self._to_the_end()
        async for piece in pieces:
            yield piece

    async def _chunked(self) -> AsyncIterator[bytes]:
        while size := await self._chunk_size():
            async for piece in self._counted(size):
                yield piece
            if await self._piece(2) != b"\r\n":
                raise Unreachable(f"{self._address.authority} sends a malformed chunk")

    async def _chunk_size(self) -> int:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                line = await self._reader.readuntil(b"\r\n")
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            raise _unreachable(self._address, error) from None
        digits = line.partition(b";")[0].strip()
        if not 0 < len(digits) <= 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise Unreachable(f"{self._address.authority} sends a malformed chunk")
        return int(digits, 16)

    async def _counted(self, left: int) -> AsyncIterator[bytes]:
        while left:
            piece = await self._piece(min(left, CHUNK_BYTES))
            if not piece:
                raise Unreachable(f"{self._address.authority} broke off {left} bytes early")
            left -= len(piece)
            yield piece

    async def _to_the_end(self) -> AsyncIterator[bytes]:
        while piece := await self._piece(CHUNK_BYTES):
            yield piece

    async def _piece(self, size: int) -> bytes:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                if size == 2:
                    return await self._reader.readexactly(2)
                return await self._reader.read(size)
        except (OSError, EOFError, TimeoutError) as error:
            raise _unreachable(self._address, error) from None


def _address(url: str) -> _Address:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused(f"{url!r} is no URL") from None
    is_valid = parts.scheme in ("http", "https") and host and url.isprintable() and " " not in url
    if not is_valid or host is None or parts.username is not None or not url.isascii():
        raise Refused(f"{url!r} is no URL of a registry")
    is_tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Address(host, port or (443 if is_tls else 80), is_tls, target, parts.netloc)


def _request(address: _Address, headers: Mapping[str, str]) -> bytes:
    fields = {
        "Host": address.authority,
        "User-Agent": "steersman",
        "Connection": "close",
        **headers,
    }
    if not all(value.isprintable() and value.isascii() for value in fields.values()):
        raise Refused("a header would hold characters that HTTP does not allow")
    lines = [f"GET {address.target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
        raise Unreachable(f"the server does not speak HTTP/1.1: {first[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key, value = name.strip().lower(), value.strip()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return int(words[1]), headers


def _length(text: str) -> int:
    if not text.isdecimal() or len(text) > 15:
        raise Unreachable(f"the server states a length of {text[:40]!r}")
    return int(text)


def _unreachable(address: _Address, error: Exception) -> Unreachable:
    if isinstance(error, TimeoutError) and not error.args:
        reason = "no answer in time"
    elif isinstance(error, EOFError):
        reason = "the connection was closed early"
    elif isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted: {error.verify_message}"
    elif isinstance(error, OSError):
        reason = error.strerror or str(error)
    else:
        reason = f"its headers are over {HEADER_LIMIT} bytes"
    return Unreachable(f"cannot reach {address.authority}: {reason}")
