"""NodeVolumeLimits: a CSI driver attaches only so many volumes to a node (CSINode allocatable).

What counts are the volumes of its pods, and what is attached to it for pods that are gone; those of
upstream's tree count for the drivers that serve them now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from steersman.model import csi_translation
from steersman.model.csi_translation import DRIVERS
from steersman.model.kinds.csinode import CSINode
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.pod import Pod
from steersman.model.volume_binding import class_of
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.snapshot import Placed
from steersman.scheduler.volumes.needs import claim_names
from steersman.scheduler.volumes.storage import Storage

REFUSAL = Refusal("NodeVolumeLimits", ("node(s) exceed max volume count",), final=False)


class Handle(NamedTuple):
    """A volume; `plugin` is that of upstream's tree by whose name it is given, if any."""

    driver: str
    volume: str
    plugin: str = ""


def refuse(
    own: Iterable[Handle], node: CSINode | None, there: Iterable[Placed], storage: Storage
) -> Refusal | None:
    """Refuses a node where a driver would have more volumes than it can, with a pod's own."""
    if node is None:
        return None
    limits = {
        driver.name: driver.allocatable.count
        for driver in node.spec.drivers
        if driver.allocatable is not None and driver.allocatable.count is not None
    }
    new = {found for found in _counted(own, node) if found[0] in limits}
    if not new:
        return None
    used = {it for placed in there for it in _counted(handles(placed.pod, storage), node)}
    used |= {*attached(node.metadata.name, storage)}
    for driver in {found[0] for found in new - used}:
        if sum(found[0] == driver for found in new | used) > limits[driver]:
            return REFUSAL
    return None


def _counted(found: Iterable[Handle], node: CSINode) -> Iterator[tuple[str, str]]:
    """Yields drivers and volumes, without those that a node's plugins have themselves."""
    for handle in found:
        if not handle.plugin or csi_translation.is_counted(handle.plugin, node):
            yield (handle.driver, handle.volume)


def attached(node: str, storage: Storage) -> Iterator[tuple[str, str]]:
    """Yields the CSI volumes that a node has by its VolumeAttachments, with their drivers."""
    for attachment in storage.attachments(node):
        name = attachment.spec.source.persistent_volume_name
        volume = storage.volume(name) if name else None
        if volume is not None and (found := _of_volume(volume)) is not None:
            yield (attachment.spec.attacher, found.volume)


def handles(pod: Pod, storage: Storage) -> Iterator[Handle]:
    """Yields the CSI volumes of a pod; one that is yet to be made counts under its claim."""
    namespace = pod.metadata.namespace
    for inline in pod.spec.volumes:
        if (found := csi_translation.handle_of_inline(inline, namespace)) is not None:
            yield Handle(found.driver, found.volume, found.plugin)
    for _, name in claim_names(pod):
        if (claim := storage.claim(namespace, name)) is None:
            continue
        volume = storage.volume(claim.spec.volume_name) if claim.spec.volume_name else None
        if volume is None:
            made = storage.storage_class(class_of(claim))
            if made is not None:
                driver = DRIVERS.get(made.provisioner)
                plugin = made.provisioner if driver is not None else ""
                yield Handle(driver or made.provisioner, f"{namespace}/{name}", plugin)
        elif (known := _of_volume(volume)) is not None:
            yield known


def _of_volume(volume: PersistentVolume) -> Handle | None:
    """Returns how the driver of a volume calls it, None where it has no driver."""
    if (csi := volume.spec.csi) is not None:
        return Handle(str(csi.get("driver")), str(csi.get("volumeHandle")))
    found = csi_translation.handle_of(volume)
    return Handle(found.driver, found.volume, found.plugin) if found is not None else None
