"""A transport that counts what goes over it, by the names of client-go's metrics.

Follows component-base's metrics/prometheus/restclient. One `Figures` is shared by all clients of a
process that ask the same server.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Final

from steersman.client.errors import Unreachable
from steersman.client.interface import Transport
from steersman.model.figures import Family, Histogram, Sample
from steersman.wire.message import Channel, Request, Response
from steersman.world.interface import World

SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
# What stands for a code where there was no answer
NO_ANSWER: Final = "<error>"


class Figures:
    """What clients of one server counted; `host` is what it is called."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.codes: Counter[tuple[str, int]] = Counter()  # by method; 0: no answer
        self.times: defaultdict[str, Histogram] = defaultdict(partial(Histogram, SECONDS))

    def count(self, method: str, code: int, seconds: float) -> None:
        """Counts a request that has ended."""
        self.codes[method, code] += 1
        self.times[method].observe(seconds)

    def families(self) -> Iterator[Family]:
        """Yields what was counted."""
        host = ("host", self.host)
        yield Family(
            "rest_client_request_duration_seconds",
            "Request latency in seconds. Broken down by verb, and host.",
            "histogram",
            [Sample((host, ("verb", method)), one) for method, one in sorted(self.times.items())],
            "ALPHA",
        )
        yield Family(
            "rest_client_requests_total",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            "counter",
            [
                Sample((("code", str(code or NO_ANSWER)), host, ("method", method)), count)
                for (method, code), count in sorted(self.codes.items())
            ],
            "ALPHA",
        )


class CountedTransport:
    """See `client.interface.Transport`."""

    def __init__(self, transport: Transport, figures: Figures, world: World) -> None:
        self.identity = transport.identity
        self._transport = transport
        self._figures = figures
        self._world = world

    async def send(self, request: Request) -> Response:
        """Sends a request and counts it when its answer begins."""
        began = self._world.monotonic()
        try:
            response = await self._transport.send(request)
        except Unreachable:
            self._figures.count(request.method, 0, self._world.monotonic() - began)
            raise
        self._figures.count(request.method, response.status, self._world.monotonic() - began)
        return response

    async def upgrade(self, request: Request) -> Channel:
        """Opens a stream, which is not counted."""
        return await self._transport.upgrade(request)

    async def close(self) -> None:
        """Releases the connections."""
        await self._transport.close()
