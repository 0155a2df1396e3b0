"""Claims for the generic ephemeral volumes of pods: named POD-VOLUME, owned by the pod, gone with
it (pkg/controller/volume/ephemeral, KEP-1698)."""

from __future__ import annotations

from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers import claims, ownership
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.model.types.volume import Volume
from steersman.reconcile.actions import Create, act_one
from steersman.reconcile.loop import Done, Given, Permanent
from steersman.reconcile.rules import Rule, Watch

REASON = "FailedBinding"


def name_of(pod: Pod, volume: Volume) -> str:
    """Returns the name of the claim of an ephemeral volume."""
    return f"{pod.metadata.name}-{volume.name}"


def plan(pod: Pod, volume: Volume) -> Create:
    """Returns the creation of an ephemeral volume's claim."""
    template = (volume.ephemeral or {}).get("volumeClaimTemplate") or {}
    given = template.get("metadata") or {}
    metadata: Document = {
        "name": name_of(pod, volume),
        "namespace": pod.metadata.namespace,
        "ownerReferences": [ownership.reference(pod, POD)],
        **{name: given[name] for name in ("labels", "annotations") if given.get(name)},
    }
    document = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    claim = {**document, "metadata": metadata, "spec": template.get("spec") or {}}
    return Create(PERSISTENTVOLUMECLAIM, claim, pod.metadata.namespace)


def check_owner(pod: Pod, claim: PersistentVolumeClaim) -> str:
    """Returns why a claim of the right name cannot be the volume's, empty where it is."""
    if claims.is_owned(claim, pod):
        return ""
    namespace, name = pod.metadata.namespace, pod.metadata.name
    return (
        f"PVC {namespace}/{claim.metadata.name} was not created for pod {namespace}/{name} "
        "(pod is not owner)"
    )


def _of_pod(_views: Views, old: Pod | None, new: Pod | None) -> tuple[Ref, ...]:
    """Maps a pod with ephemeral volumes to itself when it comes."""
    if new is None or all(it.ephemeral is None for it in new.spec.volumes):
        return ()
    known = old is not None and old.metadata.uid == new.metadata.uid
    return () if known else (POD.ref(*new.key),)


def _of_claim(
    _views: Views, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
) -> tuple[Ref, ...]:
    """Maps a claim that is gone to the pod that it was made for."""
    return () if new is not None else tuple(ownership.owned(POD, _views, old, None))


class EphemeralVolumeController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "ephemeral-volume-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(POD, _of_pod),
        Watch(PERSISTENTVOLUMECLAIM, _of_claim),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("persistentvolumeclaims",), ("create",)),
        Rule("", ("pods/finalizers",), ("update",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._pods = given.views.of(POD)
        self._claims = given.views.of(PERSISTENTVOLUMECLAIM)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the claims of one pod."""
        pod: Pod | None = self._pods.get(ref)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            return Done()
        for volume in pod.spec.volumes:
            if volume.ephemeral is not None:
                await self._provide(pod, volume)
        return Done()

    async def _provide(self, pod: Pod, volume: Volume) -> None:
        ref = PERSISTENTVOLUMECLAIM.ref(pod.metadata.namespace, name_of(pod, volume))
        found: PersistentVolumeClaim | None = self._claims.get(ref)
        start = f"ephemeral volume {volume.name}: "
        if found is not None:
            if why := check_owner(pod, found):
                raise Permanent(REASON, start + why)
            return
        try:
            await act_one(self._given.client, self._given.events, plan(pod, volume))
        except APIError as error:
            text = f"{start}create PVC {ref.name}: {error.message}"
            self._given.events.warning(pod, REASON, text)
            raise
