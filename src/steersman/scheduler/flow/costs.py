"""What it costs to place a pod on a node, in whole numbers. Pure.

`UNIT` is the cost of the worst a single cause can do. The cost of load is the mean of the squares
of what is taken of CPU and memory, so that each further pod on a node costs more than the one
before it: only then is the cheapest flow the cheapest placement.
"""

from __future__ import annotations

from typing import Final

from steersman.scheduler.flow.policy import Policy
from steersman.scheduler.state.demand import CPU, MEMORY, Demand
from steersman.scheduler.state.neighbours import Labels
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Snapshot

UNIT: Final = 1_000_000
EACH_AVOIDED: Final = UNIT // 10
MOST_AVOIDED: Final = 40  # pods beside which it suffers that count
# Dearer than any place: who can be placed is. A pod whose deadline has come, twice as dear
WAITING: Final = 1_000 * UNIT
URGENT_SECONDS: Final = 24 * 3600.0  # before its deadline a pod begins to be dearer
MOVING: Final = UNIT // 20  # ending a pod so that another comes up elsewhere


def waiting(policy: Policy, now: float) -> int:
    """Returns what it costs to leave a pod waiting."""
    if not policy.deadline:
        return WAITING
    left = min(max(policy.deadline - now, 0.0), URGENT_SECONDS)
    return WAITING + int(WAITING * (1 - left / URGENT_SECONDS))


def load(demand: Demand, node: NodeState, number: int = 0) -> int:
    """Returns what a pod adds to the cost of a node's load, with so many of its like before it."""
    total = 0
    for name, taken in ((CPU, node.scored_cpu), (MEMORY, node.scored_memory)):
        wanted, capacity = demand.scored.get(name, 0), node.allocatable.get(name, 0)
        if capacity:
            before = taken + number * wanted
            total += UNIT * wanted * (2 * before + wanted) // (2 * capacity * capacity)
    return total


def fixed(policy: Policy, node: NodeState, snapshot: Snapshot) -> int:
    """Returns what a node costs whoever else is placed there at the same time."""
    total = 0
    if policy.packs:
        total += UNIT - _used(node) + node.place  # the fullest, then the first
    if policy.data:
        total += _distance(policy, node)
    if policy.avoid is not None:
        total += EACH_AVOIDED * min(_avoided(policy, node, snapshot), MOST_AVOIDED)
    return total


def each(policy: Policy, labels: Labels) -> int:
    """Returns what each further pod of one kind costs beside the others of its kind."""
    return EACH_AVOIDED if policy.avoid is not None and policy.avoid(labels) else 0


def _used(node: NodeState) -> int:
    total = 0
    for name, taken in ((CPU, node.scored_cpu), (MEMORY, node.scored_memory)):
        if capacity := node.allocatable.get(name, 0):
            total += min(UNIT * taken // (2 * capacity), UNIT // 2)
    return total


def _distance(policy: Policy, node: NodeState) -> int:
    """Returns the share of a pod's data that is not near a node."""
    labels, whole = node.node.metadata.labels, sum(it.amount for it in policy.data)
    near = sum(it.amount for it in policy.data if labels.get(it.key) == it.value)
    return UNIT * (whole - near) // whole if whole else 0


def _avoided(policy: Policy, node: NodeState, snapshot: Snapshot) -> int:
    avoid = policy.avoid
    assert avoid is not None
    return sum(avoid(placed.pod.metadata.labels) for placed in snapshot.pods_on(node))
