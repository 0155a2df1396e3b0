"""Who has how many seats now: levels lend what they do not use, and get it back within seconds.

`plan` is pure. Limits are looked at again every ten seconds while a level wants more than it keeps
when it lends all it may; below that nothing could change, and nothing wakes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from steersman.api.fairness.seats.demand import Observed
from steersman.api.fairness.seats.level import Level
from steersman.api.fairness.seats.limits import Claim, allocate, rounded
from steersman.world.interface import World

# How often limits are looked at (borrowingAdjustmentPeriod)
PERIOD_SECONDS: Final = 10.0
# What is left of a past demand after a period: half of it after five minutes
SMOOTHING: Final = 0.977


class Plan(NamedTuple):
    """The seats of each level, what each was meant to have, and the fair proportion of it."""

    limits: Mapping[str, int]
    targets: Mapping[str, float]
    fair: float


def smooth(before: float, seen: Observed) -> float:
    """Returns the demand that is reckoned with: it rises at once and falls slowly."""
    envelope = seen.average + seen.deviation
    return max(envelope, SMOOTHING * before + (1 - SMOOTHING) * envelope)


def plan(levels: Sequence[Level]) -> Plan:
    """Returns who has how many seats, by what was observed."""
    total = sum(level.limits.nominal for level in levels)
    exempt = {
        level.name: max(level.limits.lower, level.observed.most) for level in levels if level.exempt
    }
    others = [level for level in levels if not level.exempt]
    claims = [claim_of(level) for level in others]
    rest = total - sum(exempt.values())
    lowest = sum(level.limits.lower for level in others)
    lower = sum(claim.lower for claim in claims)
    fair = 0.0
    if rest <= lowest:
        given = [float(level.limits.lower) for level in others]
    elif rest <= lower:
        part = (rest - lowest) / (lower - lowest)
        given = [
            level.limits.lower + rounded((claim.lower - level.limits.lower) * part)
            for level, claim in zip(others, claims, strict=True)
        ]
    else:
        given, fair = allocate(total, claims)
    limits = {level.name: rounded(seats) for level, seats in zip(others, given, strict=True)}
    targets = {level.name: claim.target for level, claim in zip(others, claims, strict=True)}
    return Plan({**limits, **exempt}, targets, fair)


def claim_of(level: Level) -> Claim:
    """Returns what a level wants: at least what it used, as far as that is its own."""
    nominal, lowest, upper = level.limits
    lower = max(lowest, min(nominal, level.observed.most))
    return Claim(max(lower, level.smoothed), lower, upper)


class Borrowing:
    """Looks at the limits of levels; see the module."""

    def __init__(self, levels: Mapping[str, Level], world: World) -> None:
        self._levels = levels
        self._world = world
        self._pressed = asyncio.Event()
        self._since = world.monotonic()  # when limits were last looked at
        self.fair = 0.0

    def press(self) -> None:
        """Notes that a level wants more than it keeps."""
        self._pressed.set()

    def settle(self) -> None:
        """Divides the seats anew by what has been observed already."""
        found = plan(list(self._levels.values()))
        self.fair = found.fair
        now = self._world.monotonic()
        for level in self._levels.values():
            level.target = found.targets.get(level.name, 0.0)
            level.set_limit(found.limits[level.name], now)

    def adjust(self) -> bool:
        """Divides the seats by what was observed since the last time; says if that may change."""
        now = self._world.monotonic()
        for level in self._levels.values():
            level.observed = level.demand.reset(now)
            level.smoothed = smooth(level.smoothed, level.observed)
        self._since = now
        self.settle()
        return any(_wants(level) for level in self._levels.values())

    async def run(self) -> None:
        """Works for ever; sleeps while nothing is wanted."""
        while True:
            await self._pressed.wait()
            self._awake()
            while True:
                await self._world.wire_sleep(PERIOD_SECONDS)
                if not self.adjust():
                    break
            for level in self._levels.values():
                level.measured = False
            self._pressed.clear()

    def _awake(self) -> None:
        """Begins to observe; what was wanted before the pause is forgotten as if it had gone on."""
        now = self._world.monotonic()
        periods = (now - self._since) / PERIOD_SECONDS
        for level in self._levels.values():
            level.smoothed *= SMOOTHING**periods
            level.observed = Observed()
            level.watch_demand(now)
        self.settle()


def _wants(level: Level) -> bool:
    """Says whether a level's demand has a part in how the seats are divided."""
    if level.exempt:
        return False
    return max(level.observed.most, level.smoothed) > level.limits.lower
