"""HTTP/1.1 requests to values and answers to bytes, on httptools; no I/O.

The reader enforces the bounds that hold before anybody is authenticated. What it refuses is said
by a `Refused`, which carries the answer; after it the connection cannot be read any further.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
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
# A single write of a stream, so that none holds the loop for long; and what is larger than 128 KiB
# the allocator fetches from the kernel, page by page, for three times the price
PIECE_BYTES = 64 * 1024

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NAMING_GROUPS = ("impersonate-", "x-remote-")
LAST_CHUNK = b"0\r\n\r\n"
NO_CONTENT = frozenset((204, 304))

# Where a reader stands (plain numbers: members of an Enum cost more than the rest of a callback)
IDLE, HEAD, BODY = 0, 1, 2

# Headers with which a GET is not like the one before
_SPECIAL = frozenset(("connection", "content-length", "expect", "transfer-encoding", "upgrade"))
_GET_LINE = re.compile(rb"GET (/[!-~]*) HTTP/1\.1")
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
    """Reads the requests of one connection and gives each whole one to `take`.

    stage: where it stands between two calls of `feed`
    taken: how many requests it has given away
    continue_due: the client waits for 100 Continue before it sends a body
    body_bytes: what is held of a body that has not ended yet
    """

    def __init__(self, peer: Peer, take: Callable[[Incoming], None]) -> None:
        self.peer = peer
        self.stage = IDLE
        self.taken = 0
        self.continue_due = False
        self.body_bytes = 0
        self._take = take
        self._refusal: Refused | None = None
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._url = b""
        # Bytes seen in callbacks so far, what they may come to, bytes that had no effect yet
        self._seen = 0
        self._limit = HEADER_BYTES
        self._silent = 0
        # The header lines of the last plain GET, with which the next one probably comes
        self._repeated = b""
        self._repeated_headers: dict[str, str] = {}
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bytes | None:
        """Reads more bytes; raises Refused.

        Returns None, or after a request that asks for an upgrade the bytes behind it: they belong
        to the new protocol, or are to be fed again where the upgrade is not granted.
        """
        if self.stage == IDLE and self._repeats(data):
            return None
        seen, taken, stage = self._seen, self.taken, self.stage
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            raise self._refusal or refused(400, str(error)) from None
        if stage == self.stage == IDLE and self.taken == taken + 1:
            self._remember(data)
        # The parser keeps an unfinished header to itself, so bytes without effect are counted too
        self._silent = self._silent + len(data) if self._seen == seen else 0
        if self._silent > HEADER_BYTES:
            raise _head_too_large()
        return None

    def drop(self) -> None:
        """Lets go of an unfinished body; the reader is not fed any more.

        Parser and reader hold each other, so it would stay until the collector runs.
        """
        self._pieces = []
        self.body_bytes = 0

    def _remember(self, data: bytes) -> None:
        """Keeps the header lines of a GET that came alone and without anything special."""
        line = data.find(b"\r\n")
        headers = self._headers
        if data.startswith(b"GET ") and data.endswith(b"\r\n\r\n") and _SPECIAL.isdisjoint(headers):
            self._repeated = data[line:]
            self._repeated_headers = headers

    def _repeats(self, data: bytes) -> bool:
        """Takes a GET whose header lines are, byte for byte, those that the parser accepted
        before: a client that keeps its connection sends the same ones over and over."""
        repeated = self._repeated
        if not repeated or not data.endswith(repeated):
            return False
        line = _GET_LINE.fullmatch(data, 0, len(data) - len(repeated))
        if line is None:
            return False
        self._url = line[1]
        path, query = self._target()
        request = Request("GET", path, query, self._repeated_headers, peer=self.peer)
        self.taken += 1
        self._take(Incoming(request, True, False, False))
        return True

    # What httptools calls; an exception here ends `feed_data`

    def on_url(self, url: bytes) -> None:
        if self.stage == IDLE:
            self.stage = HEAD
            self._headers = {}
            self._url = url
            self._limit = self._seen + HEADER_BYTES
        else:
            self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._seen += len(name) + len(value)
        if self._seen > self._limit:
            self._refuse(_head_too_large())
        if self.stage == BODY:
            return  # a trailer: nobody asks for one, and it may not pass for a header
        key = _NAMES.get(name) or name.lower().decode("latin-1")
        text = value.decode("latin-1")
        headers = self._headers
        if key in headers:
            text = _joined(key, headers[key], text)
        headers[key] = text

    def on_headers_complete(self) -> None:
        self.stage = BODY
        self._limit = self._seen + BODY_BYTES
        headers = self._headers
        if "host" not in headers and self._parser.get_http_version() != "1.0":
            self._refuse(refused(400, "missing required Host header"))
        if "content-length" in headers and int(headers["content-length"]) > BODY_BYTES:
            self._refuse(Refused(to_response(too_large())))
        if "expect" in headers:
            self.continue_due = headers["expect"].lower() == "100-continue"

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._seen += len(piece)
        self.body_bytes += len(piece)
        if self._seen > self._limit:
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
        body = b""
        if self._pieces:
            body = b"".join(self._pieces)
            self._pieces = []
            self.body_bytes = 0
        method = parser.get_method().decode("latin-1")
        request = Request(method, path, query, headers, body, peer=self.peer)
        self.continue_due = False
        self.stage = IDLE
        self.taken += 1
        self._take(Incoming(request, keep_alive, old, upgrade))

    def _count(self, size: int) -> None:
        self._seen += size
        if self._seen > self._limit:
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
            return path, query.decode("utf-8") if query else ""
        except ValueError:
            self._refuse(refused(400, "invalid URL escape"))
            raise

    def _refuse(self, refusal: Refused) -> None:
        self._refusal = refusal
        raise refusal


def _head_too_large() -> Refused:
    return refused(431, f"limit is {HEADER_BYTES} bytes")


def _joined(name: str, first: str, second: str) -> str:
    """Joins a header that came twice. The names of groups may hold commas, so headers that name
    them are joined by a line break, which no header value can hold."""
    return f"{first}\n{second}" if name.startswith(_NAMING_GROUPS) else f"{first}, {second}"


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
    status: int, content_type: str, extra: Mapping[str, str] | None, fixed: str, framing: str
) -> bytes:
    """Returns the head of an answer.

    `fixed` and `framing` are finished header lines; `extra` is checked for line breaks here.
    """
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    if content_type:
        line += f"Content-Type: {content_type}\r\n"
    if extra:
        line += "".join([f"{key}: {_one_line(extra[key])}\r\n" for key in extra])
    return f"{line}{fixed}{framing}\r\n".encode()


def render_date(seconds: int) -> str:
    """Returns a moment as the Date header has it (RFC 9110 section 5.6.7)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


def _one_line(value: str) -> str:
    """Keeps a value from ending its header: what it quotes may come from anybody."""
    return " ".join(value.splitlines()) if "\n" in value or "\r" in value else value


def framed(piece: bytes) -> bytes:
    """Returns one piece of a stream with chunk framing; an empty one would end the stream."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
