"""The cluster as the scheduler sees it: what there is and what is taken, node by node.

Kept up to date change by change, never rebuilt. Pods that were decided on but not yet seen bound
count as `assumed`. Every change is logged, so that what was worked out is mended, not made again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import msgspec

from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.scheduler.state.bits import Bits
from steersman.scheduler.state.demand import Demand, Shapes
from steersman.scheduler.state.neighbours import NO_RULES, Flock, Labels, Rules, Term, rules_of
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.topology import Topology

K = TypeVar("K")
MAX_LOG = 4096  # changes kept; what slept through more is made anew

Weighted = tuple[Term, int]  # weight 0: a required term, counted by the profile's own weight


class Change(NamedTuple):
    """A change at a place: of the node itself, or of a pod there (`sign` 1 or -1)."""

    place: int
    flock: Flock | None = None
    rules: Rules = NO_RULES
    sign: int = 0


class Placed(msgspec.Struct, frozen=True, eq=False):
    """A pod that takes room on a node; `assumed` until it is seen there."""

    pod: Pod
    demand: Demand
    flock: Flock
    rules: Rules
    state: NodeState
    assumed: bool = False


class Snapshot:
    """All nodes, and the pods that take room on them."""

    def __init__(self) -> None:
        self.shapes = Shapes()
        self.nodes: list[NodeState | None] = []  # by place; None where none is
        self.all: Bits = 0  # the places of nodes that exist
        self.landscape = 0  # raised when nodes come, go or change labels or taints
        self.flocks: dict[str, dict[tuple[frozenset[tuple[str, str]], bool], Flock]] = {}
        self._members: Counter[Flock] = Counter()  # pods of each, also where no node is
        self.repelling: dict[Term, Counter[int]] = {}  # by whom and where: required anti-affinity
        self.attracting: dict[Weighted, Counter[int]] = {}
        self.images: dict[str, tuple[int, int]] = {}  # size in bytes, how many nodes have it
        self.imagery = 0  # raised when the images of nodes change
        self.namespaces: dict[str, Labels] = {}
        self.logged = 0  # changes ever logged
        self._log: deque[Change] = deque(maxlen=MAX_LOG)
        self._states: dict[str, NodeState] = {}
        self._pods: dict[str, Placed] = {}
        self._nominated: dict[str, NodeState] = {}  # by uid; the node has the pod
        self._topologies: dict[str, Topology] = {}
        self._vacant: list[int] = []

    # Reading

    def state(self, name: str) -> NodeState | None:
        """Returns a node's state, None for a node never heard of."""
        return self._states.get(name)

    def at(self, place: int) -> NodeState:
        """Returns the node at a place of `all`."""
        state = self.nodes[place]
        assert state is not None
        return state

    def placed(self, uid: str) -> Placed | None:
        """Returns a pod that is counted on some node, assumed or seen."""
        return self._pods.get(uid)

    def pods_on(self, state: NodeState) -> Iterator[Placed]:
        """Yields the pods that are counted on a node, in the order of their coming."""
        return (self._pods[uid] for uid in state.pods)

    def nominated(self, uid: str) -> str:
        """Returns the node for which a waiting pod is nominated, empty where there is none."""
        return self._nominated[uid].name if uid in self._nominated else ""

    def expected(self) -> Collection[NodeState]:
        """Returns the nodes for which pods are nominated, each once."""
        return dict.fromkeys(self._nominated.values())

    def topology(self, key: str) -> Topology:
        """Returns the domains of a label key."""
        if (found := self._topologies.get(key)) is None:
            states = [state for state in self.nodes if state is not None]
            labels = ((state.place, state.node.metadata.labels) for state in states)
            found = self._topologies[key] = Topology(key, labels)
        return found

    def having(self, pairs: Iterable[tuple[str, str]]) -> Bits:
        """Returns the nodes that have one of some labels."""
        found: Bits = 0
        for key, value in pairs:
            found |= self.topology(key).nodes.get(value, 0)
        return found

    def since(self, position: int) -> Sequence[Change] | None:
        """Returns what was logged after a position, None where that is too long ago."""
        missing = self.logged - position
        if missing > len(self._log):
            return None
        newest = list(islice(reversed(self._log), missing))  # a queue is short from its end
        newest.reverse()
        return newest

    # Nodes

    def node_changed(self, old: Node | None, new: Node | None) -> NodeState:
        """Takes over a change of a Node object and returns the node's state."""
        found = new or old
        assert found is not None
        state = self._state(found.metadata.name)
        self._count_images(state, new)
        before, existed = state.node, state.exists
        state.set_node(new)
        if not existed and state.exists:
            self._settle(state)
        if existed != state.exists or _terrain(before) != _terrain(state.node):
            self._reshaped()
        self._log_change(Change(state.place))
        if existed and not state.exists:
            self._vacate(state)
        return state

    def namespace_changed(self, name: str, labels: Labels | None) -> None:
        """Takes over the labels of a namespace, None where it is gone."""
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        self._reshaped()

    def _reshaped(self) -> None:
        self.landscape += 1
        self.imagery += bool(self.images)
        self._topologies.clear()

    def _settle(self, state: NodeState) -> None:
        if self._vacant:
            state.place = self._vacant.pop()
            self.nodes[state.place] = state
        else:
            state.place = len(self.nodes)
            self.nodes.append(state)
        self.all |= 1 << state.place
        for uid in state.pods:
            placed = self._pods[uid]
            self._spread_word(placed, state.place, 1)

    def _vacate(self, state: NodeState) -> None:
        for uid in state.pods:
            self._spread_word(self._pods[uid], state.place, -1)
        self.all &= ~(1 << state.place)
        self.nodes[state.place] = None
        self._vacant.append(state.place)
        state.place = -1
        self._drop_if_empty(state)

    def _count_images(self, state: NodeState, new: Node | None) -> None:
        before = state.node.status.images
        after = new.status.images if new is not None else ()
        if before == after:
            return
        self.imagery += 1
        for images, sign in ((before, -1), (after, 1)):
            for image in images:
                for name in image.names:
                    _, count = self.images.get(name, (0, 0))
                    self.images[name] = (image.size_bytes, count + sign)
                    if count + sign <= 0:
                        del self.images[name]

    # Pods

    def put(self, pod: Pod, node_name: str, *, assumed: bool = False) -> None:
        """Counts a pod on a node; what was known of the pod before is replaced."""
        uid, demand = pod.metadata.uid, self.shapes.placed(pod)
        known = self._pods.get(uid)
        there = known is not None and known.state.name == node_name and known.demand is demand
        if known is not None and there and _same_flock(known.pod, pod):
            self._pods[uid] = msgspec.structs.replace(known, pod=pod, assumed=assumed)
            return
        self.remove(uid)
        self.nominate(pod, "")
        flock, state = self._flock(pod), self._state(node_name)
        rules = rules_of(pod.spec.affinity, pod.metadata.namespace, pod.metadata.labels)
        placed = self._pods[uid] = Placed(pod, demand, flock, rules, state, assumed)
        state.add(demand)
        state.pods[uid] = None
        if state.exists:
            self._spread_word(placed, state.place, 1)

    def remove(self, uid: str, *, only_assumed: bool = False) -> Placed | None:
        """Counts a pod out and returns where it was."""
        known = self._pods.get(uid)
        if known is None or (only_assumed and not known.assumed):
            return None
        del self._pods[uid]
        state = known.state
        state.add(known.demand, -1)
        del state.pods[uid]
        if state.exists:
            self._spread_word(known, state.place, -1)
        self._leave_flock(known.flock)
        self._drop_if_empty(state)
        return known

    def nominate(self, pod: Pod, node_name: str) -> None:
        """Keeps room on a node for a pod that waits there for its victims to go; empty: no more."""
        uid = pod.metadata.uid
        old = self._nominated.pop(uid, None)
        if old is not None:
            del old.nominated[uid]
            self._log_change(Change(old.place))
            self._drop_if_empty(old)
        if node_name:
            state, demand = self._state(node_name), self.shapes.of(pod)
            namespace, labels = pod.metadata.namespace, pod.metadata.labels
            flock = Flock(namespace, labels)  # of nobody who is there: it is in no list
            rules = rules_of(pod.spec.affinity, namespace, labels)
            self._nominated[uid] = state
            state.nominated[uid] = Placed(pod, demand, flock, rules, state)
            self._log_change(Change(state.place))

    def _flock(self, pod: Pod) -> Flock:
        labels = pod.metadata.labels
        key = (frozenset(labels.items()), pod.metadata.deletion_timestamp is not None)
        found = self.flocks.setdefault(pod.metadata.namespace, {})
        if (flock := found.get(key)) is None:
            flock = found[key] = Flock(pod.metadata.namespace, labels, key[1])
        self._members[flock] += 1
        return flock

    def _spread_word(self, placed: Placed, place: int, sign: int) -> None:
        """Files a pod at a place under everything by which others look for it."""
        _count(placed.flock.places, place, sign)
        rules = placed.rules
        if rules:
            for term in rules.apart:
                _file(self.repelling, term, place, sign)
            for weighted in (*((term, 0) for term in rules.near), *rules.preferred):
                _file(self.attracting, weighted, place, sign)
        self._log_change(Change(place, placed.flock, rules, sign))

    def _leave_flock(self, flock: Flock) -> None:
        """Counts a pod out of its flock, which stays while it has others, be their nodes gone."""
        _count(self._members, flock, -1)
        if flock in self._members:
            return
        found = self.flocks[flock.namespace]
        del found[frozenset(flock.labels.items()), flock.leaving]
        if not found:
            del self.flocks[flock.namespace]

    def _log_change(self, change: Change) -> None:
        if change.place >= 0:
            self._log.append(change)
            self.logged += 1

    def _state(self, name: str) -> NodeState:
        if (state := self._states.get(name)) is None:
            state = self._states[name] = NodeState(name)
        return state

    def _drop_if_empty(self, state: NodeState) -> None:
        if not state.exists and not state.pods and not state.nominated:
            self._states.pop(state.name, None)


def _same_flock(one: Pod, other: Pod) -> bool:
    """Says whether two states of one pod make it part of the same flock, with the same rules."""
    one_leaves = one.metadata.deletion_timestamp is not None
    other_leaves = other.metadata.deletion_timestamp is not None
    return one.metadata.labels == other.metadata.labels and one_leaves == other_leaves


def _terrain(node: Node) -> tuple[object, ...]:
    return (node.metadata.labels, node.spec.taints, node.spec.unschedulable)


def _count(counter: Counter[K], key: K, sign: int) -> None:
    counter[key] += sign
    if not counter[key]:
        del counter[key]


def _file(filed: dict[K, Counter[int]], key: K, place: int, sign: int) -> None:
    counter = filed.setdefault(key, Counter())
    _count(counter, place, sign)
    if not counter:
        del filed[key]
