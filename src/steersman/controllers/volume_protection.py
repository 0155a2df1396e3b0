"""Claims stay while a pod has them, volumes while a claim has them: their finalizers are set here
where admission did not, and taken away when the use has ended.

Follows pkg/controller/volume/pvcprotection and pvprotection.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.controllers import claims, pods
from steersman.model.kind import Document, Kind
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.model.volume_binding import CLAIM_FINALIZER, VOLUME_FINALIZER
from steersman.reconcile.actions import Patch, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self


def plan(kind: Kind, found: Any, finalizer: str, used: bool) -> Patch | None:
    """Returns what sets or takes away a finalizer, None where it is right."""
    metadata = found.metadata
    has, going = finalizer in metadata.finalizers, metadata.deletion_timestamp is not None
    if (has or going) and not (has and going and not used):
        return None
    kept = [name for name in metadata.finalizers if name != finalizer]
    new = kept if has else [*kept, finalizer]
    patch: Document = {"metadata": {"finalizers": new or None}}
    return Patch(kind.ref(*found.key), patch, uid=metadata.uid, revision=metadata.revision)


def uses(pod: Pod, claim: PersistentVolumeClaim) -> bool:
    """Says whether a pod has a claim: from when it is on a node until the object is gone; one
    that is not on a node yet will not be started with a claim that is going."""
    if not pod.spec.node_name or claim.metadata.name not in claims.names_of(pod):
        return False
    own = any(
        it.persistent_volume_claim is not None
        and it.persistent_volume_claim.claim_name == claim.metadata.name
        for it in pod.spec.volumes
    )
    return own or (claims.is_owned(claim, pod) and not _is_shut_down(pod))


def _is_shut_down(pod: Pod) -> bool:
    metadata = pod.metadata
    return metadata.deletion_timestamp is not None and not metadata.deletion_grace_period_seconds


def _of_pod(_views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod that goes, or is gone, to its claims."""
    pod = new if old is None or (new is not None and pods.is_terminating(new)) else old
    same = old is None or (new is not None and new.metadata.uid == old.metadata.uid)
    if pod is None or (same and not pods.is_terminating(pod)):
        return ()
    namespace = pod.metadata.namespace
    return [PERSISTENTVOLUMECLAIM.ref(namespace, name) for name in claims.names_of(pod)]


class ClaimProtectionController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "pvc-protection-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PERSISTENTVOLUMECLAIM, partial(to_self, kind=PERSISTENTVOLUMECLAIM)),
        Watch(POD, _of_pod, {claims.BY_CLAIM: claims.by_claim}),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("persistentvolumeclaims",), ("patch",)),
        Rule("", ("pods",), ("list",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._claims = given.views.of(PERSISTENTVOLUMECLAIM)
        self._pods = given.views.of(POD)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes one claim's finalizer right."""
        claim: PersistentVolumeClaim | None = self._claims.get(ref)
        if claim is None:
            return Done()
        there = self._pods.by(claims.BY_CLAIM, "/".join(claim.key))
        used = any(uses(pod, claim) for pod in there)
        patch = plan(PERSISTENTVOLUMECLAIM, claim, CLAIM_FINALIZER, used)
        if patch is None:
            return Done()
        if claim.metadata.deletion_timestamp is not None and await self._is_used(claim):
            return Done()
        await act_one(self._given.client, self._given.events, patch)
        return Done()

    async def _is_used(self, claim: PersistentVolumeClaim) -> bool:
        """Asks the API itself: a view may not have the pod that came last."""
        listing = await self._given.client.list(POD, claim.metadata.namespace)
        return any(uses(pod, claim) for pod in listing.items)


class VolumeProtectionController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "pv-protection-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PERSISTENTVOLUME, partial(to_self, kind=PERSISTENTVOLUME)),
    )
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("persistentvolumes",), ("patch",)),)

    def __init__(self, given: Given) -> None:
        self._given = given
        self._volumes = given.views.of(PERSISTENTVOLUME)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes one volume's finalizer right."""
        volume: PersistentVolume | None = self._volumes.get(ref)
        if volume is not None:
            used = volume.status.phase == "Bound"
            patch = plan(PERSISTENTVOLUME, volume, VOLUME_FINALIZER, used)
            if patch is not None:
                await act_one(self._given.client, self._given.events, patch)
        return Done()
