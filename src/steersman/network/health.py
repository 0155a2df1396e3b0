"""What load balancers ask a node about a Service with externalTrafficPolicy Local: whether it has
endpoints here (kube-proxy's healthCheckNodePort).

Listens on the bridge alone; the rules lead the node's other addresses there. A request is read to
the end of its head and answered, whatever it asks; then the connection ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable

from steersman.network.planning import Health
from steersman.world.interface import World

log = logging.getLogger(__name__)

HEAD_BYTES = 8192  # a balancer sends some hundred
REQUEST_SECONDS = 10.0
MOST_CONNECTIONS = 64  # for each Service; a balancer asks once in some seconds


class Checks:
    """Answers on an address, at one port for each Service that has a check."""

    def __init__(self, address: str, world: World) -> None:
        self._address = address
        self._world = world
        self._told: dict[int, Health] = {}
        self._listeners: dict[int, asyncio.Server] = {}
        self._connections: dict[int, int] = {}

    async def tell(self, checks: Iterable[Health]) -> None:
        """Answers for these from now on, and for no others; a port that is taken is logged."""
        self._told = {check.port: check for check in checks}
        for port in [port for port in self._listeners if port not in self._told]:
            self._listeners.pop(port).close()
        for port, check in self._told.items():
            if port not in self._listeners:
                await self._listen(check)

    async def _listen(self, check: Health) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connected(check.port, reader, writer)

        try:
            self._listeners[check.port] = await asyncio.start_server(
                connected, self._address, check.port, limit=HEAD_BYTES
            )
        except OSError as error:
            name = f"{check.namespace}/{check.name}"
            log.warning("no health check of %s at port %d: %s", name, check.port, error)

    def close(self) -> None:
        """Stops listening."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    async def _connected(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        count = self._connections.get(port, 0)
        if count >= MOST_CONNECTIONS:
            writer.close()
            return
        self._connections[port] = count + 1
        try:
            async with self._world.timeout(REQUEST_SECONDS):
                await reader.readuntil(b"\r\n\r\n")
                if (told := self._told.get(port)) is not None:
                    writer.write(render_answer(told))
                    await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            return  # the balancer asks again
        finally:
            self._connections[port] -= 1
            writer.close()


def render_answer(told: Health) -> bytes:
    """Returns the answer for a Service: 200 where it has endpoints here, else 503."""
    document = {
        "service": {"namespace": told.namespace, "name": told.name},
        "localEndpoints": told.endpoints,
        "serviceProxyHealthy": True,
    }
    body = json.dumps(document, indent="\t")
    status = "200 OK" if told.endpoints else "503 Service Unavailable"
    head = (
        f"HTTP/1.1 {status}\r\n"
        "Content-Type: application/json\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"X-Load-Balancing-Endpoint-Weight: {told.endpoints}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return (head + body).encode()
