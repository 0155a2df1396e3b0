"""The cluster as the scheduler sees it: per node what there is and what is taken.

Kept up to date change by change, never rebuilt. Pods that were decided on but not yet seen bound
count as `assumed`. Every change of a node gives it a new generation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.scheduler.demand import CPU, MEMORY, PODS, Amounts, Demand, Port, Shapes, amounts

_NO_NODE = Node()


class NodeState:
    """One node: its view (absent while only its pods are known) and the sums over its pods."""

    __slots__ = (
        "allocatable",
        "count",
        "generation",
        "name",
        "node",
        "ports",
        "scored_cpu",
        "scored_memory",
        "taken",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.node = _NO_NODE
        self.allocatable: Mapping[str, int] = {}
        self.taken: Amounts = {}
        self.scored_cpu = 0
        self.scored_memory = 0
        self.count = 0
        self.ports: Counter[Port] = Counter()
        self.generation = 0

    @property
    def exists(self) -> bool:
        """Says whether there is a Node object."""
        return self.node is not _NO_NODE

    def set_node(self, node: Node | None) -> None:
        """Takes over a new state of the Node object, None where it is gone."""
        self.node = node or _NO_NODE
        self.allocatable = amounts(self.node.status.allocatable or self.node.status.capacity)

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


class Snapshot:
    """All nodes, and the pods that take room on them."""

    def __init__(self) -> None:
        self.shapes = Shapes()
        self.order: list[NodeState] = []  # nodes that exist, in the order of their coming
        self._states: dict[str, NodeState] = {}
        self._pods: dict[str, tuple[NodeState, Demand, bool]] = {}  # by uid; True: assumed
        self._generation = 0

    def state(self, name: str) -> NodeState | None:
        """Returns a node's state, None for a node never heard of."""
        return self._states.get(name)

    def node_changed(self, old: Node | None, new: Node | None) -> NodeState:
        """Takes over a change of a Node object and returns the node's state."""
        found = new or old
        assert found is not None
        state = self._state(found.metadata.name)
        existed = state.exists
        state.set_node(new)
        self._touch(state)
        if state.exists and not existed:
            self.order.append(state)
        elif existed and not state.exists:
            self.order.remove(state)
            self._drop_if_empty(state)
        return state

    def put(self, pod: Pod, node_name: str, *, assumed: bool = False) -> None:
        """Counts a pod on a node; what was known of the pod before is replaced."""
        demand = self.shapes.of(pod)
        known = self._pods.get(pod.metadata.uid)
        if known is not None and known[0].name == node_name and known[1] is demand:
            self._pods[pod.metadata.uid] = (known[0], demand, assumed)
            return
        self.remove(pod.metadata.uid)
        state = self._state(node_name)
        state.add(demand)
        self._touch(state)
        self._pods[pod.metadata.uid] = (state, demand, assumed)

    def remove(self, uid: str, *, only_assumed: bool = False) -> NodeState | None:
        """Counts a pod out and returns the node that has more room now."""
        known = self._pods.get(uid)
        if known is None or (only_assumed and not known[2]):
            return None
        del self._pods[uid]
        state, demand, _ = known
        state.add(demand, -1)
        self._touch(state)
        self._drop_if_empty(state)
        return state

    def holds(self, uid: str) -> bool:
        """Says whether a pod is counted on some node, assumed or seen."""
        return uid in self._pods

    def _state(self, name: str) -> NodeState:
        if (state := self._states.get(name)) is None:
            state = self._states[name] = NodeState(name)
        return state

    def _touch(self, state: NodeState) -> None:
        self._generation += 1
        state.generation = self._generation

    def _drop_if_empty(self, state: NodeState) -> None:
        if not state.exists and not state.count:
            self._states.pop(state.name, None)
