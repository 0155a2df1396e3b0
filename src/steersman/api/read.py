"""GET of one object and of a list, from the cache where it can answer and from the store's history
where it cannot.
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import msgspec
import orjson

from steersman.api import keys, present
from steersman.api.cache import Cache, Entry
from steersman.api.call import Call
from steersman.api.form import encode
from steersman.api.selecting.selection import Selection, selection_of
from steersman.model.errors import BadRequest, Cause, Expired, Timeout
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.store.interface import Compacted, Page, Record
from steersman.wire import options
from steersman.wire.http import PIECE_BYTES
from steersman.wire.media import PROTOBUF
from steersman.wire.message import JSON, Response
from steersman.world.interface import World

# What is encoded in Protocol Buffers in one go: about 3 ms of work
BINARY_SLICE_BYTES = 48 * 1024
# A token that names no moment: it goes on with whatever is there (storage.EncodeContinue, rv -1)
INCONSISTENT = -1
TOKEN_VERSION = "meta.k8s.io/v1"
TOO_OLD = "The resourceVersion for the provided list is too old."
REVISION_AND_CONTINUE = "specifying resource version is not allowed when using continue"
CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


# Returns a list in Protocol Buffers of its metadata and its items
Head = Callable[[Document, list[bytes]], bytes]


class Selected(msgspec.Struct, frozen=True):
    """The entries of one answer and the list metadata that goes with them."""

    entries: Sequence[Entry]
    metadata: Document


class _Token(msgspec.Struct, frozen=True):
    """What a continue token says: its own version, a revision, behind which key to go on."""

    v: str = ""
    rv: int = 0
    start: str = ""


class Reader:
    """Answers reads; see the module."""

    def __init__(self, cache: Cache, world: World) -> None:
        self._cache = cache
        self._world = world

    def get(self, call: Call) -> Response | Coroutine[Any, Any, Response]:
        """Answers a GET of one object."""
        if call.request.query:
            wanted = parse_revision(call.request.param("resourceVersion"))
            if wanted > self._cache.revision:
                return self._get_later(call, wanted)
        return self.show(call, call.entry())

    async def _get_later(self, call: Call, revision: int) -> Response:
        await self.wait_for(revision)
        return self.show(call, call.entry())

    def show(self, call: Call, entry: Entry, status: int = 200) -> Response:
        """Returns one object in the form the client wants."""
        presentation = call.presentation
        if call.kind.as_read is not None:
            entry = self._as_read(call, entry)
        if presentation is present.PLAIN:
            return Response(call.form.object(entry), status)
        include = call.request.param("includeObject")
        body = present.encoder(call.form, presentation, include, self._world.now())(entry)
        return Response(body, status)

    def _as_read(self, call: Call, entry: Entry) -> Entry:
        """Returns an object with what is worked out when it is read."""
        assert call.kind.as_read is not None
        document = entry.document()
        found = call.kind.as_read(document, self._world.now())
        return entry if found is document else entry.showing(encode(found))

    def list(self, call: Call) -> Response | Coroutine[Any, Any, Response]:
        """Answers a GET of a collection."""
        found = self.select(call)
        if isinstance(found, Selected):
            return self.answer(call, found)
        return self._list_later(call, found)

    async def _list_later(self, call: Call, coming: Coroutine[Any, Any, Selected]) -> Response:
        return self.answer(call, await coming)

    def select(
        self, call: Call, *, paged: bool = False
    ) -> Selected | Coroutine[Any, Any, Selected]:
        """Returns what is asked for of a collection. `paged` says that it is read in pages, whether
        or not the client says so: a revision alone is that very one then."""
        request = call.request
        selection = selection_of(call.kind, request)
        if not request.query:
            return self._now(call, selection)
        options.check_list(request)
        revision = parse_revision(request.param("resourceVersion"))
        exact = _is_exact(call, revision, paged)
        if request.param("continue") or (exact and revision != self._cache.revision):
            return self._past(call, selection, revision)
        if revision > self._cache.revision:
            return self._later(call, selection, revision)
        return self._now(call, selection)

    async def _later(self, call: Call, selection: Selection, revision: int) -> Selected:
        await self.wait_for(revision)
        return self._now(call, selection)

    def _now(self, call: Call, selection: Selection) -> Selected:
        limit = parse_limit(call)
        entries = selection.of(call.table, call.namespace)
        return self._page(entries, self._cache.revision, limit, selection)

    def _page(
        self, entries: Sequence[Entry], revision: int, limit: int, selection: Selection
    ) -> Selected:
        metadata: Document = {"resourceVersion": str(revision)}
        if limit and len(entries) > limit:
            metadata["continue"] = write_continue(revision, entries[limit - 1])
            if selection.everything:
                metadata["remainingItemCount"] = len(entries) - limit
            entries = entries[:limit]
        return Selected(entries, metadata)

    async def _past(self, call: Call, selection: Selection, revision: int) -> Selected:
        """Selects at a past revision: a further page, or an exact match."""
        start = behind = ""
        if token := call.request.param("continue"):
            if revision:
                raise BadRequest(REVISION_AND_CONTINUE)
            revision, behind = read_continue(token)
            start = keys.prefix_of(call.table.resource) + behind
        if revision == INCONSISTENT:
            revision = self._cache.revision
        await self.wait_for(revision)
        limit = parse_limit(call)
        prefix = keys.prefix_of(call.table.resource, call.namespace)
        try:
            return await self._matching(prefix, revision, start, limit, selection)
        except Compacted as error:
            if not behind:
                raise Expired(TOO_OLD) from error
            goes_on = encode_continue(INCONSISTENT, behind)
            raise Expired(CONTINUE_TOO_OLD, goes_on=goes_on) from error

    async def _matching(
        self, prefix: str, revision: int, start: str, limit: int, selection: Selection
    ) -> Selected:
        """Reads on until a page is full of selected objects or the range ends."""
        entries: list[Entry] = []
        while True:
            page = await self._cache.store.list(prefix, at=revision, after=start, limit=limit)
            entries += [entry for entry in map(_entry, page.records) if selection.matches(entry)]
            if not page.remaining or not limit or len(entries) >= limit:
                return _past(page, entries, revision, limit, selection)
            start = page.records[-1].key

    def answer(self, call: Call, selected: Selected) -> Response:
        """Returns a list in the form the client wants."""
        if call.kind.as_read is not None:
            entries = [self._as_read(call, entry) for entry in selected.entries]
            selected = Selected(entries, selected.metadata)
        if call.presentation.media == PROTOBUF:
            written = present.binary_list(call.form, call.presentation)
            return Response(self._binary(*written, selected), content_type=PROTOBUF)
        include = call.request.param("includeObject") if call.request.query else ""
        head, item = present.list_pieces(call.form, call.presentation, include, self._world.now())
        start = head(selected.metadata)
        size = sum(len(entry.value) for entry in selected.entries)
        if size <= PIECE_BYTES or call.presentation.media != JSON:
            items = b",".join(map(item, selected.entries))
            return Response(b"%b%b]}\n" % (start, items))
        return Response(_pieces(start, item, selected.entries))

    async def _binary(
        self,
        head: Head,
        item: Callable[[Entry], bytes],
        selected: Selected,
    ) -> AsyncIterator[bytes]:
        """Yields a list in Protocol Buffers. Its length stands in front, so all of it is encoded
        before the first byte leaves, and others have their turn meanwhile."""
        items, size = [], 0
        for entry in selected.entries:
            items.append(item(entry))
            size += len(entry.value)
            if size > BINARY_SLICE_BYTES:
                size = 0
                await self._world.sleep(0)
        yield head(selected.metadata, items)

    async def wait_for(self, revision: int) -> None:
        """Waits until the cache has a revision; raises Timeout as upstream's cacher does."""
        try:
            await self._cache.reached(revision)
        except TimeoutError as error:
            raise too_large(revision, self._cache.revision) from error


