"""A transport of the garbage collector that sees what it deletes: nothing whose owner lives."""

from __future__ import annotations

from collections.abc import Callable

from steersman.api.route import parse
from steersman.client.interface import Transport
from steersman.model.ref import Resource
from steersman.testing.invariants.lifetimes import Lifetimes
from steersman.testing.invariants.rollouts import Broken
from steersman.wire.message import Channel, Request, Response

COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"


class JudgedTransport:
    """See `client.interface.Transport`; `tell` is told what is wrong."""

    def __init__(
        self, inner: Transport, lifetimes: Lifetimes, tell: Callable[[Broken], None]
    ) -> None:
        self.identity = inner.identity
        self._inner = inner
        self._lifetimes = lifetimes
        self._tell = tell

    async def send(self, request: Request) -> Response:
        """Passes on, and judges what was deleted."""
        if request.method != "DELETE":
            return await self._inner.send(request)
        asked = parse(request)
        resource = Resource(asked.group, asked.resource)
        document = self._lifetimes.get(resource, asked.namespace, asked.name)
        response = await self._inner.send(request)
        if response.status < 300 and document is not None:
            living = self._lifetimes.living_owners(document)
            if living:
                self._tell(Broken(f"{request.path} was collected, {living[0]} lives"))
        return response

    async def upgrade(self, request: Request) -> Channel:
        """Passes on."""
        return await self._inner.upgrade(request)

    async def close(self) -> None:
        """Passes on."""
        await self._inner.close()
