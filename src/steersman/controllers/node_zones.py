"""How fast nodes that are not ready lose their pods: one after another in each zone, more slowly or
not at all where much of a zone is not ready, and not at all where nothing is ready anywhere.

Nodes wait for a turn; who gets one is tainted NoExecute. Not what is written (node_lifecycle.py).
Follows pkg/controller/nodelifecycle (handleDisruption, RateLimitedTimedQueue).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from steersman.model.kinds.node import ZONE, Node
from steersman.model.types.condition import is_true

# kube-controller-manager's --node-eviction-rate and --secondary-node-eviction-rate, a second
RATE: Final = 0.1
SLOW_RATE: Final = 0.01
UNHEALTHY: Final = 0.55  # --unhealthy-zone-threshold
LARGE: Final = 50  # --large-cluster-size-threshold: a smaller zone is not emptied slowly but not
EXCLUDED: Final = "node.kubernetes.io/exclude-disruption"  # a label: such a node is not counted
REGION: Final = "topology.kubernetes.io/region"
_OLD: Final = "failure-domain.beta.kubernetes.io/"

State = Literal["normal", "partial", "full"]
Key = tuple[str, str]  # region and zone


def zone_of(node: Node) -> Key:
    """Returns the zone of a node (component-helpers' GetZoneKey)."""
    labels = node.metadata.labels
    region = labels.get(REGION) or labels.get(f"{_OLD}region", "")
    return region, labels.get(ZONE) or labels.get(f"{_OLD}zone", "")


def state_of(ready: int, others: int) -> State:
    """Returns how a zone with so many nodes is (ComputeZoneState)."""
    if not ready and others:
        return "full"
    if others > 2 and others / (ready + others) >= UNHEALTHY:
        return "partial"
    return "normal"


class _Zone(msgspec.Struct):
    """One zone: which of its nodes count and are ready, who waits for a turn, and the limiter."""

    members: set[str] = msgspec.field(default_factory=set)
    counted: dict[str, bool] = msgspec.field(default_factory=dict)
    ready: int = 0
    waiting: dict[str, None] = msgspec.field(default_factory=dict)
    rate: float = RATE
    free_at: float = 0.0  # from when on there is a turn

    @property
    def state(self) -> State:
        return state_of(self.ready, len(self.counted) - self.ready)

    @property
    def first(self) -> str | None:
        """Who waits longest."""
        return next(iter(self.waiting), None)

    def put(self, name: str, ready: bool | None) -> None:
        """Notes how a node is, None for one that does not count."""
        self.take(name)
        self.members.add(name)
        if ready is not None:
            self.counted[name] = ready
            self.ready += ready

    def take(self, name: str) -> None:
        """Forgets how a node is."""
        self.members.discard(name)
        self.ready -= self.counted.pop(name, False)

    def limit(self, rate: float, now: float) -> None:
        """Changes the rate; who had no turn to give away begins without one."""
        if rate == self.rate:
            return
        has_one = self.rate > 0 and now >= self.free_at
        self.rate = rate
        if rate:
            self.free_at = now if has_one else now + 1 / rate


class Zones:
    """The zones of all nodes.

    `stopped` says that no node is ready anywhere: then the fault is taken to be ours, and no node
    is emptied.
    """

    def __init__(self, nodes: Iterable[Node], now: float) -> None:
        self.stopped = False
        self._zones: dict[Key, _Zone] = {}
        self._of: dict[str, _Zone] = {}
        for node in nodes:
            self._put(node)
        self._judge(now)

    def note(self, node: Node, now: float) -> list[str]:
        """Notes how a node is; returns the nodes for which something is otherwise now."""
        before = self._turns()
        self._put(node)
        return self._changed(before, now)

    def forget(self, name: str, now: float) -> list[str]:
        """Forgets a node that is gone; returns as `note` does."""
        before = self._turns()
        self._take(name)
        return self._changed(before, now)

    def turn(self, name: str, now: float) -> float | None:
        """Has a node wait for its turn: returns after how many seconds it has one, None where
        others are before it or nobody has one now; what `note`, `done` and `leave` return says
        when to ask again."""
        zone = self._of[name]
        zone.waiting.setdefault(name)
        if self.stopped or not zone.rate or zone.first != name:
            return None
        return max(0.0, zone.free_at - now)

    def done(self, name: str, now: float) -> str | None:
        """Ends the turn of a node that was tainted; returns who is next."""
        zone = self._of[name]
        zone.waiting.pop(name, None)
        zone.free_at = now + 1 / zone.rate if zone.rate else now
        return zone.first

    def leave(self, name: str) -> str | None:
        """Has a node wait no more; returns who is next where it was the first."""
        zone = self._of[name]
        first = zone.first
        zone.waiting.pop(name, None)
        return zone.first if first == name else None

    def _put(self, node: Node) -> None:
        name = node.metadata.name
        zone = self._zones.setdefault(zone_of(node), _Zone())
        if self._of.get(name, zone) is not zone:
            self._take(name)
        self._of[name] = zone
        counts = EXCLUDED not in node.metadata.labels
        zone.put(name, is_true(node.status.conditions, "Ready") if counts else None)

    def _take(self, name: str) -> None:
        if (zone := self._of.pop(name, None)) is not None:
            zone.take(name)
            zone.waiting.pop(name, None)
            self._zones = {key: it for key, it in self._zones.items() if it.members}

    def _turns(self) -> dict[Key, tuple[str | None, float]]:
        return {key: (zone.first, zone.rate) for key, zone in self._zones.items()}

    def _changed(self, before: dict[Key, tuple[str | None, float]], now: float) -> list[str]:
        stopped = self.stopped
        self._judge(now)
        if self.stopped != stopped:
            return list(self._of)
        after = self._turns()
        return [turn[0] for key, turn in after.items() if turn[0] and turn != before.get(key)]

    def _judge(self, now: float) -> None:
        counted = [zone for zone in self._zones.values() if zone.counted]
        self.stopped = bool(counted) and all(zone.state == "full" for zone in counted)
        for zone in counted:
            zone.limit(0.0 if self.stopped else _rate(zone), now)
            if self.stopped:
                zone.waiting.clear()


def _rate(zone: _Zone) -> float:
    if zone.state != "partial":
        return RATE
    return SLOW_RATE if len(zone.counted) > LARGE else 0.0
