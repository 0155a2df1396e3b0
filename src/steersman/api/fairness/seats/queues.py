"""What waits at a priority level and what it waits in: flows, requests, queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from steersman.api.access.authorization import Attributes
from steersman.api.fairness.estimate import ONE, Estimate
from steersman.api.fairness.seats.figures import Figures
from steersman.wire.message import User

if TYPE_CHECKING:
    from steersman.api.fairness.seats.level import Level

# What a request is taken to last until it is known
GUESSED_SECONDS: Final = 0.003


class Queuing(NamedTuple):
    """How many queues a level has; none: what finds no seat is turned away."""

    queues: int = 0
    hand: int = 0
    length: int = 0


class Flow:
    """Requests that are one to fair queuing: of one schema, of one user or namespace."""

    __slots__ = ("distinguisher", "figures", "hand", "headers", "level", "schema")

    def __init__(
        self,
        level: Level,
        schema: str,
        distinguisher: str,
        hand: Sequence[int],
        headers: dict[str, str],
        figures: Figures,
    ) -> None:
        self.level = level
        self.schema = schema
        self.distinguisher = distinguisher
        self.hand = hand
        self.headers = headers
        self.figures = figures


class Occupant:
    """One request that waits for seats, and then occupies them."""

    __slots__ = (
        "arrival",
        "arrival_r",
        "asked",
        "estimate",
        "flow",
        "guess",
        "queue",
        "seats",
        "started",
        "user",
        "wake",
    )

    def __init__(
        self, flow: Flow, estimate: Estimate, user: User, asked: Attributes, now: float
    ) -> None:
        self.flow = flow
        self.estimate = estimate
        self.seats = 1 if estimate is ONE else estimate.seats
        self.user = user
        self.asked = asked
        self.arrival = now
        self.started = -1.0  # it waits
        self.queue: Queue | None = None
        self.arrival_r = 0.0
        self.guess = GUESSED_SECONDS
        self.wake: Callable[[], None] | None = None

    @property
    def work(self) -> float:
        """Seat-seconds that it is taken to cost."""
        estimate = self.estimate
        if estimate is ONE:
            return GUESSED_SECONDS
        return estimate.initial * GUESSED_SECONDS + estimate.final * estimate.seconds


class Queue:
    """Requests of a few flows, in the order in which they came."""

    __slots__ = ("executing", "index", "next_r", "seats", "waiting", "work")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: dict[Occupant, None] = {}
        self.work = 0.0  # of those that wait
        self.executing: dict[Occupant, None] = {}
        self.seats = 0  # in use
        self.next_r = 0.0  # the progress at which its next request begins, had each queue its own

    @property
    def first(self) -> Occupant | None:
        """The request that has waited longest."""
        return next(iter(self.waiting), None)

    def bound(self) -> None:
        """Keeps a queue from beginning before its request came."""
        first = self.first
        if first is not None and self.next_r < first.arrival_r:
            self.next_r = first.arrival_r
