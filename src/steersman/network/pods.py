"""The network that pods are given: an address on the bridge, and the ports of the node that they
ask for.

All rules of host ports are one table, rendered anew when a pod comes or goes and applied in one
transaction. Rules outlive the agent; who begins again first says which pods are there (`restore`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from steersman.model.types.container import ContainerPort
from steersman.network import host_ports
from steersman.network.conntrack import Plan
from steersman.network.host_ports import HostPort, plan_forgotten
from steersman.network.nft import MISSING, Unavailable


class Connects(Protocol):
    """Who connects pods (`network.bridge.Bridge`)."""

    name: str

    async def add(self, pod: str, namespace: Path) -> list[str]:
        """Connects a pod's namespace; returns its addresses."""

    async def delete(self, pod: str) -> None:
        """Disconnects a pod; one that is not connected is fine."""

    def restore(self, pod: str, addresses: Iterable[str]) -> None:
        """Notes the addresses that a pod has from before."""

    def let_loopback(self, *, out: bool) -> None:
        """Lets addresses of loopback out through the bridge, or not."""


class Applies(Protocol):
    """Who applies rule text (`network.nft.Rules`)."""

    async def apply(self, text: str) -> None:
        """Applies a text as a whole or not at all."""


# Makes the kernel forget the exchanges of datagrams that a plan chooses (`network.conntrack`)
Forget = Callable[[Plan], Awaitable[object]]


class PodNetwork:
    """See the module; `applies` is None where nftables is not installed."""

    def __init__(
        self, cluster: str, bridge: Connects, applies: Applies | None, forget: Forget
    ) -> None:
        self._cluster = cluster
        self._bridge = bridge
        self._applies = applies
        self._forget = forget
        self._led: dict[str, tuple[HostPort, ...]] = {}
        self._applied: str | None = None
        self._turn = asyncio.Lock()

    def restore(
        self, pod: str, addresses: Sequence[str], ports: Sequence[ContainerPort] = ()
    ) -> None:
        """Notes the addresses and ports that a running pod was given before the agent started.

        Raises ValueError for an address outside of the range or of another pod.
        """
        self._bridge.restore(pod, addresses)
        self._note(pod, addresses, ports)

    async def add(
        self, pod: str, namespace: Path, ports: Sequence[ContainerPort] = ()
    ) -> list[str]:
        """Connects a pod's namespace; returns its addresses. Raises OSError, NoAddressLeft,
        RulesRefused, and Unavailable for ports where nftables is not installed."""
        addresses = await self._bridge.add(pod, namespace)
        await self._lead(self._note(pod, addresses, ports))
        return addresses

    async def delete(self, pod: str) -> None:
        """Disconnects a pod and frees its ports, then its address; one that has none is fine."""
        await self._lead(self._led.pop(pod, ()))
        await self._bridge.delete(pod)

    def _note(
        self, pod: str, addresses: Sequence[str], ports: Sequence[ContainerPort]
    ) -> tuple[HostPort, ...]:
        led = tuple(it for one in addresses for it in host_ports.plan(ports, IPv4Address(one)))
        if led:
            self._led[pod] = led
        return led

    async def _lead(self, changed: Sequence[HostPort]) -> None:
        """Brings the rules in step with the pods; those of others who wait for their turn are in
        the same text, and have nothing left to do then."""
        async with self._turn:
            now = [it for led in self._led.values() for it in led]
            text = host_ports.render(self._cluster, self._bridge.name, now)
            if text != self._applied:
                await self._apply(text, any_port=bool(now))
        if any(it.protocol == "udp" for it in changed):
            await self._forget(lambda flows: plan_forgotten(flows, changed, now))

    async def _apply(self, text: str, *, any_port: bool) -> None:
        if self._applies is None:
            if any_port:
                raise Unavailable(f"host ports: {MISSING}")
            return
        # Never without the rules that keep loopback from pods
        if not any_port:
            self._bridge.let_loopback(out=False)
        await self._applies.apply(text)
        if any_port:
            self._bridge.let_loopback(out=True)
        self._applied = text
