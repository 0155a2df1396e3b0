"""NodePorts: two pods cannot have the same port of a node."""

from __future__ import annotations

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.demand import EVERY_ADDRESS, Demand, Port
from steersman.scheduler.state.node import NodeState

_REFUSAL = Refusal(
    "NodePorts", ("node(s) didn't have free ports for the requested pod ports",), final=False
)


def refuse(demand: Demand, node: NodeState) -> Refusal | None:
    """Refuses a node where a wanted port is taken."""
    for wanted in demand.ports:
        if any(_collide(wanted, taken) for taken in node.ports):
            return _REFUSAL
    return None


def _collide(one: Port, other: Port) -> bool:
    if one[1:] != other[1:]:
        return False
    return EVERY_ADDRESS in (one[0], other[0]) or one[0] == other[0]
