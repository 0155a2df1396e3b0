"""VolumeAttributesClasses stay while a claim or a volume names them
(pkg/controller/volume/vacprotection)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, ClassVar, Final

from steersman.client.interface import Views
from steersman.controllers.volume_protection import plan
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.volumeattributesclass import (
    VOLUMEATTRIBUTESCLASS,
    VolumeAttributesClass,
)
from steersman.model.ref import Ref
from steersman.model.volume_binding import ATTRIBUTES_CLASS_FINALIZER
from steersman.reconcile.actions import act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

BY_CLASS: Final = "volumeAttributesClassName"  # index of claims and of volumes


def of_claim(claim: PersistentVolumeClaim) -> tuple[str, ...]:
    """Returns the classes that a claim names: wanted, had, on the way."""
    modified = claim.status.modify_volume_status
    names = (
        claim.spec.volume_attributes_class_name,
        claim.status.current_volume_attributes_class_name,
        modified.target_volume_attributes_class_name if modified is not None else None,
    )
    return tuple(dict.fromkeys(name for name in names if name))


def of_volume(volume: PersistentVolume) -> tuple[str, ...]:
    """Returns the class that a volume names."""
    name = volume.spec.volume_attributes_class_name
    return (name,) if name else ()


def _left(names: Any, _views: Views, old: Any | None, new: Any | None) -> Iterator[Ref]:
    """Maps a claim or a volume to the classes that it no longer names."""
    before, after = (set(names(it)) if it is not None else set() for it in (old, new))
    yield from (VOLUMEATTRIBUTESCLASS.ref("", name) for name in sorted(before - after))


class AttributesClassProtectionController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "volumeattributesclass-protection-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(VOLUMEATTRIBUTESCLASS, partial(to_self, kind=VOLUMEATTRIBUTESCLASS)),
        Watch(PERSISTENTVOLUMECLAIM, partial(_left, of_claim), {BY_CLASS: of_claim}),
        Watch(PERSISTENTVOLUME, partial(_left, of_volume), {BY_CLASS: of_volume}),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("storage.k8s.io", ("volumeattributesclasses",), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        views = given.views
        self._classes = views.of(VOLUMEATTRIBUTESCLASS)
        self._users = (views.of(PERSISTENTVOLUMECLAIM), views.of(PERSISTENTVOLUME))

    async def reconcile(self, ref: Ref) -> Done:
        """Makes one class's finalizer right."""
        found: VolumeAttributesClass | None = self._classes.get(ref)
        if found is None:
            return Done()
        used = any(self._naming(ref.name))
        patch = plan(VOLUMEATTRIBUTESCLASS, found, ATTRIBUTES_CLASS_FINALIZER, used)
        if patch is not None:
            await act_one(self._given.client, self._given.events, patch)
        return Done()

    def _naming(self, name: str) -> Iterable[bool]:
        return (bool(view.by(BY_CLASS, name)) for view in self._users)
