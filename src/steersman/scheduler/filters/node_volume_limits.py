"""NodeVolumeLimits: a CSI driver attaches only so many volumes to a node (CSINode allocatable).

What counts are the volumes of its pods, and what is attached to it for pods that are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from steersman.model.kinds.csinode import CSINode
from steersman.model.kinds.pod import Pod
from steersman.model.volume_binding import class_of
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.snapshot import Placed
from steersman.scheduler.volumes.needs import claim_names
from steersman.scheduler.volumes.storage import Storage

REFUSAL = Refusal("NodeVolumeLimits", ("node(s) exceed max volume count",), final=False)
Handle = tuple[str, str]  # driver, volume


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
    new = {handle for handle in own if handle[0] in limits}
    if not new:
        return None
    used = {handle for placed in there for handle in handles(placed.pod, storage)}
    used |= {*attached(node.metadata.name, storage)}
    for driver in {handle[0] for handle in new - used}:
        if sum(handle[0] == driver for handle in new | used) > limits[driver]:
            return REFUSAL
    return None


def attached(node: str, storage: Storage) -> Iterator[Handle]:
    """Yields the CSI volumes that a node has by its VolumeAttachments."""
    for attachment in storage.attachments(node):
        name = attachment.spec.source.persistent_volume_name
        volume = storage.volume(name) if name else None
        if volume is not None and volume.spec.csi is not None:
            yield (attachment.spec.attacher, str(volume.spec.csi.get("volumeHandle")))


def handles(pod: Pod, storage: Storage) -> Iterator[Handle]:
    """Yields the CSI volumes of a pod; one that is yet to be made counts under its claim."""
    namespace = pod.metadata.namespace
    for _, name in claim_names(pod):
        if (claim := storage.claim(namespace, name)) is None:
            continue
        volume = storage.volume(claim.spec.volume_name) if claim.spec.volume_name else None
        if volume is None:
            found = storage.storage_class(class_of(claim))
            if found is not None:
                yield (found.provisioner, f"{namespace}/{name}")
        elif volume.spec.csi is not None:
            yield (str(volume.spec.csi.get("driver")), str(volume.spec.csi.get("volumeHandle")))
