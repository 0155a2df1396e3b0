"""Which rows hold which key: an ordered index over a history, like etcd's treeIndex.

It holds keys and row numbers, never values, and it does no I/O. A row number tells everything
about order: revision, place within the commit, and, in its lowest bit, whether it deletes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque

PLACE_BITS = 7  # MOST_WRITES places within one revision
REVISION_SHIFT = PLACE_BITS + 1


def row_number(revision: int, place: int, deletes: bool) -> int:
    """Returns the number of a row; numbers order rows as they happened."""
    return revision << REVISION_SHIFT | place << 1 | deletes


def revision_of(row: int) -> int:
    """Returns the revision that wrote the row."""
    return row >> REVISION_SHIFT


def first_row_after(revision: int) -> int:
    """Returns the smallest number that a row of a later revision can have."""
    return (revision + 1) << REVISION_SHIFT


class Index:
    """Every kept row of every key, and which rows newer ones have made unnecessary."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}
        self._sorted: list[str] = []
        self._fresh: list[str] = []  # in `_rows`, not yet in `_sorted`
        self._stale = False  # `_sorted` holds keys that are in `_rows` no more
        self._superseding: deque[tuple[int, str]] = deque()

    def add(self, key: str, row: int) -> None:
        """Takes in a row newer than all before."""
        rows = self._rows.get(key)
        if rows is None:
            self._rows[key] = [row]
            self._fresh.append(key)
            if row & 1:  # a deletion whose predecessors an unfinished compaction has removed
                self._superseding.append((row, key))
        else:
            rows.append(row)
            self._superseding.append((row, key))

    def find(self, key: str, revision: int) -> int | None:
        """Returns the row that holds the key at the revision, None where there is no such key."""
        rows = self._rows.get(key)
        if rows is None:
            return None
        bound = first_row_after(revision)
        row = rows[-1]
        if row >= bound:
            position = bisect_left(rows, bound)
            if position == 0:
                return None
            row = rows[position - 1]
        return None if row & 1 else row

    def keys(self, prefix: str, after: str, count: int) -> list[str]:
        """Returns up to `count` keys, in order, with the prefix and greater than `after`.

        A key may be deleted at the revision that the caller has in mind.
        """
        self._sort()
        if after < prefix:
            start = bisect_left(self._sorted, prefix)
        else:
            start = bisect_right(self._sorted, after)
        length = len(prefix)
        end = bisect_right(self._sorted, prefix, lo=start, key=lambda key: key[:length])
        return self._sorted[start : min(end, start + count)]

    def forget(self, before: int, count: int) -> list[int]:
        """Removes and returns up to about `count` rows that no read at `before` or later needs.

        Returns nothing once there is nothing left to remove.
        """
        bound = first_row_after(before)
        gone: list[int] = []
        while self._superseding and self._superseding[0][0] < bound and len(gone) < count:
            _, key = self._superseding[0]
            unneeded = self._unneeded(key, bound)
            room = count - len(gone)
            gone += unneeded[:room]
            self._remove(key, min(len(unneeded), room))
            if len(unneeded) <= room:
                self._superseding.popleft()
        return gone

    def _unneeded(self, key: str, bound: int) -> list[int]:
        rows = self._rows.get(key, [])
        below = bisect_left(rows, bound)
        if below and not rows[below - 1] & 1:
            below -= 1
        return rows[:below]

    def _remove(self, key: str, count: int) -> None:
        if not count:
            return
        rows = self._rows[key]
        del rows[:count]
        if not rows:
            del self._rows[key]
            self._stale = True

    def _sort(self) -> None:
        if self._stale:
            fresh = set(self._fresh)
            self._sorted = [key for key in self._sorted if key in self._rows and key not in fresh]
            self._fresh = [key for key in fresh if key in self._rows]
            self._stale = False
        if self._fresh:
            # two sorted runs: the sort merges them in linear time
            self._sorted += sorted(self._fresh)
            self._sorted.sort()
            self._fresh = []
