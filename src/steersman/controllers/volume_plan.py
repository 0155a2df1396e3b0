"""What the binder of volumes does next for a claim or a volume: pure.

Follows pkg/controller/volume/persistentvolume with its phases, annotations and event texts. The
volume is written first, by its very revision, so that no two claims get it; what is left of an
interrupted binding is completed by the next call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from steersman.model.csi_translation import DRIVERS, MIGRATED_TO
from steersman.model.kind import Document
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.storageclass import StorageClass
from steersman.model.local_path import PROVISIONED_BY
from steersman.model.volume_binding import (
    BIND_COMPLETED,
    BY_CONTROLLER,
    CLASS_ANNOTATION,
    PROVISIONERS,
    SELECTED_NODE,
    WAITS,
    asked,
    class_of,
    fits,
    mismatch,
    size,
)
from steersman.reconcile.actions import Action, Patch, Tell, status

NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
NO_CONSUMER = "waiting for first consumer to be created before binding"
EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by "
    "the system administrator. If volume creation is delayed, please verify that the provisioner "
    "is running and correctly registered."
)
REFERENCE_LOST = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
VOLUME_LOST = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"
IN_TREE = "kubernetes.io/"


class Around(msgspec.Struct, frozen=True):
    """What a claim's next step rests on.

    named:   the volume that its spec names
    free:    volumes of its class that it may get, and those reserved for it
    default: the name of the default class
    pods:    the names of its pods that are not scheduled
    """

    named: PersistentVolume | None = None
    free: tuple[PersistentVolume, ...] = ()
    storage_class: StorageClass | None = None
    default: str = ""
    pods: tuple[str, ...] = ()


def is_of(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Says whether a volume is reserved for, or bound to, a claim (IsVolumeBoundToClaim)."""
    reference, metadata = volume.spec.claim_ref, claim.metadata
    if reference is None or (reference.namespace, reference.name) != claim.key:
        return False
    return reference.uid in ("", metadata.uid)


def find(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], waits: bool = False
) -> PersistentVolume | None:
    """Returns the volume that a claim gets: one that is its already, else the one with the fewest
    access modes and of these the smallest; a claim that waits for a node gets no other."""
    best: PersistentVolume | None = None
    for volume in volumes:
        if is_of(volume, claim) and size(volume) >= asked(claim):
            return volume
        free = volume.spec.claim_ref is None and not waits and fits(volume, claim)
        if free and (best is None or _order(volume) < _order(best)):
            best = volume
    return best


def _order(volume: PersistentVolume) -> tuple[int, int, str]:
    return (len(volume.spec.access_modes), size(volume), volume.metadata.name)


def plan_claim(claim: PersistentVolumeClaim, around: Around) -> list[Action]:
    """Returns the next steps of a claim; none where it is as it should be."""
    given = claim.metadata.annotations
    marks = _migrated(given, next((given[it] for it in reversed(PROVISIONERS) if it in given), ""))
    if marks:
        return [_patch_claim(claim, {"metadata": {"annotations": marks}})]
    if BIND_COMPLETED in claim.metadata.annotations:
        return _plan_bound(claim, around.named)
    if claim.metadata.deletion_timestamp is not None:
        return []
    if claim.spec.volume_name:
        return _plan_named(claim, around.named)
    found = around.storage_class
    waits = found is not None and found.volume_binding_mode == WAITS
    volume = find(claim, around.free, waits)
    if volume is not None:
        return _bind(claim, volume)
    return _plan_without(claim, around, waits)


def _plan_without(claim: PersistentVolumeClaim, around: Around, waits: bool) -> list[Action]:
    """Returns what is done for a claim for which there is no volume yet."""
    annotations = claim.metadata.annotations
    unnamed = claim.spec.storage_class_name is None and CLASS_ANNOTATION not in annotations
    if unnamed and around.default:
        return [_patch_claim(claim, {"spec": {"storageClassName": around.default}})]
    if waits and SELECTED_NODE not in annotations:
        return [_tell_waiting(claim, around.pods), *_pending(claim)]
    if class_of(claim):
        return [*_ask(claim, around.storage_class), *_pending(claim)]
    return [Tell(claim, "FailedBinding", NO_CLASS), *_pending(claim)]


