"""The interface that every store keeps: one ordered history of keys and bytes.

A store knows nothing of Kubernetes. One revision may hold several writes; a revision is visible
to nobody before it is durable. docs/adr/0003 maps each method to an etcd call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

MOST_WRITES = 128  # in one commit: etcd's default --max-txn-ops


class Record(msgspec.Struct, frozen=True):
    """One key at one revision; `value` is None where the revision deleted the key.

    `created` is the revision that created this life of the key (etcd's create_revision). A
    deletion's record keeps the `created` of the life it ended.
    """

    key: str
    value: bytes | None
    revision: int
    created: int


class Batch(msgspec.Struct, frozen=True):
    """Whole revisions, in order, up to and including `revision`; empty means progress only."""

    records: tuple[Record, ...]
    revision: int


class Page(msgspec.Struct, frozen=True):
    """Part of a range at one revision, in key order; `remaining` counts the keys behind it."""

    records: tuple[Record, ...]
    revision: int
    remaining: int


class Write(msgspec.Struct, frozen=True):
    """One put (`value`) or deletion (`value` is None) under a precondition.

    `expected` is the revision the key must stand at: None for no condition, 0 for "must not
    exist".
    """

    key: str
    value: bytes | None
    expected: int | None = None


class Conflict(Exception):
    """A write's precondition did not hold; `current` is what the store holds instead, or None."""

    def __init__(self, key: str, current: Record | None) -> None:
        found = f"revision {current.revision}" if current else "nothing"
        super().__init__(f"{key}: the precondition does not hold, the store has {found}")
        self.key = key
        self.current = current


class Compacted(Exception):
    """The revision asked for is no longer kept; `oldest` is the first that can be read."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} has been compacted, the oldest is {oldest}")
        self.revision = revision
        self.oldest = oldest


class Full(Exception):
    """There is no room for the write (disk or quota); nothing of it was stored."""


class Closed(Exception):
    """The store was closed or its disk failed; whether an open commit was stored is unknown."""


class Store(Protocol):
    """One ordered history. Methods may be called from one event loop only.

    A key is non-empty text, a value bytes, a prefix may be empty; `at` and `before` name revisions
    that exist, else ValueError. After close every method but close raises Closed.
    """

    async def revision(self) -> int:
        """Returns the newest durable revision, linearizably; 0 for an empty history."""

    async def get(self, key: str, *, at: int | None = None) -> Record | None:
        """Returns the key's record as of `at` (default newest), None where it does not exist.

        Raises Compacted.
        """

    async def list(
        self, prefix: str, *, at: int | None = None, after: str = "", limit: int = 0
    ) -> Page:
        """Returns existing keys with the prefix, in byte order, greater than `after`.

        `limit` 0 means all. Raises Compacted.
        """

    async def commit(self, *writes: Write) -> int:
        """Applies all writes in one new revision, or none of them, and returns the revision.

        Returns once it is durable and after every follower's batch that holds it was queued.
        No two writes may name one key and there are 1 to MOST_WRITES of them, else ValueError.
        Deleting an absent key is a Conflict with current None whatever was expected. The Conflict
        names the first write that does not hold. Raises Conflict, Full.
        """

    def follow(self, prefix: str, *, after: int) -> AsyncIterator[Batch]:
        """Yields every revision above `after` that touches the prefix, in order, for ever.

        Never splits a revision over two batches; progress batches come when revisions pass
        that do not touch the prefix, at the latest when no commit is under way. Raises Compacted
        at the first step or when it fell behind: following after a revision is possible as long
        as reading at it is. Raises Closed when the store closes.
        """

    async def compact(self, before: int) -> None:
        """Forgets what is no longer needed to read at revision `before` or later."""

    async def close(self) -> None:
        """Finishes accepted commits and releases everything held."""
