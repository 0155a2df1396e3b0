"""SQLite and memory against a naive model, in every order of calls that hypothesis thinks of."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from steersman.store.interface import Compacted, Conflict, Page, Record, Store, Write
from steersman.store.memory import MemoryStore
from steersman.store.sqlite import SqliteStore, open_sqlite
from steersman.world.real import RealWorld

# few keys, so that they meet; neighbours of a prefix, so that boundaries matter
KEYS = st.sampled_from(["a", "a/", "a/b", "a/b/c", "a/é", "a0", "b"])
PREFIXES = st.sampled_from(["", "a", "a/", "a/b", "a/é", "b", "c"])
VALUES = st.one_of(st.none(), st.binary(max_size=8))
EXPECTED = st.one_of(st.none(), st.none(), st.integers(0, 30))
WRITES = st.lists(
    st.builds(Write, KEYS, VALUES, EXPECTED), min_size=1, max_size=4, unique_by=lambda w: w.key
)
LIKELY = st.lists(  # conditions that a writer who has read takes: they hold more often
    st.tuples(KEYS, VALUES, st.booleans()), min_size=1, max_size=3, unique_by=lambda w: w[0]
)


class Model:
    """The history as a list of revisions; every question is answered by replaying it."""

    def __init__(self) -> None:
        self.revisions: list[tuple[Record, ...]] = []
        self.oldest = 0

    def state(self, revision: int | None = None) -> dict[str, Record]:
        if revision is not None and revision < self.oldest:
            raise Compacted(revision, self.oldest)
        state: dict[str, Record] = {}
        for records in self.revisions[:revision]:
            for record in records:
                if record.value is None:
                    del state[record.key]
                else:
                    state[record.key] = record
        return state

    def page(self, prefix: str, at: int | None, after: str, limit: int) -> Page:
        state = self.state(at)
        keys = sorted(key for key in state if key.startswith(prefix) and key > after)
        shown = keys[:limit] if limit else keys
        revision = len(self.revisions) if at is None else at
        records = tuple(state[key] for key in shown)
        return Page(records, revision, len(keys) - len(shown))

    def commit(self, writes: list[Write]) -> int:
        state, revision = self.state(), len(self.revisions) + 1
        records = []
        for write in writes:
            current = state.get(write.key)
            stands_at = current.revision if current else 0
            if write.value is None and not current:
                raise Conflict(write.key, None)
            if write.expected is not None and write.expected != stands_at:
                raise Conflict(write.key, current)
            created = current.created if current else revision
            records.append(Record(write.key, write.value, revision, created))
        self.revisions.append(tuple(records))
        return revision


def comparable(answer: Any) -> Any:
    if isinstance(answer, Conflict):
        return Conflict, answer.key, answer.current
    if isinstance(answer, Compacted):
        return Compacted, answer.revision, answer.oldest
    return answer


async def answered(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except (Conflict, Compacted) as error:
        return comparable(error)


def modelled(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (Conflict, Compacted) as error:
        return comparable(error)


async def followed(store: Store, prefix: str, after: int, newest: int) -> list[Record]:
    records: list[Record] = []
    reached = after
    follower = store.follow(prefix, after=after)
    while reached < newest:
        batch = await anext(follower)
        assert all(reached < record.revision <= batch.revision for record in batch.records)
        reached = batch.revision
        records += batch.records
    return records


class StoreMachine(RuleBasedStateMachine):
    """Asks all three the same and compares the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="steersman-store-"))
        self.model = Model()
        self.memory = MemoryStore(RealWorld())
        self.sqlite = self.open()

    def open(self) -> SqliteStore:
        put_off = cycle((False, True))  # in one thread and the other, by turns
        return self.runner.run(
            open_sqlite(
                self.directory,
                world=RealWorld(),
                on_fatal=self.failures_are_errors,
                put_off=lambda: next(put_off),
            )
        )

    def failures_are_errors(self, error: BaseException) -> None:
        raise error

    def teardown(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def same(self, call: Callable[[Store], Awaitable[Any]], expected: Any) -> None:
        for store in (self.memory, self.sqlite):
            assert self.runner.run(answered(call(store))) == expected, type(store)

    def revision_from(self, data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(self.model.revisions)))

    @rule(writes=WRITES)
    def commit(self, writes: list[Write]) -> None:
        expected = modelled(lambda: self.model.commit(writes))
        self.same(lambda store: store.commit(*writes), expected)

    @rule(wishes=LIKELY)
    def commit_what_was_read(self, wishes: list[tuple[str, bytes | None, bool]]) -> None:
        state = self.model.state()
        writes = []
        for key, value, conditional in wishes:
            current = state.get(key)
            if current or value is not None:
                expected = current.revision if current else 0
                writes.append(Write(key, value, expected if conditional else None))
        if writes:
            self.commit(writes)

    @rule(commits=st.lists(WRITES, min_size=2, max_size=6))
    def commit_at_the_same_time(self, commits: list[list[Write]]) -> None:
        expected = [modelled(partial(self.model.commit, writes)) for writes in commits]

        async def all_at_once(store: Store) -> list[Any]:
            return await asyncio.gather(*[answered(store.commit(*writes)) for writes in commits])

        self.same(all_at_once, expected)

    @rule(key=KEYS, data=st.data())
    def get(self, key: str, data: st.DataObject) -> None:
        at = data.draw(st.none()) if data.draw(st.booleans()) else self.revision_from(data)
        expected = modelled(lambda: self.model.state(at).get(key))
        self.same(lambda store: store.get(key, at=at), expected)

    @rule(prefix=PREFIXES, after=st.one_of(st.just(""), KEYS), limit=st.integers(0, 3))
    def list_newest(self, prefix: str, after: str, limit: int) -> None:
        expected = self.model.page(prefix, None, after, limit)
        self.same(lambda store: store.list(prefix, after=after, limit=limit), expected)

    @rule(prefix=PREFIXES, limit=st.integers(0, 3), data=st.data())
    def list_at(self, prefix: str, limit: int, data: st.DataObject) -> None:
        at = self.revision_from(data)
        expected = modelled(lambda: self.model.page(prefix, at, "", limit))
        self.same(lambda store: store.list(prefix, at=at, limit=limit), expected)

    @rule(prefix=PREFIXES, data=st.data())
    def follow(self, prefix: str, data: st.DataObject) -> None:
        newest = len(self.model.revisions)
        after = self.revision_from(data)
        if after == newest:
            return
        if after < self.model.oldest:
            expected = comparable(Compacted(after, self.model.oldest))
        else:
            expected = [
                record
                for records in self.model.revisions[after:]
                for record in records
                if record.key.startswith(prefix)
            ]
        self.same(lambda store: followed(store, prefix, after, newest), expected)

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        before = self.revision_from(data)
        self.model.oldest = max(self.model.oldest, before)
        self.same(lambda store: store.compact(before), None)

    @rule()
    def open_again(self) -> None:
        self.runner.run(self.sqlite.close())
        self.sqlite = self.open()

    @invariant()
    def the_newest_revision_is_the_same(self) -> None:
        self.same(lambda store: store.revision(), len(self.model.revisions))


StoreMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
TestStore = StoreMachine.TestCase
