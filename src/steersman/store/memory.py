"""The store in memory: the whole interface, nothing durable; for tests and `--store memory`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from steersman.store.checks import check_writes
from steersman.store.decide import Refusal, Standing, decide
from steersman.store.history import History
from steersman.store.index import Index
from steersman.store.interface import Batch, Closed, Conflict, Page, Record, Write
from steersman.world.interface import World

FORGET_ROWS = 1000  # between two pauses of the loop, about half a millisecond


class MemoryStore:
    """See `store.interface.Store`; what compact leaves is what it holds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._history = History(Index(), newest=0, oldest=0, most_bytes=None)
        self._head: dict[str, Standing] = {}
        self._records: dict[int, Record] = {}

    async def revision(self) -> int:
        """See `Store.revision`."""
        return self._history.at(None)

    async def get(self, key: str, *, at: int | None = None) -> Record | None:
        """See `Store.get`."""
        row = self._history.find(key, at)
        return None if row is None else self._records[row]

    async def list(
        self, prefix: str, *, at: int | None = None, after: str = "", limit: int = 0
    ) -> Page:
        """See `Store.list`."""
        while True:
            revision = self._history.at(at)
            rows, remaining = await self._history.select(
                revision, (prefix, after), limit, self._pause
            )
            if revision >= self._history.oldest:
                return Page(tuple([self._records[row] for row in rows]), revision, remaining)
            # compacted meanwhile: an error for who asked for this revision, else once more

    async def commit(self, *writes: Write) -> int:
        """See `Store.commit`."""
        self._history.check_open()
        check_writes(writes)
        decision = decide(self._head, self._history.newest, (writes,))
        answer = decision.answers[0]
        if isinstance(answer, Refusal):
            raise Conflict(answer.key, self._standing(answer.standing))
        for key, standing in decision.changed.items():
            if standing:
                self._head[key] = standing
            else:
                del self._head[key]
        for row, record in zip(decision.rows, decision.revisions[0], strict=True):
            self._records[row.row] = record
        self._history.publish(decision.revisions, quiet=True)
        # one turn of the loop: followers see the revision before the writer goes on
        await self._pause()
        return answer

    async def follow(self, prefix: str, *, after: int) -> AsyncIterator[Batch]:
        """See `Store.follow`."""
        self._history.check_open()
        position = after
        while True:
            position, batch = await self._history.next(prefix, position)
            if batch is None:  # forgotten while this follower was being woken
                self._history.check_kept(position)
                raise AssertionError("memory keeps every revision that was not compacted")
            position = batch.revision
            yield batch

    async def compact(self, before: int) -> None:
        """See `Store.compact`."""
        self._history.compact(before)
        self._history.feed.forget(before)
        while gone := self._history.index.forget(before, FORGET_ROWS):
            for row in gone:
                del self._records[row]
            await self._pause()

    async def close(self) -> None:
        """See `Store.close`."""
        self._history.refuse(Closed("the store is closed"))
        self._history.feed.close(Closed("the store is closed"))

    async def _pause(self) -> None:
        await self._world.sleep(0)

    def _standing(self, standing: Standing | None) -> Record | None:
        return self._records[standing[0]] if standing else None
