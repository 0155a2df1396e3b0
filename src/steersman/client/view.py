"""`View` and `Views`: copies of kinds that follow the server by list and watch.

Reads are synchronous and see a state that was true at `revision`. A copy that lost its place
lists again and tells its listeners the differences, so that nobody misses a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Protocol

from steersman.client.customs import Customs
from steersman.client.errors import Unreachable
from steersman.client.interface import Change, Listing
from steersman.client.likeness import Likenesses
from steersman.model.errors import APIError, Expired, Gone
from steersman.model.kind import Kind
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from steersman.model.ref import Ref, Resource
from steersman.world.interface import Tasks, World

# Between tries while the server cannot be asked: doubled up to the most, lengthened by chance
FIRST_BACKOFF_SECONDS = 0.1
MOST_BACKOFF_SECONDS = 30.0

Key = tuple[str, str]
Hear = Callable[[Any | None, Any | None], None]


class Source(Protocol):
    """The part of a client that a copy needs."""

    async def list(self, kind: Kind, namespace: str = "", *, fields: str = "") -> Listing:
        """See `Client.list`."""

    def watch(
        self, kind: Kind, namespace: str = "", *, after: int, fields: str = ""
    ) -> AsyncIterator[tuple[Change, ...]]:
        """See `Client.watch`."""


class Sources(Source, Protocol):
    """A client that can also read metadata alone."""

    def metadata_only(self) -> Source:
        """Returns the client for metadata."""


class _Index:
    """Objects filed under the values that a function gives."""

    def __init__(self, values: Callable[[Any], Iterable[str]]) -> None:
        self._values = values
        self._filed: dict[str, dict[Key, Any]] = {}

    def put(self, key: Key, old: Any | None, new: Any | None) -> None:
        """Files the new object of a key in the place of the old."""
        before = () if old is None else tuple(self._values(old))
        after = () if new is None else tuple(self._values(new))
        if before != after:
            for value in before:
                if (filed := self._filed.get(value)) is not None:
                    filed.pop(key, None)
                    if not filed:
                        del self._filed[value]
        for value in after:
            self._filed.setdefault(value, {})[key] = new

    def get(self, value: str) -> Iterable[Any]:
        """Returns what is filed under a value."""
        return tuple(self._filed.get(value, {}).values())


class FollowedView:
    """See `client.interface.View`; `follow` keeps it true.

    With a namespace or a field selector it holds only what these select.
    """

    def __init__(
        self, source: Source, kind: Kind, world: World, *, namespace: str = "", fields: str = ""
    ) -> None:
        self.kind = kind
        self._namespace = namespace
        self._fields = fields
        # Why it does not follow at present; None while it does
        self.trouble: Exception | None = None
        self._source = source
        self._world = world
        self._revision = 0
        self._objects: dict[Key, Any] = {}
        self._namespaces: dict[str, dict[str, Any]] = {}
        self._indexes: dict[str, _Index] = {}
        self._listeners: list[Hear] = []
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._synced = asyncio.Event()
        self._closed = False
        self._likenesses = Likenesses()

    # Reading

    @property
    def revision(self) -> int:
        """The history's revision this copy has reached; 0 before the first list."""
        return self._revision

    def get(self, ref: Ref) -> Any | None:
        """Returns the object, None where this copy has none."""
        return self._objects.get((ref.namespace, ref.name))

    def list(self, namespace: str = "") -> Iterable[Any]:
        """Returns the objects of a namespace, or all, in no promised order."""
        if not namespace:
            return tuple(self._objects.values())
        return tuple(self._namespaces.get(namespace, {}).values())

    def by(self, index: str, value: str) -> Iterable[Any]:
        """Returns the objects filed under a value of an index; KeyError for an unknown index."""
        return self._indexes[index].get(value)

    def index(self, name: str, values: Callable[[Any], Iterable[str]]) -> None:
        """Files objects by the values a function gives; the same name twice is the same index."""
        if name in self._indexes:
            return
        index = self._indexes[name] = _Index(values)
        for key, found in self._objects.items():
            index.put(key, None, found)

    async def reached(self, revision: int) -> None:
        """Waits until this copy holds every change up to a revision (of a write to its kind)."""
        if self._revision >= revision or self._closed:
            return
        waiter = asyncio.get_running_loop().create_future()
        entry = (revision, waiter)
        self._waiters.append(entry)
        try:
            await waiter
        finally:
            if entry in self._waiters:  # given up
                self._waiters.remove(entry)

    async def synced(self) -> None:
        """Waits until the first list is in."""
        await self._synced.wait()

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Calls `hear(old, new)` for each change; None stands for absent. Returns the way out."""
        self._listeners.append(hear)

        def leave() -> None:
            if hear in self._listeners:
                self._listeners.remove(hear)

        return leave

    # Following

    def close(self) -> None:
        """Says that nobody follows any more; whoever waits need not."""
        self._closed = True
        self._synced.set()
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def follow(self) -> None:
        """Keeps the copy true for ever, through lost connections and forgotten revisions."""
        listed = False
        failures = 0
        while True:
            before, began = self._revision, self._world.monotonic()
            try:
                if not listed:
                    listing = await self._source.list(
                        self.kind, self._namespace, fields=self._fields
                    )
                    self._replace(listing)
                    listed = True
                    self.trouble = None
                    failures = 0
                await self._watch()
            except (Expired, Gone) as error:
                listed, self.trouble = False, error
            except (Unreachable, APIError) as error:
                self.trouble = error
            # A watch may end at any time; one that ends early and empty is not begun again at once
            long = self._world.monotonic() - began > MOST_BACKOFF_SECONDS
            failures = 0 if long or self._revision > before else failures + 1
            if failures:
                await self._world.pause(self._world.jitter(_backoff(failures), 1.0))

    async def _watch(self) -> None:
        watching = self._source.watch(
            self.kind, self._namespace, after=self._revision, fields=self._fields
        )
        async for changes in watching:
            self.trouble = None
            for change in changes:
                self._apply(change)
            self._wake()

    def _apply(self, change: Change) -> None:
        self._revision = max(self._revision, change.revision)
        if change.object is None:
            return
        key = change.object.key
        old = self._objects.get(key)
        new = None if change.type == "DELETED" else change.object
        if old is not None or new is not None:
            self._put(key, old, new)

    def _replace(self, listing: Listing) -> None:
        """Takes a list over; whoever listens hears how it differs from what was known."""
        self._revision = listing.revision  # also where the server's history was turned back
        new = {found.key: found for found in listing.items}
        for key in [key for key in self._objects if key not in new]:
            self._put(key, self._objects[key], None)
        for key, found in new.items():
            old = self._objects.get(key)
            if old is None or old.metadata.resource_version != found.metadata.resource_version:
                self._put(key, old, found)
        self._synced.set()
        self._wake()

    def _put(self, key: Key, old: Any | None, new: Any | None) -> None:
        namespace, name = key
        if new is None:
            del self._objects[key]
            names = self._namespaces[namespace]
            del names[name]
            if not names:
                del self._namespaces[namespace]
        else:
            if self._may_stay(new):
                self._likenesses.share(new)
            self._objects[key] = new
            self._namespaces.setdefault(namespace, {})[name] = new
        for index in self._indexes.values():
            index.put(key, old, new)
        for hear in tuple(self._listeners):
            hear(old, new)

    def _may_stay(self, found: Any) -> bool:
        settled = self.kind.settled
        return settled is not None and type(found) is self.kind.view and settled(found)

    def _wake(self) -> None:
        if not self._waiters:
            return
        waiting, self._waiters = self._waiters, []
        for revision, waiter in waiting:
            if revision > self._revision:
                self._waiters.append((revision, waiter))
            elif not waiter.done():
                waiter.set_result(None)


def _backoff(failures: int) -> float:
    doubled: float = FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16)
    return min(MOST_BACKOFF_SECONDS, doubled)


class FollowedViews:
    """See `client.interface.Views`; each copy is followed by a task of the given group."""

    def __init__(self, client: Sources, world: World, tasks: Tasks) -> None:
        self._client = client
        self._world = world
        self._tasks = tasks
        self._views: dict[tuple[Resource, bool], FollowedView] = {}
        self._following: dict[tuple[Resource, bool], asyncio.Task[Any]] = {}
        self._customs: Customs | None = None

    def of(self, kind: Kind) -> FollowedView:
        """Returns the copy of a kind, beginning to follow it with the first call."""
        return self._view(kind, metadata=False)

    def metadata_of(self, kind: Kind) -> FollowedView:
        """Returns a copy that holds metadata: the whole one where that was asked for before, so
        that nothing is kept and told twice."""
        whole = self._views.get((kind.resource, False))
        if whole is not None and (kind.resource, True) not in self._views:
            return whole
        return self._view(kind, metadata=True)

    def custom(self) -> Mapping[Resource, Kind]:
        """Returns the kinds of custom resources that are served now."""
        return self._custom_kinds().kinds

    def on_custom(self, hear: Callable[[Kind, bool], None]) -> None:
        """Calls `hear` for each custom kind that is there, comes or goes."""
        self._custom_kinds().listen(hear)

    def _custom_kinds(self) -> Customs:
        if self._customs is None:
            self._customs = Customs(self.of(CUSTOMRESOURCEDEFINITION), self._drop)
        return self._customs

    def _drop(self, kind: Kind) -> None:
        """Follows a kind no more."""
        for metadata in (False, True):
            if (view := self._views.pop((kind.resource, metadata), None)) is not None:
                view.close()
            if (task := self._following.pop((kind.resource, metadata), None)) is not None:
                task.cancel()

    async def synced(self) -> None:
        """Waits until every copy asked for so far has had its first list, and those that were asked
        for because of it."""
        waited: set[FollowedView] = set()
        # In the order in which they were asked for: a set's own order is another in each process
        while left := [view for view in self._views.values() if view not in waited]:
            for view in left:
                await view.synced()
            waited.update(left)

    def troubles(self) -> dict[str, Exception]:
        """Returns why copies do not follow at present, by resource."""
        return {
            str(resource): view.trouble
            for (resource, _), view in self._views.items()
            if view.trouble is not None
        }

    def _view(self, kind: Kind, *, metadata: bool) -> FollowedView:
        key = (kind.resource, metadata)
        if (view := self._views.get(key)) is None:
            source = self._client.metadata_only() if metadata else self._client
            view = self._views[key] = FollowedView(source, kind, self._world)
            work = self._tasks.start(view.follow(), name=f"view {kind.resource}")
            self._following[key] = work
        return view
