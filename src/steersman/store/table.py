"""The history's table in SQLite: every statement there is, and the connections they run on.

Synchronous; each connection belongs to one thread at a time. A group of rows is one statement,
because sqlite3 gives up the interpreter lock with every step and gets it back only after up to
5 ms when the API's loop is busy.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

from steersman.store.decide import Row
from steersman.store.format import prepare, sync

FILE = "history.sqlite"
JOURNAL = f"{FILE}-wal"
LOCK = "lock"
PAGE_BYTES = 8192  # of 4 to 32 kB the quickest for groups and as quick for single commits
STATEMENT_ROWS = 64  # inserted or read by one statement; the prepared statements are kept
KEPT_STATEMENTS = 2 * STATEMENT_ROWS + 20
# sqlite.org/rescode.html; the second: no room for the shared-memory index of the journal
NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


class InUse(Exception):
    """Another process has the data directory open."""


def lock(directory: Path) -> int:
    """Makes the directory if it is missing and locks it; returns the descriptor that holds it."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True)
        sync(directory.parent)
    descriptor = os.open(directory / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUse(f"{directory} is in use by another process") from None
    return descriptor


def open_for_writing(
    directory: Path, quota_bytes: int, *, synchronous: str = "FULL"
) -> sqlite3.Connection:
    """Opens the file, made or migrated if need be; the caller holds the lock.

    Where it is `NORMAL`, a commit waits for the disk with `sync_journal` alone.
    """
    path = directory / FILE
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = _connect(path)
    try:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        # its own checkpoints drop their errors; the writer runs them itself
        connection.execute("PRAGMA wal_autocheckpoint=0")
        prepare(connection, path)
        if quota_bytes:
            connection.execute(f"PRAGMA max_page_count={max(1, quota_bytes // PAGE_BYTES)}")
        sync(directory)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(directory: Path) -> sqlite3.Connection:
    """Opens a second connection that can only read."""
    connection = _connect(directory / FILE)
    connection.execute("PRAGMA query_only=1")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=KEPT_STATEMENTS
    )


def has_no_room(error: sqlite3.Error) -> bool:
    """Tells a full disk or quota from a broken one."""
    return getattr(error, "sqlite_errorcode", None) in NO_ROOM


def scan(connection: sqlite3.Connection) -> Iterator[tuple[int, str, int]]:
    """Yields row, key and created of every row, in order."""
    yield from connection.execute("SELECT row, key, created FROM revisions ORDER BY row")


def oldest(connection: sqlite3.Connection) -> int:
    """Returns the first revision that can be read."""
    return int(connection.execute("SELECT oldest FROM compaction").fetchone()[0])


def store(
    connection: sqlite3.Connection, rows: list[Row], gone: list[int], compacted: int | None
) -> None:
    """Appends rows and removes those of `gone` in one durable transaction."""
    if len(rows) <= STATEMENT_ROWS and compacted is None:
        # a transaction of its own: one step, and so one wait for the interpreter lock
        connection.execute(_insert(len(rows)), list(chain.from_iterable(rows)))
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for start in range(0, len(rows), STATEMENT_ROWS):
            some = rows[start : start + STATEMENT_ROWS]
            connection.execute(_insert(len(some)), list(chain.from_iterable(some)))
        if compacted is not None:
            connection.execute("UPDATE compaction SET oldest = ?", (compacted,))
        for start in range(0, len(gone), STATEMENT_ROWS):
            numbers = gone[start : start + STATEMENT_ROWS]
            connection.execute(_delete(len(numbers)), numbers)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def fetch(connection: sqlite3.Connection, numbers: list[int]) -> list[Row]:
    """Returns the rows of these numbers, which ascend, as far as they are there."""
    rows: list[Row] = []
    for start in range(0, len(numbers), STATEMENT_ROWS):
        some = numbers[start : start + STATEMENT_ROWS]
        rows += map(Row._make, connection.execute(_select(len(some)), some))
    return rows


def after(connection: sqlite3.Connection, number: int, most_bytes: int) -> list[Row]:
    """Returns rows from the number on, whole revisions, ending soon after `most_bytes`."""
    rows: list[Row] = []
    size = 0
    statement = "SELECT row, key, created, value FROM revisions WHERE row >= ? ORDER BY row"
    for row in map(Row._make, connection.execute(statement, (number,))):
        if size > most_bytes and row.revision != rows[-1].revision:
            break
        rows.append(row)
        size += len(row.value or b"")
    return rows


def sync_journal(directory: Path) -> None:
    """Makes what was committed so far durable."""
    sync(directory / JOURNAL)


def checkpoint(connection: sqlite3.Connection) -> None:
    """Moves what the journal holds into the file, as far as no reader needs it there."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


@cache
def _insert(count: int) -> str:
    return "INSERT INTO revisions VALUES " + ",".join(["(?,?,?,?)"] * count)


@cache
def _delete(count: int) -> str:
    return f"DELETE FROM revisions WHERE row IN ({','.join('?' * count)})"


@cache
def _select(count: int) -> str:
    return (
        "SELECT row, key, created, value FROM revisions "
        f"WHERE row IN ({','.join('?' * count)}) ORDER BY row"
    )
