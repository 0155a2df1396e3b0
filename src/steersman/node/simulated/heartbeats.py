"""The leases of simulated nodes, and what these say of themselves.

Beside the server in its process a lease says once that it renews itself (`model.kinds.lease`): it
cannot outlive its holder, and is written again when its node dies. In a process of their own nodes
renew each lease by a write, as a kubelet does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from steersman.client.errors import Unreachable
from steersman.client.interface import Client, Views
from steersman.model.errors import APIError, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.lease import LEASE, RENEWS_EVERY
from steersman.model.kinds.node import NODE, Node
from steersman.model.times import rfc3339_micro
from steersman.model.types.condition import condition
from steersman.node.simulated.render import render_status
from steersman.reconcile.actions import a_few_at_once, together
from steersman.world.interface import World

LEASE_NAMESPACE: Final = "kube-node-lease"
LEASE_SECONDS: Final = 40  # kubelet nodeLeaseDurationSeconds
RENEW_SECONDS: Final = 10.0  # a quarter of it
# Soon at first, while a virtual clock waits for it: a cluster that just began has no namespace yet
# for the leases; then ever less often
FIRST_RETRY_SECONDS: Final = 0.05
LONGEST_RETRY_SECONDS: Final = 2.0
TOLD_AT_ONCE: Final = 32  # as nodes of their own would; they share commits
# So long one bunch of renewals is put off for the next: of 5,000 nodes ten share a commit
BUNCH_SECONDS: Final = 0.02
PRESSURE_SECONDS: Final = 300.0  # kubelet --eviction-pressure-transition-period


def retry_after(failures: int) -> float:
    """Returns how long to pause after so many failed attempts, in seconds of wire time."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 10), LONGEST_RETRY_SECONDS)


