"""Claims of a pod: which volume is behind each, asked of the API when the pod begins.

What was of upstream's tree is a volume of the CSI driver that serves it, behind a claim or named by
the pod itself. Follows the kubelet's desired state of world populator, with its texts.
"""

from __future__ import annotations

from steersman.client.interface import Client
from steersman.model.csi_sources import Untranslatable
from steersman.model.csi_translation import translated, translated_inline
from steersman.model.errors import APIError
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import Volume
from steersman.node.objects import BadConfiguration


class Claims:
    """Finds volumes for claims, with the rights of the node."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, pod: Pod, volume: Volume) -> PersistentVolume | None:
        """Returns what is behind a pod's volume, None where that is no claim, nor of upstream's
        tree; raises BadConfiguration while it cannot be used."""
        try:
            found = await self._claimed(pod, volume)
            if found is None:
                return translated_inline(volume, pod.metadata.namespace)
            return translated(found)
        except Untranslatable as error:
            text = f"failed to translate in-tree volume to CSI: {error}"
            raise unprocessed(volume.name, text) from error

    async def _claimed(self, pod: Pod, volume: Volume) -> PersistentVolume | None:
        name = name_of(pod, volume)
        if not name:
            return None
        namespace = pod.metadata.namespace
        try:
            claim = await self._claim(pod, volume, name)
            return await self._volume(claim)
        except BadConfiguration as error:
            why = f"error processing PVC {namespace}/{name}: {error}"
            raise unprocessed(volume.name, why) from error

    async def _claim(self, pod: Pod, volume: Volume, name: str) -> PersistentVolumeClaim:
        ref = PERSISTENTVOLUMECLAIM.ref(pod.metadata.namespace, name)
        try:
            claim: PersistentVolumeClaim = await self._client.get(ref)
        except APIError as error:
            text = f"failed to fetch PVC from API server: {error.message}"
            raise BadConfiguration(text) from error
        if why := check_claim(pod, volume, claim):
            raise BadConfiguration(why)
        return claim

    async def _volume(self, claim: PersistentVolumeClaim) -> PersistentVolume:
        name = claim.spec.volume_name
        try:
            found: PersistentVolume = await self._client.get(PERSISTENTVOLUME.ref("", name))
        except APIError as error:
            text = f"failed to fetch PV {name} from API server: {error.message}"
            raise BadConfiguration(text) from error
        if why := check_volume(found, claim):
            raise BadConfiguration(why)
        return found


class Unusable(BadConfiguration):
    """A claim cannot be used yet; the text is whole."""


def unprocessed(label: str, why: str) -> Unusable:
    """Returns what is said of a pod's volume that cannot be dealt with."""
    return Unusable(
        f"Unable to attach or mount volumes: unmounted volumes=[{label}], unattached volumes=[], "
        f"failed to process volumes=[{label}]: {why}"
    )


def name_of(pod: Pod, volume: Volume) -> str:
    """Returns the name of a volume's claim, empty where it has none."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod.metadata.name}-{volume.name}" if volume.ephemeral is not None else ""


def check_claim(pod: Pod, volume: Volume, claim: PersistentVolumeClaim) -> str:
    """Returns why a claim cannot be mounted, empty where it can."""
    owner = claim.metadata.controller
    if volume.ephemeral is not None and (owner is None or owner.uid != pod.metadata.uid):
        namespace, name = pod.metadata.namespace, pod.metadata.name
        start = f"PVC {namespace}/{claim.metadata.name} was not created for pod {namespace}/{name}"
        return f"{start} (pod is not owner)"
    if claim.metadata.deletion_timestamp is not None:
        return "PVC is being deleted"
    if claim.status.phase != "Bound":
        return "PVC is not bound"
    return "" if claim.spec.volume_name else "PVC has empty pvc.Spec.VolumeName"


def check_volume(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Returns why a volume is not the claim's, empty where it is."""
    reference, name = volume.spec.claim_ref, volume.metadata.name
    if reference is None:
        return (
            f"found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet "
            "bound to the claim"
        )
    if reference.uid != claim.metadata.uid:
        return (
            f"found PV object {name} but its pv.Spec.ClaimRef.UID {reference.uid} does not point "
            f"to claim.UID {claim.metadata.uid}"
        )
    return ""
