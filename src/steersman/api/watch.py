"""WATCH: changes pushed to whoever follows, each encoded once however many follow it.

A watch that cannot take more is ended; its client lists again or resumes from the window.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import orjson

from steersman.api import present
from steersman.api.cache import Cache, Entry, Event, Table
from steersman.api.call import Call
from steersman.api.custom.relay import Relay
from steersman.api.fairness.interest import Interest
from steersman.api.read import Reader, parse_revision
from steersman.api.selecting.selection import Selection, selection_of
from steersman.model.errors import APIError, Expired
from steersman.model.ref import Resource
from steersman.wire import options, websocket
from steersman.wire.message import JSON, Chunk, Response, Sink
from steersman.world.interface import Tasks, World

# A watcher that has this much unsent is ended: it is slower than the changes it asked for
PENDING_BYTES = 8 * 1024 * 1024
# Upstream ends watches after 30 to 60 minutes where the client named no timeout
TIMEOUT_SECONDS = 1800.0
# How often a watch that asked for bookmarks is told how far it has come (upstream: one minute)
BOOKMARK_SECONDS = 60.0

log = logging.getLogger(__name__)


class Deadlines:
    """Ends watches when their time is over: one task for all of them.

    It keeps no watch alive: one that has ended early is gone, and only its place in the heap is
    left until its time comes.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._heap: list[tuple[float, int, WeakMethod[Callable[[], None]]]] = []
        self._count = 0
        self._changed = asyncio.Event()

    def add(self, seconds: float, end: Callable[[], None]) -> None:
        """Calls `end`, a method, once the time has passed and its object is still there."""
        self._count += 1
        at = self._world.monotonic() + seconds
        heapq.heappush(self._heap, (at, self._count, WeakMethod(end)))
        if self._heap[0][1] == self._count:
            self._changed.set()

    async def run(self) -> None:
        """Waits for the next deadline, for ever."""
        while True:
            self._changed.clear()
            wait = self._heap[0][0] - self._world.monotonic() if self._heap else None
            if wait is None or wait > 0:
                await self._sleep(wait)
                continue
            if (end := heapq.heappop(self._heap)[2]()) is not None:
                end()

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with self._world.wire_timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


