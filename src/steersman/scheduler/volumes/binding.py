"""Which volumes a pod's waiting claims get on a node. Pure (volumebinding/binder.go).

A claim gets the smallest free volume that fits it and the node; for one that finds none, its
class makes one, if it can for that node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.volume_binding import (
    NO_PROVISIONER,
    SELECTED_NODE,
    asked,
    class_of,
    fits,
    size,
)
from steersman.scheduler.filters.node_affinity import selects
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.volumes.storage import Storage


class Choice(msgspec.Struct, frozen=True):
    """Claims with the volumes they get, and claims for which volumes are to be made."""

    given: tuple[tuple[PersistentVolumeClaim, PersistentVolume], ...] = ()
    made: tuple[PersistentVolumeClaim, ...] = ()


def choose(
    waiting: Iterable[PersistentVolumeClaim], node: NodeState, storage: Storage
) -> Choice | None:
    """Returns what the claims get on a node, None where one of them gets nothing."""
    given: dict[str, tuple[PersistentVolumeClaim, PersistentVolume]] = {}
    made = []
    for claim in sorted(waiting, key=asked):
        selected = claim.metadata.annotations.get(SELECTED_NODE)
        if selected is not None:
            if selected != node.name:
                return None
            made.append(claim)
        elif (volume := _smallest(claim, node, storage, given)) is not None:
            given[volume.metadata.name] = (claim, volume)
        elif makes(claim, node, storage):
            made.append(claim)
        else:
            return None
    return Choice(tuple(given.values()), tuple(made))


def reaches(volume: PersistentVolume, node: NodeState) -> bool:
    """Says whether a volume can be used on a node."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    return selects(affinity.required, node.node.metadata.labels, node.name)


def _smallest(
    claim: PersistentVolumeClaim,
    node: NodeState,
    storage: Storage,
    given: Mapping[str, object],
) -> PersistentVolume | None:
    best: PersistentVolume | None = None
    for volume in storage.volumes():
        owner = storage.owner(volume)
        if owner == claim.metadata.uid and reaches(volume, node):
            return volume  # bound before, or promised to it
        if owner or volume.metadata.name in given or not fits(volume, claim):
            continue
        if (best is None or _order(volume) < _order(best)) and reaches(volume, node):
            best = volume
    return best


def _order(volume: PersistentVolume) -> tuple[int, str]:
    return (size(volume), volume.metadata.name)


def makes(claim: PersistentVolumeClaim, node: NodeState, storage: Storage) -> bool:
    """Says whether a claim's class can make a volume for a node."""
    found = storage.storage_class(class_of(claim))
    if found is None or found.provisioner in ("", NO_PROVISIONER):
        return False
    terms = [term.get("matchLabelExpressions") or () for term in found.allowed_topologies]
    labels = node.node.metadata.labels
    return not terms or any(
        all(labels.get(item["key"]) in item["values"] for item in term) for term in terms if term
    )
