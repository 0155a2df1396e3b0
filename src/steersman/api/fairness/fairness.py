"""API Priority and Fairness put together: what is configured, who lends to whom, what waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from steersman.api.access.authorization import Attributes
from steersman.api.cache import Cache
from steersman.api.fairness import estimate
from steersman.api.fairness.configuration import Configuration
from steersman.api.fairness.estimate import Estimate
from steersman.api.fairness.interest import Interest
from steersman.api.fairness.retry import Retry
from steersman.api.fairness.seats.borrowing import Borrowing
from steersman.api.fairness.seats.level import Level
from steersman.api.fairness.seats.pace import Pace
from steersman.api.fairness.seats.queues import Flow
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.wire.message import Request
from steersman.world.interface import World


class Fairness:
    """See the module, and `serving.Rules`."""

    def __init__(
        self, cache: Cache, interest: Interest, seats: int, world: World, pace: Pace | None = None
    ) -> None:
        self._cache = cache
        self._pace = pace
        self._interest = interest
        self._world = world
        self._retries: dict[str, Retry] = {}
        self.configuration = Configuration(seats, world.monotonic())
        self.borrowing = Borrowing(self.configuration.levels, world)
        self.flow = self.configuration.flow
        self.changed: Callable[[], None] = lambda: None  # there is something to digest
        self._settle()

    def digest(self, levels: Iterable[Document], schemas: Iterable[Document]) -> None:
        """Takes over what is stored."""
        self.configuration.digest(levels, schemas, self._world.monotonic())
        self._settle()

    def _settle(self) -> None:
        levels = self.configuration.levels
        self._retries = {name: one for name, one in self._retries.items() if name in levels}
        for level in levels.values():
            level.pressed, level.pace = self.borrowing.press, self._pace
        self.borrowing.settle()

    def estimate(self, flow: Flow, request: Request, asked: Attributes) -> Estimate:
        """Returns how many seats a request takes."""
        verb, most = asked.verb, flow.level.most_seats
        if not asked.is_resource:
            return estimate.ONE
        if verb in ("list", "watch"):
            table = self._cache.find(Resource(asked.group, asked.resource))
            return estimate.of_read(asked, request, table, most) if table else estimate.ONE
        if verb not in estimate.WRITES or asked.subresource == "token":
            return estimate.ONE
        if not (watches := self._interest.of(asked)):
            return estimate.ONE
        flow.figures.watches.observe(watches)
        return estimate.of_write(watches, most)

    def refuse(self, level: Level) -> int:
        """Counts one who is turned away; returns after how many seconds they may come again."""
        retry = self._retries.setdefault(level.name, Retry())
        return retry.refuse(self._world.wire_now())

    def ended(self, level: Level) -> None:
        """Has a level go."""
        self.changed()
