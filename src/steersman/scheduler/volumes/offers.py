"""What a waiting claim could get, worked out once for all nodes: the free volumes that fit it, and
whether its class makes one. Pure (volumebinding/binder.go).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from steersman.model.kinds.csistoragecapacity import CSIStorageCapacity
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.quantity import parse
from steersman.model.selectors import Selector
from steersman.model.volume_binding import (
    NO_PROVISIONER,
    SELECTED_NODE,
    asked,
    class_of,
    fits,
    size,
)
from steersman.scheduler.filters.node_affinity import selects
from steersman.scheduler.state.neighbours import Labels, selector_of
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.volumes.storage import Storage

NOT_FOUND: Final = "node(s) didn't find available persistent volumes to bind"
NO_SPACE: Final = "node(s) did not have enough free storage"
Pair = tuple[str, str]


def reaches(volume: PersistentVolume, node: NodeState) -> bool:
    """Says whether a volume can be used on a node."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    return selects(affinity.required, node.node.metadata.labels, node.name)


class Offers:
    """Free volumes that fit a claim, filed by the labels of the nodes that reach them, so that a
    node looks at few; each file has the smallest first."""

    def __init__(self, claim: PersistentVolumeClaim, storage: Storage) -> None:
        self._own: list[PersistentVolume] = []
        self._anywhere: list[PersistentVolume] = []
        self._filed: dict[Pair, list[PersistentVolume]] = {}
        found = []
        for volume in storage.volumes():
            owner = storage.owner(volume)
            if owner == claim.metadata.uid:
                self._own.append(volume)  # bound before, or promised to it
            elif not owner and fits(volume, claim):
                found.append(volume)
        for volume in sorted(found, key=_order):
            for file in self._files(volume):
                file.append(volume)
        self._keys = {key for key, _ in self._filed}

    def _files(self, volume: PersistentVolume) -> list[list[PersistentVolume]]:
        pairs = labels_of(volume)
        if pairs is None:
            return [self._anywhere]
        return [self._filed.setdefault(pair, []) for pair in pairs]

    def smallest(self, node: NodeState, given: Collection[str]) -> PersistentVolume | None:
        """Returns what the claim gets on a node beside the volumes that others were given."""
        for volume in self._own:
            if reaches(volume, node):
                return volume
        firsts = (self._first(file, node, given) for file in self._near(node.node.metadata.labels))
        return min((it for it in firsts if it is not None), key=_order, default=None)

    def _near(self, labels: Labels) -> Iterator[list[PersistentVolume]]:
        yield self._anywhere
        for key in self._keys:
            if key in labels and (file := self._filed.get((key, labels[key]))) is not None:
                yield file

    def _first(
        self, file: Iterable[PersistentVolume], node: NodeState, given: Collection[str]
    ) -> PersistentVolume | None:
        fit = (it for it in file if it.metadata.name not in given and reaches(it, node))
        return next(fit, None)


def _order(volume: PersistentVolume) -> tuple[int, str]:
    return (size(volume), volume.metadata.name)


def labels_of(volume: PersistentVolume) -> set[Pair] | None:
    """Returns labels of which every node that reaches a volume has one, None where there are no
    such labels."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return None
    found: set[Pair] = set()
    for term in affinity.required.node_selector_terms:
        named = [it for it in term.match_expressions if it.operator == "In"]
        if not named:
            return None
        found.update((named[0].key, value) for value in named[0].values)
    return found


class Maker:
    """Whether a claim's class makes a volume for it, and near which nodes there is room for it
    (`capacities`; None where its driver does not say)."""

    def __init__(self, claim: PersistentVolumeClaim, storage: Storage) -> None:
        found = storage.storage_class(class_of(claim))
        self._able = found is not None and found.provisioner not in ("", NO_PROVISIONER)
        self._terms: list[list[tuple[str, tuple[str, ...]]]] = []
        self._capacities: list[Selector] | None = None
        if found is None or not self._able:
            return
        for term in found.allowed_topologies:
            expressions = term.get("matchLabelExpressions") or ()
            self._terms.append([(it["key"], tuple(it["values"])) for it in expressions])
        wanted = claim.spec.resources.requests.get("storage")
        if wanted is not None and storage.tells_capacity(found.provisioner):
            known = storage.capacities(found.metadata.name)
            self._capacities = list(_with_room(known, asked(claim)))

    def refuse(self, node: NodeState) -> str:
        """Returns why no volume is made for a node, empty where one is."""
        labels = node.node.metadata.labels
        if not self._able or (self._terms and not any(_matches(it, labels) for it in self._terms)):
            return NOT_FOUND
        if self._capacities is not None and not any(it(labels) for it in self._capacities):
            return NO_SPACE
        return ""


def _matches(term: list[tuple[str, tuple[str, ...]]], labels: Labels) -> bool:
    """Says whether a node is in the topology of a term; an empty one has none."""
    return bool(term) and all(labels.get(key) in values for key, values in term)


def _with_room(known: Iterable[CSIStorageCapacity], wanted: int) -> Iterator[Selector]:
    """Yields which nodes reach storage with room for so many bytes."""
    for found in known:
        limit = found.maximum_volume_size or found.capacity
        if limit is None or found.node_topology is None:
            continue
        if parse(limit).value() >= wanted:
            yield selector_of(found.node_topology)


class Wish(msgspec.Struct, frozen=True):
    """A claim that waits for a node; `selected` is the node that it was promised to before."""

    claim: PersistentVolumeClaim
    selected: str | None
    offers: Offers
    maker: Maker


def wishes_of(waiting: Iterable[PersistentVolumeClaim], storage: Storage) -> tuple[Wish, ...]:
    """Returns what the claims of a pod could get, the smallest claim first."""
    return tuple(
        Wish(
            claim,
            claim.metadata.annotations.get(SELECTED_NODE),
            Offers(claim, storage),
            Maker(claim, storage),
        )
        for claim in sorted(waiting, key=asked)
    )
