"""Nodes without a machine: those that were asked for at the start, and whoever bears the label
`steersman.dev/simulated=true` later.

One object serves any number of nodes with one view of pods and one task of heartbeats. Each node
writes as itself (`system:node:NAME`). Times and failures are drawn from the World.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network

from steersman.client.errors import Unreachable
from steersman.client.interface import Client, Views
from steersman.model.errors import AlreadyExists, APIError
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import Pod
from steersman.model.times import seconds
from steersman.node.simulated.addresses import Addresses
from steersman.node.simulated.behaviour import NO_RULES, Behaviour, Ranges
from steersman.node.simulated.heartbeats import Heartbeats, retry_after
from steersman.node.simulated.pods import INVALID, SimulatedPods
from steersman.node.simulated.reading import BEHAVIOUR, BadBehaviour, is_dead, rules_of
from steersman.node.simulated.render import SIMULATED, render_node
from steersman.reconcile.actions import a_few_at_once
from steersman.reconcile.noting import Noting
from steersman.world.interface import Tasks, World

REGISTERED_AT_ONCE = 32  # as nodes of their own would; they share commits


def is_simulated(node: Node) -> bool:
    """Says whether a node has no machine."""
    return node.metadata.labels.get(SIMULATED) == "true"


def _internal(node: Node) -> list[str]:
    return [it.address for it in node.status.addresses if it.type == "InternalIP"]


def _range_of_pods(node: Node) -> str:
    """Returns the IPv4 range of a node's own, empty where it has none; what is no range does not
    count: in an update nobody looks at it."""
    for text in node.spec.pod_cidrs:
        try:
            IPv4Network(text, strict=False)
        except ValueError:
            continue
        return text
    return ""


class SimulatedNodes:
    """A number of nodes; `run` keeps them alive until cancelled.

    `written` says whether each renewal of a lease is a write.
    """

    def __init__(
        self,
        names: Sequence[str],
        client_for: Callable[[str], Client],
        views: Views,
        world: World,
        behaviour: Behaviour | None = None,
        ranges: Ranges | None = None,
        *,
        written: bool = True,
    ) -> None:
        self.names = tuple(names)
        self.behaviour = behaviour or Behaviour()
        self._world = world
        self._views = views
        self._view = views.of(NODE)
        self._client_for = client_for
        self._clients: dict[str, Noting] = {}
        ranges = ranges or Ranges()
        self._range = Addresses(ranges.nodes)
        self._addresses: dict[str, str] = {}
        self._said: dict[str, tuple[str, bool]] = {}  # the annotations that count
        self._deaths: dict[str, asyncio.Task[None]] = {}
        self._tasks: Tasks
        self._reserved: dict[str, str] = {}
        self._refused: dict[str, str] = {}  # name -> uid of nodes for which there was no address
        self._beats = Heartbeats(self._client_of, views, world, written=written)
        addresses = Addresses(ranges.pods)
        self._pods = SimulatedPods(
            self._client_of, views, world, self.behaviour, addresses, self._beats
        )

    def silence(self, name: str) -> None:
        """Makes a node stop speaking, as if its machine were cut off."""
        self._beats.silence(name)

    def speak(self, name: str) -> None:
        """Lets a silenced node go on."""
        self._beats.speak(name)
        self._pods.look_at(name)

    def crash(self, pod: Pod, exit_code: int = 137) -> None:
        """Ends the containers of a pod now."""
        self._pods.crash(pod, exit_code)

    async def run(self) -> None:
        """Keeps the nodes that there are, registers those that are wanted, hears of others."""
        await self._views.synced()
        for node in self._view.list():
            self._range.hold(_internal(node))
        async with self._world.tasks() as group:
            self._tasks = group
            leave = self._view.listen(self._hear)
            for node in list(self._view.list()):
                self._hear(None, node)
            group.start(self._beats.run(), name="simulated nodes")
            group.start(self._register(), name="registration of simulated nodes")
            try:
                await self._pods.run()
            finally:
                leave()

    def _client_of(self, name: str) -> Noting:
        if (found := self._clients.get(name)) is None:
            # status patches and deletions by uid; and a node may not list all pods to settle them
            found = self._clients[name] = Noting(self._client_for(name), repeatable=True)
        return found

    async def _register(self) -> None:
        async def register(name: str) -> None:
            failures = 0
            while not await self._is_registered(name):
                await self._world.pause(retry_after(failures))
                failures += 1

        await a_few_at_once(self.names, REGISTERED_AT_ONCE, register)

    async def _is_registered(self, name: str) -> bool:
        """Tries to register a node, as a kubelet does: for ever."""
        if name in self._addresses:
            return True
        address = self._reserved.get(name) or self._range.take()
        if not address:
            return False
        self._reserved[name] = address
        document = render_node(name, self.behaviour, self._world.now(), address)
        try:
            await self._client_of(name).create(NODE, document)
        except AlreadyExists:
            return True
        except (APIError, Unreachable):
            return False
        return True

    def _hear(self, old: Node | None, new: Node | None) -> None:
        if new is None and old is not None:
            self._refused.pop(old.metadata.name, None)
        if new is not None and (is_simulated(new) or new.metadata.name in self.names):
            self._keep(new)
        elif old is not None and old.metadata.name in self._addresses:
            self._leave(old.metadata.name)

    def _keep(self, node: Node) -> None:
        name = node.metadata.name
        if range_ := _range_of_pods(node):
            self._pods.give_range(name, range_)
        if name in self._addresses:
            self._follow(node)
            self._beats.hear(node)
            return
        address = next(iter(_internal(node)), "") or self._range.take()
        if not address:
            if self._refused.get(name) != node.metadata.uid:
                self._refused[name] = node.metadata.uid
                self._pods.warn(node, "NoAddress", f"no address is free in {self._range}")
            return
        self._addresses[name] = address
        self._beats.add(name, address)
        self._follow(node)
        self._pods.add(name, address)

    def _follow(self, node: Node) -> None:
        """Takes over what a node's annotations say; what cannot be is told and does not count."""
        metadata = node.metadata
        said = metadata.annotations.get(BEHAVIOUR, ""), is_dead(node)
        before, self._said[metadata.name] = self._said.get(metadata.name, ("", False)), said
        if said == before:
            return
        try:
            rules = rules_of(node)
        except BadBehaviour as error:
            rules = NO_RULES
            self._pods.warn(node, INVALID, f"{BEHAVIOUR}: {error}")
        self._pods.rule(metadata.name, rules)
        if said[1] and not before[1]:
            self.silence(metadata.name)
        elif before[1] and not said[1]:
            self.speak(metadata.name)
        self._forget_death(metadata.name)
        if rules.die_after is not None:
            at = seconds(metadata.creation_timestamp) + rules.die_after
            dying = self._tasks.start(self._die(metadata.name, at), name="death of a node")
            self._deaths[metadata.name] = dying

    async def _die(self, name: str, at: float) -> None:
        await self._world.sleep(max(0.0, at - self._world.now()))
        self.silence(name)

    def _forget_death(self, name: str) -> None:
        if (dying := self._deaths.pop(name, None)) is not None:
            dying.cancel()

    def _leave(self, name: str) -> None:
        self._range.give_back(self._addresses.pop(name))
        self._said.pop(name, None)
        self._forget_death(name)
        self._clients.pop(name, None)
        self._beats.remove(name)
        self._pods.remove(name)
