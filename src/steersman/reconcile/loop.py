"""The loop that every controller runs in: changes become keys, keys become calls of `reconcile`.

Not a controller. Its one rule: `reconcile` is not called for an object again before the views
hold what its last call wrote, so no controller keeps expectations of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client, View, Views
from steersman.model.errors import APIError
from steersman.model.figures import Sources
from steersman.model.kind import Kind
from steersman.model.ref import Ref, Resource
from steersman.reconcile import figures, noting
from steersman.reconcile.events import Recorder, source_of
from steersman.reconcile.queue import Queue
from steersman.reconcile.rules import Rule, Watch
from steersman.world.interface import World

log = logging.getLogger(__name__)

Hear = Callable[[Any | None, Any | None], None]

CALLS_AT_ONCE = 16  # per controller; upstream runs 5 to 20 workers
# To look at one object takes some 8 µs: a call that looks at many has a quarter of the time
REST_SECONDS_EACH = 0.000_025
REST_FROM = 1_000  # below it a call is over before anybody waits for it
BARRIER_RETRY_SECONDS = 0.1  # first wait when the API cannot be asked how far history went
BARRIER_RETRY_MAX_SECONDS = 5.0
NOTABLE_FAILURES = 12  # conflicts and short outages are everyday; told once, after 20 seconds


class Done(msgspec.Struct, frozen=True):
    """An object is as it should be for now; `again` asks for a call after so many seconds.

    `rest` keeps the next call off for so many seconds, whatever changes: where a call looks at
    thousands of objects and each of them changes, others have their turn in between.
    """

    again: float | None = None
    rest: float = 0.0


def rest_after(count: int) -> float:
    """Returns how long to rest after a call that looked at so many objects, in seconds."""
    return count * REST_SECONDS_EACH if count >= REST_FROM else 0.0


class Permanent(Exception):
    """Retrying cannot help; told to people as an event of type Warning on the object."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def _nobody(_ref: Ref) -> None:
    """Who is asked to look where nobody does."""


class Given(msgspec.Struct, frozen=True):
    """All that a controller may use. Its client notes what it writes; `look` has it look at an
    object (again)."""

    client: Client
    views: Views
    world: World
    events: Recorder
    look: Callable[[Ref], None] = _nobody


class Controller(Protocol):
    """One control loop: what it follows, what it may write, and how it makes one object right.

    `reconcile` gets keys that may no longer exist; it ends as `Done`, as an ordinary exception
    (retried with back-off) or as `Permanent`.
    """

    name: ClassVar[str]
    watches: ClassVar[tuple[Watch, ...]]
    writes: ClassVar[tuple[Rule, ...]]

    # A controller that follows custom resources too says how in `custom` (see `custom_of`)

    def __init__(self, given: Given) -> None: ...

    async def reconcile(self, ref: Ref) -> Done:
        """Makes one object right."""


