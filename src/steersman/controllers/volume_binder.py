"""Binds claims and volumes to each other, one after another.

Follows pkg/controller/volume/persistentvolume; what to do is decided in `volume_plan`. Its one
rule: nothing counts as gone because a view does not show it; before data may be lost the API
itself is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.controllers import claims, pods
from steersman.controllers.volume_plan import Around, plan_claim, plan_volume
from steersman.model.errors import NotFound
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.storageclass import DEFAULT_ANNOTATIONS, STORAGECLASS, StorageClass
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.model.volume_binding import BIND_COMPLETED, class_of
from steersman.reconcile.actions import Action, Patch, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

OPEN = "open by class"  # index: volumes that a claim of a class may get; claims that have none
FOR = "claim by name"  # index: volumes by NAMESPACE/NAME of the claim that they name


def _open_volume(volume: Any) -> tuple[str, ...]:
    return (class_of(volume),) if volume.spec.claim_ref is None else ()


def _open_claim(claim: Any) -> tuple[str, ...]:
    return () if BIND_COMPLETED in claim.metadata.annotations else (class_of(claim),)


def _for(volume: Any) -> tuple[str, ...]:
    reference = volume.spec.claim_ref
    return () if reference is None else (f"{reference.namespace}/{reference.name}",)


def is_default(found: StorageClass) -> bool:
    """Says whether a class is marked as the default one."""
    return any(found.metadata.annotations.get(name) == "true" for name in DEFAULT_ANNOTATIONS)


def default_of(classes: Iterable[StorageClass]) -> str:
    """Returns the default class: of several the newest, of equally old the first by name."""
    found = [it.metadata for it in classes if is_default(it)]
    found.sort(key=lambda it: (-seconds(it.creation_timestamp), it.name))
    return found[0].name if found else ""


def _of_claim(
    views: Views, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
) -> Iterable[Ref]:
    """Maps a claim to itself, and to the volumes that it names or that name it."""
    found: dict[Ref, None] = {}
    for claim in (old, new):
        if claim is None:
            continue
        found[PERSISTENTVOLUMECLAIM.ref(*claim.key)] = None
        if claim.spec.volume_name:
            found[PERSISTENTVOLUME.ref("", claim.spec.volume_name)] = None
        for volume in views.of(PERSISTENTVOLUME).by(FOR, "/".join(claim.key)):
            found[PERSISTENTVOLUME.ref("", volume.metadata.name)] = None
    return found


def _of_volume(
    views: Views, old: PersistentVolume | None, new: PersistentVolume | None
) -> Iterable[Ref]:
    """Maps a volume to itself, to the claims that it names, and where it is free to all claims of
    its class that have none; one that is gone to the claim that it had."""
    found: dict[Ref, None] = {}
    for volume in (old, new):
        if volume is None:
            continue
        found[PERSISTENTVOLUME.ref("", volume.metadata.name)] = None
        if (reference := volume.spec.claim_ref) is not None:
            found[PERSISTENTVOLUMECLAIM.ref(reference.namespace, reference.name)] = None
    if new is not None and new.spec.claim_ref is None and new.status.phase == "Available":
        for claim in views.of(PERSISTENTVOLUMECLAIM).by(OPEN, class_of(new)):
            found[PERSISTENTVOLUMECLAIM.ref(*claim.key)] = None
    return found


def _of_class(views: Views, old: StorageClass | None, new: StorageClass | None) -> Iterable[Ref]:
    """Maps a class to the claims that wait for it, or for a default one."""
    if new is None:
        return ()
    open_ = views.of(PERSISTENTVOLUMECLAIM).by
    names = {new.metadata.name, ""} if is_default(new) else {new.metadata.name}
    return [PERSISTENTVOLUMECLAIM.ref(*it.key) for name in names for it in open_(OPEN, name)]


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a new pod to its claims, of which is told that they wait for it."""
    if new is None or old is not None or new.spec.node_name:
        return ()
    namespace = new.metadata.namespace
    return [PERSISTENTVOLUMECLAIM.ref(namespace, name) for name in claims.names_of(new)]


class VolumeBinderController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "persistent-volume-binder"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PERSISTENTVOLUMECLAIM, _of_claim, {OPEN: _open_claim}),
        Watch(PERSISTENTVOLUME, _of_volume, {OPEN: _open_volume, FOR: _for}),
        Watch(STORAGECLASS, _of_class),
        Watch(POD, _of_pod, {claims.BY_CLAIM: claims.by_claim}),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("persistentvolumes", "persistentvolumeclaims"), ("get", "patch")),
        Rule("", ("persistentvolumes/status", "persistentvolumeclaims/status"), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._claims = given.views.of(PERSISTENTVOLUMECLAIM)
        self._volumes = given.views.of(PERSISTENTVOLUME)
        self._classes = given.views.of(STORAGECLASS)
        self._pods = given.views.of(POD)
        self._turn = asyncio.Lock()

    async def reconcile(self, ref: Ref) -> Done:
        """Takes one claim or volume a step further, each seeing what the last one wrote."""
        async with self._turn:
            if ref.kind == PERSISTENTVOLUMECLAIM.resource:
                await self._bind(ref)
            else:
                await self._settle(ref)
        return Done()

    async def _bind(self, ref: Ref) -> None:
        claim: PersistentVolumeClaim | None = self._claims.get(ref)
        if claim is not None:
            await self._act(plan_claim(claim, await self._around(claim)))

    async def _settle(self, ref: Ref) -> None:
        volume: PersistentVolume | None = self._volumes.get(ref)
        if volume is None:
            return
        claim: PersistentVolumeClaim | None = None
        if (reference := volume.spec.claim_ref) is not None:
            named = PERSISTENTVOLUMECLAIM.ref(reference.namespace, reference.name)
            claim = self._claims.get(named)
            if reference.uid and (claim is None or claim.metadata.uid != reference.uid):
                claim = await self._surely(named)
        await self._act(plan_volume(volume, claim))

    async def _around(self, claim: PersistentVolumeClaim) -> Around:
        named = None
        if claim.spec.volume_name:
            ref = PERSISTENTVOLUME.ref("", claim.spec.volume_name)
            named = self._volumes.get(ref) or await self._surely(ref)
        name, key = class_of(claim), "/".join(claim.key)
        free = [*self._volumes.by(FOR, key), *self._volumes.by(OPEN, name)]
        return Around(
            named,
            tuple(free),
            self._classes.get(STORAGECLASS.ref("", name)) if name else None,
            default_of(self._classes.list()),
            tuple(pod.metadata.name for pod in self._pods.by(claims.BY_CLAIM, key) if waits(pod)),
        )

    async def _surely(self, ref: Ref) -> Any | None:
        """Asks the API itself: a view may not have what came last."""
        try:
            return await self._given.client.get(ref)
        except NotFound:
            return None

    async def _act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            written = await act_one(self._given.client, self._given.events, action)
            if written is not None and isinstance(action, Patch):
                claims_ = action.ref.kind == PERSISTENTVOLUMECLAIM.resource
                view = self._claims if claims_ else self._volumes
                await view.reached(written.metadata.revision)


def waits(pod: Pod) -> bool:
    """Says whether a pod is still to be scheduled."""
    return not pod.spec.node_name and pods.is_active(pod)
