"""What a process counts of itself, as values: samples in families, and histograms.

Not their text, which is `wire.prometheus`. Names, labels and bounds are upstream's and stand with
whoever counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from operator import mul
from typing import Literal, NamedTuple

Labels = tuple[tuple[str, str], ...]
Type = Literal["counter", "gauge", "histogram"]


class Histogram:
    """Values by the least bound that they do not pass."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.counts)


class Sample(NamedTuple):
    """One value of a metric, and when it was so (in seconds since 1970; 0: now)."""

    labels: Labels
    value: float | Histogram
    time: float = 0.0


class Family(NamedTuple):
    """A metric: what it is, whether it grows for ever, its values, and how stable its name is."""

    name: str
    help: str
    type: Type
    samples: Sequence[Sample]
    stability: str = ""


class Sources:
    """Who counts in a process. Each is asked when somebody wants to know, and not before."""

    def __init__(self) -> None:
        self._asked: list[Callable[[], Iterable[Family]]] = []

    def add(self, ask: Callable[[], Iterable[Family]]) -> None:
        """Adds one who is asked."""
        self._asked.append(ask)

    def families(self) -> Iterator[Family]:
        """Yields what all of them counted."""
        for ask in self._asked:
            yield from ask()


def exponential(first: float, factor: float, count: int) -> tuple[float, ...]:
    """Returns so many bounds, each so many times the one before it (rounded as upstream's are)."""
    return tuple(accumulate(repeat(factor, count - 1), mul, initial=first))
