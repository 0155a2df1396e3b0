"""What could help a pod that fits nowhere: queueing hints. Pure; a wrong yes costs one attempt, a
wrong no costs the five minutes after which everybody is tried again.

Follows KEP-4247; upstream's hints are methods of the plugins that refused.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

import msgspec

from steersman.scheduler.extenders.word import PLUGIN as EXTENDER
from steersman.scheduler.neighbourhood import Neighbourhood
from steersman.scheduler.standing import Rule
from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.neighbours import Flock, Rules
from steersman.scheduler.state.node import NodeState

NEIGHBOURS = frozenset(("InterPodAffinity", "PodTopologySpread"))
VOLUMES = frozenset(("VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone"))
DEVICES = frozenset(("DynamicResources",))
# An extender does not say what could help: everything may (framework.ExtenderName)
EXTENDERS = frozenset((EXTENDER,))
# What a group asks for is counted over all nodes (minResources): any of them may help
GANG: Final = "Coscheduling"
_ANYTHING = EXTENDERS | {GANG}


class Waits(msgspec.Struct, frozen=True):
    """What pods of one kind wait for; `uid` sets apart a pod that is nominated for a node."""

    demand: Demand
    rule: Rule
    hood: Neighbourhood
    blockers: frozenset[str]
    uid: str = ""


class Alone(msgspec.Struct, frozen=True):
    """What waits for nothing that happens to nodes, pods, volumes or devices; who put it there
    knows what helps."""

    name: str


def helped_by_node(waits: Waits, state: NodeState, *, reshaped: bool) -> bool:
    """Says whether a change of a node could help; `reshaped` where its labels or taints changed."""
    if waits.blockers & (_ANYTHING | NEIGHBOURS if reshaped else _ANYTHING):
        return True
    return waits.uid in state.nominated or waits.rule.refuse(waits.demand, state) is None


def helped_by_pod(waits: Waits, state: NodeState | None, flock: Flock, rules: Rules) -> bool:
    """Says whether the coming or going of a pod could help; `state` is the node with more room."""
    if waits.blockers & _ANYTHING:
        return True
    if waits.blockers & NEIGHBOURS and waits.hood.touched_by(flock, rules):
        return True
    return state is not None and helped_by_node(waits, state, reshaped=False)


def helped_by_volume(waits: Waits) -> bool:
    """Says whether a change of a claim, volume or class could help."""
    return bool(waits.blockers & (VOLUMES | EXTENDERS))


def helped_by_device(waits: Waits, delegated: frozenset[str] = frozenset()) -> bool:
    """Says whether a change of a claim, of devices, their classes or taints could help;
    `delegated` are the resources that devices meet now."""
    if waits.blockers & (DEVICES | EXTENDERS):
        return True
    return not waits.demand.delegated.issuperset(delegated.intersection(waits.demand.requests))


def helped_by_group(who: Hashable, changed: Alone) -> bool:
    """Says whether a change of a group could help: its own pods, and who waits until what some
    group asks for is free."""
    return who == changed or (isinstance(who, Waits) and GANG in who.blockers)


def blocked_by(names: Iterable[str]) -> frozenset[str]:
    """Returns the plugins for which something is to be heard beyond single nodes."""
    return frozenset(names) & (NEIGHBOURS | VOLUMES | DEVICES | _ANYTHING)
