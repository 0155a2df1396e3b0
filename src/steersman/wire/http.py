"""HTTP/1.1 requests to values and answers to bytes, on httptools; no I/O.

The reader enforces the bounds that hold before anybody is authenticated. What it refuses is said
by a `Refused`, which carries the answer; after it the connection cannot be read any further.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from enum import Enum
from http import HTTPStatus
from urllib.parse import unquote

import httptools

from steersman.model.errors import BadRequest, RequestTooLarge
from steersman.wire.message import Peer, Request, Response
from steersman.wire.status import to_response

# Request line and headers; nothing that a Kubernetes client sends comes near it
HEADER_BYTES = 64 * 1024
# kube-apiserver's MaxRequestBodyBytes, here after decompression
BODY_BYTES = 3 * 1024 * 1024
# A single write of a stream; larger ones are cut so that no write holds the loop for long
PIECE_BYTES = 256 * 1024

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
NO_CONTENT = frozenset((204, 304))

# The spellings that clients use, so that the common header costs one look-up
_NAMES = {
    spelling: name.lower()
    for name in (
        *("Accept", "Accept-Encoding", "Authorization", "Audit-Id", "Connection", "Content-Length"),
        *("Content-Type", "Host", "Kubectl-Command", "Kubectl-Session", "User-Agent"),
    )
    for spelling in (name.encode(), name.lower().encode())
}
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}


class Stage(Enum):
    """Where a reader stands."""

    IDLE = 0
    HEAD = 1
    BODY = 2


class Refused(Exception):
    """The connection sent what cannot be served; `response` is the last answer it gets."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def refused(code: int, text: str) -> Refused:
    """Returns a refusal in plain text, as Go's HTTP server words them."""
    body = f"{code} {HTTPStatus(code).phrase}: {text}".encode()
    return Refused(Response(body, code, "text/plain; charset=utf-8"))


def too_large() -> RequestTooLarge:
    """Returns the error for a body over the bound (errors.NewRequestEntityTooLargeError)."""
    return RequestTooLarge(f"Request entity too large: limit is {BODY_BYTES}")


class Incoming:
    """One request as it came over a connection, or the refusal that ends it.

    keep_alive: the connection goes on after the answer
    old:        HTTP/1.0, which knows no chunks
    upgrade:    the client offers to leave HTTP
    """

    __slots__ = ("keep_alive", "old", "request", "upgrade")

    def __init__(self, request: Request, keep_alive: bool, old: bool, upgrade: bool) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.old = old
        self.upgrade = upgrade


