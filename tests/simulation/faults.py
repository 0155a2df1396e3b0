"""A transport between a client and the API that loses, delays and ends things, by chance.

Lost requests, lost answers, late watches (stale views), broken watches, and the death of the
whole process at every k-th call. All draws come from the simulated world.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from steersman.client.errors import Unreachable
from steersman.client.interface import Transport
from steersman.wire.message import Channel, Request, Response
from steersman.world.simulated import SimulatedWorld


@dataclass(slots=True)
class Weather:
    """How bad it is now; changed by the scenario, read by every transport.

    Chances are per call or per piece of a watch, times are the most a draw gives, in seconds.
    """

    lose_request: float = 0.0
    lose_answer: float = 0.0
    break_watch: float = 0.0
    slow_call: float = 0.0
    slow_watch: float = 0.0
    crash_every: int = 0

    def calm(self) -> None:
        """Ends the storm."""
        self.lose_request = self.lose_answer = self.break_watch = 0.0
        self.slow_call = self.slow_watch = 0.0
        self.crash_every = 0


class FaultyTransport:
    """See `client.interface.Transport`; `crash` is called when the process is to die."""

    def __init__(
        self,
        inner: Transport,
        world: SimulatedWorld,
        weather: Weather,
        crash: Callable[[], None] | None = None,
    ) -> None:
        self.identity = inner.identity
        self._inner = inner
        self._world = world
        self._weather = weather
        self._crash = crash
        self._calls = 0

    async def send(self, request: Request) -> Response:
        """Sends, or loses the request or the answer."""
        weather, random = self._weather, self._world.random
        if "watch=true" in request.query:
            return await self._watch(request)
        await self._count()
        if weather.slow_call:
            await self._world.sleep(random.random() * weather.slow_call)
        if random.random() < weather.lose_request:
            raise Unreachable("the request was lost")
        response = await self._inner.send(request)
        if random.random() < weather.lose_answer:
            raise Unreachable("the answer was lost")
        return response

    async def _count(self) -> None:
        self._calls += 1
        every = self._weather.crash_every
        if self._crash is not None and every and self._calls % every == 0:
            self._crash()
            await asyncio.get_running_loop().create_future()  # never answered: the process dies

    async def _watch(self, request: Request) -> Response:
        response = await self._inner.send(request)
        if response.status >= 400 or not isinstance(response.body, AsyncIterator):
            return response
        body = self._late(response.body)
        return Response(body, response.status, response.content_type, response.headers)

    async def _late(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        weather, random = self._weather, self._world.random
        try:
            async for piece in pieces:
                if weather.slow_watch:
                    await self._world.sleep(random.random() * weather.slow_watch)
                if random.random() < weather.break_watch:
                    raise Unreachable("the watch broke off")
                yield piece
        finally:
            close: Any = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    async def upgrade(self, request: Request) -> Channel:
        """Passes on."""
        return await self._inner.upgrade(request)

    async def close(self) -> None:
        """Passes on."""
        await self._inner.close()
