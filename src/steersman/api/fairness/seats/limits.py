"""How many seats each priority level has: by its shares, and by what it lends and borrows.

Pure. Follows KEP-1040, "Seat Borrowing".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from steersman.model.kind import Document

# A level that wants nothing still counts for something, or it could not be divided by
LEAST_TARGET: Final = 0.001


class Shares(NamedTuple):
    """What a PriorityLevelConfiguration says of its seats; no borrowing limit: None."""

    shares: int
    lendable_percent: int
    borrowing_percent: int | None


class Limits(NamedTuple):
    """Seats of a level: its own, what is left when it lends all it may, what it may come to."""

    nominal: int
    lower: int
    upper: int


class Claim(NamedTuple):
    """What a level wants of the seats, and between which bounds it gets some."""

    target: float
    lower: float
    upper: float


def rounded(value: float) -> int:
    """Returns the nearest whole number; halves go up, as Go rounds what is not negative."""
    return math.floor(value + 0.5)


def shares_of(spec: Document) -> Shares:
    """Returns what the spec of a PriorityLevelConfiguration says."""
    if (limited := spec.get("limited")) is not None:
        percent = limited.get("borrowingLimitPercent")
        shares = limited.get("nominalConcurrencyShares", 30)
        return Shares(shares, limited.get("lendablePercent") or 0, percent)
    exempt = spec.get("exempt") or {}
    shares, lendable = exempt.get("nominalConcurrencyShares"), exempt.get("lendablePercent")
    return Shares(shares or 0, lendable or 0, None)


def divide(found: Shares, all_shares: int, seats: int) -> Limits:
    """Returns the limits of a level where all levels have so many shares of so many seats."""
    nominal = math.ceil(seats * found.shares / all_shares)
    lendable = rounded(nominal * found.lendable_percent / 100)
    borrowed = seats
    if found.borrowing_percent is not None:
        borrowed = rounded(nominal * found.borrowing_percent / 100)
    return Limits(nominal, nominal - lendable, nominal + borrowed)


def allocate(seats: int, claims: Sequence[Claim]) -> tuple[list[float], float]:
    """Returns what each claim gets, and the proportion of their targets that those get who are at
    no bound. Bounds hold even where they come to more or less than there is."""
    targets = [max(claim.target, LEAST_TARGET) for claim in claims]

    def given(proportion: float) -> list[float]:
        return [
            max(claim.lower, min(claim.upper, proportion * target))
            for claim, target in zip(claims, targets, strict=True)
        ]

    bounds = sorted(
        bound / target
        for claim, target in zip(claims, targets, strict=True)
        for bound in (claim.lower, claim.upper)
    )
    below = 0.0
    for bound in bounds:
        least, most = sum(given(below)), sum(given(bound))
        if most >= seats > least:
            fair = below + (bound - below) * (seats - least) / (most - least)
            return given(fair), fair
        below = bound
    fair = bounds[0] if bounds and seats <= sum(claim.lower for claim in claims) else below
    return given(fair), fair
