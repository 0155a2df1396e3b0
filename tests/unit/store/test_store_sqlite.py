"""SQLite's store beyond the interface: its files, its format, full and failing disks."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvloop

from steersman.store import format as formats
from steersman.store import table, writer
from steersman.store.format import UnknownFormat, prepare
from steersman.store.interface import Batch, Closed, Compacted, Full, Record, Write
from steersman.store.sqlite import RECENT_BYTES, REMOVED_ROWS, SqliteStore, open_sqlite
from steersman.store.table import FILE, InUse
from steersman.world.real import RealWorld

Body = Callable[[SqliteStore], Awaitable[None]]


def using(directory: Path, body: Body, quota_bytes: int = 0) -> None:
    """Opens, runs and closes a store in a loop of its own."""

    async def main() -> None:
        failures: list[BaseException] = []
        store = await open_sqlite(
            directory, world=RealWorld(), on_fatal=failures.append, quota_bytes=quota_bytes
        )
        try:
            async with asyncio.timeout(60):
                await body(store)
        finally:
            await store.close()
        assert failures == []

    asyncio.run(main())


async def nothing(store: SqliteStore) -> None:
    pass


async def gathered(store: SqliteStore, *, after: int, upto: int) -> list[Record]:
    records: list[Record] = []
    async for batch in store.follow("", after=after):
        records += batch.records
        if batch.revision >= upto:
            break
    return records


def rows(directory: Path) -> list[tuple[str, bytes | None]]:
    with closing(sqlite3.connect(directory / FILE)) as connection:
        return connection.execute("SELECT key, value FROM revisions ORDER BY row").fetchall()


def test_the_directory_is_0700_and_its_files_are_0600_whatever_the_umask(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await store.commit(Write("a", b"1"))
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
        assert {FILE, f"{FILE}-wal", "lock"} <= set(files)
        assert set(files.values()) == {0o600}

    directory = tmp_path / "data"
    before = os.umask(0)
    try:
        using(directory, body)
    finally:
        os.umask(before)


def test_commits_that_are_put_off_reach_the_disk_with_the_next_that_is_not_or_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(table, "sync", synced.append)
    put_off = True

    async def main() -> None:
        nonlocal put_off
        store = await open_sqlite(
            tmp_path, world=RealWorld(), on_fatal=pytest.fail, put_off=lambda: put_off
        )
        synced.clear()
        await store.commit(Write("a", b"1"))
        assert synced == []
        store.sync()
        assert synced == [tmp_path / table.JOURNAL]
        put_off = False
        await store.commit(Write("b", b"2"))
        assert synced == [tmp_path / table.JOURNAL] * 2
        await store.close()
        store.sync()  # there is no journal any more
        assert len(synced) == 2

    asyncio.run(main())
    assert rows(tmp_path) == [("a", b"1"), ("b", b"2")]


def test_a_disk_that_fails_when_asked_to_keep_what_was_put_off_is_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[BaseException] = []

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    async def main() -> None:
        store = await open_sqlite(
            tmp_path, world=RealWorld(), on_fatal=failures.append, put_off=lambda: True
        )
        monkeypatch.setattr(table, "sync", fail)
        store.sync()
        await asyncio.sleep(0)
        with pytest.raises(Closed):
            await store.commit(Write("a", b"1"))
        await store.close()

    asyncio.run(main())
    assert [str(error) for error in failures] == [
        f"[Errno 5] Input/output error: '{tmp_path / table.JOURNAL}'"
    ]


def test_a_directory_is_open_once_and_free_again_after_close(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        with pytest.raises(InUse, match=str(tmp_path)):
            await open_sqlite(tmp_path, world=RealWorld(), on_fatal=lambda _: None)
        await store.commit(Write("a", b"1"))

    using(tmp_path, body)
    using(tmp_path, nothing)


def test_close_leaves_neither_thread_nor_descriptor_nor_journal(tmp_path: Path) -> None:
    import threading

    async def body(store: SqliteStore) -> None:
        await store.commit(Write("a", b"1"))
        await store.get("a")

    using(tmp_path, body)
    descriptors = len(os.listdir("/proc/self/fd"))
    using(tmp_path, body)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not [t for t in threading.enumerate() if t.name.startswith("store")]
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "lock"}


def test_the_journal_is_moved_into_the_file_before_it_grows_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT_BYTES", 64 << 10)

    async def body(store: SqliteStore) -> None:
        for number in range(64):
            await store.commit(Write("a", bytes(16 << 10) + b"%d" % number))
        # A checkpoint comes behind the group that called for it, and pages are more than values
        assert (tmp_path / f"{FILE}-wal").stat().st_size < 4 * (64 << 10)

    using(tmp_path, body)


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    async def write(store: SqliteStore) -> None:
        await store.commit(Write("a", b"1"), Write("b", b"1"))
        await store.commit(Write("a", b"2"))
        await store.commit(Write("b", None))
        await store.commit(Write("b", b"4"), Write("c", b"4"))
        await store.commit(Write("c", None))

    async def read(store: SqliteStore) -> None:
        assert await store.revision() == 5
        a, b = Record("a", b"2", 2, 1), Record("b", b"4", 4, 4)
        assert (await store.list("")).records == (a, b)
        assert await store.get("b", at=3) is None
        assert await store.get("b", at=2) == Record("b", b"1", 1, 1)
        assert await gathered(store, after=1, upto=5) == [
            a,
            Record("b", None, 3, 1),
            b,
            Record("c", b"4", 4, 4),
            Record("c", None, 5, 4),
        ]
        assert await store.commit(Write("a", b"6", expected=2), Write("c", b"6", expected=0)) == 6
        assert await store.get("a") == Record("a", b"6", 6, 1)

    using(tmp_path, write)
    using(tmp_path, read)


def test_the_newest_revision_outlives_the_compaction_of_all_its_rows(tmp_path: Path) -> None:
    async def write(store: SqliteStore) -> None:
        await store.commit(Write("a", b"1"))
        await store.commit(Write("a", None))
        await store.compact(2)

    async def read(store: SqliteStore) -> None:
        assert await store.revision() == 2
        with pytest.raises(Compacted) as caught:
            await store.get("a", at=1)
        assert caught.value.oldest == 2
        assert await store.commit(Write("a", b"3", expected=0)) == 3

    using(tmp_path, write)
    assert rows(tmp_path) == []
    using(tmp_path, read)


def test_compaction_removes_exactly_the_rows_that_no_read_needs(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        for number in range(REMOVED_ROWS * 2 + 10):
            await store.commit(Write("a", b"%d" % number), Write(f"b{number}", b""))
            await store.commit(Write(f"b{number}", None))
        # the revision that put `a` for the last time but one
        await store.compact(await store.revision() - 3)

    using(tmp_path, body)
    last = REMOVED_ROWS * 2 + 9
    assert rows(tmp_path) == [
        ("a", b"%d" % (last - 1)),
        (f"b{last - 1}", b""),
        (f"b{last - 1}", None),
        ("a", b"%d" % last),
        (f"b{last}", b""),
        (f"b{last}", None),
    ]


def test_a_compaction_cut_short_is_finished_by_the_next(tmp_path: Path) -> None:
    async def cut_short(store: SqliteStore) -> None:
        for number in range(REMOVED_ROWS * 3):
            await store.commit(Write("a", b"%d" % number))
        task = asyncio.create_task(store.compact(REMOVED_ROWS * 3))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def finish(store: SqliteStore) -> None:
        await store.compact(REMOVED_ROWS * 3)
        assert await store.get("a") == Record(
            "a", b"%d" % (REMOVED_ROWS * 3 - 1), REMOVED_ROWS * 3, 1
        )

    using(tmp_path, cut_short)
    assert len(rows(tmp_path)) > 1
    using(tmp_path, finish)
    assert len(rows(tmp_path)) == 1


def test_rows_for_whose_removal_there_was_no_room_go_with_the_next_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = table.store

    def store_or_fail(connection: sqlite3.Connection, *what: Any) -> None:
        if what[1] and not room:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        plain(connection, *what)

    async def body(store: SqliteStore) -> None:
        for number in range(3):
            await store.commit(Write("a", b"%d" % number))
        with pytest.raises(Full, match="no room to compact"):
            await store.compact(3)
        with pytest.raises(Compacted):
            await store.get("a", at=2)
        room.append(True)
        await store.compact(3)

    room: list[bool] = []
    monkeypatch.setattr(table, "store", store_or_fail)
    using(tmp_path, body)
    assert rows(tmp_path) == [("a", b"2")]


def test_a_follower_gets_from_the_table_what_memory_holds_no_more(tmp_path: Path) -> None:
    value = bytes(1 << 20)
    count = RECENT_BYTES // len(value) + 6

    async def body(store: SqliteStore) -> None:
        slow = store.follow("k", after=0)
        await store.commit(Write("k", b"first"))
        seen = [*(await anext(slow)).records]
        for number in range(count):
            await store.commit(Write(f"k{number:02}", value), Write(f"other{number}", b""))
        while seen[-1].revision < count + 1:
            batch = await anext(slow)
            assert isinstance(batch, Batch)
            seen += batch.records
        assert [record.revision for record in seen] == list(range(1, count + 2))
        assert [r.key for r in seen] == ["k", *[f"k{number:02}" for number in range(count)]]
        assert len(await gathered(store, after=0, upto=count + 1)) == 2 * count + 1

    using(tmp_path, body)


def test_a_follower_behind_is_told_nothing_that_reads_do_not_show_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the table is durable a moment before it is visible."""
    durable, shown = threading.Event(), threading.Event()
    write = table.store

    def store_and_wait(*given: Any) -> None:
        write(*given)
        durable.set()
        assert shown.wait(60)

    async def before(store: SqliteStore) -> None:
        await store.commit(Write("a", b""))

    async def body(store: SqliteStore) -> None:
        follower = store.follow("", after=0)  # opened anew, memory holds nothing
        last = asyncio.create_task(store.commit(Write("b", b"")))
        await asyncio.to_thread(durable.wait, 60)
        try:
            batch = await anext(follower)
            assert ([it.key for it in batch.records], batch.revision) == (["a"], 1)
            assert await store.revision() == 1
        finally:
            shown.set()
        assert await last == 2
        assert [it.key for it in (await anext(follower)).records] == ["b"]

    using(tmp_path, before)
    monkeypatch.setattr(table, "store", store_and_wait)
    using(tmp_path, body)


