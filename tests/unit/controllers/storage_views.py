"""Claims, volumes and classes made from short documents, for tests of plans."""

from __future__ import annotations

from typing import Any

from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.storageclass import StorageClass
from steersman.model.volume_binding import BIND_COMPLETED
from unit.controllers.views import decoded, time

RWO, RWX = "ReadWriteOnce", "ReadWriteMany"


def claim(
    name: str = "data",
    *,
    size: str = "1Gi",
    modes: Any = (RWO,),
    volume: str = "",
    phase: str = "Pending",
    done: bool = False,
    status: Any = None,
    metadata: Any = None,
    **spec: Any,
) -> PersistentVolumeClaim:
    """Returns a claim of the class `slow`; `done` marks its binding as completed."""
    metadata = dict(metadata or {})
    if done:
        metadata.setdefault("annotations", {})[BIND_COMPLETED] = "yes"
    spec = {
        "accessModes": list(modes),
        "resources": {"requests": {"storage": size}},
        "storageClassName": "slow",
        **spec,
    }
    if volume:
        spec["volumeName"] = volume
    named = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "5"}
    document = {
        "metadata": {**named, **metadata},
        "spec": {key: value for key, value in spec.items() if value is not None},
        "status": {"phase": phase, **(status or {})},
    }
    found: PersistentVolumeClaim = decoded(document, PersistentVolumeClaim)
    return found


def volume(
    name: str = "disk",
    *,
    size: str = "1Gi",
    modes: Any = (RWO,),
    claimed: str = "",
    uid: str | None = None,
    phase: str = "Available",
    policy: str = "Retain",
    annotations: Any = None,
    metadata: Any = None,
    **spec: Any,
) -> PersistentVolume:
    """Returns a volume of the class `slow`; `claimed` is the claim that it names, by its uid
    unless another one, or an empty one, is given."""
    if claimed:
        identity = f"uid-{claimed}" if uid is None else uid
        spec["claimRef"] = {"namespace": "default", "name": claimed, "uid": identity}
    named = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7"}
    document = {
        "metadata": {**named, "annotations": annotations or {}, **(metadata or {})},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": list(modes),
            "storageClassName": "slow",
            "persistentVolumeReclaimPolicy": policy,
            **spec,
        },
        "status": {"phase": phase},
    }
    found: PersistentVolume = decoded(document, PersistentVolume)
    return found


def storage_class(
    name: str = "slow", *, mode: str = "Immediate", born: float = 100, **fields: Any
) -> StorageClass:
    """Returns a class of `example.com/disk`; `born` is seconds ago."""
    metadata = {"name": name, "creationTimestamp": time(born), **fields.pop("metadata", {})}
    document = {
        "metadata": metadata,
        "provisioner": "example.com/disk",
        "volumeBindingMode": mode,
        **fields,
    }
    found: StorageClass = decoded(document, StorageClass)
    return found
