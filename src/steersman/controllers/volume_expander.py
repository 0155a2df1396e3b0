"""Says of claims that are to grow that somebody outside sees to it; for volumes of upstream's tree,
which driver's resizer. Upstream keeps its controller for this alone (pkg/controller/volume/expand).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from steersman.client.interface import Views
from steersman.model.csi_translation import DRIVERS, plugin_of
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.ref import Ref
from steersman.model.volume_binding import asked, has, wants_to_grow
from steersman.reconcile.actions import Action, Patch, Tell, act
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

# On a claim of a volume of upstream's tree: the driver whose resizer sees to it
RESIZER: Final = "volume.kubernetes.io/storage-resizer"
REASON: Final = "ExternalExpanding"


def _of_claim(
    _views: Views, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
) -> Iterable[Ref]:
    """Maps a claim to itself that asks for more than it has, where it is new or has changed in
    either."""
    if new is None or not wants_to_grow(new):
        return ()
    if old is not None and wants_to_grow(old) and (asked(old), has(old)) == (asked(new), has(new)):
        return ()
    return (PERSISTENTVOLUMECLAIM.ref(*new.key),)


def _of_volume(
    _views: Views, old: PersistentVolume | None, new: PersistentVolume | None
) -> Iterable[Ref]:
    """Maps a volume that is new here to its claim, which may have been seen before it."""
    if old is not None or new is None or (claim := new.spec.claim_ref) is None:
        return ()
    return (PERSISTENTVOLUMECLAIM.ref(claim.namespace, claim.name),)


def plan(claim: PersistentVolumeClaim, volume: PersistentVolume) -> list[Action]:
    """Returns what is said of a claim that wants to grow, and on it."""
    plugin = plugin_of(volume.spec)
    if not plugin:
        return [Tell(claim, REASON, "waiting for an external controller to expand this PVC")]
    text = f"CSI migration enabled for {plugin}; waiting for external resizer to expand the pvc"
    told, resizer = Tell(claim, REASON, text), DRIVERS[plugin]
    if claim.metadata.annotations.get(RESIZER) == resizer:
        return [told]
    ref, mark = PERSISTENTVOLUMECLAIM.ref(*claim.key), {"annotations": {RESIZER: resizer}}
    return [told, Patch(ref, {"metadata": mark}, "status", claim.metadata.uid)]


class VolumeExpanderController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "expand-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PERSISTENTVOLUMECLAIM, _of_claim),
        Watch(PERSISTENTVOLUME, _of_volume),
    )
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("persistentvolumeclaims/status",), ("patch",)),)

    def __init__(self, given: Given) -> None:
        self._given = given
        self._claims = given.views.of(PERSISTENTVOLUMECLAIM)
        self._volumes = given.views.of(PERSISTENTVOLUME)

    async def reconcile(self, ref: Ref) -> Done:
        """Says it of one claim."""
        claim: PersistentVolumeClaim | None = self._claims.get(ref)
        if claim is None or not wants_to_grow(claim):
            return Done()
        volume: PersistentVolume | None
        volume = self._volumes.get(PERSISTENTVOLUME.ref("", claim.spec.volume_name))
        owner = volume.spec.claim_ref if volume is not None else None
        if volume is not None and owner is not None and owner.uid == claim.metadata.uid:
            await act(self._given.client, self._given.events, plan(claim, volume))
        return Done()