class RequestReader:
    """Reads the requests of one connection and gives each whole one to `take`."""

    def __init__(self, peer: Peer, take: Callable[[Incoming], None]) -> None:
        self.peer = peer
        self.continue_due = False
        self.stage = Stage.IDLE
        self.taken = 0
        self._take = take
        self._seen = 0
        self._start = 0
        self._silent = 0
        self._refusal: Refused | None = None
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._url = b""
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bytes | None:
        """Reads more bytes; raises Refused.

        Returns None, or after a request that asks for an upgrade the bytes behind it: the
        connection then goes on as something else, or as HTTP by `restart`.
        """
        seen = self._seen
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            raise self._refusal or refused(400, str(error)) from None
        # The parser keeps an unfinished header to itself, so bytes without effect are counted too
        self._silent = self._silent + len(data) if self._seen == seen else 0
        if self._silent > HEADER_BYTES:
            raise _head_too_large()
        return None

    def restart(self) -> None:
        """Goes on reading HTTP after an upgrade that was not granted."""
        self._parser = httptools.HttpRequestParser(self)

    # What httptools calls; an exception here ends `feed_data`

    def on_message_begin(self) -> None:
        self.stage = Stage.HEAD
        self._headers = {}
        self._url = b""
        self._start = self._seen

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if self.stage is not Stage.HEAD:
            return  # a trailer: nobody asks for one, and it may not pass for a header
        key = _NAMES.get(name) or name.lower().decode("latin-1")
        text = value.decode("latin-1")
        if key in self._headers:
            text = _joined(key, self._headers[key], text)
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        self.stage = Stage.BODY
        self._start = self._seen
        headers = self._headers
        if "host" not in headers and self._parser.get_http_version() != "1.0":
            self._refuse(refused(400, "missing required Host header"))
        if int(headers.get("content-length", 0)) > BODY_BYTES:
            self._refuse(Refused(to_response(too_large())))
        if "expect" in headers:
            self.continue_due = headers["expect"].lower() == "100-continue"

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._seen += len(piece)
        if self._seen - self._start > BODY_BYTES:
            self._refuse(Refused(to_response(too_large())))

    def on_message_complete(self) -> None:
        parser, headers = self._parser, self._headers
        keep_alive = parser.should_keep_alive()
        old = (not keep_alive or "connection" in headers) and parser.get_http_version() == "1.0"
        upgrade = parser.should_upgrade()
        if upgrade and (
            headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        ):
            # The parser takes what follows for the upgraded protocol's bytes
            self._refuse(refused(400, "an upgrade request cannot have a body"))
        path, query = self._target()
        pieces, self._pieces = self._pieces, []
        method = parser.get_method().decode("latin-1")
        body = b"".join(pieces) if pieces else b""
        request = Request(method, path, query, headers, body, peer=self.peer)
        self.continue_due = False
        self.stage = Stage.IDLE
        self.taken += 1
        self._take(Incoming(request, keep_alive, old, upgrade))

    def _count(self, size: int) -> None:
        self._seen += size
        if self.stage is Stage.HEAD and self._seen - self._start > HEADER_BYTES:
            self._refuse(_head_too_large())

    def _target(self) -> tuple[str, str]:
        url = self._url
        if not url.startswith(b"/"):
            url = _origin_form(url)
        raw, _, query = url.partition(b"?")
        try:
            path = raw.decode("utf-8")
            if "%" in path:
                path = percent_decoded(path)
            return path, query.decode("utf-8")
        except ValueError:
            self._refuse(refused(400, "invalid URL escape"))
            raise

    def _refuse(self, refusal: Refused) -> None:
        self._refusal = refusal
        raise refusal


def _head_too_large() -> Refused:
    return refused(431, f"limit is {HEADER_BYTES} bytes")


def _joined(name: str, first: str, second: str) -> str:
    """Joins a header that came twice. The names of groups may hold commas, so impersonation
    headers are joined by a line break, which no header value can hold."""
    return f"{first}\n{second}" if name.startswith("impersonate-") else f"{first}, {second}"


def _origin_form(url: bytes) -> bytes:
    """Returns path and query of a target in absolute form; `*` and host:port stay as they are."""
    _, scheme, rest = url.partition(b"://")
    if not scheme:
        return url
    _, slash, path = rest.partition(b"/")
    return slash + path if slash else b"/"


def percent_decoded(path: str) -> str:
    """Returns the path with its escapes decoded; raises ValueError for a bad escape or text that
    is not UTF-8."""
    if _BAD_ESCAPE.search(path):
        raise ValueError(path)
    return unquote(path, errors="strict")


def inflate(body: bytes) -> bytes:
    """Returns the content of a gzip body; raises RequestTooLarge, BadRequest."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = unpacker.decompress(body, BODY_BYTES + 1)
    except zlib.error as error:
        raise BadRequest(f"the request's body is not gzip: {error}") from None
    if len(content) > BODY_BYTES:
        raise too_large()
    if not unpacker.eof:
        raise BadRequest("the request's body is not gzip: it ends too early")
    return content


def head(
    status: int,
    content_type: str,
    extra: Mapping[str, str] | None,
    fixed: str,
    framing: str,
) -> bytes:
    """Returns the head of an answer.

    `fixed` and `framing` are finished header lines; `extra` is checked for line breaks here.
    """
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    more = "".join([f"{key}: {_one_line(extra[key])}\r\n" for key in extra]) if extra else ""
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    return f"{line}{fixed}{kind}{more}{framing}\r\n".encode()


def _one_line(value: str) -> str:
    """Keeps a value from ending its header: what it quotes may come from anybody."""
    return " ".join(value.splitlines()) if "\n" in value or "\r" in value else value


def framed(piece: bytes) -> bytes:
    """Returns one piece of a stream with chunk framing; an empty one would end the stream."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