def _tell_waiting(claim: PersistentVolumeClaim, pods: tuple[str, ...]) -> Tell:
    if not pods:
        return Tell(claim, "WaitForFirstConsumer", NO_CONSUMER)
    word = "pods" if len(pods) > 1 else "pod"
    text = f"waiting for {word} {','.join(sorted(pods))} to be scheduled"
    return Tell(claim, "WaitForPodScheduled", text)


def _ask(claim: PersistentVolumeClaim, found: StorageClass | None) -> list[Action]:
    """Returns what tells a provisioner that a claim is its to provide for."""
    if found is None:
        text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
        return [Tell(claim, "ProvisioningFailed", text, "Warning")]
    name = DRIVERS.get(found.provisioner, found.provisioner)
    if name.startswith(IN_TREE):
        text = f"no volume plugin matched name: {name}"
        return [Tell(claim, "ProvisioningFailed", text, "Warning")]
    told = Tell(claim, "ExternalProvisioning", EXTERNAL.format(name))
    wanted = dict.fromkeys(PROVISIONERS, name)
    if wanted.items() <= claim.metadata.annotations.items():
        return [told]
    return [_patch_claim(claim, {"metadata": {"annotations": wanted}}), told]


def _plan_named(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> list[Action]:
    """Returns the steps of a claim that names a volume and is not bound yet."""
    if volume is None:
        return _pending(claim)
    if is_of(volume, claim):
        return _bind(claim, volume)
    name = volume.metadata.name
    if volume.spec.claim_ref is not None:
        text = f'volume "{name}" already bound to a different claim.'
        return [Tell(claim, "FailedBinding", text, "Warning"), *_pending(claim)]
    if why := mismatch(volume, claim):
        text = f'Cannot bind to requested volume "{name}": {why}'
        return [Tell(claim, "VolumeMismatch", text, "Warning"), *_pending(claim)]
    return _bind(claim, volume)


def _plan_bound(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> list[Action]:
    """Returns the steps of a claim that was bound before."""
    if not claim.spec.volume_name:
        return _lose(claim, "ClaimLost", REFERENCE_LOST)
    if volume is None:
        return _lose(claim, "ClaimLost", VOLUME_LOST)
    reference = volume.spec.claim_ref
    if reference is None or reference.uid == claim.metadata.uid or is_of(volume, claim):
        return _bind(claim, volume)
    return _lose(claim, "ClaimMisbound", MISBOUND)


def _lose(claim: PersistentVolumeClaim, reason: str, text: str) -> list[Action]:
    if claim.status.phase == "Lost":
        return []
    fields = {"phase": "Lost", "accessModes": None, "capacity": None}
    return [_status(claim, fields), Tell(claim, reason, text, "Warning")]


def _pending(claim: PersistentVolumeClaim) -> list[Action]:
    if claim.status.phase == "Pending":
        return []
    return [_status(claim, {"phase": "Pending", "accessModes": None, "capacity": None})]


def _bind(claim: PersistentVolumeClaim, volume: PersistentVolume) -> list[Action]:
    """Returns what is missing of a binding: the volume, its phase, the claim, its phase."""
    actions: list[Action] = []
    if (patch := _reserve(claim, volume)) is not None:
        actions.append(patch)
    actions += phase(volume, "Bound")
    fields: Document = {}
    annotations = {BIND_COMPLETED: "yes"}
    if claim.spec.volume_name != volume.metadata.name:
        fields["spec"] = {"volumeName": volume.metadata.name}
        annotations[BY_CONTROLLER] = "yes"
    if not annotations.items() <= claim.metadata.annotations.items():
        actions.append(_patch_claim(claim, {"metadata": {"annotations": annotations}, **fields}))
    wanted: Document = {}
    if list(claim.status.access_modes) != list(volume.spec.access_modes):
        wanted["accessModes"] = list(volume.spec.access_modes)
    if claim.status.phase != "Bound":  # later its capacity is its provisioner's to tell
        wanted |= {"phase": "Bound", "capacity": dict(volume.spec.capacity)}
    if wanted:
        actions.append(_status(claim, wanted))
    return actions


def _reserve(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Patch | None:
    reference, metadata = volume.spec.claim_ref, claim.metadata
    if reference is not None and reference.uid == metadata.uid:
        return None
    new: Document = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": metadata.namespace,
        "name": metadata.name,
        "uid": metadata.uid,
        "resourceVersion": metadata.resource_version,
    }
    patch: Document = {"spec": {"claimRef": new}}
    if not is_of(volume, claim):
        patch["metadata"] = {"annotations": {BY_CONTROLLER: "yes"}}
    return _patch_volume(volume, patch)


def plan_volume(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> list[Action]:
    """Returns the next steps of a volume; `claim` is the one that it names, None where that, or
    the very one that it names by its uid, is gone."""
    given = volume.metadata.annotations
    if marks := _migrated(given, given.get(PROVISIONED_BY, "")):
        return [_patch_volume(volume, {"metadata": {"annotations": marks}})]
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        return phase(volume, "Available")
    if claim is None or claim.metadata.uid != reference.uid:
        return _release(volume)
    if not claim.spec.volume_name:
        return []  # the claim's own call completes the binding
    if claim.spec.volume_name == volume.metadata.name:
        return phase(volume, "Bound")
    if PROVISIONED_BY in volume.metadata.annotations and _policy(volume) == "Delete":
        return _release(volume)
    return _unbind(volume)


def _migrated(annotations: Mapping[str, str], provisioner: str) -> Document:
    """Returns what says which driver has an object of a plugin of upstream's tree; nothing where
    that is said, or nobody provisioned it (updateMigrationAnnotations)."""
    wanted = DRIVERS.get(provisioner)
    if not provisioner or annotations.get(MIGRATED_TO) == wanted:
        return {}
    return {MIGRATED_TO: wanted}


def _policy(volume: PersistentVolume) -> str:
    return volume.spec.persistent_volume_reclaim_policy


def _unbind(volume: PersistentVolume) -> list[Action]:
    """Returns what takes a binding back that did not come about; a person's reservation stays."""
    patch: Document = {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
    if BY_CONTROLLER in volume.metadata.annotations:
        patch = {"spec": {"claimRef": None}, "metadata": {"annotations": {BY_CONTROLLER: None}}}
    return [_patch_volume(volume, patch), *phase(volume, "Available")]


def _release(volume: PersistentVolume) -> list[Action]:
    """Returns what becomes of a volume whose claim is gone, by its policy; who provisioned it
    removes it."""
    name = volume.metadata.name
    by = volume.metadata.annotations.get(PROVISIONED_BY, IN_TREE)
    ours = by.startswith(IN_TREE) and by not in DRIVERS
    if _policy(volume) == "Recycle":
        return _fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    if _policy(volume) == "Delete" and ours:
        text = f'error getting deleter volume plugin for volume "{name}": '
        return _fail(volume, "VolumeFailedDelete", f"{text}no deletable volume plugin matched")
    return [] if volume.status.phase == "Failed" else phase(volume, "Released")


def _fail(volume: PersistentVolume, reason: str, text: str) -> list[Action]:
    if volume.status.phase == "Failed":
        return []
    return [*phase(volume, "Failed", text), Tell(volume, reason, text, "Warning")]


def phase(volume: PersistentVolume, new: str, message: str = "") -> list[Action]:
    """Returns what brings a volume into a phase; nothing where it is there."""
    if volume.status.phase == new:
        return []
    fields = {"phase": new, "message": message or None}
    ref = PERSISTENTVOLUME.ref("", volume.metadata.name)
    return [status(ref, fields, uid=volume.metadata.uid)]


def _status(claim: PersistentVolumeClaim, fields: Mapping[str, Any]) -> Patch:
    return status(PERSISTENTVOLUMECLAIM.ref(*claim.key), fields, uid=claim.metadata.uid)


def _patch_claim(claim: PersistentVolumeClaim, patch: Document) -> Patch:
    ref, metadata = PERSISTENTVOLUMECLAIM.ref(*claim.key), claim.metadata
    return Patch(ref, patch, uid=metadata.uid, revision=metadata.revision)


def _patch_volume(volume: PersistentVolume, patch: Document) -> Patch:
    ref, metadata = PERSISTENTVOLUME.ref("", volume.metadata.name), volume.metadata
    return Patch(ref, patch, uid=metadata.uid, revision=metadata.revision)
