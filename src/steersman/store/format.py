"""The format of the history's file: how it is made, recognised, refused and brought up to date.

A newer format is refused; an older one is migrated in one transaction after a copy was made.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

APPLICATION = 0x53746572  # "Ster": tells our file from any other SQLite file
FORMAT = 1

Migration = Callable[[sqlite3.Connection], None]

# from format -> what makes it the next one; runs inside a transaction
MIGRATIONS: Mapping[int, Migration] = {}

# A row's number holds revision, place and deletion (see store/index.py), so the table needs no
# other column for order, and no index: store/index.py is rebuilt from one scan.
SCHEMA = """
CREATE TABLE revisions (
    row INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    value BLOB
);
CREATE TABLE compaction (oldest INTEGER NOT NULL);
INSERT INTO compaction VALUES (0);
"""


class UnknownFormat(Exception):
    """The file is not a history that this version of steer can read."""


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    *,
    current: int = FORMAT,
    migrations: Mapping[int, Migration] = MIGRATIONS,
) -> None:
    """Makes the file of the connection one of the current format, or raises UnknownFormat."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == 0 and found == 0 and _is_empty(connection):
        _transact(connection, SCHEMA, current)
        return
    if application != APPLICATION:
        raise UnknownFormat(f"{path} is not a history of steer")
    if found > current:
        raise UnknownFormat(
            f"{path} has format {found}, this version of steer reads up to {current}: "
            "start it with the version that wrote it, or a later one"
        )
    if found < current:
        _migrate(connection, path, range(found, current), migrations)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _transact(connection: sqlite3.Connection, schema: str, version: int) -> None:
    connection.executescript(
        f"BEGIN IMMEDIATE; {schema} PRAGMA application_id={APPLICATION};"
        f"PRAGMA user_version={version}; COMMIT;"
    )


def _migrate(
    connection: sqlite3.Connection, path: Path, steps: range, migrations: Mapping[int, Migration]
) -> None:
    missing = [step for step in steps if step not in migrations]
    if missing:
        raise UnknownFormat(f"{path} has format {steps.start}, which cannot be migrated any more")
    _copy(connection, path.with_name(f"{path.name}.format-{steps.start}"))
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            migrations[step](connection)
        connection.execute(f"PRAGMA user_version={steps.stop}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    """Copies the database, its journal included, durably and readable by its owner alone."""
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    copy = sqlite3.connect(partial, isolation_level=None)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    sync(partial)
    partial.rename(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Makes a file's content, or a directory's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