def _is_exact(call: Call, revision: int, paged: bool) -> bool:
    """Says whether a list is wanted as it was at a revision: by its match, or without one where
    it is bounded (upstream's legacy exact match)."""
    match = call.request.param("resourceVersionMatch")
    return match == "Exact" or (not match and revision > 0 and (paged or parse_limit(call) > 0))


async def _pieces(
    start: bytes, item: Callable[[Entry], bytes], entries: Sequence[Entry]
) -> AsyncIterator[bytes]:
    """Yields a list in pieces that end between two objects, so that none is cut by the transport
    but those of which one object alone is too long."""
    pieces, comma = [start], b""
    size = len(start)
    for entry in entries:
        encoded = item(entry)
        size += len(encoded) + 1
        if size > PIECE_BYTES:
            yield b"".join(pieces)
            pieces, size = [], len(encoded) + 1
        pieces += (comma, encoded)
        comma = b","
    yield b"".join((*pieces, b"]}\n"))


def _past(
    page: Page, entries: list[Entry], revision: int, limit: int, selection: Selection
) -> Selected:
    metadata: Document = {"resourceVersion": str(revision)}
    more = page.remaining or (limit and len(entries) > limit)
    if more:
        entries = entries[:limit]
        metadata["continue"] = write_continue(revision, entries[-1])
        if selection.everything:
            metadata["remainingItemCount"] = page.remaining
    return Selected(entries, metadata)


