"""Shuffle sharding: which few of a level's queues a flow may use.

Pure. Follows apiserver's util/shufflesharding, so that a flow has the same hand as upstream's.
"""

from __future__ import annotations

import hashlib


def hash_flow(schema: str, distinguisher: str) -> int:
    """Returns 64 bits that stand for a flow."""
    text = f"{schema}\0{distinguisher}".encode(errors="replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


def deal(value: int, deck: int, hand: int) -> tuple[int, ...]:
    """Returns `hand` different numbers below `deck`, chosen by a hash value."""
    drawn: list[int] = []
    dealt: list[int] = []
    for size in range(deck, deck - hand, -1):
        value, card = divmod(value, size)
        drawn.append(card)
        for earlier in reversed(drawn[:-1]):
            card += card >= earlier
        dealt.append(card)
    return tuple(dealt)
