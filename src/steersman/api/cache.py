"""The present state in memory, as bytes, and the window of events behind it.

It follows the store and is changed by it alone. Entries are immutable: a list of them is a
snapshot. Watchers are told in the same step in which the state changes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import orjson

from steersman.api import keys
from steersman.api.selecting.index import Indexes, Pin
from steersman.model.ref import Resource
from steersman.store.interface import Batch, Record, Store
from steersman.world.interface import World

# Bytes of past events kept over all tables; a watch from before them is told 410. Upstream keeps
# 100 to 102,400 events per resource; bytes bound memory where events differ in size.
WINDOW_BYTES = 16 * 1024 * 1024
# A reader that names a revision of the future waits this long (upstream's cacher: 3 s)
FUTURE_SECONDS = 3.0
NOTHING: Mapping[str, str] = {}


class Entry:
    """One object at one revision: its bytes, and what was read out of them when it was needed."""

    __slots__ = ("_fields", "_labels", "created", "name", "namespace", "revision", "value")

    def __init__(self, record: Record, value: bytes, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.name = name
        self.value = value
        self.revision = record.revision
        self.created = record.created
        self._labels: Mapping[str, str] | None = None
        self._fields: tuple[Any, Mapping[str, str]] | None = None

    def document(self) -> dict[str, Any]:
        """Returns the object as a fresh document, without a resourceVersion."""
        document: dict[str, Any] = orjson.loads(self.value)
        return document

    def at(self, revision: int) -> Entry:
        """Returns the same object as of another revision: that of its deletion."""
        record = Record("", self.value, revision, self.created)
        return Entry(record, self.value, self.namespace, self.name)

    def showing(self, value: bytes) -> Entry:
        """Returns the same revision with other bytes: those that a reader is shown."""
        record = Record("", value, self.revision, self.created)
        return Entry(record, value, self.namespace, self.name)

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's labels."""
        if self._labels is None:
            self._labels = self.document()["metadata"].get("labels") or {}
        return self._labels

    def fields(self, read: Callable[[dict[str, Any]], Mapping[str, str]]) -> Mapping[str, str]:
        """Returns the selectable fields that a function reads from the document, read once."""
        if self._fields is None or self._fields[0] is not read:
            self._fields = (read, read(self.document()))
        return self._fields[1]


class Event:
    """One change: what was there, what is there now. `forms` keeps its encodings."""

    __slots__ = ("forms", "new", "old", "revision", "size")

    def __init__(self, old: Entry | None, new: Entry | None, revision: int) -> None:
        self.old = old
        self.new = new
        self.revision = revision
        self.size = len(new.value) if new else len(old.value) if old else 0
        self.forms: dict[Any, Any] = {}

    @property
    def namespace(self) -> str:
        """The namespace of the object that changed."""
        entry = self.new or self.old
        assert entry is not None
        return entry.namespace


Watcher = Callable[[Event], None]


class Table:
    """The objects of one resource type by namespace and name, and who watches them."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.entries: dict[str, dict[str, Entry]] = {}
        self.events: deque[Event] = deque()
        self.revision = 0
        self.bytes = 0  # of all entries together
        self.dropped = 0  # the newest revision that left the window
        self._sorted: dict[str, list[Entry]] = {}
        self._indexes = Indexes(self.entries)
        self._watchers: dict[str, dict[object, Watcher]] = {}

    def get(self, namespace: str, name: str) -> Entry | None:
        """Returns an object's entry."""
        found = self.entries.get(namespace)
        return found.get(name) if found else None

    def ordered(self, namespace: str = "") -> list[Entry]:
        """Returns the entries in key order; the list is shared and must not be changed."""
        if namespace:
            return self._ordered_one(namespace)
        whole: list[Entry] = []
        for each in sorted(self.entries, key=lambda text: text + "/"):
            whole += self._ordered_one(each)
        return whole

    def having(self, pin: Pin, namespace: str = "") -> list[Entry] | None:
        """Returns the entries that have a value, in key order, where an index knows them; None
        where all are to be looked at."""
        size = len(self) if not namespace else len(self.entries.get(namespace, ()))
        places = self._indexes.find(pin, namespace, size)
        return None if places is None else [self.entries[space][name] for space, name in places]

    def _ordered_one(self, namespace: str) -> list[Entry]:
        if (found := self._sorted.get(namespace)) is None:
            entries = self.entries.get(namespace, {})
            found = self._sorted[namespace] = [entries[name] for name in sorted(entries)]
        return found

    def __len__(self) -> int:
        return sum(map(len, self.entries.values()))

    def watch(self, namespace: str, watcher: Watcher) -> Callable[[], None]:
        """Tells a watcher each event from now on; returns the way out."""
        token = object()
        watchers = self._watchers.setdefault(namespace, {})
        watchers[token] = watcher

        def leave() -> None:
            watchers.pop(token, None)

        return leave

    @property
    def watching(self) -> int:
        """How many watch it."""
        return sum(map(len, self._watchers.values()))

    def after(self, revision: int, namespace: str = "") -> list[Event]:
        """Returns the window's events after a revision; raises LookupError where the window no
        longer reaches back to it."""
        if revision < self.dropped:
            raise LookupError(revision)
        found = []
        for event in reversed(self.events):
            if event.revision <= revision:
                break
            if not namespace or event.namespace == namespace:
                found.append(event)
        return found[::-1]

    def change(self, record: Record, namespace: str, name: str) -> Event | None:
        """Takes one record in and returns the event; None for a deletion of nothing."""
        entries = self.entries.setdefault(namespace, {})
        old = entries.get(name)
        self._sorted.pop(namespace, None)
        if self._indexes:
            self._indexes.note((namespace, name))
        new = None
        if record.value is not None:
            new = entries[name] = Entry(record, record.value, namespace, name)
            self.bytes += len(record.value)
        elif old is None:
            return None
        else:
            del entries[name]
        if old is not None:
            self.bytes -= len(old.value)
        self.revision = record.revision
        return Event(old, new, record.revision)

    def tell(self, event: Event) -> None:
        """Tells every watcher that may care."""
        for namespace in ("", event.namespace) if event.namespace else ("",):
            if watchers := self._watchers.get(namespace):
                for watcher in list(watchers.values()):
                    watcher(event)


