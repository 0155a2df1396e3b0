"""The store in SQLite: durable, with one fsync for everyone who commits at the same time.

The loop owns the visible history (store/history.py), one thread writes (store/writer.py), one
reads. docs/adr/0003 says why. Commits that are put off (docs/adr/0023) the loop makes itself.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import msgspec

from steersman.store import table
from steersman.store.checks import check_writes
from steersman.store.decide import Standing
from steersman.store.history import History
from steersman.store.index import Index, first_row_after, revision_of
from steersman.store.interface import Batch, Closed, Page, Record, Write
from steersman.store.writer import Commit, Group, Removal, Writer
from steersman.world.interface import World

RECENT_BYTES = 16 << 20  # of history in memory for followers; older comes from the table
OLDER_BYTES = 1 << 20  # read from the table in one step for a follower
READ_ROWS = 512  # in one visit to the reader's thread, which other readers wait for
REMOVED_ROWS = 256  # by one transaction: about a millisecond on top of the commits in it
GIVE_WAY_AFTER_SECONDS = 0.001  # longer than most groups take where nothing else runs
GIVE_WAY_SECONDS = 0.000_02  # with the timer slack of Linux about 0.1 ms

Result = TypeVar("Result")
PutOff = Callable[[], bool]


class _Held(msgspec.Struct, frozen=True):
    """What an open store holds; `release` gives back all of it."""

    reading: sqlite3.Connection
    writing: sqlite3.Connection
    release: ExitStack
    directory: Path
    put_off: PutOff | None


class _Loaded(msgspec.Struct):
    """What one scan of the table gives."""

    index: Index
    head: dict[str, Standing]
    newest: int
    oldest: int


def _load(connection: sqlite3.Connection) -> _Loaded:
    loaded = _Loaded(Index(), {}, 0, table.oldest(connection))
    row = 0
    for row, key, created in table.scan(connection):
        loaded.index.add(key, row)
        if row & 1:
            loaded.head.pop(key, None)
        else:
            loaded.head[key] = (row, created)
    loaded.newest = max(revision_of(row), loaded.oldest)
    return loaded


def _open(directory: Path, quota_bytes: int, put_off: PutOff | None) -> tuple[_Held, _Loaded]:
    with ExitStack() as undo:
        descriptor = table.lock(directory)
        undo.callback(os.close, descriptor)
        synchronous = "FULL" if put_off is None else "NORMAL"
        writing = table.open_for_writing(directory, quota_bytes, synchronous=synchronous)
        undo.callback(writing.close)
        reading = table.open_for_reading(directory)
        undo.callback(reading.close)
        loaded = _load(writing)
        return _Held(reading, writing, undo.pop_all(), directory, put_off), loaded


async def open_sqlite(
    directory: Path,
    *,
    world: World,
    on_fatal: Callable[[BaseException], None],
    quota_bytes: int = 0,
    put_off: PutOff | None = None,
) -> SqliteStore:
    """Opens the history in the directory, which is made if missing, for one process at a time.

    `on_fatal` is called, in any thread, when the disk fails; it is meant to end the process. A
    quota of 0 means as much as there is room. While `put_off` says so, commits do not wait for the
    disk: they outlive the process, and the machine from the next `sync` on. Raises InUse,
    UnknownFormat, OSError, sqlite3.Error.
    """
    held, loaded = await asyncio.to_thread(_open, directory, quota_bytes, put_off)
    return SqliteStore(world, held, loaded, on_fatal)


class SqliteStore:
    """See `store.interface.Store`; made by `open_sqlite`."""

    def __init__(
        self,
        world: World,
        held: _Held,
        loaded: _Loaded,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._held = held
        self._on_fatal = on_fatal
        self._history = History(loaded.index, loaded.newest, loaded.oldest, RECENT_BYTES)
        self._under_way = 0
        self._giving = False
        self._compacting = asyncio.Lock()
        self._gone: list[int] = []  # out of the index, perhaps not yet out of the table
        self._closing = False
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._writer = Writer(
            held.writing,
            loaded.head,
            loaded.newest,
            self._deliver,
            self._fail,
            self._sync_unless_put_off,
        )
        self._writer.thread.start()

    async def revision(self) -> int:
        """See `Store.revision`."""
        return self._history.at(None)

    async def get(self, key: str, *, at: int | None = None) -> Record | None:
        """See `Store.get`."""
        while (number := self._history.find(key, at)) is not None:
            if rows := await self._read(table.fetch, [number]):
                return rows[0].record()
            # compacted meanwhile: find says what that means
        return None

    async def list(
        self, prefix: str, *, at: int | None = None, after: str = "", limit: int = 0
    ) -> Page:
        """See `Store.list`."""
        while True:
            revision = self._history.at(at)
            numbers, remaining = await self._history.select(
                revision, (prefix, after), limit, self._pause
            )
            records = await self._records(numbers)
            if revision >= self._history.oldest:
                return Page(records, revision, remaining)
            # compacted meanwhile: an error for who asked for this revision, else once more

    async def commit(self, *writes: Write) -> int:
        """See `Store.commit`."""
        self._history.check_open()
        check_writes(writes)
        future: asyncio.Future[int] = self._loop.create_future()
        if self._may_commit_here():
            return await self._commit_here((future, writes))
        if not self._under_way and not self._giving:
            self._give_way_soon()
        self._under_way += 1
        self._writer.submit((future, writes))
        return await future

    def _may_commit_here(self) -> bool:
        """Says whether a commit would wait for nothing but the other thread: none is under way, and
        none waits for the disk."""
        put_off = self._held.put_off
        busy = self._under_way or self._compacting.locked()
        return not busy and put_off is not None and put_off()

    async def _commit_here(self, commit: Commit) -> int:
        try:
            group = self._writer.commit(commit)
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            raise Closed("the disk failed") from error
        self._under_way += 1
        self._publish(group)
        await self._pause()  # one turn of the loop: followers see the revision before the writer
        return await commit[0]

    async def follow(self, prefix: str, *, after: int) -> AsyncIterator[Batch]:
        """See `Store.follow`."""
        self._history.check_open()
        position = after
        while True:
            position, batch = await self._history.next(prefix, position)
            if batch is None:
                batch = await self._older(prefix, position)
            position = batch.revision
            yield batch

    async def compact(self, before: int) -> None:
        """See `Store.compact`."""
        self._history.compact(before)
        async with self._compacting:
            await self._remove(self._gone)
            while gone := self._history.index.forget(before, REMOVED_ROWS):
                await self._remove(gone)

    def sync(self) -> None:
        """Makes durable what did not wait for the disk; a failure is as fatal as a write's."""
        if self._closing:
            return  # which does it, and takes the journal away
        try:
            table.sync_journal(self._held.directory)
        except OSError as error:
            self._fail(error)

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closing:
            return
        self._closing = True
        self._history.refuse(Closed("the store is closed"))
        self._writer.stop()
        await self._loop.run_in_executor(self._reader, self._writer.thread.join)
        self._history.feed.close(Closed("the store is closed"))
        await self._loop.run_in_executor(self._reader, self._release)
        self._reader.shutdown()

    def _sync_unless_put_off(self) -> None:
        put_off = self._held.put_off
        if put_off is not None and not put_off():
            table.sync_journal(self._held.directory)

    def _release(self) -> None:
        self._held.release.close()

    async def _pause(self) -> None:
        await self._world.sleep(0)

    async def _read(self, read: Callable[..., Result], *arguments: object) -> Result:
        """Runs a read in the reader's thread; a read that fails is as fatal as a write."""
        self._history.check_open()
        connection = self._held.reading
        try:
            return await self._loop.run_in_executor(self._reader, read, connection, *arguments)
        except sqlite3.Error as error:
            self._fail(error)
            raise Closed("the disk failed") from error

    async def _records(self, numbers: Sequence[int]) -> tuple[Record, ...]:
        """Returns the records of these rows, in this order, without those that are gone."""
        found: dict[int, Record] = {}
        for start in range(0, len(numbers), READ_ROWS):
            rows = await self._read(table.fetch, sorted(numbers[start : start + READ_ROWS]))
            found.update([(row.row, row.record()) for row in rows])
        return tuple([found[number] for number in numbers if number in found])

    async def _older(self, prefix: str, position: int) -> Batch:
        """Reads on from a position that the feed does not reach back to."""
        self._history.check_kept(position)
        rows = await self._read(table.after, first_row_after(position), OLDER_BYTES)
        self._history.check_kept(position)
        end = first_row_after(self._history.newest)  # the table may be ahead of what is visible
        visible = [row for row in rows if row.row < end]
        records = [row.record() for row in visible if row.key.startswith(prefix)]
        return Batch(tuple(records), revision_of(visible[-1].row))

    async def _remove(self, gone: Sequence[int]) -> None:
        self._gone = [*gone]
        future: asyncio.Future[None] = self._loop.create_future()
        self._writer.submit(Removal(future, self._gone, self._history.oldest))
        await future
        self._gone = []

    def _give_way_soon(self) -> None:
        self._giving = True
        # a loop's clock is the monotonic one
        self._loop.call_at(self._world.monotonic() + GIVE_WAY_AFTER_SECONDS, self._give_way)

    def _give_way(self) -> None:
        """Leaves the interpreter lock to the writer for a moment where it may be short of it.

        A loop that always has work gives the lock up and takes it back in less time than a
        waiting thread needs to wake: measured, a group of commits took 4 s without this, 3 ms with.
        """
        self._giving = False
        if self._under_way and not self._closing:
            self._writer.thread.join(GIVE_WAY_SECONDS)
            self._give_way_soon()

    def _deliver(self, group: Group) -> None:
        """Hands a durable group from the writer's thread to the loop."""
        self._loop.call_soon_threadsafe(self._publish, group)

    def _publish(self, group: Group) -> None:
        """Makes a durable group visible: to reads, then to followers, then to its writers."""
        self._under_way -= len(group.answers)
        self._history.publish(group.revisions, quiet=False)
        for future, answer in group.answers:
            if future.done():  # its awaiter was cancelled
                continue
            if isinstance(answer, int):
                future.set_result(answer)
            else:
                future.set_exception(answer)
        for removal, error in group.removals:
            if removal.done():
                continue
            if error:
                removal.set_exception(error)
            else:
                removal.set_result(None)

        if not self._under_way:
            # behind the writers that were woken: who goes on writing needs no progress told
            self._loop.call_soon(self._progress)

    def _progress(self) -> None:
        if not self._under_way:
            self._history.publish([], quiet=True)

    def _fail(self, error: BaseException) -> None:
        """Ends the process through `on_fatal`, or, where that returns, the store; any thread."""
        self._on_fatal(error)
        self._loop.call_soon_threadsafe(self._break)

    def _break(self) -> None:
        reason = Closed("the disk failed")
        self._history.refuse(reason)
        self._history.feed.close(reason)
        self._writer.stop()
        for future in self._writer.unanswered():
            if not future.done():
                future.set_exception(reason)
