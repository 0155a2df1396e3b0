"""VolumeRestrictions: disks that one pod at a time may use, and claims that are for one pod."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import Volume
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.snapshot import Placed

PLUGIN = "VolumeRestrictions"
TAKEN = Refusal(PLUGIN, ("node(s) had no available disk",), final=False)
_TEXT = (
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)
IN_USE = Refusal(PLUGIN, (_TEXT,), final=False)
ONE_POD = "ReadWriteOncePod"


def refuse(
    pod: Pod, claims: Iterable[PersistentVolumeClaim], there: Iterable[Placed]
) -> Refusal | None:
    """Refuses a node by the pods that are there."""
    alone = {claim.metadata.name for claim in claims if ONE_POD in claim.spec.access_modes}
    own = [volume for volume in pod.spec.volumes if _disk(volume) is not None]
    if not alone and not own:
        return None
    for placed in there:
        other = placed.pod
        if any(_conflict(one, two) for one in own for two in other.spec.volumes):
            return TAKEN
        if alone and other.metadata.namespace == pod.metadata.namespace:
            names = (volume.persistent_volume_claim for volume in other.spec.volumes)
            if any(it is not None and it.claim_name in alone for it in names):
                return IN_USE
    return None


def _disk(volume: Volume) -> tuple[Any, ...] | None:
    """Returns what identifies a disk, and whether it is only read."""
    if (gce := volume.gce_persistent_disk) is not None:
        return ("gce", {gce.get("pdName")}, bool(gce.get("readOnly")))
    if (aws := volume.aws_elastic_block_store) is not None:
        return ("aws", {aws.get("volumeID")}, False)
    if (iscsi := volume.iscsi) is not None:
        return ("iscsi", {iscsi.get("iqn")}, bool(iscsi.get("readOnly")))
    if (rbd := volume.rbd) is not None:
        image = (rbd.get("pool"), rbd.get("image"))
        names = {(monitor, *image) for monitor in rbd.get("monitors") or ()}
        return ("rbd", names, bool(rbd.get("readOnly")))
    return None


def _conflict(one: Volume, other: Volume) -> bool:
    first, second = _disk(one), _disk(other)
    if first is None or second is None or first[0] != second[0]:
        return False
    return bool(first[1] & second[1]) and not (first[2] and second[2])
