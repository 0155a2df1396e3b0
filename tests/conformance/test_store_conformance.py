"""What every store promises: one test for each sentence of `store.interface`, and its edges.

The same tests run against memory, SQLite and Debian's etcd.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ports import free_port
from steersman.store.interface import (
    MOST_WRITES,
    Batch,
    Closed,
    Compacted,
    Conflict,
    Record,
    Store,
    Write,
)
from steersman.store.memory import MemoryStore
from steersman.store.sqlite import open_sqlite
from steersman.world.real import RealWorld

PATIENCE_SECONDS = 120.0
ETCD = Path("/usr/bin/etcd")

Body = Callable[[Store], Awaitable[None]]
Run = Callable[[Body], None]


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[Store]:
    store = MemoryStore(RealWorld())
    yield store
    await store.close()


@asynccontextmanager
async def etcd(directory: Path) -> AsyncIterator[Store]:
    if not ETCD.exists():
        pytest.skip("etcd is not installed here")
    pytest.importorskip("grpc", reason="aetcd brings grpcio, which is not installed here")
    pytest.importorskip("aetcd", reason="aetcd is not installed here")
    from steersman.store.etcd import open_etcd

    async with etcd_server(directory) as address:
        store = await open_etcd(address)
        yield store
        await store.close()


@asynccontextmanager
async def etcd_server(directory: Path) -> AsyncIterator[str]:
    """Runs an etcd on loopback while the block runs; one member elects itself at once."""
    address, peer_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
    process = await asyncio.create_subprocess_exec(
        str(ETCD),
        *("--name=test", f"--data-dir={directory / 'etcd'}", "--logger=zap"),
        *(f"--listen-client-urls=http://{address}", f"--advertise-client-urls=http://{address}"),
        *(f"--listen-peer-urls=http://{peer_address}", "--heartbeat-interval=10"),
        *(f"--initial-advertise-peer-urls=http://{peer_address}", "--election-timeout=50"),
        f"--initial-cluster=test=http://{peer_address}",
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        while b"serving client traffic" not in (line := await process.stderr.readline()):
            assert line, "etcd ended"
        drain = asyncio.create_task(process.stderr.read())
        yield address
    finally:
        process.kill()
        await process.wait()
    await drain


@asynccontextmanager
async def sqlite(directory: Path) -> AsyncIterator[Store]:
    failures: list[BaseException] = []
    store = await open_sqlite(directory / "data", world=RealWorld(), on_fatal=failures.append)
    yield store
    await store.close()
    assert failures == []


@asynccontextmanager
async def sqlite_put_off(directory: Path) -> AsyncIterator[Store]:
    failures: list[BaseException] = []
    store = await open_sqlite(
        directory / "data",
        world=RealWorld(),
        on_fatal=failures.append,
        put_off=lambda: True,
    )
    yield store
    await store.close()
    assert failures == []


OPENERS: dict[str, Callable[[Path], AbstractAsyncContextManager[Store]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "sqlite, put off": sqlite_put_off,
    "etcd": etcd,
}


@pytest.fixture(params=OPENERS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test's body with a fresh store."""

    async def main(body: Body) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), OPENERS[request.param](tmp_path) as store:
            await body(store)

    return lambda body: asyncio.run(main(body))


def put(key: str, value: bytes = b"v", expected: int | None = None) -> Write:
    return Write(key, value, expected)


def delete(key: str, expected: int | None = None) -> Write:
    return Write(key, None, expected)


async def keys(store: Store, prefix: str = "", **options: Any) -> list[str]:
    return [record.key for record in (await store.list(prefix, **options)).records]


async def conflict(store: Store, *writes: Write) -> Conflict:
    with pytest.raises(Conflict) as caught:
        await store.commit(*writes)
    return caught.value


async def until(store: Store, prefix: str, *, after: int, revision: int) -> list[Batch]:
    """Follows until the revision was reached."""
    batches = []
    async for batch in store.follow(prefix, after=after):
        batches.append(batch)
        if batch.revision >= revision:
            break
    return batches


def records(batches: list[Batch]) -> list[Record]:
    return [record for batch in batches for record in batch.records]


