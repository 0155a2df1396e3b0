"""Which commits of a group hold, and the rows that they become; pure.

Commits are judged in order, each against the state that those before it leave behind, whether
durable or not: the group becomes durable as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from steersman.store.index import revision_of, row_number
from steersman.store.interface import Record, Write

Standing = tuple[int, int]  # the row that holds a key, and the revision that created the key


class Row(NamedTuple):
    """One row of the history; `value` is None where it deletes."""

    row: int
    key: str
    created: int
    value: bytes | None

    @property
    def revision(self) -> int:
        """The revision that wrote the row."""
        return revision_of(self.row)

    def record(self) -> Record:
        """Returns what the row says, without its place."""
        return Record(self.key, self.value, revision_of(self.row), self.created)


class Refusal(msgspec.Struct, frozen=True):
    """The write that does not hold, and what stands in its way."""

    key: str
    standing: Standing | None


class Decision(msgspec.Struct):
    """The rows to store, each commit's answer in order, and what the keys stand at afterwards."""

    newest: int
    rows: list[Row]
    revisions: list[tuple[Record, ...]]
    answers: list[int | Refusal]
    changed: dict[str, Standing | None]


def decide(
    head: Mapping[str, Standing], newest: int, commits: Iterable[tuple[Write, ...]]
) -> Decision:
    """Judges commits in order on top of `head`, which it leaves as it is."""
    decision = Decision(newest, [], [], [], {})
    for writes in commits:
        refusal = _refusal(head, decision.changed, writes)
        decision.answers.append(refusal or _accept(head, decision, writes))
    return decision


def _refusal(
    head: Mapping[str, Standing], changed: Mapping[str, Standing | None], writes: tuple[Write, ...]
) -> Refusal | None:
    for write in writes:
        key = write.key
        standing = changed[key] if key in changed else head.get(key)
        if standing is None:
            if write.expected or write.value is None:
                return Refusal(key, None)
        elif write.expected is not None and write.expected != revision_of(standing[0]):
            return Refusal(key, standing)
    return None


def _accept(head: Mapping[str, Standing], decision: Decision, writes: tuple[Write, ...]) -> int:
    revision = decision.newest = decision.newest + 1
    changed = decision.changed
    records = []
    for place, write in enumerate(writes):
        key, value = write.key, write.value
        standing = changed[key] if key in changed else head.get(key)
        created = standing[1] if standing else revision
        row = row_number(revision, place, value is None)
        changed[key] = None if value is None else (row, created)
        decision.rows.append(Row(row, key, created, value))
        records.append(Record(key, value, revision, created))
    decision.revisions.append(tuple(records))
    return revision
