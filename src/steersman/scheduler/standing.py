"""How every node stands with pods of one shape: verdicts that hold until the node changes.

The rules here look at one node alone. Their verdicts are kept as sets of nodes, by refusal and by
score, so that a decision reads them at once and a change of one node moves one bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from steersman.scheduler.filters import (
    node_affinity,
    node_declared_features,
    node_name,
    node_ports,
    node_resources_fit,
    node_unschedulable,
    taint_toleration,
)
from steersman.scheduler.filters.refusal import Filter, Refusal
from steersman.scheduler.profile import Profile
from steersman.scheduler.scores import balanced_allocation, image_locality
from steersman.scheduler.scores import node_affinity as affinity_score
from steersman.scheduler.scores import taint_toleration as taint_score
from steersman.scheduler.scores.allocation import NO_DEVICES, Devices
from steersman.scheduler.state.bits import Bits, places_from
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Snapshot

FILTERS: Final[tuple[tuple[str, Filter], ...]] = (
    ("NodeUnschedulable", node_unschedulable.refuse),
    ("NodeName", node_name.refuse),
    ("TaintToleration", taint_toleration.refuse),
    ("NodeAffinity", node_affinity.refuse),
    ("NodePorts", node_ports.refuse),
    ("NodeResourcesFit", node_resources_fit.refuse),
    ("NodeDeclaredFeatures", node_declared_features.refuse),
)
Raw = tuple[int, int]  # untolerated soft taints, weight of preferred node affinity


class Fit(msgspec.Struct, frozen=True):
    """A node that fits: the sum of its plain scores and the two that are normalized."""

    score: int
    taints: int
    affinity: int


Verdict = Fit | Refusal


class Rule:
    """The rules of a profile that look at one node alone."""

    def __init__(self, profile: Profile) -> None:
        self._filters = [refuse for name, refuse in FILTERS if name in profile.filters]
        if profile.added_affinity is not None and "NodeAffinity" in profile.filters:
            added = node_affinity.added(profile.added_affinity)
            place = self._filters.index(node_affinity.refuse)
            self._filters.insert(place, added)
        if any(profile.ignored) and "NodeResourcesFit" in profile.filters:
            place = self._filters.index(node_resources_fit.refuse)
            self._filters[place] = node_resources_fit.ignoring(*profile.ignored)
        self._profile = profile
        self._weights = profile.weights

    def refuse(self, demand: Demand, node: NodeState) -> Refusal | None:
        """Returns the first filter's refusal of a node, None where it fits."""
        if node.nominated:
            node = node.expecting(demand.priority)
        for refuse in self._filters:
            if (refusal := refuse(demand, node)) is not None:
                return refusal
        return None

    def judge(self, demand: Demand, node: NodeState, snapshot: Snapshot) -> Verdict:
        """Returns how well a node fits, or the first filter's refusal."""
        if (refusal := self.refuse(demand, node)) is not None:
            return refusal
        weights, profile = self._weights, self._profile
        score = allocated(profile, demand, node)
        if node.node.status.images and (weight := weights.get("ImageLocality")):
            nodes = snapshot.all.bit_count()
            score += weight * image_locality.score(demand, node, snapshot.images, nodes)
        affinity = affinity_score.weight(demand, node, profile.added_affinity)
        return Fit(score, taint_score.count(demand, node), affinity)


def allocated(
    profile: Profile, demand: Demand, node: NodeState, devices: Devices = NO_DEVICES
) -> int:
    """Returns the weighted scores by what of a node's resources is taken."""
    score, weights = 0, profile.weights
    if weight := weights.get("NodeResourcesFit"):
        score += weight * profile.strategy.score(demand, node, devices)
    if weight := weights.get("NodeResourcesBalancedAllocation"):
        score += weight * balanced_allocation.score(demand, node, profile.balanced, devices)
    return score


class Standing:
    """The verdicts on all nodes for one shape; `known` are the nodes judged so far."""

    def __init__(self, demand: Demand, rule: Rule, snapshot: Snapshot) -> None:
        self.demand = demand
        self.rule = rule
        self.known: Bits = 0
        self.fits: Bits = 0
        self.refused: dict[Refusal, Bits] = {}
        self.scores: dict[Raw, dict[int, Bits]] = {}
        self._snapshot = snapshot
        self._verdicts: dict[int, Verdict] = {}
        self._same: dict[Verdict, Verdict] = {}  # equal verdicts are one: nodes are many
        self._position = snapshot.logged
        self._imagery = snapshot.imagery

    def catch_up(self) -> None:
        """Forgets or mends what changed since the last call."""
        snapshot = self._snapshot
        if self._position == snapshot.logged:
            return
        changes = snapshot.since(self._position)
        self._position = snapshot.logged
        stale = changes is None or self._imagery != snapshot.imagery
        self._imagery = snapshot.imagery
        changed = set(self._verdicts) if stale else {it.place for it in changes or ()}
        for place in sorted(changed):
            if place in self._verdicts:
                self._forget(place)
                self._judge(place)

    def judge_until(self, wanted: Callable[[], bool], start: int) -> int:
        """Judges nodes not yet judged, from a place on, until that is enough; returns where it
        ended."""
        unknown = self._snapshot.all & ~self.known
        for number, place in enumerate(places_from(unknown, start)):
            if number % CHUNK == 0 and wanted():
                return place
            self._judge(place)
        return start

    def verdict(self, place: int) -> Verdict:
        """Returns the verdict on one node."""
        if place not in self._verdicts:
            self._judge(place)
        return self._verdicts[place]

    def _judge(self, place: int) -> None:
        node, bit = self._snapshot.nodes[place], 1 << place
        if node is None:
            return
        verdict = self.rule.judge(self.demand, node, self._snapshot)
        verdict = self._verdicts[place] = self._same.setdefault(verdict, verdict)
        self.known |= bit
        if isinstance(verdict, Refusal):
            self.refused[verdict] = self.refused.get(verdict, 0) | bit
            return
        self.fits |= bit
        by_score = self.scores.setdefault((verdict.taints, verdict.affinity), {})
        by_score[verdict.score] = by_score.get(verdict.score, 0) | bit

    def _forget(self, place: int) -> None:
        verdict, bit = self._verdicts.pop(place), 1 << place
        self.known ^= bit
        if isinstance(verdict, Refusal):
            self.refused[verdict] ^= bit
            if not self.refused[verdict]:
                del self.refused[verdict]
            return
        self.fits ^= bit
        raw = (verdict.taints, verdict.affinity)
        by_score = self.scores[raw]
        by_score[verdict.score] ^= bit
        if not by_score[verdict.score]:
            del by_score[verdict.score]
            if not by_score:
                del self.scores[raw]


CHUNK = 64  # nodes judged between looks at whether that is enough
