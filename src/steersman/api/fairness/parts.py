"""The parts of flow control, put together as the settings say: fair, or by two limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from steersman.api.cache import Cache
from steersman.api.fairness import metrics
from steersman.api.fairness.dump import Dump
from steersman.api.fairness.fairness import Fairness
from steersman.api.fairness.following import Following
from steersman.api.fairness.inflight import InFlight
from steersman.api.fairness.interest import Interest
from steersman.api.fairness.keeping import Keeper
from steersman.api.fairness.seats.pace import Pace
from steersman.api.fairness.serving import Serving
from steersman.api.fairness.settings import FlowSettings
from steersman.api.paths import Answer
from steersman.api.server import Api
from steersman.model.figures import Family
from steersman.world.interface import Tasks, World


class FlowControl:
    """See the module; `serving` is what requests meet."""

    def __init__(
        self, settings: FlowSettings, cache: Cache, interest: Interest, world: World
    ) -> None:
        self._cache = cache
        self._world = world
        self.fairness: Fairness | None = None
        self._following: Following | None = None
        if settings.fair:
            seats = settings.reads + settings.writes
            pace = Pace(asyncio.get_running_loop().call_soon, world.monotonic)
            self.fairness = Fairness(cache, interest, seats, world, pace)
            self.serving = Serving(self.fairness, world, pace)
        else:
            rules = InFlight(settings.reads, settings.writes, world.monotonic())
            self.serving = Serving(rules, world)

    def paths(self) -> dict[str, Answer]:
        """Returns who answers the pages about requests."""
        return Dump(self.fairness, self._world).paths() if self.fairness is not None else {}

    def families(self) -> Iterable[Family]:
        """Returns what was counted."""
        return metrics.families(self.fairness) if self.fairness is not None else ()

    def begin(self, api: Api, tasks: Tasks) -> None:
        """Takes over what is stored."""
        self.serving.run(tasks)
        if self.fairness is not None:
            self._following = Following(self._cache, self.fairness, api, self._world)
            self._following.begin()
            tasks.start(self.fairness.borrowing.run(), name="seats between priority levels")

    async def run(self, api: Api, tasks: Tasks) -> None:
        """Follows what is stored, and keeps the objects that a cluster comes with, as upstream
        does without fairness too."""
        if self._following is not None:
            await self._following.settle()
            tasks.start(self._following.run(), name="flow control")
        keeper = Keeper(self._cache, api, self._world)
        tasks.start(keeper.run(tasks), name="flow control's objects")
