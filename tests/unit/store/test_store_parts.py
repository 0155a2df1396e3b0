"""The store's parts by themselves: deciding, the index, the feed, the writer's thread."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from steersman.store import feed as feeds
from steersman.store import table
from steersman.store import writer as writers
from steersman.store.decide import Refusal, Row, Standing, decide
from steersman.store.feed import BATCH_REVISIONS, PROGRESS_REVISIONS, RECORD_BYTES, Feed
from steersman.store.index import Index, first_row_after, revision_of, row_number
from steersman.store.interface import Conflict, Full, Record, Write
from steersman.store.writer import GROUP_BYTES, GROUP_COMMITS, Group, Removal, Writer


def revision(number: int, *keys: str, size: int = 1) -> tuple[Record, ...]:
    return tuple(Record(key, bytes(size), number, number) for key in keys)


# deciding


def test_commits_of_a_group_are_judged_on_top_of_each_other() -> None:
    head: dict[str, Standing] = {"a": (row_number(3, 0, False), 2)}
    decision = decide(
        head,
        7,
        [
            (Write("a", b"x", 3),),
            (Write("a", b"y", 3),),
            (Write("a", None, 8), Write("b", b"z", 0)),
            (Write("a", b"w", 0),),
            (Write("b", b"w", 0),),
        ],
    )
    assert decision.answers == [
        8,
        Refusal("a", (row_number(8, 0, False), 2)),
        9,
        10,
        Refusal("b", (row_number(9, 1, False), 9)),
    ]
    assert [(row.revision, row.key, row.created, row.value) for row in decision.rows] == [
        (8, "a", 2, b"x"),
        (9, "a", 2, None),
        (9, "b", 9, b"z"),
        (10, "a", 10, b"w"),
    ]
    assert decision.newest == 10
    assert head == {"a": (row_number(3, 0, False), 2)}


# the index


def test_row_numbers_order_rows_as_they_happened() -> None:
    numbers = [
        row_number(r, place, d) for r in (1, 2) for place in range(128) for d in (False, True)
    ]
    assert numbers == sorted(set(numbers))
    assert {revision_of(number) for number in numbers} == {1, 2}
    assert max(n for n in numbers if revision_of(n) == 1) < first_row_after(1) <= numbers[256]


def test_what_is_forgotten_comes_in_slices_and_only_once() -> None:
    index = Index()
    for number in range(1, 11):
        index.add("hot", row_number(number, 0, False))
    assert [revision_of(row) for row in index.forget(8, 3)] == [1, 2, 3]
    assert [revision_of(row) for row in index.forget(8, 3)] == [4, 5, 6]
    assert [revision_of(row) for row in index.forget(8, 3)] == [7]
    assert index.forget(8, 3) == []
    assert index.find("hot", 8) == row_number(8, 0, False)
    assert index.find("hot", 10) == row_number(10, 0, False)


def test_a_key_with_more_rows_than_a_slice_is_forgotten_to_its_last() -> None:
    index = Index()
    index.add("gone", row_number(1, 0, False))
    index.add("gone", row_number(2, 0, True))
    index.add("kept", row_number(3, 0, False))
    assert index.forget(3, 1) == [row_number(1, 0, False)]
    assert index.forget(3, 1) == [row_number(2, 0, True)]
    assert index.forget(3, 1) == []
    assert index.keys("", "", 9) == ["kept"]


def test_a_key_that_was_forgotten_and_put_again_is_listed_once() -> None:
    index = Index()
    index.add("a", row_number(1, 0, False))
    index.add("b", row_number(1, 1, False))
    assert index.keys("", "", 9) == ["a", "b"]
    index.add("a", row_number(2, 0, True))
    index.forget(2, 9)
    index.add("a", row_number(3, 0, False))
    assert index.keys("", "", 9) == ["a", "b"]
    index.add("a", row_number(4, 0, True))
    index.forget(4, 9)
    assert index.keys("", "", 9) == ["b"]


# the feed


def run(body: object) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await body()  # type: ignore[operator]

    asyncio.run(main())


def test_a_commit_under_load_wakes_only_those_whom_it_touches() -> None:
    async def body() -> None:
        feed = Feed(0, None)
        touched, also, idle = feed.wait("p/"), feed.wait(""), feed.wait("q/")
        feed.publish([revision(1, "p/a", "r"), revision(2, "x")], quiet=False)
        assert (touched.result(), also.result()) == (0, 0)
        assert not idle.done()
        feed.publish([revision(3, "q/a")], quiet=False)
        # what came before did not touch it, so it reads on from there
        assert idle.result() == 2

    run(body)


def test_everyone_hears_of_progress_when_no_commit_is_under_way() -> None:
    async def body() -> None:
        feed = Feed(0, None)
        idle = feed.wait("q/")
        feed.publish([revision(1, "p/a")], quiet=False)
        assert not idle.done()
        feed.publish([], quiet=True)
        batch = feed.read("q/", idle.result())
        assert batch
        assert (batch.records, batch.revision) == ((), 1)
        again = feed.wait("q/")
        feed.publish([], quiet=True)
        assert not again.done()

    run(body)


def test_under_load_progress_comes_after_a_bounded_number_of_revisions() -> None:
    async def body() -> None:
        feed = Feed(0, None)
        idle = feed.wait("q/")
        for number in range(1, PROGRESS_REVISIONS):
            feed.publish([revision(number, "p")], quiet=False)
        assert not idle.done()
        feed.publish([revision(PROGRESS_REVISIONS, "p")], quiet=False)
        assert idle.done()

    run(body)


def test_a_feed_keeps_what_its_bound_allows_and_says_when_it_does_not_reach_back() -> None:
    feed = Feed(4, 3 * (RECORD_BYTES + 100))
    for number in range(5, 10):
        feed.publish([revision(number, "a", size=100)], quiet=True)
    assert feed.read("", 5) is None
    batch = feed.read("", 6)
    assert batch
    assert [record.revision for record in batch.records] == [7, 8, 9]
    feed.publish([revision(10, "a", size=10_000)], quiet=True)
    assert feed.read("", 9) is None


def test_a_feed_forgets_exactly_the_revisions_up_to_the_one_named() -> None:
    feed = Feed(4, None)
    for number in range(5, 10):
        feed.publish([revision(number, "a")], quiet=True)
    feed.forget(7)
    assert feed.read("", 6) is None
    batch = feed.read("", 7)
    assert batch
    assert [record.revision for record in batch.records] == [8, 9]


def test_a_follower_far_behind_gets_batches_of_bounded_length() -> None:
    feed = Feed(0, None)
    feed.publish([revision(n, "a") for n in range(1, BATCH_REVISIONS + 11)], quiet=True)
    batch = feed.read("a", 5)
    assert batch
    assert (batch.revision, len(batch.records)) == (BATCH_REVISIONS + 5, BATCH_REVISIONS)
    rest = feed.read("a", batch.revision)
    assert rest
    assert [record.revision for record in rest.records] == list(
        range(BATCH_REVISIONS + 6, BATCH_REVISIONS + 11)
    )
    assert feeds.BATCH_REVISIONS == BATCH_REVISIONS


# the writer


class Thread:
    """A writer whose groups land in a queue; commits submitted before `start` wait together."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        directory.mkdir(exist_ok=True)
        self.connection = table.open_for_writing(directory, 0)
        self.groups: SimpleQueue[Group] = SimpleQueue()
        self.failures: SimpleQueue[BaseException] = SimpleQueue()
        self.writer = Writer(self.connection, {}, 0, self.groups.put, self.failures.put)

    def submit(self, *writes: Write) -> asyncio.Future[int]:
        future: asyncio.Future[int] = self.loop.create_future()
        self.writer.submit((future, writes))
        return future

    def next(self) -> Group:
        return self.groups.get(timeout=60)

    def close(self) -> None:
        self.writer.stop()
        if self.writer.thread.ident:
            self.writer.thread.join(60)
        self.connection.close()
        self.loop.close()


