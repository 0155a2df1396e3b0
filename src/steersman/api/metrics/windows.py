"""Two scrapes of each node that somebody asks about: processor time is a difference.

Nothing polls (docs/adr/0015): a node is scraped when it is asked about. What the one before asked
is the beginning of the window; where that is too long ago, the node is scraped twice, a second
apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec import field

from steersman.api.metrics.scrape import Scrape
from steersman.model.errors import APIError
from steersman.world.interface import World

# Who asks again within this time is told the same: a flood of clients is no flood for the nodes
FRESH_SECONDS: Final = 5.0
# Shorter windows tell of the moment, longer ones of the past (metrics-server scrapes every 15 s)
LEAST_WINDOW_SECONDS: Final = 1.0
MOST_WINDOW_SECONDS: Final = 90.0
# For both scrapes of a node; one that is silent is left out of lists
PATIENCE_SECONDS: Final = 10.0
# Nodes asked at the same time
MOST_AT_ONCE: Final = 32

Ask = Callable[[str], Awaitable[Scrape]]


class Window(msgspec.Struct, frozen=True):
    """What a node said, twice."""

    before: Scrape
    now: Scrape


class _Node(msgspec.Struct):
    """What is remembered of one node; `asked` is when it last answered."""

    asked: float = 0.0
    latest: Scrape | None = None
    window: Window | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Windows:
    """See the module. `ask` scrapes a node; raises APIError where it cannot be."""

    def __init__(self, ask: Ask, world: World) -> None:
        self._ask = ask
        self._world = world
        self._nodes: dict[str, _Node] = {}
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def of(self, name: str) -> Window | None:
        """Returns a node's window, None where the node does not say."""
        self._forget()
        node = self._nodes.setdefault(name, _Node())
        async with node.turn, self._slots:
            if node.window is not None and self._age(node) < FRESH_SECONDS:
                return node.window
            try:
                async with self._world.wire_timeout(PATIENCE_SECONDS):
                    node.window = await self._renew(name, node)
            except (APIError, TimeoutError):
                return None
            return node.window

    async def _renew(self, name: str, node: _Node) -> Window:
        before = node.latest if self._age(node) <= MOST_WINDOW_SECONDS else None
        now = await self._scrape(name, node)
        if before is None:
            await self._world.wire_sleep(LEAST_WINDOW_SECONDS)
            before, now = now, await self._scrape(name, node)
        return Window(before, now)

    async def _scrape(self, name: str, node: _Node) -> Scrape:
        node.latest = await self._ask(name)
        node.asked = self._world.monotonic()
        return node.latest

    def _age(self, node: _Node) -> float:
        return self._world.monotonic() - node.asked if node.latest is not None else float("inf")

    def _forget(self) -> None:
        """Lets go of nodes that nobody has asked about for long."""
        for name, node in list(self._nodes.items()):
            if not node.turn.locked() and self._age(node) > MOST_WINDOW_SECONDS:
                del self._nodes[name]
