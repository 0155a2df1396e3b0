"""What volumes and claims are to each other: the marks of a binding, and which volume a claim may
get. Pure; who binds is in `controllers` and, where a node comes first, in `scheduler`.

Follows component-helpers/storage/volume (FindMatchingVolume) and its annotations.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.quantity import parse
from steersman.model.types.selector import selector_of

CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
PROVISIONERS: Final = (
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
)
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
WAITS: Final = "WaitForFirstConsumer"
CLAIM_FINALIZER: Final = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER: Final = "kubernetes.io/pv-protection"
PROVISIONER_FINALIZER: Final = "external-provisioner.volume.kubernetes.io/finalizer"
ATTRIBUTES_CLASS_FINALIZER: Final = "kubernetes.io/vac-protection"


def class_of(found: PersistentVolume | PersistentVolumeClaim) -> str:
    """Returns the class of a volume or a claim."""
    given = found.metadata.annotations.get(CLASS_ANNOTATION)
    return given if given is not None else found.spec.storage_class_name or ""


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Says whether a claim has its volume, completely."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in claim.metadata.annotations


def asked(claim: PersistentVolumeClaim) -> int:
    """Returns how many bytes a claim asks for."""
    return _bytes(claim.spec.resources.requests.get("storage", "0"))


def has(claim: PersistentVolumeClaim) -> int:
    """Returns how many bytes a claim has, as its status says."""
    return _bytes(claim.status.capacity.get("storage", "0"))


def wants_to_grow(claim: PersistentVolumeClaim) -> bool:
    """Says whether a bound claim asks for more than it has."""
    return is_bound(claim) and claim.status.phase == "Bound" and asked(claim) > has(claim)


def size(volume: PersistentVolume) -> int:
    """Returns how many bytes a volume has."""
    return _bytes(volume.spec.capacity.get("storage", "0"))


@lru_cache(1024)  # sizes are few, and asked for each volume for each claim
def _bytes(quantity: str) -> int:
    return parse(quantity).value()


def is_reclaimed(volume: PersistentVolume) -> bool:
    """Says whether a volume is to go with its data: its claim is gone and its policy says so."""
    policy = volume.spec.persistent_volume_reclaim_policy
    return volume.status.phase == "Released" and policy == "Delete"


def fits(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Says whether a free volume is what a claim asks for."""
    return (
        volume.status.phase == "Available"
        and volume.metadata.deletion_timestamp is None
        and not mismatch(volume, claim)
        and _selects(claim, volume)
    )


def mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Returns why a volume cannot be a claim's, in upstream's words; empty where it can."""
    spec, wanted = volume.spec, claim.spec
    if size(volume) < asked(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if spec.volume_mode != wanted.volume_mode:
        return "incompatible volumeMode"
    if not set(wanted.access_modes) <= set(spec.access_modes):
        return "incompatible accessMode"
    return ""


def _selects(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    if claim.spec.selector is None:
        return True
    return selector_of(claim.spec.selector)(volume.metadata.labels)