class Watcher:
    """One open watch: translates events into what its selection and presentation make of them."""

    def __init__(self, call: Call, selection: Selection, sink: Sink, now: Callable[[], float]):
        self._call = call
        self._selection = selection
        self._sink = sink
        self._include = call.request.param("includeObject")
        self._now = now
        self._first = True
        form, shown = call.form, call.presentation
        self._shared = None
        if shown.shape != "table":
            self._shared = (form.api_version, shown.shape, shown.meta_version, shown.media)
        self._frame = _frame if shown.media == JSON else _binary_frame
        self.leave: Callable[[], None] = lambda: None

    @property
    def resource(self) -> Resource:
        """The resource type that is watched."""
        return self._call.table.resource

    def hear(self, event: Event) -> None:
        """Sends what an event means to this watch. A failure ends this watch and no other: the
        client sees its connection break off, and asks anew."""
        try:
            self.relay(event)
        except Exception:
            log.exception("the watch of %s failed", self._call.request.path)
            self.leave()
            self._sink.abort()

    def relay(self, event: Event) -> None:
        """Sends what an event means to this watch."""
        if self._sink.pending > PENDING_BYTES:
            self.end()
            return
        kind, entry = self._translate(event)
        if entry is None:
            return
        self._sink.send(self._chunk(event, kind, entry))
        self._call.form.events_sent += 1

    def _chunk(self, event: Event, kind: str, entry: Entry) -> Chunk:
        """Returns the event's frame, encoded once for all who watch in the same form; a table's is
        each watcher's own, for it depends on the time and on what was sent before."""
        if self._shared is None:
            return Chunk(self._frame(kind, self._encode(entry)))
        key = (self._shared, kind)
        if (found := event.forms.get(key)) is None:
            found = event.forms[key] = Chunk(self._frame(kind, self._encode(entry)))
        chunk: Chunk = found
        return chunk

    def _translate(self, event: Event) -> tuple[str, Entry | None]:
        """Returns the type and object: an object that comes to match is ADDED, one that ceases
        to is DELETED."""
        old, new = event.old, event.new
        if not self._selection.everything:
            old = old if old is not None and self._selection.matches(old) else None
            new = new if new is not None and self._selection.matches(new) else None
        if new is not None:
            return ("MODIFIED" if old is not None else "ADDED"), new
        return "DELETED", old.at(event.revision) if old is not None else None

    def start(self, table: Table, namespace: str) -> None:
        """Sends the present state as ADDED events."""
        for entry in self._selection.of(table, namespace):
            self._sink.send(Chunk(self._frame("ADDED", self._encode(entry))))
            self._call.form.events_sent += 1

    def bookmark(self, revision: int, *, initial_end: bool = False) -> None:
        """Tells how far the watch has come."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        form = self._call.form
        head = {"kind": form.kind.name, "apiVersion": form.api_version}
        if self._call.presentation.shape == "metadata":
            head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        self._sink.send(
            Chunk(self._frame("BOOKMARK", orjson.dumps({**head, "metadata": metadata})))
        )

    def fail(self, error: APIError) -> None:
        """Ends the watch with an ERROR event."""
        self._sink.send(Chunk(self._frame("ERROR", orjson.dumps(error.status()))))
        self.end()

    def end(self) -> None:
        """Ends the watch after what was sent."""
        self.leave()
        self._sink.finish()

    def _encode(self, entry: Entry) -> bytes:
        call = self._call
        if call.presentation.shape == "object":
            return call.form.object(entry)
        if call.presentation.shape == "metadata":
            return present.metadata_only(call.form, entry, call.presentation)
        include = present.include_object(self._include)
        tables = present.Tables(call.form, call.presentation, include, self._now())
        first, self._first = self._first, False
        return tables.one(entry, with_columns=first)


def _frame(kind: str, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)


def _binary_frame(kind: str, body: bytes) -> bytes:
    """Returns an event in Protocol Buffers, its object given in JSON."""
    from steersman.wire.protobuf import writer  # loaded with the first client that takes it

    return writer.event(kind, writer.encode(orjson.loads(body)))


class Watches:
    """Opens watches and keeps them: deadlines and bookmarks."""

    def __init__(self, cache: Cache, reader: Reader, world: World) -> None:
        self._cache = cache
        self._reader = reader
        self._world = world
        self.deadlines = Deadlines(world)
        # Ordered, as no set is: what is told in turn comes in the same turn in each run of a seed
        self._bookmarked: dict[Watcher, None] = {}
        self._open: dict[Watcher, None] = {}
        self.interest = Interest()
        self.tasks: Tasks | None = None

    async def open(self, call: Call) -> Response:
        """Answers a watch: past events from the window, then those to come."""
        request = call.request
        selection = selection_of(call.kind, request)
        if call.name:
            selection = selection_of_name(call)
        revision = parse_revision(request.param("resourceVersion"))
        parse_timeout(call)
        options.check_watch(request)
        if call.presentation.shape == "table":
            present.include_object(request.param("includeObject"))
        await self._reader.wait_for(revision)

        def push(sink: Sink) -> Callable[[], None]:
            shape = call.version.shape
            if shape is not None and shape.webhook is not None:
                return self._relay(call, selection, revision, sink)
            return self._push(call, selection, revision, sink)

        media = call.presentation.media
        if websocket.is_handshake(request.headers):
            from steersman.api.subresources import socket_watch  # loaded with the first such client

            return socket_watch.within(request, push, self._world, text=media == JSON)
        return Response(push, content_type=JSON if media == JSON else f"{media};stream=watch")

    def _relay(
        self, call: Call, selection: Selection, revision: int, sink: Sink
    ) -> Callable[[], None]:
        """Opens a watch whose objects are converted before they are told."""
        assert self.tasks is not None, "the server does not run"
        watcher = Watcher(call, selection, sink, self._world.now)
        relay = Relay(call, watcher, revision)
        relay.begin = lambda: self._begin(call, watcher, revision, relay)
        work = self.tasks.start(relay.run(), name=f"watch of {call.kind.plural}")

        def leave() -> None:
            relay.leave()
            work.cancel()

        return leave

    def _push(
        self, call: Call, selection: Selection, revision: int, sink: Sink
    ) -> Callable[[], None]:
        return self._begin(call, Watcher(call, selection, sink, self._world.now), revision)

    def _begin(
        self, call: Call, watcher: Watcher, revision: int, relay: Relay | None = None
    ) -> Callable[[], None]:
        request = call.request
        initial = request.flag("sendInitialEvents")
        bookmarks = request.flag("allowWatchBookmarks")
        if initial or (not revision and request.param("sendInitialEvents") != "false"):
            watcher.start(call.table, call.namespace)
            if initial and bookmarks:
                watcher.bookmark(self._cache.revision, initial_end=True)
        elif revision:
            try:
                missed = call.table.after(revision, call.namespace)
            except LookupError:
                oldest = call.table.dropped
                watcher.fail(Expired(f"too old resource version: {revision} ({oldest})"))
                return lambda: None
            for event in missed:
                watcher.relay(event)
        return self._keep(call, watcher, bookmarks, relay)

    def _keep(
        self, call: Call, watcher: Watcher, bookmarks: bool, relay: Relay | None
    ) -> Callable[[], None]:
        leave_table = call.table.watch(call.namespace, relay.hear if relay else watcher.hear)
        self._open[watcher] = None
        forget = self.interest.add(call.attributes)

        def leave() -> None:
            leave_table()
            if relay is not None:
                relay.close()
            self._bookmarked.pop(watcher, None)
            if watcher in self._open:
                del self._open[watcher]
                forget()

        watcher.leave = leave
        if bookmarks:
            self._bookmarked[watcher] = None
        seconds = parse_timeout(call) or self._world.jitter(TIMEOUT_SECONDS, 1.0)
        self.deadlines.add(seconds, watcher.end)
        return leave

    async def bookmark(self) -> None:
        """Tells watches that asked for it how far they have come, once a minute."""
        told = self._cache.revision
        while True:
            await self._world.wire_sleep(BOOKMARK_SECONDS)
            if self._cache.revision == told:
                continue
            told = self._cache.revision
            for watcher in list(self._bookmarked):
                watcher.bookmark(told)

    def end_of(self, resource: Resource) -> None:
        """Ends the watches of a resource type: what it is has changed."""
        for watcher in list(self._open):
            if watcher.resource == resource:
                watcher.end()

    def end_all(self) -> None:
        """Ends every watch; the server is going."""
        for watcher in list(self._open):
            watcher.end()


def selection_of_name(call: Call) -> Selection:
    """Returns the selection of a watch on one object (the old form of the path)."""
    return Selection(call.kind, "", f"metadata.name={call.name}")


def parse_timeout(call: Call) -> float:
    """Returns timeoutSeconds, 0 where none is given; what is over before it began ends at once."""
    return float(options.whole(call.request.param("timeoutSeconds")))
