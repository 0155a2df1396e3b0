"""A request and its response, as values: what the HTTP server, the in-process client and the API
exchange. Not a parser; the transport turns these into bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import msgspec
from msgspec import field

_REPEATED: Final = 1024  # queries of clients that ask the same over and over
_REPEATED_LENGTH: Final = 256


class User(msgspec.Struct, frozen=True):
    """Who asks (authentication.k8s.io UserInfo)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Remarked(User, frozen=True):
    """Somebody who is told something with each answer about a resource."""

    remark: str = ""


class Peer(msgspec.Struct):
    """One connection: what is known of the other end, for as long as it lasts.

    `certificate` is the verified client certificate in DER, or None. `local` says that the
    connection came over the server's own Unix socket, which its user alone can open. `identity` is
    the authenticator's cache: it keeps here what it found out once per connection.
    """

    address: str = ""
    certificate: bytes | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    local: bool = False


class Notes(Protocol):
    """What the audit log keeps of a request; `id` is told to its client."""

    id: str

    @property
    def has_objects(self) -> bool:
        """Whether objects are kept."""

    def annotate(self, key: str, value: str) -> None:
        """Keeps a note; the first of a key stays."""


class Request:
    """One request. `path` is percent-decoded, `query` is raw, header names are lower case.

    `user` is set by the in-process client only; a request from a socket has None and is
    authenticated from its peer and headers. `finished` is set by a handler that wants to know when
    its answer has been written, or given up: the connection calls it, once. `notes` is what the
    audit log keeps, None where it keeps nothing. `outside` is for how many seconds others had it
    (webhooks of admission), or it waited for its turn.
    """

    __slots__ = (
        "_params",
        "body",
        "finished",
        "headers",
        "method",
        "notes",
        "outside",
        "path",
        "peer",
        "query",
        "user",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        peer: Peer | None = None,
        user: User | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body
        self.peer = peer
        self.user = user
        self.finished: Callable[[], None] | None = None
        self.notes: Notes | None = None
        self.outside = 0.0
        self._params: Mapping[str, Sequence[str]] | None = None

    @property
    def params(self) -> Mapping[str, Sequence[str]]:
        """The query parameters; blank values are kept."""
        if self._params is None:
            self._params = _parameters(self.query)
        return self._params

    def param(self, name: str, default: str = "") -> str:
        """Returns the first value of a query parameter."""
        values = self.params.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """Says whether a parameter is true as upstream reads booleans: "0", "false" are not."""
        values = self.params.get(name)
        return values is not None and values[0].lower() not in ("0", "false")


def _parameters(query: str) -> Mapping[str, Sequence[str]]:
    if not query:
        return {}
    return _repeated(query) if len(query) <= _REPEATED_LENGTH else _parsed(query)


def _parsed(query: str) -> Mapping[str, Sequence[str]]:
    return parse_qs(query, keep_blank_values=True)


_repeated = lru_cache(_REPEATED)(_parsed)


class Chunk:
    """A piece of a stream, encoded once however many receive it."""

    __slots__ = ("_framed", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._framed: bytes | None = None

    @property
    def framed(self) -> bytes:
        """The piece with HTTP/1.1 chunk framing."""
        if self._framed is None:
            self._framed = b"%x\r\n%b\r\n" % (len(self.data), self.data)
        return self._framed


class Sink(Protocol):
    """Where a pushed stream goes. Never blocks: who pushes looks at `pending` and gives up."""

    @property
    def pending(self) -> int:
        """Bytes accepted and not yet taken by the other end."""

    def send(self, chunk: Chunk) -> None:
        """Accepts a piece; ignored once closed."""

    def finish(self) -> None:
        """Ends the stream cleanly after what was sent."""

    def abort(self) -> None:
        """Breaks the stream off, so that the other end cannot take it for a clean end."""


class Channel(Protocol):
    """The raw connection after an upgrade."""

    async def read(self) -> bytes:
        """Returns the next bytes, b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Sends bytes, waiting while the other end is slow."""

    def close(self) -> None:
        """Closes the connection."""


# Starts pushing into the sink and returns what to call when the sink is closed
Push = Callable[[Sink], Callable[[], None]]


class Upgrade(msgspec.Struct):
    """Hands the connection over once the 101 answer is out."""

    take: Callable[[Channel], Coroutine[Any, Any, None]]


Body = bytes | Sequence[bytes] | AsyncIterator[bytes] | Push | Upgrade

JSON = "application/json"


class Response:
    """One answer. A body is whole (bytes, or pieces that are written together), pulled (an async
    iterator, under back-pressure), pushed (a function of a sink) or an upgrade."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: Body = b"",
        status: int = 200,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers


# A handler answers at once where nothing has to be waited for: a read from the cache costs no task
Handler = Callable[[Request], "Response | Coroutine[Any, Any, Response]"]
