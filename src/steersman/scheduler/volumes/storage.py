"""Claims, volumes and classes as the scheduler reads them, with the choices it made that are not
seen yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from steersman.client.interface import Views
from steersman.model.kinds.csidriver import CSIDRIVER
from steersman.model.kinds.csinode import CSINODE, CSINode
from steersman.model.kinds.csistoragecapacity import CSISTORAGECAPACITY, CSIStorageCapacity
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.storageclass import STORAGECLASS, StorageClass
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT, VolumeAttachment

_BY_NODE = "node of an attachment, for the scheduler"


def _node_of(attachment: VolumeAttachment) -> Iterable[str]:
    return (attachment.spec.node_name,)


class Storage:
    """The storage of a cluster, from followed copies."""

    def __init__(self, views: Views) -> None:
        self._claims = views.of(PERSISTENTVOLUMECLAIM)
        self._volumes = views.of(PERSISTENTVOLUME)
        self._classes = views.of(STORAGECLASS)
        self._nodes = views.of(CSINODE)
        self._drivers = views.of(CSIDRIVER)
        self._capacities = views.of(CSISTORAGECAPACITY)
        self._attachments = views.of(VOLUMEATTACHMENT)
        self._attachments.index(_BY_NODE, _node_of)
        self._promised: dict[str, str] = {}  # volumes chosen for claims (by uid), not yet seen so

    def listen(self, hear: Callable[[], None]) -> list[Callable[[], None]]:
        """Calls when anything here changes; returns the ways out."""

        def changed(_old: Any | None, _new: Any | None) -> None:
            hear()

        def detached(_old: Any | None, new: Any | None) -> None:
            if new is None:  # one that comes takes room, and how it fares gives none
                hear()

        views = (self._claims, self._volumes, self._classes, self._nodes)
        heard = [view.listen(changed) for view in (*views, self._drivers, self._capacities)]
        return [*heard, self._attachments.listen(detached)]

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        """Returns a claim."""
        return self._claims.get(PERSISTENTVOLUMECLAIM.ref(namespace, name))

    def volume(self, name: str) -> PersistentVolume | None:
        """Returns a volume."""
        return self._volumes.get(PERSISTENTVOLUME.ref("", name))

    def volumes(self) -> Iterable[PersistentVolume]:
        """Returns all volumes."""
        return self._volumes.list()

    def storage_class(self, name: str) -> StorageClass | None:
        """Returns a class."""
        return self._classes.get(STORAGECLASS.ref("", name)) if name else None

    def tells_capacity(self, driver: str) -> bool:
        """Says whether a driver tells how much room it has (storageCapacity of a CSIDriver)."""
        found = self._drivers.get(CSIDRIVER.ref("", driver))
        return found is not None and found.spec.storage_capacity

    def capacities(self, name: str) -> Iterable[CSIStorageCapacity]:
        """Returns how much room there is for volumes of a class, and near which nodes."""
        return (it for it in self._capacities.list() if it.storage_class_name == name)

    def csi_node(self, name: str) -> CSINode | None:
        """Returns what CSI drivers say of a node."""
        return self._nodes.get(CSINODE.ref("", name))

    def attachments(self, node: str) -> Iterable[VolumeAttachment]:
        """Returns what is attached to a node, or is to be, or is not detached yet."""
        return self._attachments.by(_BY_NODE, node)

    def owner(self, volume: PersistentVolume) -> str:
        """Returns the uid of the claim that has a volume or was promised it; empty: it is free,
        "?" where it is reserved by name alone."""
        if (claim := volume.spec.claim_ref) is not None:
            return claim.uid or "?"
        return self._promised.get(volume.metadata.name, "")

    def promise(self, volume: str, claim_uid: str) -> None:
        """Keeps a volume for a claim until the view shows it."""
        self._promised[volume] = claim_uid

    def withdraw(self, volume: str) -> None:
        """Takes a promise back."""
        self._promised.pop(volume, None)
