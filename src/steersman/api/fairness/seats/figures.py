"""What is counted of the requests of one FlowSchema at one priority level.

On the way of a request that does not wait a counter is raised, no more; the rest follows from it.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from steersman.model.figures import Histogram

# Upper bounds (util/flowcontrol/metrics)
SECONDS: Final = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
LENGTHS: Final = (0, 10, 25, 50, 100, 250, 500, 1000)
SEATS: Final = (1, 2, 4, 8, 16, 32, 64, 100)
WATCHES: Final = (0, 1, 10, 100, 1000, 10000)


class Figures:
    """See the module."""

    __slots__ = (
        "begun",
        "dispatched",
        "given_up",
        "lengths",
        "regular",
        "rejected",
        "seats",
        "seats_waiting",
        "unaccommodated",
        "waited",
        "waiting",
        "watches",
    )

    def __init__(self) -> None:
        self.dispatched = 0
        self.regular, self.begun = Histogram(SECONDS), Histogram(SECONDS)  # begun: watches
        self.waiting = self.seats_waiting = 0
        self.rejected: Counter[str] = Counter()
        self.unaccommodated = 0
        self.waited = Histogram(SECONDS)  # of those that waited and were served then
        self.given_up = Histogram(SECONDS)  # of those that were not
        self.lengths = Histogram(LENGTHS)
        self.seats = Histogram(SEATS)  # of those that take more than one
        self.watches = Histogram(WATCHES)  # of writes that somebody watches