@pytest.fixture
def thread(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Thread(tmp_path / "data")
    yield made
    made.close()


def test_all_commits_that_wait_become_durable_in_one_transaction(thread: Thread) -> None:
    futures = [thread.submit(Write(str(number % 7), b"x")) for number in range(100)]
    statements: list[str] = []
    thread.connection.set_trace_callback(statements.append)
    thread.writer.thread.start()
    group = thread.next()
    assert [answer for _, answer in group.answers] == list(range(1, 101))
    assert [future for future, _ in group.answers] == futures
    assert [len(records) for records in group.revisions] == [1] * 100
    assert [text for text in statements if "INSERT" not in text] == ["BEGIN IMMEDIATE", "COMMIT"]


def test_a_small_group_is_one_statement_and_so_one_wait_for_the_lock(thread: Thread) -> None:
    for number in range(table.STATEMENT_ROWS):
        thread.submit(Write(str(number), b"x"))
    statements: list[str] = []
    thread.connection.set_trace_callback(statements.append)
    thread.writer.thread.start()
    thread.next()
    assert len(statements) == 1


def test_a_group_is_in_the_table_before_anyone_hears_of_it(tmp_path: Path) -> None:
    thread = Thread(tmp_path / "data")
    seen = []

    def deliver(group: Group) -> None:
        with closing(sqlite3.connect(tmp_path / "data" / table.FILE)) as other:
            seen.append(other.execute("SELECT key FROM revisions").fetchall())
        thread.groups.put(group)

    thread.writer = Writer(thread.connection, {}, 0, deliver, thread.failures.put)
    thread.submit(Write("a", b"1"))
    thread.writer.thread.start()
    thread.next()
    assert seen == [[("a",)]]
    thread.close()


def test_a_connection_syncs_every_commit(thread: Thread) -> None:
    assert thread.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert thread.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    # The writer moves the journal itself: SQLite would keep quiet about what it cannot move
    assert thread.connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_a_group_is_bounded_in_commits_and_in_bytes(thread: Thread) -> None:
    for number in range(GROUP_COMMITS + 1):
        thread.submit(Write(str(number), b""))
    for _ in range(3):
        thread.submit(Write("big", bytes(GROUP_BYTES // 2)))
    thread.writer.thread.start()
    assert [len(thread.next().answers) for _ in range(3)] == [GROUP_COMMITS, 3, 1]


def test_a_removal_shares_the_transaction_of_the_commits_before_it(thread: Thread) -> None:
    removed: asyncio.Future[None] = thread.loop.create_future()
    thread.submit(Write("a", b"1"))
    thread.submit(Write("a", b"2"))
    thread.writer.submit(Removal(removed, [row_number(1, 0, False)], 2))
    thread.submit(Write("a", b"3"))
    thread.writer.thread.start()
    group = thread.next()
    assert [answer for _, answer in group.answers] == [1, 2]
    assert group.removals == [(removed, None)]
    assert [answer for _, answer in thread.next().answers] == [3]
    assert table.oldest(thread.connection) == 2
    assert [number for number, _, _ in table.scan(thread.connection)] == [
        row_number(2, 0, False),
        row_number(3, 0, False),
    ]


def test_a_conflict_within_a_group_carries_the_record_of_that_group(thread: Thread) -> None:
    thread.submit(Write("a", b"1"))
    thread.submit(Write("a", b"2", expected=0))
    thread.writer.thread.start()
    _, error = thread.next().answers[1]
    assert isinstance(error, Conflict)
    assert error.current == Record("a", b"1", 1, 1)


def test_a_group_without_room_leaves_nothing_behind_in_the_accepted_state(thread: Thread) -> None:
    pages = thread.connection.execute("PRAGMA page_count").fetchone()[0]
    thread.connection.execute(f"PRAGMA max_page_count={pages}")
    thread.submit(Write("a", bytes(100_000), expected=0))
    thread.submit(Write("b", b"", expected=0))
    thread.writer.thread.start()
    group = thread.next()
    assert [type(answer) for _, answer in group.answers] == [Full, Full]
    assert group.revisions == []
    thread.submit(Write("a", b"1", expected=0))
    assert [answer for _, answer in thread.next().answers] == [1]
    assert thread.failures.empty()


def test_after_a_failure_nothing_is_answered_and_the_unanswered_are_named(thread: Thread) -> None:
    thread.connection.execute("DROP TABLE revisions")
    first = thread.submit(Write("a", b""))
    thread.writer.thread.start()
    assert isinstance(thread.failures.get(timeout=60), sqlite3.Error)
    second = thread.submit(Write("b", b""))
    assert thread.writer.unanswered() == [first, second]
    assert thread.groups.empty()


@pytest.mark.parametrize(("code", "fatal"), [("SQLITE_FULL", False), ("SQLITE_IOERR", True)])
def test_a_checkpoint_without_room_is_left_for_later_and_any_other_failure_is_fatal(
    thread: Thread, monkeypatch: pytest.MonkeyPatch, code: str, fatal: bool
) -> None:
    def fail(_: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError(code)
        error.sqlite_errorcode = getattr(sqlite3, code)
        raise error

    monkeypatch.setattr(table, "checkpoint", fail)
    monkeypatch.setattr(writers, "CHECKPOINT_BYTES", 0)
    thread.submit(Write("a", b"1"))
    thread.writer.thread.start()
    thread.next()
    if fatal:
        assert str(thread.failures.get(timeout=60)) == code
        return
    thread.submit(Write("a", b"2"))
    assert [answer for _, answer in thread.next().answers] == [2]
    assert thread.failures.empty()


# the table


def row(number: int, place: int = 0, size: int = 1) -> Row:
    return Row(row_number(number, place, False), f"k{place}", number, bytes(size))


def test_what_is_read_for_a_follower_ends_with_a_whole_revision(thread: Thread) -> None:
    rows = [row(1, 0), row(1, 1), row(2, 0, size=50), row(2, 1), row(3)]
    table.store(thread.connection, rows, [], None)
    read = {
        most: [(it.revision, it.key) for it in table.after(thread.connection, 0, most)]
        for most in (0, 1, 2, 60, 1000)
    }
    every = [(it.revision, it.key) for it in rows]
    assert read == {0: every[:2], 1: every[:2], 2: every[:4], 60: every, 1000: every}


def test_a_transaction_that_fails_leaves_nothing_and_hinders_no_other(thread: Thread) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        table.store(thread.connection, [row(1), row(1)], [], 1)
    assert (list(table.scan(thread.connection)), table.oldest(thread.connection)) == ([], 0)
    table.store(thread.connection, [row(1)], [], 1)
    assert table.oldest(thread.connection) == 1


def test_who_only_reads_cannot_write(thread: Thread, tmp_path: Path) -> None:
    reading = table.open_for_reading(tmp_path / "data")
    with closing(reading), pytest.raises(sqlite3.OperationalError, match="readonly"):
        table.store(reading, [row(1)], [], None)