class Runner:
    """One controller in its loop."""

    def __init__(self, kind: type[Controller], client: Client, views: Views, world: World) -> None:
        self.name = kind.name
        self.queue: Queue[Ref] = Queue(world)
        self.events = Recorder(client, world, source_of(kind.name))
        self._client = client
        self._views = views
        self._world = world
        self._watched = [(watch, self._view(watch)) for watch in kind.watches]
        self._leave: dict[Resource, Callable[[], None]] = {}
        given = Given(noting.Noting(client), views, world, self.events, self.queue.add)
        self._controller = kind(given)
        self._custom = custom_of(kind)
        if self._custom is not None:
            views.on_custom(self._hear_custom)

    def _view(self, watch: Watch) -> View:
        view = self._views.metadata_of(watch.kind) if watch.metadata else self._views.of(watch.kind)
        for name, values in watch.indexes.items():
            view.index(name, values)
        return view

    async def run(self) -> None:
        """Works for ever; the views must have synced."""
        leave = [
            view.listen(self._hearing(watch))
            for watch, view in self._watched
            if watch.kind.resource not in self._leave
        ]
        try:
            self._hear_all()
            async with self._world.tasks() as group:
                group.start(self.queue.keep_time(), name=f"{self.name} timers")
                group.start(self.events.run(), name=f"{self.name} events")
                slots = asyncio.Semaphore(CALLS_AT_ONCE)
                while True:
                    await slots.acquire()
                    ref = await self.queue.take()
                    group.start(self._work(ref, slots), name=f"{self.name} {ref}")
        finally:
            for out in leave:
                out()

    def _hearing(self, watch: Watch) -> Hear:
        """Returns what queues the objects that a change leads to."""
        to, views, add = watch.to, self._views, self.queue.add

        def hear(old: Any | None, new: Any | None) -> None:
            for ref in to(views, old, new):
                add(ref)

        return hear

    def _hear_custom(self, kind: Kind, came: bool) -> None:
        """Follows a custom kind that came, and no more one that went."""
        assert self._custom is not None
        if (leave := self._leave.pop(kind.resource, None)) is not None:
            leave()
            self._watched = [
                (watch, view)
                for watch, view in self._watched
                if watch.kind.resource != kind.resource
            ]
        if came and (watch := self._custom(kind)) is not None:
            view = self._view(watch)
            self._watched.append((watch, view))
            hear = self._hearing(watch)
            self._leave[kind.resource] = view.listen(hear)
            for found in list(view.list()):
                hear(None, found)

    def _hear_all(self) -> None:
        for watch, view in self._watched:
            hear = self._hearing(watch)
            for found in list(view.list()):
                hear(None, found)

    async def _work(self, ref: Ref, slots: asyncio.Semaphore) -> None:
        notes = noting.begin()
        rest = 0.0
        try:
            rest = await self._reconcile(ref)
            await self._settle(ref, notes)
        finally:
            slots.release()
        if rest:
            await self._world.pause(rest)
        self.queue.done(ref)

    async def _reconcile(self, ref: Ref) -> float:
        """Makes one object right, or says what is in the way; returns how long to rest."""
        try:
            done = await self._controller.reconcile(ref)
        except Permanent as error:
            self.queue.forget(ref)
            self._tell(ref, error)
        except Exception as error:  # noqa: BLE001 - retried with back-off
            self._retry(ref, error)
        else:
            self.queue.forget(ref)
            if done.again is not None:
                self.queue.add_after(ref, done.again)
            return done.rest
        return 0.0

    def _retry(self, ref: Ref, error: Exception) -> None:
        delay = self.queue.retry(ref)
        failures = self.queue.failures(ref)
        expected = isinstance(error, APIError | Unreachable)
        if expected and failures != NOTABLE_FAILURES:
            return
        text = "%s: %s failed %d times in a row, again in %.3f s: %s"
        trace = None if expected else error  # anything else is a mistake of ours
        log.warning(text, self.name, ref, failures, delay, error, exc_info=trace)

    def _tell(self, ref: Ref, error: Permanent) -> None:
        for watch, view in self._watched:
            if watch.kind.resource == ref.kind and (found := view.get(ref)) is not None:
                self.events.warning(found, error.reason, error.message)
                return

    async def _settle(self, ref: Ref, notes: noting.Notes) -> None:
        """Waits until the views hold what was written; a lost answer is settled by asking the
        API what there is."""
        if not notes.written and not notes.uncertain:
            return  # some follow a hundred kinds
        for watch, view in self._watched:
            resource = watch.kind.resource
            if resource in notes.uncertain:
                notes.wrote(resource, await self._newest(watch, ref))
                notes.uncertain.discard(resource)
            if revision := notes.written.get(resource):
                await view.reached(revision)

    async def _newest(self, watch: Watch, ref: Ref) -> int:
        """Returns the newest revision of an object among which a lost write would be.

        A lost deletion may go unseen: deleting again does no harm.
        """
        namespace = ref.namespace if watch.kind.namespaced else ""
        wait = BARRIER_RETRY_SECONDS
        while True:
            try:
                listing = await self._client.list(watch.kind, namespace)
                return max((it.metadata.revision for it in listing.items), default=0)
            except Exception as error:  # noqa: BLE001 - asked again
                refused = isinstance(error, APIError) and error.code < 500
                level = logging.WARNING if refused else logging.INFO
                text = "%s: %s waits, asking again in %.1f s: %s"
                log.log(level, text, self.name, ref, wait, error)
            await self._world.pause(wait)
            wait = min(wait * 2, BARRIER_RETRY_MAX_SECONDS)


def custom_of(kind: type[Controller]) -> Callable[[Kind], Watch | None] | None:
    """Returns how a controller follows a custom kind, None where it follows none."""
    found: Callable[[Kind], Watch | None] | None = getattr(kind, "custom", None)
    return found


def account_of(kind: type[Controller]) -> str:
    """Returns the ServiceAccount as which a controller acts: its `account` where it shares that
    of another, else its name."""
    account: str = getattr(kind, "account", kind.name)
    return account


async def run(
    controllers: Iterable[type[Controller]],
    client_for: Callable[[str], Client],
    views: Views,
    world: World,
    sources: Sources | None = None,
) -> None:
    """Runs controllers until cancelled; `client_for` gives a client by account (`account_of`).
    What is counted of their queues is told to `sources`."""
    controllers = tuple(controllers)
    for kind in controllers:
        for watch in kind.watches:
            if not watch.metadata:
                views.of(watch.kind)  # first: who wants metadata alone reads these along
    runners = [Runner(kind, client_for(account_of(kind)), views, world) for kind in controllers]
    if sources is not None:
        queues = {runner.name: runner.queue for runner in runners}
        sources.add(lambda: figures.families(queues, world.monotonic()))
    await views.synced()
    async with world.tasks() as group:
        for runner in runners:
            group.start(runner.run(), name=runner.name)
