"""What the stores that keep their own history share: the visible revisions, seen by one loop.

A revision gets here once it is durable and is visible from then on. Values are not kept here, but
for those of the newest revisions, in the feed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from steersman.store.checks import check_key, check_limit
from steersman.store.feed import Feed
from steersman.store.index import Index, row_number
from steersman.store.interface import Batch, Closed, Compacted, Record

SLICE_KEYS = 1000  # looked through between two pauses of the loop, about half a millisecond


class History:
    """The index and the feed of one store, moved on together."""

    def __init__(self, index: Index, newest: int, oldest: int, most_bytes: int | None) -> None:
        self.index = index
        self.feed = Feed(newest, most_bytes)
        self.oldest = oldest
        self._closed: Closed | None = None

    @property
    def newest(self) -> int:
        """The newest visible revision."""
        return self.feed.newest

    def publish(self, revisions: list[tuple[Record, ...]], *, quiet: bool) -> None:
        """Makes durable revisions visible, to reads first."""
        add = self.index.add
        for records in revisions:
            for place, record in enumerate(records):
                add(record.key, row_number(record.revision, place, record.value is None))
        self.feed.publish(revisions, quiet=quiet)

    def at(self, revision: int | None) -> int:
        """Returns the revision to read at; raises Compacted, Closed, ValueError."""
        self.check_open()
        if revision is None:
            return self.newest
        if not 0 <= revision <= self.newest:
            raise ValueError(f"there is no revision {revision}, the newest is {self.newest}")
        self.check_kept(revision)
        return revision

    def check_kept(self, revision: int) -> None:
        """Raises Compacted where the revision cannot be read any more."""
        if revision < self.oldest:
            raise Compacted(revision, self.oldest)

    def check_open(self) -> None:
        """Raises Closed."""
        if self._closed:
            raise self._closed

    def find(self, key: str, at: int | None) -> int | None:
        """Returns the row that holds the key as of `at`."""
        check_key(key)
        return self.index.find(key, self.at(at))

    async def select(
        self,
        revision: int,
        within: tuple[str, str],
        limit: int,
        pause: Callable[[], Awaitable[None]],
    ) -> tuple[list[int], int]:
        """Returns the rows of the keys in `within` (prefix, after), and how many come behind them.

        Pauses between slices; whatever is compacted meanwhile may be missing.
        """
        check_limit(limit)
        prefix, after = within
        rows: list[int] = []
        existing = 0
        while keys := self.index.keys(prefix, after, SLICE_KEYS):
            found = [self.index.find(key, revision) for key in keys]
            slice_rows = [row for row in found if row is not None]
            existing += len(slice_rows)
            rows += slice_rows[: limit - len(rows)] if limit else slice_rows
            after = keys[-1]
            if len(keys) < SLICE_KEYS:
                break
            await pause()
        return rows, existing - len(rows)

    async def next(self, prefix: str, position: int) -> tuple[int, Batch | None]:
        """Returns where a follower stands and what it reads there, None where memory has no more.

        Waits while there is nothing new.
        """
        self.check_kept(position)
        while position >= self.newest:
            position = max(position, await self.feed.wait(prefix))
        return position, self.feed.read(prefix, position)

    def compact(self, before: int) -> None:
        """Makes revisions below `before` unreadable; the rows go later."""
        self.check_open()
        if not 0 <= before <= self.newest:
            raise ValueError(f"there is no revision {before}, the newest is {self.newest}")
        self.oldest = max(self.oldest, before)

    def refuse(self, reason: Closed) -> None:
        """Refuses whatever is asked from now on; what goes on may end."""
        self._closed = self._closed or reason
