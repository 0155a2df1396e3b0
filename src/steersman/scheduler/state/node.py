"""One node as the scheduler sees it: its view and the sums over its pods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from steersman.model.kinds.node import Node
from steersman.scheduler.state.demand import CPU, MEMORY, PODS, Amounts, Demand, Port, amounts

if TYPE_CHECKING:  # which knows of nodes itself
    from steersman.scheduler.state.snapshot import Placed

_NO_NODE = Node()
MAX_ROOMS = 64  # kinds of machines of which nodes share what they have room for


@lru_cache(MAX_ROOMS)
def _room(quantities: tuple[tuple[str, str], ...]) -> Mapping[str, int]:
    return amounts(dict(quantities))


class NodeState:
    """A node (its view absent while only its pods are known), what its pods take, and the pods
    that are nominated for it; `place` is its bit in sets of nodes, -1 while it does not exist."""

    __slots__ = (
        "allocatable",
        "count",
        "name",
        "node",
        "nominated",
        "place",
        "pods",
        "ports",
        "scored_cpu",
        "scored_memory",
        "taken",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.place = -1
        self.node = _NO_NODE
        self.allocatable: Mapping[str, int] = {}
        self.taken: Amounts = {}
        self.scored_cpu = 0
        self.scored_memory = 0
        self.count = 0
        self.ports: Counter[Port] = Counter()
        self.pods: dict[str, None] = {}  # by uid, in the order of their coming
        self.nominated: dict[str, Placed] = {}  # by uid

    @property
    def exists(self) -> bool:
        """Says whether there is a Node object."""
        return self.node is not _NO_NODE

    def set_node(self, node: Node | None) -> None:
        """Takes over a new state of the Node object, None where it is gone."""
        self.node = node or _NO_NODE
        found = self.node.status.allocatable or self.node.status.capacity
        self.allocatable = _room(tuple(found.items()))

    def add(self, demand: Demand, sign: int = 1) -> None:
        """Counts a pod, or with sign -1 counts it out again."""
        for name, wanted in demand.requests.items():
            self.taken[name] = self.taken.get(name, 0) + sign * wanted
        self.scored_cpu += sign * demand.scored.get(CPU, 0)
        self.scored_memory += sign * demand.scored.get(MEMORY, 0)
        self.count += sign
        for port in demand.ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]

    def free(self, name: str) -> int:
        """Returns what is left of a resource."""
        if name == PODS:
            return self.allocatable.get(PODS, 0) - self.count
        return self.allocatable.get(name, 0) - self.taken.get(name, 0)

    def copy(self) -> NodeState:
        """Returns a state to try things on; its pods are not listed."""
        other = NodeState(self.name)
        other.place, other.node, other.allocatable = self.place, self.node, self.allocatable
        other.taken, other.ports = dict(self.taken), Counter(self.ports)
        other.scored_cpu, other.scored_memory = self.scored_cpu, self.scored_memory
        other.count, other.nominated = self.count, self.nominated
        return other

    def expecting(self, priority: int) -> NodeState:
        """Returns the state as it is when nominated pods of at least a priority have come."""
        coming = [it.demand for it in self.nominated.values() if it.demand.priority >= priority]
        if not coming:
            return self
        other = self.copy()
        for demand in coming:
            other.add(demand)
        return other
