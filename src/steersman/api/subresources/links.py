"""Links in what comes back through a proxy, made to lead through it again: `Location`, and the
attributes of HTML that hold URLs.

Follows apimachinery's util/proxy/transport.go. A page is read as UTF-8; one that is too long to be
read at once, or in an encoding other than gzip and deflate, goes on as it is.
"""

from __future__ import annotations

import asyncio
import posixpath
import zlib
from collections.abc import AsyncIterator, Mapping
from html import escape
from html.parser import HTMLParser
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from steersman.wire.message import Response

# Bytes of a page, packed and unpacked: to read more takes a thread more than a second
MOST_BYTES: Final = 2 * 1024 * 1024
_WINDOW: Final[Mapping[str, int]] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}
# atomsToAttrs
_URLS: Final[Mapping[str, tuple[str, ...]]] = {
    "a": ("href",), "applet": ("codebase",), "area": ("href",), "audio": ("src",),
    "base": ("href",), "blockquote": ("cite",), "body": ("background",),
    "button": ("formaction",), "command": ("icon",), "del": ("cite",), "embed": ("src",),
    "form": ("action",), "frame": ("longdesc", "src"), "head": ("profile",),
    "html": ("manifest",), "iframe": ("longdesc", "src"), "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"), "ins": ("cite",), "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"), "q": ("cite",), "script": ("src",),
    "source": ("src",), "video": ("poster", "src"),
}  # fmt: skip


class Way(NamedTuple):
    """How a request went: the path before what the other side was asked for, whom the client
    asked, and who was asked in the end (hosts with ports)."""

    prefix: str
    asked: str
    reached: str

    def through(self, link: str) -> str:
        """Returns a link as it leads through the proxy; one to elsewhere, or relative to the page,
        stays."""
        try:
            scheme, host, path, query, fragment = urlsplit(link)
        except ValueError:
            return link
        if (host and host not in (self.asked, self.reached)) or not path.startswith("/"):
            return link
        if scheme and not host:
            return link
        if not path.startswith(self.prefix):
            slash = "/" if path.endswith("/") else ""
            path = posixpath.normpath(f"{self.prefix}/{path.lstrip('/')}") + slash
        return urlunsplit(("", "", path, query, fragment))


async def lead_back(answer: Response, way: Way) -> Response:
    """Returns an answer whose links lead through the proxy."""
    headers = dict(answer.headers or {})
    if link := headers.get("Location"):
        headers["Location"] = way.through(link)
        return Response(answer.body, answer.status, answer.content_type, headers)
    packed = headers.get("Content-Encoding", "")
    is_page = answer.content_type.partition(";")[0].strip() == "text/html"
    if not is_page or (packed and packed not in _WINDOW):
        return answer
    body = answer.body
    if isinstance(body, AsyncIterator):
        body = await _gathered(body)
    if not isinstance(body, bytes):
        return Response(body, answer.status, answer.content_type, headers)
    made = await asyncio.to_thread(_page, body, packed, way)
    return Response(made, answer.status, answer.content_type, headers)


async def _gathered(body: AsyncIterator[bytes]) -> bytes | AsyncIterator[bytes]:
    """Returns a body as a whole, or as it comes where it is too long."""
    pieces, size = [], 0
    async for piece in body:
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            return _resumed(pieces, body)
    return b"".join(pieces)


async def _resumed(pieces: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    async for piece in rest:
        yield piece


def _page(body: bytes, packed: str, way: Way) -> bytes:
    if not packed:
        return rewritten(body, way) if len(body) <= MOST_BYTES else body
    unpacking = zlib.decompressobj(_WINDOW[packed])
    try:
        plain = unpacking.decompress(body, MOST_BYTES)
    except zlib.error:
        return body
    if not unpacking.eof:
        return body
    packing = zlib.compressobj(wbits=_WINDOW[packed])
    return packing.compress(rewritten(plain, way)) + packing.flush()


def rewritten(page: bytes, way: Way) -> bytes:
    """Returns a page whose links lead through the proxy; all else is as it was, byte by byte."""
    text = page.decode("utf-8", "surrogateescape")
    reader = _Reader(text, way)
    reader.feed(text)
    reader.close()
    return reader.made().encode("utf-8", "surrogateescape")


class _Reader(HTMLParser):
    """Notes the start tags that are to be written anew, and where they stand."""

    def __init__(self, text: str, way: Way) -> None:
        super().__init__(convert_charrefs=False)
        self._text = text
        self._way = way
        self._lines = [0]
        for line in text.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._pieces: list[str] = []
        self._done = 0

    def made(self) -> str:
        """Returns the text with its new tags."""
        return "".join((*self._pieces, self._text[self._done :]))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._write(tag, attrs, ">")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._write(tag, attrs, "/>")

    def _write(self, tag: str, attrs: list[tuple[str, str | None]], end: str) -> None:
        urls = _URLS.get(tag, ())
        new = [
            (name, self._way.through(value) if value and name in urls else value)
            for name, value in attrs
        ]
        if new == attrs:
            return
        line, column = self.getpos()
        start = self._lines[line - 1] + column
        given = "".join(f' {name}="{escape(value or "")}"' for name, value in new)
        self._pieces += [self._text[self._done : start], f"<{tag}{given}{end}"]
        self._done = start + len(self.get_starttag_text() or "")