def test_a_full_store_refuses_writes_serves_reads_and_recovers_with_room(tmp_path: Path) -> None:
    value = bytes(range(256)) * 16

    async def body(store: SqliteStore) -> None:
        written = 0
        with pytest.raises(Full):
            while True:
                await store.commit(Write("a", value + b"%d" % written))
                written += 1
        assert written > 10
        assert await store.revision() == written
        standing = await store.get("a")
        assert standing == Record("a", value + b"%d" % (written - 1), written, 1)
        with pytest.raises(Full):
            await store.commit(Write("a", value * 4, expected=written))
        assert (await store.list("")).records == (standing,)
        assert len(await gathered(store, after=0, upto=written)) == written
        await store.compact(written)
        assert await store.commit(Write("a", value, expected=written)) == written + 1

    using(tmp_path, body, quota_bytes=40 * 8192)


FAILING = """
import asyncio, os, resource, sys
from pathlib import Path
from typing import Any
from steersman.store.interface import Write
from steersman.store.sqlite import open_sqlite
from steersman.world.real import RealWorld

async def main():
    store = await open_sqlite(
        Path(sys.argv[1]), world=RealWorld(), on_fatal=lambda error: os._exit(70)
    )
    # writing beyond this size fails with EFBIG, which is not a matter of room
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for number in range(1000):
        await store.commit(Write("a", bytes(8000) + b"%d" % number))
        os.write(1, b"%d\\n" % number)

asyncio.run(main())
"""


