"""Ranges of pods' addresses for nodes, cut from those of the cluster: spec.podCIDR and podCIDRs
(pkg/controller/nodeipam/ipam, the range allocator).

Its one rule: what a node has stays its own until the node is gone, whoever gave it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import ClassVar, Final

from steersman.client.interface import Views
from steersman.controllers.choice import PodRange
from steersman.model.kinds.node import NODE, Node
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Patch, Tell, act
from steersman.reconcile.loop import Controller, Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

NOT_AVAILABLE: Final = "CIDRNotAvailable"
Network = IPv4Network | IPv6Network


class Full(Exception):
    """A range has no piece left."""


class Pieces:
    """The pieces of one range, by number: which node has which."""

    def __init__(self, cut: PodRange, kept: Iterable[str] = ()) -> None:
        self._whole: Network = ip_network(cut.range)
        self._mask = cut.mask
        self._count: int = 1 << (cut.mask - self._whole.prefixlen)
        self._owners: dict[int, str] = {}
        self._next = 0  # as upstream's, a piece that was given back comes last again
        for text in kept:
            self.hold("", text)

    def hold(self, owner: str, text: str) -> None:
        """Keeps the pieces that a range touches for their owner; one outside touches none."""
        for number in self._touched(ip_network(text, strict=False)):
            self._owners.setdefault(number, owner)

    def take(self, owner: str) -> str:
        """Returns a piece that nobody has; raises Full where there is none."""
        for step in range(self._count):
            number = (self._next + step) % self._count
            if number not in self._owners:
                self._owners[number] = owner
                self._next = (number + 1) % self._count
                return str(self._piece(number))
        raise Full

    def give_back(self, owner: str) -> None:
        """Frees what somebody had."""
        for number in [number for number, name in self._owners.items() if name == owner]:
            del self._owners[number]

    def _piece(self, number: int) -> Network:
        first = int(self._whole.network_address) + number * self._size
        return type(self._whole)((first, self._mask))

    @property
    def _size(self) -> int:
        return self._whole.num_addresses >> (self._mask - self._whole.prefixlen)

    def _touched(self, other: Network) -> Iterator[int]:
        if other.version != self._whole.version:
            return
        start, size = int(self._whole.network_address), self._size
        first = max(0, (int(other.network_address) - start) // size)
        last = min(self._count - 1, (int(other.broadcast_address) - start) // size)
        yield from range(first, last + 1)


def plan(node: Node, ranges: Sequence[str]) -> list[Action]:
    """Returns what gives a node its ranges."""
    spec = {"podCIDR": ranges[0], "podCIDRs": list(ranges)}
    return [Patch(NODE.ref(*node.key), {"spec": spec}, uid=node.metadata.uid)]


def refuse(node: Node) -> list[Action]:
    """Returns what tells that nothing is left for a node."""
    text = f"Node {node.metadata.name} status is now: {NOT_AVAILABLE}"
    return [Tell(node, NOT_AVAILABLE, text)]


def ranges_of(node: Node) -> Collection[str]:
    """Returns the ranges that a node has."""
    return node.spec.pod_cidrs or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


def _of_node(views: Views, old: Node | None, new: Node | None) -> Iterable[Ref]:
    """Maps a node that comes, goes or has other ranges to itself, and one that goes to those that
    wait for its ranges. Nodes report often, and that says nothing here."""
    if old is not None and new is not None and ranges_of(old) == ranges_of(new):
        return
    yield from to_self(views, old, new, kind=NODE)
    if new is None:
        yield from (NODE.ref(*it.key) for it in views.of(NODE).list() if not ranges_of(it))


class NodeIPAMController:
    """See `reconcile.loop.Controller`; `with_ranges` gives the class for one cluster's ranges."""

    name: ClassVar[str] = "node-ipam-controller"
    account: ClassVar[str] = "node-controller"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(NODE, _of_node),)
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("nodes",), ("patch",)),)
    ranges: ClassVar[tuple[PodRange, ...]] = ()
    kept: ClassVar[tuple[str, ...]] = ()

    def __init__(self, given: Given) -> None:
        self._given = given
        self._view = given.views.of(NODE)
        self._pieces = [Pieces(cut, self.kept) for cut in self.ranges]
        self._taken: dict[str, tuple[str, ...]] = {}  # what a node has or is being given
        self._turn = asyncio.Lock()
        self._known = False

    async def reconcile(self, ref: Ref) -> Done:
        """Gives one node its ranges, or takes back those of one that is gone."""
        async with self._turn:
            if not self._known:  # before the first is given, what all have is known
                for node in self._view.list():
                    self._hold(node)
                self._known = True
            node = self._view.get(ref)
            if node is None:
                self._give_back(ref.name)
                return Done()
            await act(self._given.client, self._given.events, self._decide(node))
        return Done()

    def _decide(self, node: Node) -> list[Action]:
        name = node.metadata.name
        if ranges_of(node):
            self._hold(node)
            return []
        if name not in self._taken:
            try:
                self._taken[name] = tuple(pieces.take(name) for pieces in self._pieces)
            except Full:
                self._give_back(name)
                return refuse(node)
        return plan(node, self._taken[name])

    def _hold(self, node: Node) -> None:
        name, found = node.metadata.name, tuple(ranges_of(node))
        if not found or self._taken.get(name) == found:
            return
        self._give_back(name)  # somebody gave it others
        self._taken[name] = found
        for text in found:
            for pieces in self._pieces:
                pieces.hold(name, text)

    def _give_back(self, name: str) -> None:
        self._taken.pop(name, None)
        for pieces in self._pieces:
            pieces.give_back(name)


def with_ranges(ranges: tuple[PodRange, ...], kept: tuple[str, ...]) -> type[Controller]:
    """Returns the controller that cuts these ranges, and gives away nothing of those kept."""
    return type("NodeIPAMController", (NodeIPAMController,), {"ranges": ranges, "kept": kept})
