"""Keeps a node's service rules in step with Services and their endpoints.

Follows the API, renders everything anew after a change, applies it in one transaction; what comes
while a transaction runs is in the next one. Which client stays with which endpoint is read out of
the kernel before, and put into the new rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

import msgspec

from steersman.client.interface import View, Views
from steersman.model.kinds.endpointslice import ENDPOINTSLICE
from steersman.model.kinds.node import NODE, ZONE, Node
from steersman.model.kinds.service import SERVICE
from steersman.network import rules
from steersman.network.choosing import Remembered
from steersman.network.conntrack import Behind, plan_behind
from steersman.network.dns.followed import BY_SERVICE, service_of
from steersman.network.planning import (
    Health,
    Where,
    key_of,
    plan_health,
    plan_health_port,
    plan_ports,
)
from steersman.network.service_port import ServicePort


class Applies(Protocol):
    """Who applies rule text (`network.nft.Rules`)."""

    async def apply(self, text: str) -> None:
        """Applies a text as a whole or not at all."""

    async def read_sets(self, table: str) -> Remembered:
        """Returns the elements of a table's sets with the seconds that they stay."""


class Tells(Protocol):
    """Who tells load balancers how a Service is here (`network.health.Checks`)."""

    async def tell(self, checks: Iterable[Health]) -> None:
        """Answers for these from now on, and for no others."""


# Makes the kernel forget what leads to none of these endpoints any more (`network.conntrack`)
Forget = Callable[[Behind, IPv4Network], Awaitable[object]]


class Place(msgspec.Struct, frozen=True):
    """Where the proxy works: the node, its bridge and the range of its pods."""

    cluster: str
    node: str
    bridge: str
    gateway: IPv4Address
    pods: IPv4Network


class Proxy:
    """See the module."""

    def __init__(
        self,
        place: Place,
        views: Views,
        node: View,
        applies: Applies,
        tells: Tells,
        forget: Forget,
    ) -> None:
        self._place = place
        self._views = views
        self._node = node  # holds the Node alone on which this is
        self._applies = applies
        self._tells = tells
        self._forget = forget
        self._behind: Behind = {}
        self._services: View = views.of(SERVICE)
        self._slices: View = views.of(ENDPOINTSLICE)
        self._slices.index(BY_SERVICE, service_of)
        self._changed = asyncio.Event()
        self.applied = ""

    async def run(self) -> None:
        """Works for ever; raises RulesRefused where the kernel does not take the rules."""
        await self._views.synced()
        leave = [view.listen(self._hear) for view in (self._services, self._slices)]
        leave.append(self._node.listen(self._hear_of_node))
        self._changed.set()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._apply()
        finally:
            for out in leave:
                out()

    def _hear(self, _old: object, _new: object) -> None:
        self._changed.set()

    def _hear_of_node(self, old: Node | None, new: Node | None) -> None:
        if _zone(old) != _zone(new):
            self._changed.set()

    async def _apply(self) -> None:
        ports, checks = self._plan()
        text = self._render(ports, {})
        if text != self.applied:
            remembered: Remembered = {}
            if any(port.affinity_seconds for port in ports):
                remembered = await self._applies.read_sets(rules.table_name(self._place.cluster))
            await self._applies.apply(self._render(ports, remembered))
            self.applied = text
        behind = plan_behind(ports)
        if behind != self._behind:
            await self._forget(behind, self._place.pods)
            self._behind = behind
        await self._tells.tell(checks)

    def _render(self, ports: Iterable[ServicePort], remembered: Remembered) -> str:
        place = self._place
        return rules.render(place.cluster, place.bridge, place.pods, ports, remembered)

    def _plan(self) -> tuple[list[ServicePort], list[Health]]:
        ports: list[ServicePort] = []
        checks: list[Health] = []
        node = self._place.node
        where = Where(node, _zone(self._node.get(NODE.ref("", node))))
        for service in self._services.list():
            slices = tuple(self._slices.by(BY_SERVICE, key_of(service)))
            ports += plan_ports(service, slices, where)
            if (health := plan_health(service, slices, node)) is not None:
                checks.append(health)
                ports.append(plan_health_port(health, self._place.gateway))
        return ports, checks


def _zone(node: Node | None) -> str:
    return "" if node is None else node.metadata.labels.get(ZONE, "")
