"""The thread that makes commits durable, all that wait in one transaction and one fsync.

It alone writes the table and it alone knows the accepted state. It shares nothing with the loop
but its queue and the groups that it delivers.
"""

from __future__ import annotations

import sqlite3
import threading
from asyncio import Future
from collections.abc import Callable
from queue import Empty, SimpleQueue

import msgspec

from steersman.store import table
from steersman.store.decide import Decision, Refusal, Standing, decide
from steersman.store.interface import Conflict, Full, Record, Write

GROUP_COMMITS = 512  # in one transaction; more would make the first of them wait
GROUP_BYTES = 4 << 20  # of values in one transaction, about 10 ms of a plain disk
CHECKPOINT_BYTES = 8 << 20  # of values in the journal before they are moved into the file

Commit = tuple["Future[int]", tuple[Write, ...]]
Answer = tuple["Future[int]", int | Exception]
Removed = tuple["Future[None]", Exception | None]


class Removal(msgspec.Struct, frozen=True):
    """Rows to remove, and the oldest readable revision from then on."""

    future: Future[None]
    rows: list[int]
    oldest: int


class Group(msgspec.Struct):
    """What one transaction made durable, and the answer to everyone who is in it."""

    revisions: list[tuple[Record, ...]]
    answers: list[Answer]
    removals: list[Removed]


class Writer:
    """Runs until `stop`, or until the disk fails: then `on_fatal` is called and nothing more."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        head: dict[str, Standing],
        newest: int,
        deliver: Callable[[Group], None],
        on_fatal: Callable[[BaseException], None],
        sync: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._head = head
        self._newest = newest
        self._deliver = deliver
        self._on_fatal = on_fatal
        self._sync = sync
        self._queue: SimpleQueue[Commit | Removal | None] = SimpleQueue()
        self._current: list[Commit | Removal] = []
        self._journal_bytes = 0
        self._stopping = False
        self.thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self.submit = self._queue.put

    def stop(self) -> None:
        """Lets the thread end after what was submitted before."""
        self._queue.put(None)

    def unanswered(self) -> list[Future[int] | Future[None]]:
        """Returns the futures that no group will answer, once the thread has ended."""
        self.thread.join()
        jobs: list[Commit | Removal | None] = [*self._current]
        while not self._queue.empty():
            jobs.append(self._queue.get())
        return [job[0] if isinstance(job, tuple) else job.future for job in jobs if job]

    def commit(self, commit: Commit) -> Group:
        """Makes one commit in the caller's thread, while its own has nothing to do."""
        self._journal_bytes += sum([len(write.value or b"") for write in commit[1]])
        group = self._handle([commit], [])
        self._checkpoint_in_time()
        return group

    def _run(self) -> None:
        try:
            while not self._stopping:
                commits, removals = self._gather()
                self._current = [*commits, *removals]
                if commits or removals:
                    self._deliver(self._handle(commits, removals))
                self._current = []
                self._checkpoint_in_time()
        except sqlite3.Error as error:
            self._on_fatal(error)
        except BaseException as error:
            self._on_fatal(error)
            raise

    def _gather(self) -> tuple[list[Commit], list[Removal]]:
        """Waits for work and takes all there is, up to the bounds of a group."""
        commits: list[Commit] = []
        removals: list[Removal] = []
        size = 0
        job = self._queue.get()
        try:
            while True:
                if isinstance(job, tuple):
                    commits.append(job)
                    size += sum([len(write.value or b"") for write in job[1]])
                elif isinstance(job, Removal):
                    removals.append(job)
                else:
                    self._stopping = True
                    break
                if len(commits) >= GROUP_COMMITS or size >= GROUP_BYTES or removals:
                    break
                job = self._queue.get_nowait()
        except Empty:
            pass
        self._journal_bytes += size
        return commits, removals

    def _handle(self, commits: list[Commit], removals: list[Removal]) -> Group:
        decision = decide(self._head, self._newest, [writes for _, writes in commits])
        gone = [row for removal in removals for row in removal.rows]
        oldest = removals[-1].oldest if removals else None
        try:
            if decision.rows or removals:
                table.store(self._connection, decision.rows, gone, oldest)
                self._sync()
        except sqlite3.Error as error:
            if not table.has_no_room(error):
                raise
            return self._refuse(commits, removals)
        self._journal_bytes += len(gone) * table.PAGE_BYTES // 4
        self._take(decision)
        answers = self._answers(commits, decision)
        removed: list[Removed] = [(removal.future, None) for removal in removals]
        return Group(decision.revisions, answers, removed)

    @staticmethod
    def _refuse(commits: list[Commit], removals: list[Removal]) -> Group:
        return Group(
            [],
            [(future, Full("there is no room for the write")) for future, _ in commits],
            [(removal.future, Full("there is no room to compact")) for removal in removals],
        )

    def _take(self, decision: Decision) -> None:
        self._newest = decision.newest
        for key, standing in decision.changed.items():
            if standing:
                self._head[key] = standing
            else:
                self._head.pop(key, None)

    def _answers(self, commits: list[Commit], decision: Decision) -> list[Answer]:
        return [
            (commit[0], answer if type(answer) is int else self._conflict(answer, decision))
            for commit, answer in zip(commits, decision.answers, strict=True)
        ]

    def _conflict(self, refusal: int | Refusal, decision: Decision) -> Conflict:
        assert isinstance(refusal, Refusal)
        if refusal.standing is None:
            return Conflict(refusal.key, None)
        number, _ = refusal.standing
        [row] = table.fetch(self._connection, [number])
        return Conflict(refusal.key, row.record())

    def _checkpoint_in_time(self) -> None:
        if self._journal_bytes <= CHECKPOINT_BYTES:
            return
        self._journal_bytes = 0
        try:
            table.checkpoint(self._connection)
        except sqlite3.Error as error:
            # without room the journal keeps what the file cannot take; the next one tries again
            if not table.has_no_room(error):
                raise