def _entry(record: Record) -> Entry:
    _, namespace, name = keys.parse(record.key)
    assert record.value is not None
    return Entry(record, record.value, namespace, name)


def parse_revision(text: str) -> int:
    """Returns a resourceVersion as a number, 0 where none is given; raises BadRequest."""
    if not text:
        return 0
    try:
        return options.unsigned(text)
    except ValueError as error:
        wrong = f"Invalid value: {quote(text)}"
        cause = Cause("FieldValueInvalid", wrong, "resourceVersion")
        raise BadRequest(f"{wrong}: {error}", causes=[cause]) from error


def parse_limit(call: Call) -> int:
    """Returns the page size asked for; 0 means all."""
    return max(options.whole(call.request.param("limit")), 0)


def write_continue(revision: int, last: Entry) -> str:
    """Returns the token that continues behind an entry (storage.EncodeContinue)."""
    return encode_continue(revision, f"{last.namespace}/{last.name}")


def encode_continue(revision: int, start: str) -> str:
    """Returns the token that continues behind a place."""
    token = orjson.dumps({"v": TOKEN_VERSION, "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def read_continue(token: str) -> tuple[int, str]:
    """Returns the revision and the position of a continue token; raises BadRequest.

    Every revision below zero is INCONSISTENT (storage.DecodeContinue and ValidateListOptions).
    """
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(text, type=_Token)
    except ValueError as error:  # as those of binascii and msgspec are
        raise _bad_token(str(error)) from error
    place = found.start if found.start.startswith("/") else f"/{found.start}"
    if found.v != TOKEN_VERSION:
        raise _bad_token(f"server does not recognize this encoded version {quote(found.v)}")
    if not found.rv:
        raise _bad_token(f"incorrect encoded start resourceVersion (version {TOKEN_VERSION})")
    if not found.start:
        raise _bad_token(f"encoded start key empty (version {TOKEN_VERSION})")
    if posixpath.normpath(place) != place:
        raise _bad_token(found.start)
    return max(found.rv, INCONSISTENT), found.start


def _bad_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")


def too_large(wanted: int, current: int) -> Timeout:
    """Says that a revision lies in the future (storage.NewTooLargeResourceVersionError)."""
    message = f"Too large resource version: {wanted}, current: {current}"
    cause = Cause("ResourceVersionTooLarge", "Too large resource version")
    return Timeout(f"Timeout: {message}", causes=[cause], retry_after_seconds=1)