class Heartbeats:
    """Speaks for nodes until it is told that one is silent or gone."""

    def __init__(
        self, client_of: Callable[[str], Client], views: Views, world: World, *, written: bool
    ) -> None:
        self._client_of = client_of
        self._views = views
        self._world = world
        self._written = written
        self._addresses: dict[str, str] = {}
        self._silent: set[str] = set()
        self._pressed: dict[str, float] = {}  # node -> until when it is short of memory
        self._due: dict[str, None] = {}  # ordered: who came first is looked at first
        self._some = asyncio.Event()
        self._first = asyncio.Event()
        self._sooner = asyncio.Event()

    def add(self, name: str, address: str) -> None:
        """Speaks for a node from now on."""
        self._addresses[name] = address
        self._first.set()
        self._look_at(name)

    def remove(self, name: str) -> None:
        """Forgets a node that is gone."""
        self._addresses.pop(name, None)
        if not self._addresses:
            self._first.clear()
        self._silent.discard(name)
        self._pressed.pop(name, None)

    def is_silent(self, name: str) -> bool:
        """Says whether a node has stopped speaking."""
        return name in self._silent

    def silence(self, name: str) -> None:
        """Makes a node stop speaking, as if its machine were cut off."""
        if name not in self._silent:
            self._silent.add(name)
            self._look_at(name)

    def speak(self, name: str) -> None:
        """Lets a silenced node go on."""
        if name in self._silent:
            self._silent.discard(name)
            self._look_at(name)

    def press(self, name: str) -> None:
        """Makes a node say that it is short of memory, for as long as a kubelet says so."""
        self._pressed[name] = self._world.now() + PRESSURE_SECONDS
        self._look_at(name)
        self._sooner.set()

    def hear(self, node: Node) -> None:
        """Has a node that lives put right what is said of it."""
        name = node.metadata.name
        if name in self._addresses and name not in self._silent and not self._says(node):
            self._look_at(name)

    async def run(self) -> None:
        """Works for ever."""
        async with self._world.tasks() as group:
            group.start(self._answer(), name="simulated nodes that have news")
            group.start(self._relieve(), name="simulated nodes that are short of memory")
            if self._written:
                group.start(self._beat(), name="simulated heartbeats")

    def _look_at(self, name: str) -> None:
        self._due[name] = None
        self._some.set()

    async def _answer(self) -> None:
        """Writes what is new of nodes, each until it is done."""
        failures = 0
        while True:
            self._some.clear()
            due, self._due = self._due, {}
            failed = await self._tell_all(due)
            self._due |= dict.fromkeys(failed)
            if failed:
                await self._world.pause(retry_after(failures))
                failures += 1
            else:
                failures = 0
                await self._some.wait()

    async def _tell_all(self, names: Iterable[str]) -> list[str]:
        """Writes what is new of nodes; returns those of which that failed."""
        failed: list[str] = []

        async def tell(name: str) -> None:
            try:
                await self._tell(name)
            except (APIError, Unreachable):  # tried for ever, as a kubelet does
                failed.append(name)

        await a_few_at_once(names, TOLD_AT_ONCE, tell)
        return failed

    async def _relieve(self) -> None:
        """Has nodes say that they have memory again, each in its time."""
        while True:
            self._sooner.clear()
            now = self._world.now()
            for name in [name for name, until in self._pressed.items() if until <= now]:
                del self._pressed[name]
                self._look_at(name)
            first = min(self._pressed.values(), default=None)
            try:
                async with self._world.timeout(None if first is None else first - now):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    async def _tell(self, name: str) -> None:
        node: Node | None = self._views.of(NODE).get(NODE.ref("", name))
        if node is None or name not in self._addresses:
            return
        if name in self._silent:
            await self._end(name)
            return
        await self._renew(node, anew=True)
        if not self._says(node):
            await self._say(name)

    def _says(self, node: Node) -> bool:
        """Says whether a node's object tells what is true of it."""
        name = node.metadata.name
        found = node.status.conditions
        ready, pressure = condition(found, "Ready"), condition(found, "MemoryPressure")
        addresses = [it.address for it in node.status.addresses]
        return (
            self._addresses[name] in addresses
            and (ready is not None and ready.status == "True")
            and (pressure is not None and (pressure.status == "True") == (name in self._pressed))
        )

    async def _say(self, name: str) -> None:
        pressed = name in self._pressed
        status = render_status(name, self._world.now(), self._addresses[name], pressed=pressed)
        ref = NODE.ref("", name)
        await self._client_of(name).patch(
            ref, {"status": status}, how="strategic", subresource="status"
        )

    async def _beat(self) -> None:
        """Renews the leases of all nodes in turn, evenly spread over the interval."""
        while True:
            names = list(self._addresses)
            size = max(1, round(len(names) * BUNCH_SECONDS / RENEW_SECONDS))
            for start in range(0, len(names), size):
                bunch = names[start : start + size]
                await self._world.sleep(RENEW_SECONDS * len(bunch) / len(names))
                await together(bunch, self._beat_of)
            if not names:
                await self._first.wait()

    async def _beat_of(self, name: str) -> None:
        node = self._views.of(NODE).get(NODE.ref("", name))
        if node is None or name in self._silent:
            return
        try:
            await self._renew(node)
        except (APIError, Unreachable):  # the next beat is the retry
            return

    async def _renew(self, node: Node, *, anew: bool = False) -> None:
        """Renews a lease; `anew` has it say whether it renews itself, whatever it said before."""
        name = node.metadata.name
        spec: Document = {"renewTime": rfc3339_micro(self._world.now())}
        every = None if self._written else f"{RENEW_SECONDS:.0f}"
        patch: Document = {"spec": spec}
        if anew:
            patch["metadata"] = {"annotations": {RENEWS_EVERY: every}}
        try:
            await self._client_of(name).patch(LEASE.ref(LEASE_NAMESPACE, name), patch)
        except NotFound:
            await self._create(node, spec, {} if every is None else {RENEWS_EVERY: every})

    async def _create(self, node: Node, spec: Document, marks: Document) -> None:
        name, uid = node.metadata.name, node.metadata.uid
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
        metadata: Document = {"name": name, "namespace": LEASE_NAMESPACE}
        metadata |= {"ownerReferences": [owner], **({"annotations": marks} if marks else {})}
        spec |= {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS}
        document: Document = {"metadata": metadata, "spec": spec}
        document |= {"apiVersion": LEASE.api_version(), "kind": "Lease"}
        await self._client_of(name).create(LEASE, document, namespace=LEASE_NAMESPACE)

    async def _end(self, name: str) -> None:
        """Has the lease of a node that died end where it was renewed last, if it has one."""
        if self._written:
            return
        marks = {"annotations": {RENEWS_EVERY: None}}
        patch = {"metadata": marks, "spec": {"renewTime": rfc3339_micro(self._world.now())}}
        try:
            await self._client_of(name).patch(LEASE.ref(LEASE_NAMESPACE, name), patch)
        except NotFound:  # it died before it spoke
            return
