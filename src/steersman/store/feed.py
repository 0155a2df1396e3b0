"""The newest revisions in memory, and the followers who wait for the next.

A follower is a position, not a queue: one that is behind costs nothing, one that waits costs a
commit one comparison, or its wake-up. One loop owns a feed; there are no locks.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque

from steersman.store.interface import Batch, Closed, Record

BATCH_REVISIONS = 1024  # looked through in one step, about half a millisecond
PROGRESS_REVISIONS = 1024  # may pass under load before an untouched follower hears of them
RECORD_BYTES = 250  # what a record weighs in memory besides its value


class Feed:
    """Recent revisions without a gap up to `newest`; the oldest are dropped beyond `most_bytes`.

    `most_bytes` None keeps everything until `forget`.
    """

    def __init__(self, newest: int, most_bytes: int | None) -> None:
        self.newest = newest
        self._most_bytes = most_bytes
        self._bytes = 0
        self._recent: deque[tuple[Record, ...]] = deque()
        self._weights: deque[int] = deque()  # of each of them, where there is a bound
        self._waiting: dict[str, list[asyncio.Future[int]]] = {}
        self._told = newest  # every waiting follower has heard of the revisions up to here
        self._closed: Closed | None = None

    def publish(self, revisions: list[tuple[Record, ...]], *, quiet: bool) -> None:
        """Appends revisions and wakes those whose prefix they touch, or everyone when `quiet`."""
        before = self.newest if revisions else self._told
        self._recent += revisions
        self.newest += len(revisions)
        if self._most_bytes is not None:
            weights = [_weight(records) for records in revisions]
            self._weights += weights
            self._bytes += sum(weights)
            while self._bytes > self._most_bytes:
                self._recent.popleft()
                self._bytes -= self._weights.popleft()
        if not self._waiting:
            self._told = self.newest
        elif self._told == self.newest:
            return
        elif quiet or self.newest - self._told >= PROGRESS_REVISIONS:
            self._told = self.newest
            self._wake(list(self._waiting), before)
        else:
            keys = sorted([record.key for records in revisions for record in records])
            self._wake([prefix for prefix in self._waiting if _touches(prefix, keys)], before)

    def wait(self, prefix: str) -> asyncio.Future[int]:
        """Returns a future of the position to read on from.

        Nothing between the position at which the follower began to wait and this one touches the
        prefix.
        """
        future = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(self._closed)
        else:
            self._waiting.setdefault(prefix, []).append(future)
        return future

    def read(self, prefix: str, after: int) -> Batch | None:
        """Returns what follows on the position, None where memory does not reach back so far."""
        first = self.newest - len(self._recent) + 1
        start = after + 1 - first
        if start < 0:
            return None
        recent = self._recent
        end = min(len(recent), start + BATCH_REVISIONS)
        records = [
            record
            for position in range(start, end)
            for record in recent[position]
            if record.key.startswith(prefix)
        ]
        return Batch(tuple(records), first + end - 1)

    def forget(self, before: int) -> None:
        """Drops the revisions up to `before`."""
        for _ in range(min(len(self._recent), before - (self.newest - len(self._recent)))):
            self._recent.popleft()

    def close(self, reason: Closed) -> None:
        """Ends every follower that waits or will wait."""
        self._closed = reason
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(reason)
        self._waiting = {}

    def _wake(self, prefixes: list[str], position: int) -> None:
        for prefix in prefixes:
            for future in self._waiting.pop(prefix):
                if not future.done():
                    future.set_result(position)


def _weight(records: tuple[Record, ...]) -> int:
    weight = RECORD_BYTES * len(records)
    for record in records:
        if record.value:
            weight += len(record.value)
    return weight


def _touches(prefix: str, keys: list[str]) -> bool:
    position = bisect_left(keys, prefix)
    return position < len(keys) and keys[position].startswith(prefix)