def test_a_failing_disk_ends_the_process_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(tmp_path)],
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    acknowledged = done.stdout.split()
    assert done.returncode == 70
    assert acknowledged

    async def body(store: SqliteStore) -> None:
        record = await store.get("a")
        assert record
        assert record.revision >= len(acknowledged)

    using(tmp_path, body)


def test_where_on_fatal_returns_the_store_is_closed_for_good(tmp_path: Path) -> None:
    async def main() -> None:
        failures: list[BaseException] = []
        store = await open_sqlite(tmp_path, world=RealWorld(), on_fatal=failures.append)
        await store.commit(Write("a", b"1"))
        with closing(sqlite3.connect(tmp_path / FILE)) as vandal:
            vandal.execute("DROP TABLE revisions")
        follower = asyncio.ensure_future(anext(store.follow("", after=1)))
        await asyncio.sleep(0)
        commits = [store.commit(Write(str(number), b"")) for number in range(5)]
        answers = await asyncio.gather(*commits, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Closed] * 5
        assert [type(failure) for failure in failures] == [sqlite3.OperationalError]
        with pytest.raises(Closed):
            await follower
        with pytest.raises(Closed):
            await store.get("a")
        with pytest.raises(Closed):
            await store.commit(Write("b", b""))
        await store.close()

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