class Follower:
    """A task that follows and can be waited for."""

    def __init__(self, store: Store, prefix: str, after: int = 0) -> None:
        self.batches: list[Batch] = []
        self._store, self._prefix, self._after = store, prefix, after
        self._moved = asyncio.Event()
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for batch in self._store.follow(self._prefix, after=self._after):
            self.batches.append(batch)
            self._moved.set()

    async def reached(self, revision: int) -> None:
        while not self.batches or self.batches[-1].revision < revision:
            self._moved.clear()
            await self._moved.wait()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


# revision


def test_an_empty_history_stands_at_revision_0(run: Run) -> None:
    async def body(store: Store) -> None:
        assert await store.revision() == 0
        assert (await store.list("")).revision == 0

    run(body)


def test_every_commit_gets_the_next_revision_whatever_it_holds(run: Run) -> None:
    async def body(store: Store) -> None:
        assert await store.commit(put("a")) == 1
        assert await store.commit(put("a"), put("b"), put("c")) == 2
        assert await store.commit(delete("a")) == 3
        assert await store.commit(put("b")) == 4
        assert await store.revision() == 4

    run(body)


def test_a_refused_commit_uses_no_revision(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a"))
        await conflict(store, put("a", expected=0))
        assert await store.revision() == 1
        assert await store.commit(put("b")) == 2

    run(body)


# get


def test_get_returns_the_newest_record(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a", b"1"))
        await store.commit(put("a", b"2"))
        assert await store.get("a") == Record("a", b"2", 2, 1)

    run(body)


def test_get_returns_none_for_a_key_that_never_was_or_is_no_more(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a"))
        await store.commit(delete("a"))
        assert await store.get("a") is None
        assert await store.get("never") is None
        assert await store.get("a", at=2) is None

    run(body)


def test_get_at_a_revision_returns_what_was_then(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a", b"1"))
        await store.commit(put("b", b"2"))
        await store.commit(put("a", b"3"))
        await store.commit(delete("a"))
        assert await store.get("a", at=0) is None
        assert await store.get("a", at=1) == Record("a", b"1", 1, 1)
        assert await store.get("b", at=1) is None
        assert await store.get("a", at=2) == Record("a", b"1", 1, 1)
        assert await store.get("a", at=3) == Record("a", b"3", 3, 1)
        assert await store.get("a", at=4) is None

    run(body)


def test_a_revision_that_does_not_exist_yet_is_refused(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a"))
        with pytest.raises(ValueError, match="2"):
            await store.get("a", at=2)
        with pytest.raises(ValueError, match="2"):
            await store.list("a", at=2)
        with pytest.raises(ValueError, match="2"):
            await store.compact(2)
        with pytest.raises(ValueError, match="-1"):
            await store.get("a", at=-1)

    run(body)


def test_values_come_back_as_they_were_put(run: Run) -> None:
    values = [b"", b"\0", b"\0\xff" * 3, bytes(range(256)), b"x" * 100_000, "ü{}".encode()]

    async def body(store: Store) -> None:
        for value in values:
            await store.commit(put("key", value))
            record = await store.get("key")
            assert record
            assert type(record.value) is bytes
            assert record.value == value
        assert [r.value for r in records(await until(store, "", after=0, revision=6))] == values

    run(body)


def test_deleting_and_putting_again_starts_a_new_life(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a", b"1"))
        await store.commit(put("a", b"2"))
        await store.commit(delete("a"))
        await store.commit(put("a", b"3"))
        await store.commit(put("a", b"4"))
        assert await store.get("a", at=2) == Record("a", b"2", 2, 1)
        assert await store.get("a") == Record("a", b"4", 5, 4)

    run(body)


# list


def test_list_returns_the_keys_with_the_prefix_and_no_neighbours(run: Run) -> None:
    names = ["a", "a/", "a/b", "a/b/c", "a/\x7f", "a/é", "a/\U0010ffff", "a0", "b", "A/b"]

    async def body(store: Store) -> None:
        await store.commit(*[put(name) for name in names])
        assert await keys(store, "a/") == ["a/", "a/b", "a/b/c", "a/\x7f", "a/é", "a/\U0010ffff"]
        assert await keys(store, "a/b") == ["a/b", "a/b/c"]
        assert await keys(store, "a/\U0010ffff") == ["a/\U0010ffff"]
        assert await keys(store, "c") == []

    run(body)


def test_list_returns_byte_order_and_an_empty_prefix_means_every_key(run: Run) -> None:
    names = ["é", "b", "\U0001f600", "a", "\uffff", "Z", "a!", "aa"]

    async def body(store: Store) -> None:
        await store.commit(*[put(name) for name in names])
        assert await keys(store) == sorted(names, key=str.encode)

    run(body)


def test_list_returns_whole_records_and_leaves_out_what_was_deleted(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("p/a", b"1"), put("p/b", b"2"), put("p/c", b"3"))
        await store.commit(put("p/a", b"4"), delete("p/b"))
        page = await store.list("p/")
        assert page.records == (Record("p/a", b"4", 2, 1), Record("p/c", b"3", 1, 1))
        assert (page.revision, page.remaining) == (2, 0)

    run(body)


def test_list_after_a_key_begins_behind_it_whether_or_not_it_exists(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("p/a"), put("p/b"), put("p/c"), put("q"))
        assert await keys(store, "p/", after="p/a") == ["p/b", "p/c"]
        assert await keys(store, "p/", after="p/aa") == ["p/b", "p/c"]
        assert await keys(store, "p/", after="p/c") == []
        assert await keys(store, "p/", after="zzz") == []
        assert await keys(store, "p/", after="a") == ["p/a", "p/b", "p/c"]
        assert await keys(store, "p/", after="p/") == ["p/a", "p/b", "p/c"]

    run(body)


def test_a_limit_cuts_the_page_and_remaining_counts_the_existing_keys_behind_it(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(*[put(f"p/{number}") for number in range(6)], put("q"))
        await store.commit(delete("p/4"))
        page = await store.list("p/", limit=2)
        assert ([r.key for r in page.records], page.remaining) == (["p/0", "p/1"], 3)
        page = await store.list("p/", limit=2, after="p/1")
        assert ([r.key for r in page.records], page.remaining) == (["p/2", "p/3"], 1)
        page = await store.list("p/", limit=2, after="p/3")
        assert ([r.key for r in page.records], page.remaining) == (["p/5"], 0)
        assert (await store.list("p/", limit=5)).remaining == 0
        assert len((await store.list("p/", limit=0)).records) == 5
        with pytest.raises(ValueError, match="-1"):
            await store.list("p/", limit=-1)

    run(body)


def test_pages_at_an_old_revision_are_not_disturbed_by_writes(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(*[put(f"p/{number:02}", b"old") for number in range(20)])
        seen: list[Record] = []
        remaining = 1
        while remaining:
            after = seen[-1].key if seen else ""
            page = await store.list("p/", at=1, after=after, limit=3)
            assert page.revision == 1
            seen += page.records
            remaining = page.remaining
            number = len(seen)
            await store.commit(put(f"p/{number % 20:02}", b"new"), put(f"p/{number:02}a"))
            await store.commit(delete(f"p/{number:02}a"), delete(f"p/{(number + 1) % 20:02}"))
        assert seen == [Record(f"p/{number:02}", b"old", 1, 1) for number in range(20)]

    run(body)


def test_a_list_over_many_keys_is_whole_and_paged_right(run: Run) -> None:
    names = [f"p/{number:05}" for number in range(2600)]

    async def body(store: Store) -> None:
        for start in range(0, len(names), MOST_WRITES):
            await store.commit(*[put(name) for name in names[start : start + MOST_WRITES]])
        await store.commit(*[delete(name) for name in names[990:1010]])
        left = names[:990] + names[1010:]
        assert await keys(store, "p/") == left
        page = await store.list("p/", limit=1500)
        assert [record.key for record in page.records] == left[:1500]
        assert page.remaining == len(left) - 1500
        page = await store.list("p/", limit=1, after=names[0])
        assert ([r.key for r in page.records], page.remaining) == (names[1:2], len(left) - 2)

    run(body)


# commit


def test_a_write_without_a_condition_always_holds(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a", b"1"))
        await store.commit(put("a", b"2"))
        await store.commit(delete("a"))
        assert await store.commit(put("a", b"3")) == 4

    run(body)


def test_a_write_holds_when_the_key_stands_at_the_expected_revision(run: Run) -> None:
    async def body(store: Store) -> None:
        assert await store.commit(put("a", b"1", expected=0)) == 1
        assert await store.commit(put("a", b"2", expected=1)) == 2
        assert await store.commit(delete("a", expected=2)) == 3
        assert await store.commit(put("a", b"3", expected=0)) == 4

    run(body)


@pytest.mark.parametrize("value", [b"new", None])
@pytest.mark.parametrize("expected", [0, 1, 3])
def test_a_write_at_another_revision_is_a_conflict_that_carries_the_current_record(
    run: Run, expected: int, value: bytes | None
) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a", b"1"))
        await store.commit(put("a", b"2"))
        await store.commit(put("b"))
        error = await conflict(store, Write("a", value, expected))
        assert (error.key, error.current) == ("a", Record("a", b"2", 2, 1))
        assert await store.get("a") == Record("a", b"2", 2, 1)
        assert await store.revision() == 3

    run(body)


def test_a_write_that_expects_a_key_that_is_not_there_is_a_conflict_with_nothing(run: Run) -> None:
    async def body(store: Store) -> None:
        error = await conflict(store, put("a", expected=1))
        assert (error.key, error.current) == ("a", None)
        await store.commit(put("a"))
        await store.commit(delete("a"))
        assert (await conflict(store, put("a", expected=1))).current is None
        assert (await conflict(store, put("a", expected=2))).current is None
        assert await store.get("a") is None

    run(body)


@pytest.mark.parametrize("expected", [None, 0, 1])
def test_deleting_an_absent_key_is_a_conflict_with_nothing(run: Run, expected: int | None) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("other"))
        error = await conflict(store, delete("a", expected))
        assert (error.key, error.current) == ("a", None)
        assert await store.revision() == 1

    run(body)


def test_all_writes_of_a_commit_are_applied_or_none(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a", b"1"), put("b", b"1"))
        error = await conflict(store, put("a", b"2"), put("c"), delete("b", 7), put("d", b"", 5))
        assert (error.key, error.current) == ("b", Record("b", b"1", 1, 1))
        assert await keys(store) == ["a", "b"]
        assert await store.get("a") == Record("a", b"1", 1, 1)
        assert await store.commit(put("a", b"2", 1), put("c", b"2", 0), delete("b", 1)) == 2
        assert (await store.list("")).records == (
            Record("a", b"2", 2, 1),
            Record("c", b"2", 2, 2),
        )
        assert await keys(store, at=1) == ["a", "b"]

    run(body)


def test_a_commit_that_no_store_can_take_is_refused_and_changes_nothing(run: Run) -> None:
    async def body(store: Store) -> None:
        for writes in [
            (),
            (put("a"), put("a")),
            (put("a"), delete("a")),
            (put(""),),
            (put("a", expected=-1),),
            tuple(put(str(number)) for number in range(MOST_WRITES + 1)),
            (put("\ud800"),),
        ]:
            with pytest.raises(ValueError, match=r"."):
                await store.commit(*writes)
        for value in ["text", bytearray(b"x"), 7]:
            with pytest.raises(TypeError, match="bytes"):
                await store.commit(Write("a", value))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="empty"):
            await store.get("")
        assert await store.revision() == 0
        assert await store.commit(*[put(str(n)) for n in range(MOST_WRITES)]) == 1

    run(body)


def test_whoever_has_an_answer_reads_what_they_wrote(run: Run) -> None:
    async def body(store: Store) -> None:
        async def work(name: str) -> None:
            for number in range(10):
                revision = await store.commit(put(name, str(number).encode()))
                record = await store.get(name)
                assert record
                assert (record.value, record.revision) == (b"%d" % number, revision)
                assert await store.revision() >= revision
                assert record in (await store.list(name)).records

        await asyncio.gather(*[work(f"key-{number}.") for number in range(8)])

    run(body)


def test_of_many_who_expect_the_same_revision_one_wins(run: Run) -> None:
    async def body(store: Store) -> None:
        for expected in range(5):
            answers = await asyncio.gather(
                *[store.commit(put("a", bytes([n]), expected)) for n in range(16)],
                return_exceptions=True,
            )
            won = [n for n, answer in enumerate(answers) if isinstance(answer, int)]
            assert len(won) == 1
            current = Record("a", bytes(won), expected + 1, 1)
            lost = [answer for answer in answers if isinstance(answer, Conflict)]
            assert [error.current for error in lost] == [current] * 15
        assert await store.revision() == 5

    run(body)


def test_commits_at_the_same_time_get_revisions_without_gap_or_double(run: Run) -> None:
    async def body(store: Store) -> None:
        answers = await asyncio.gather(*[store.commit(put(f"{n}"), put("x")) for n in range(100)])
        assert sorted(answers) == list(range(1, 101))
        for number, revision in enumerate(answers):
            assert (await store.get(f"{number}")) == Record(f"{number}", b"v", revision, revision)

    run(body)


def test_cancelling_who_waits_for_a_commit_corrupts_nothing(run: Run) -> None:
    async def body(store: Store) -> None:
        tasks = [asyncio.create_task(store.commit(put(f"{n:02}", b"c"))) for n in range(40)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, int) for answer in answers[1::2])
        last = await store.commit(put("last"))
        batches = await until(store, "", after=0, revision=last)
        stored = {record.key: record for record in records(batches)}
        assert [record.revision for record in records(batches)] == list(range(1, last + 1))
        for number in range(1, 40, 2):
            assert stored[f"{number:02}"].revision == answers[number]
        assert await keys(store) == sorted(stored)

    run(body)


# follow


def test_following_yields_every_revision_above_after_in_order(run: Run) -> None:
    async def body(store: Store) -> None:
        for number in range(5):
            await store.commit(put(f"p/{number}", b"%d" % number))
        await store.commit(put("p/0", b"again"))
        await store.commit(delete("p/1"))
        assert records(await until(store, "p/", after=3, revision=7)) == [
            Record("p/3", b"3", 4, 4),
            Record("p/4", b"4", 5, 5),
            Record("p/0", b"again", 6, 1),
            Record("p/1", None, 7, 2),
        ]

    run(body)


def test_a_deletion_keeps_the_created_of_the_life_it_ended(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a"))
        await store.commit(put("a"))
        await store.commit(delete("a"))
        await store.commit(put("a"))
        await store.commit(delete("a"))
        deleted = [r for r in records(await until(store, "a", after=0, revision=5)) if not r.value]
        assert deleted == [Record("a", None, 3, 1), Record("a", None, 5, 4)]

    run(body)


def test_a_follower_sees_only_its_prefix_and_hears_of_revisions_that_pass(run: Run) -> None:
    async def body(store: Store) -> None:
        follower = Follower(store, "p/")
        await store.commit(put("p/a"), put("q/a"))
        await follower.reached(1)
        await store.commit(put("q/b"))
        await follower.reached(2)
        await store.commit(put("p"))
        await follower.reached(3)
        await store.commit(put("p/b"))
        await follower.reached(4)
        await follower.stop()
        assert [record.key for record in records(follower.batches)] == ["p/a", "p/b"]
        assert any(batch.records == () for batch in follower.batches)

    run(body)


def test_a_late_follower_hears_of_revisions_that_do_not_touch_its_prefix(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("q/a"))
        await store.commit(put("q/b"))
        batches = await until(store, "p/", after=0, revision=2)
        assert records(batches) == []
        assert batches[-1].revision == 2

    run(body)


def test_a_follower_may_begin_after_a_revision_that_is_still_to_come(run: Run) -> None:
    async def body(store: Store) -> None:
        follower = Follower(store, "", after=3)
        await asyncio.sleep(0)
        for number in range(5):
            await store.commit(put(str(number)))
        await follower.reached(5)
        await follower.stop()
        assert [record.revision for record in records(follower.batches)] == [4, 5]

    run(body)


def test_no_follower_sees_a_revision_twice_out_of_order_or_split(run: Run) -> None:
    async def body(store: Store) -> None:
        early = Follower(store, "")
        narrow = Follower(store, "k/1")

        async def work(name: int) -> None:
            for number in range(12):
                await store.commit(*[put(f"k/{name}/{n}") for n in range(1 + number % 3)])

        await asyncio.gather(*[work(name) for name in range(6)])
        late = Follower(store, "", after=30)
        for follower in (early, narrow, late):
            await follower.reached(72)
            await follower.stop()
        for follower in (early, narrow, late):
            ends = [batch.revision for batch in follower.batches]
            assert ends == sorted(set(ends))
            start = 0
            for batch in follower.batches:
                assert all(start < record.revision <= batch.revision for record in batch.records)
                start = batch.revision
        by_revision: dict[int, list[str]] = {}
        for record in records(early.batches):
            by_revision.setdefault(record.revision, []).append(record.key)
        assert list(by_revision) == list(range(1, 73))
        for written in by_revision.values():
            assert sorted(written) == [f"{written[0][:-2]}/{n}" for n in range(len(written))]
        assert sum(map(len, by_revision.values())) == 6 * 4 * (1 + 2 + 3)
        whole = records(early.batches)
        assert records(late.batches) == [record for record in whole if record.revision > 30]
        assert records(narrow.batches) == [r for r in whole if r.key.startswith("k/1")]

    run(body)


def test_a_follower_that_stops_leaves_the_others_and_the_writers_alone(run: Run) -> None:
    async def body(store: Store) -> None:
        leaving, staying = Follower(store, "a"), Follower(store, "a")
        await store.commit(put("a"))
        await leaving.reached(1)
        await leaving.stop()
        assert await store.commit(put("a")) == 2
        await staying.reached(2)
        await staying.stop()
        assert [record.revision for record in records(staying.batches)] == [1, 2]

    run(body)


# compact


async def _with_history(store: Store) -> None:
    """Four revisions: a put thrice, b put and deleted."""
    await store.commit(put("a", b"1"), put("b", b"1"))
    await store.commit(put("a", b"2"))
    await store.commit(delete("b"))
    await store.commit(put("a", b"4"), put("c", b"4"))


def test_compaction_keeps_reads_at_its_revision_and_later(run: Run) -> None:
    async def body(store: Store) -> None:
        await _with_history(store)
        await store.compact(2)
        assert await store.get("a", at=2) == Record("a", b"2", 2, 1)
        assert await store.get("b", at=2) == Record("b", b"1", 1, 1)
        assert await keys(store, at=2) == ["a", "b"]
        assert await keys(store, at=3) == ["a"]
        assert (await store.list("")).records == (Record("a", b"4", 4, 1), Record("c", b"4", 4, 4))
        assert await store.revision() == 4

    run(body)


def test_reads_below_the_compacted_revision_are_refused_with_the_oldest(run: Run) -> None:
    async def body(store: Store) -> None:
        await _with_history(store)
        await store.compact(3)
        with pytest.raises(Compacted) as caught:
            await store.get("a", at=2)
        assert (caught.value.revision, caught.value.oldest) == (2, 3)
        with pytest.raises(Compacted) as caught:
            await store.list("a", at=1)
        assert (caught.value.revision, caught.value.oldest) == (1, 3)

    run(body)


def test_following_after_a_revision_is_possible_as_long_as_reading_at_it_is(run: Run) -> None:
    async def body(store: Store) -> None:
        await _with_history(store)
        await store.compact(2)
        assert records(await until(store, "", after=2, revision=4)) == [
            Record("b", None, 3, 1),
            Record("a", b"4", 4, 1),
            Record("c", b"4", 4, 4),
        ]
        with pytest.raises(Compacted) as caught:
            await anext(store.follow("", after=1))
        assert (caught.value.revision, caught.value.oldest) == (1, 2)

    run(body)


def test_a_follower_that_fell_behind_compaction_is_told_or_gets_everything(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("first"))
        follower = store.follow("", after=0)
        seen = records([await anext(follower)])
        for _ in range(12):
            await asyncio.gather(*[store.commit(put(f"x{n}")) for n in range(100)])
        newest = await store.revision()
        await store.compact(newest)
        try:
            while seen[-1].revision < newest:
                seen += (await anext(follower)).records
        except Compacted as error:
            assert error.oldest == newest
        # etcd may have sent it all before; what nobody may do is leave something out
        assert [record.revision for record in seen] == list(range(1, len(seen) + 1))
        assert len(seen) in (1, newest)

    run(body)


def test_a_follower_that_waits_sees_a_revision_before_its_writer_goes_on(run: Run) -> None:
    async def body(store: Store) -> None:
        follower, narrow = Follower(store, ""), Follower(store, "p/")
        await store.commit(put("p/first"))
        await follower.reached(1)
        await narrow.reached(1)
        for number in range(20):
            revision = await store.commit(put(f"p/{number}"), put("q"))
            assert follower.batches[-1].revision == revision
            assert narrow.batches[-1].revision == revision
        await follower.stop()
        await narrow.stop()

    run(body)


def test_a_follower_that_keeps_up_is_not_disturbed_by_compaction(run: Run) -> None:
    async def body(store: Store) -> None:
        follower, idle = Follower(store, ""), Follower(store, "elsewhere/")
        for number in range(1, 20):
            await store.commit(put("a", b"%d" % number))
            await follower.reached(number)
            await store.compact(number)
        await store.commit(put("elsewhere/a"))
        for each in (follower, idle):
            await each.reached(20)
            assert not each.task.done()
            await each.stop()
        assert [record.revision for record in records(follower.batches)] == list(range(1, 21))
        assert [record.key for record in records(idle.batches)] == ["elsewhere/a"]

    run(body)


def test_compacting_again_or_further_back_changes_nothing(run: Run) -> None:
    async def body(store: Store) -> None:
        await _with_history(store)
        await store.compact(3)
        await store.compact(3)
        await store.compact(1)
        await store.compact(0)
        with pytest.raises(Compacted) as caught:
            await store.get("a", at=1)
        assert caught.value.oldest == 3
        assert await keys(store, at=3) == ["a"]

    run(body)


def test_a_key_lives_on_rightly_after_its_deletion_was_compacted(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit(put("a"), put("b"))
        await store.commit(delete("a"))
        await store.compact(2)
        assert await store.get("a") is None
        assert await keys(store) == ["b"]
        assert (await conflict(store, put("a", expected=1))).current is None
        assert await store.commit(put("a", b"new", expected=0)) == 3
        assert await store.get("a") == Record("a", b"new", 3, 3)
        await store.compact(3)
        assert await keys(store) == ["a", "b"]

    run(body)


def test_compaction_while_others_write_loses_nothing(run: Run) -> None:
    async def body(store: Store) -> None:
        async def work(name: int) -> None:
            for number in range(60):
                await store.commit(put(f"{name}/{number % 4}", b"%d" % number))
                if number % 4 == 3:
                    await store.commit(delete(f"{name}/{number % 3}"))

        async def compact() -> None:
            for _ in range(10):
                await store.compact(await store.revision())
                await asyncio.sleep(0)

        await asyncio.gather(*[work(name) for name in range(4)], compact())
        await store.compact(await store.revision())
        page = await store.list("")
        for name in range(4):
            mine = [record for record in page.records if record.key.startswith(f"{name}/")]
            # 59 % 3 == 2: the third key was deleted last
            assert [(r.key, r.value) for r in mine] == [
                (f"{name}/0", b"56"),
                (f"{name}/1", b"57"),
                (f"{name}/3", b"59"),
            ]

    run(body)


def test_a_list_beside_a_compaction_is_whole_or_refused(run: Run) -> None:
    keys = [f"k/{number:04}" for number in range(2_500)]  # read in several turns
    rounds = 16

    async def fill(store: Store, value: bytes) -> int:
        for start in range(0, len(keys), 100):
            await store.commit(*(put(key, value) for key in keys[start : start + 100]))
        return await store.revision()

    async def values(store: Store, at: int | None) -> list[bytes | None]:
        try:
            page = await store.list("k/", at=at)
        except Compacted:
            return []
        assert [record.key for record in page.records] == keys
        return [record.value for record in page.records]

    async def body(store: Store) -> None:
        old = await fill(store, b"0")
        for number in range(1, rounds + 1):
            new = await fill(store, b"%d" % number)

            async def compact(step: int, before: int) -> None:
                # beside a list in memory after some turns, beside one on disk after some time
                turns = 1 if step % 2 else step // 2 - 1
                for _ in range(turns):
                    await asyncio.sleep(step / 2000 if step % 2 else 0)
                await store.compact(before)

            past, present, _ = await asyncio.gather(
                values(store, old), values(store, None), compact(number, new)
            )
            assert set(past) <= {b"%d" % (number - 1)}
            assert set(present) == {b"%d" % number}
            old = new

    run(body)


# close


def test_close_finishes_accepted_commits(run: Run) -> None:
    async def body(store: Store) -> None:
        tasks = [asyncio.create_task(store.commit(put(str(number)))) for number in range(50)]
        await asyncio.sleep(0)
        await store.close()
        assert sorted(await asyncio.gather(*tasks)) == list(range(1, 51))

    run(body)


def test_after_close_everything_is_refused_and_followers_end(run: Run) -> None:
    async def body(store: Store) -> None:
        follower = Follower(store, "")
        await store.commit(put("a"))
        await follower.reached(1)
        await store.close()
        with pytest.raises(Closed):
            await follower.task
        for call in (
            lambda: store.commit(put("b")),
            lambda: store.get("a"),
            lambda: store.list(""),
            store.revision,
            lambda: store.compact(1),
            lambda: anext(store.follow("", after=0)),
        ):
            with pytest.raises(Closed):
                await call()
        await store.close()

    run(body)
