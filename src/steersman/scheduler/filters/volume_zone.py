"""VolumeZone: a volume with zone or region labels is used in those zones only."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.volumes.needs import Needs

REFUSAL = Refusal("VolumeZone", ("node(s) had no available volume zone",))
_OLD: Mapping[str, str] = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
_KEYS = (*_OLD, *_OLD.values())


def refuse(needs: Needs, node: NodeState) -> Refusal | None:
    """Refuses a node that is in another zone than a volume; a node in no zone takes all."""
    labels = node.node.metadata.labels
    if not any(key in labels for key in _KEYS):
        return None
    volumes = [volume for _, volume in needs.bound if volume is not None]
    return None if all(_reaches(volume, labels) for volume in volumes) else REFUSAL


def _reaches(volume: PersistentVolume, labels: Mapping[str, str]) -> bool:
    for key in _KEYS:
        if (zones := volume.metadata.labels.get(key)) is None:
            continue
        found = labels.get(key, labels.get(_OLD.get(key, key)))
        if found not in zones.split("__"):  # a volume in several zones names all
            return False
    return True
