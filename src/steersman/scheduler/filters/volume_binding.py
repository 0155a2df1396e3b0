"""VolumeBinding: a pod runs where its volumes can be reached, or found, or made."""

from __future__ import annotations

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.volumes.binding import choose
from steersman.scheduler.volumes.needs import Needs
from steersman.scheduler.volumes.offers import Wish, reaches

PLUGIN = "VolumeBinding"
ELSEWHERE = "node(s) didn't match PersistentVolume's node affinity"
MISSING = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


def refuse(needs: Needs, wishes: tuple[Wish, ...], node: NodeState) -> Refusal | None:
    """Refuses a node that lacks a volume."""
    reasons = []
    volumes = [volume for _, volume in needs.bound]
    if any(volume is not None and not reaches(volume, node) for volume in volumes):
        reasons.append(ELSEWHERE)
    if wishes and isinstance(why := choose(wishes, node), str):
        reasons.append(why)
    if None in volumes:
        reasons.append(MISSING)
    return Refusal(PLUGIN, tuple(reasons)) if reasons else None