class Cache:
    """All tables; see the module. `revision` is the store's revision that they stand at.

    stale:      keys that are to be written anew by the next update, whatever it changes
    unreadable: why the store's values of keys cannot be read; no table has them
    """

    def __init__(
        self,
        store: Store,
        world: World,
        window_bytes: int = WINDOW_BYTES,
        *,
        stale: Collection[str] = (),
        unreadable: Mapping[str, str] = NOTHING,
    ) -> None:
        self.store = store
        self.stale = stale
        self.unreadable = unreadable
        self.revision = 0
        self.oldest = 0  # events up to this revision were never in the window
        self._world = world
        self._tables: dict[Resource, Table] = {}
        self._window: deque[tuple[Table, Event]] = deque()
        self._bytes = 0
        self._window_bytes = window_bytes
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def table(self, resource: Resource) -> Table:
        """Returns the table of a resource type, empty where nothing is stored."""
        if (table := self._tables.get(resource)) is None:
            table = self._tables[resource] = Table(resource)
            table.dropped = self.oldest
        return table

    def find(self, resource: Resource) -> Table | None:
        """Returns the table of a resource type where there is one; nobody makes one by asking."""
        return self._tables.get(resource)

    def tables(self) -> list[Table]:
        """Returns every table that there is."""
        return list(self._tables.values())

    async def load(self) -> None:
        """Reads the whole present state from the store."""
        page = await self.store.list("")
        self.revision = self.oldest = page.revision
        for record in page.records:
            resource, namespace, name = keys.parse(record.key)
            self.table(resource).change(record, namespace, name)
        for table in self._tables.values():
            table.dropped = page.revision

    async def run(self) -> None:
        """Follows the store for ever."""
        async for batch in self.store.follow("", after=self.revision):
            self.take(batch)

    def take(self, batch: Batch) -> None:
        """Takes a batch in: first the state, then who waits for it, then the watchers."""
        events = list(self._changes(batch.records))
        self.revision = batch.revision
        self._wake()
        for table, event in events:
            table.tell(event)
            event.forms.clear()  # whoever looks back on it later has it encoded anew
        self._trim()

    def _changes(self, records: Iterable[Record]) -> Iterator[tuple[Table, Event]]:
        for record in records:
            resource, namespace, name = keys.parse(record.key)
            table = self.table(resource)
            event = table.change(record, namespace, name)
            if event is not None:
                table.events.append(event)
                self._window.append((table, event))
                self._bytes += event.size
                yield table, event

    def _trim(self) -> None:
        while self._bytes > self._window_bytes and self._window:
            table, event = self._window.popleft()
            table.events.popleft()
            table.dropped = event.revision
            self._bytes -= event.size
            self.oldest = event.revision

    def _wake(self) -> None:
        if not self._waiting:
            return
        still = []
        for revision, future in self._waiting:
            if revision > self.revision:
                still.append((revision, future))
            elif not future.done():
                future.set_result(None)
        self._waiting = still

    async def reached(self, revision: int) -> None:
        """Waits until the state holds a revision; raises TimeoutError after `FUTURE_SECONDS`."""
        if self.revision >= revision:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        async with self._world.wire_timeout(FUTURE_SECONDS):
            await future