def test_a_loop_that_never_rests_does_not_starve_the_writer(tmp_path: Path) -> None:
    async def busy() -> None:
        while True:
            sum(range(5000))
            await asyncio.sleep(0)

    async def body(store: SqliteStore) -> None:
        task = asyncio.create_task(busy())
        for _ in range(20):
            await asyncio.gather(*[store.commit(Write(str(n), b"")) for n in range(64)])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def main() -> None:
        store = await open_sqlite(tmp_path, world=RealWorld(), on_fatal=lambda _: None)
        async with asyncio.timeout(40):  # without giving way: a minute and more
            await body(store)
        await store.close()

    uvloop.run(main())


# the format


def opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    using(tmp_path, nothing)
    with closing(opened(tmp_path / FILE)) as connection:
        connection.execute(f"PRAGMA user_version={formats.FORMAT + 1}")
    content = (tmp_path / FILE).read_bytes()
    with pytest.raises(UnknownFormat, match=f"format {formats.FORMAT + 1}.*up to {formats.FORMAT}"):
        using(tmp_path, nothing)
    assert (tmp_path / FILE).read_bytes() == content
    with closing(opened(tmp_path / FILE)) as connection:
        connection.execute(f"PRAGMA user_version={formats.FORMAT}")
    using(tmp_path, nothing)


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    with closing(opened(tmp_path / FILE)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UnknownFormat, match="not a history"):
        using(tmp_path, nothing)


def _old_file(path: Path) -> None:
    with closing(opened(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE old (x)")
        connection.execute("INSERT INTO old VALUES (7)")
        connection.execute(f"PRAGMA application_id={formats.APPLICATION}")
        connection.execute("PRAGMA user_version=1")


def test_an_older_format_is_migrated_step_by_step_after_a_copy_was_made(tmp_path: Path) -> None:
    path = tmp_path / FILE
    _old_file(path)
    migrations = {
        1: lambda c: c.execute("ALTER TABLE old RENAME TO new"),
        2: lambda c: c.execute("UPDATE new SET x = x + 1"),
    }
    with closing(opened(path)) as connection:
        prepare(connection, path, current=3, migrations=migrations)
        assert connection.execute("SELECT x FROM new").fetchall() == [(8,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    copy = tmp_path / f"{FILE}.format-1"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(opened(copy)) as connection:
        assert connection.execute("SELECT x FROM old").fetchall() == [(7,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / FILE
    _old_file(path)
    migrations = {
        1: lambda c: c.execute("ALTER TABLE old RENAME TO new"),
        2: lambda c: c.execute("UPDATE missing SET x = x + 1"),
    }
    with closing(opened(path)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="missing"):
            prepare(connection, path, current=3, migrations=migrations)
        assert connection.execute("SELECT x FROM old").fetchall() == [(7,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_format_too_old_to_be_migrated_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    _old_file(path)
    with closing(opened(path)) as connection, pytest.raises(UnknownFormat, match="format 1"):
        prepare(connection, path, current=3, migrations={2: lambda c: None})
    assert not (tmp_path / f"{FILE}.format-1").exists()


def test_a_read_that_fails_is_as_fatal_as_a_write(tmp_path: Path) -> None:
    async def main() -> None:
        failures: list[BaseException] = []
        store = await open_sqlite(tmp_path, world=RealWorld(), on_fatal=failures.append)
        await store.commit(Write("a", b"1"))
        with closing(sqlite3.connect(tmp_path / FILE)) as vandal:
            vandal.execute("DROP TABLE revisions")
        with pytest.raises(Closed):
            await store.get("a")
        assert [type(failure) for failure in failures] == [sqlite3.OperationalError]
        with pytest.raises(Closed):
            await store.commit(Write("b", b""))
        await store.close()

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())
