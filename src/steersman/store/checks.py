"""What every store refuses before it looks at its history: malformed keys, values and commits.

No state, no I/O; the same answers for every store.
"""

from __future__ import annotations

from steersman.store.interface import MOST_WRITES, Write


def check_key(key: str) -> None:
    """Refuses an empty key and text that has no UTF-8 form."""
    if not key:
        raise ValueError("a key cannot be empty")
    if not key.isascii():
        key.encode()


def check_writes(writes: tuple[Write, ...]) -> None:
    """Refuses a commit that no store can take: ValueError, or TypeError for a value not bytes."""
    if not 0 < len(writes) <= MOST_WRITES:
        raise ValueError(f"a commit holds 1 to {MOST_WRITES} writes, not {len(writes)}")
    for write in writes:
        check_key(write.key)
        if type(write.value) is not bytes and write.value is not None:
            raise TypeError(f"{write.key}: a value is bytes, not {type(write.value).__name__}")
        if write.expected is not None and write.expected < 0:
            raise ValueError(f"{write.key}: revision {write.expected} cannot be expected")
    if len(writes) > 1 and len({write.key for write in writes}) < len(writes):
        raise ValueError("two writes of one commit name the same key")


def check_limit(limit: int) -> None:
    """Refuses a negative page size."""
    if limit < 0:
        raise ValueError(f"a page cannot hold {limit} records")
