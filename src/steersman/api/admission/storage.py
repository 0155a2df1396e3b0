"""Small plugins about volumes, claims and classes: StorageObjectInUseProtection,
DefaultStorageClass, PersistentVolumeClaimResize (plugin/pkg/admission/storage)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from steersman.api.admission.chain import Change, Plugin
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import errors, quantity
from steersman.model.kind import Document
from steersman.model.kinds.storageclass import DEFAULT_ANNOTATIONS
from steersman.model.quantity import Quantity
from steersman.model.ref import Resource
from steersman.model.volume_binding import (
    ATTRIBUTES_CLASS_FINALIZER,
    CLAIM_FINALIZER,
    CLASS_ANNOTATION,
    VOLUME_FINALIZER,
)

STORAGE_CLASSES: Final = Resource("storage.k8s.io", "storageclasses")
NOT_RESIZABLE: Final = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
    "must support resize"
)
_PROTECTED: Final = {
    ("", "PersistentVolumeClaim"): CLAIM_FINALIZER,
    ("", "PersistentVolume"): VOLUME_FINALIZER,
    ("storage.k8s.io", "VolumeAttributesClass"): ATTRIBUTES_CLASS_FINALIZER,
}


def _protecting(call: Call) -> str:
    """Returns the finalizer of a kind of storage, empty for other kinds."""
    kind = call.kind
    return "" if call.subresource else _PROTECTED.get((kind.group, kind.name), "")


def _is_claim(call: Call) -> bool:
    return _protecting(call) == CLAIM_FINALIZER


class StorageObjectInUseProtection(Plugin):
    """Volumes and claims that are in use do not go before their use ends."""

    name = "StorageObjectInUseProtection"
    about = frozenset(kind for _, kind in _PROTECTED)

    def admit(self, change: Change) -> Document | None:
        """Gives a new volume or claim its finalizer."""
        finalizer = _protecting(change.call)
        if change.operation != "CREATE" or change.new is None or not finalizer:
            return None
        meta = change.new["metadata"]
        present = meta.get("finalizers") or []
        if finalizer in present:
            return None
        return {**change.new, "metadata": {**meta, "finalizers": [*present, finalizer]}}

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the finalizers that are there."""
        return None if _protecting(call) else ()


class DefaultStorageClass(Plugin):
    """A new claim that names no class gets the default one."""

    name = "DefaultStorageClass"
    about = frozenset({"PersistentVolumeClaim"})

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.table(STORAGE_CLASSES)

    def admit(self, change: Change) -> Document | None:
        """Names the class; without a default one the claim waits for one."""
        new = change.new
        if change.operation != "CREATE" or new is None or not _is_claim(change.call):
            return None
        spec = new.get("spec") or {}
        annotated = CLASS_ANNOTATION in (new["metadata"].get("annotations") or {})
        if annotated or spec.get("storageClassName") is not None:
            return None
        name = self._default()
        return {**new, "spec": {**spec, "storageClassName": name}} if name else None

    def _default(self) -> str:
        """Returns the default class: of several the newest, of equally old the first by name."""
        found = [entry.document() for entry in self._classes.ordered()]
        defaults = [it["metadata"] for it in found if is_default(it)]
        newest = max((it.get("creationTimestamp") or "" for it in defaults), default="")
        names = [it["name"] for it in defaults if (it.get("creationTimestamp") or "") == newest]
        return min(names, default="")

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the classes and on the old annotation."""
        return None if _is_claim(call) else ()


def is_default(storage_class: Document) -> bool:
    """Says whether a class is marked as the default one."""
    annotations = storage_class["metadata"].get("annotations") or {}
    return any(annotations.get(name) == "true" for name in DEFAULT_ANNOTATIONS)


class PersistentVolumeClaimResize(Plugin):
    """A claim grows where its class says that it may; that it is bound is validation's to ask."""

    name = "PersistentVolumeClaimResize"
    about = frozenset({"PersistentVolumeClaim"})

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.table(STORAGE_CLASSES)

    def check(self, change: Change) -> None:
        """Refuses to let a claim grow that cannot."""
        call, new, old = change.call, change.new, change.old
        if change.operation != "UPDATE" or new is None or old is None or not _is_claim(call):
            return
        if _asked(new) <= _asked(old):
            return
        if not self._may_grow(old):
            name = new["metadata"]["name"]
            raise errors.forbidden("", call.kind.plural, name, NOT_RESIZABLE)

    def _may_grow(self, claim: Document) -> bool:
        annotations = claim["metadata"].get("annotations") or {}
        named = annotations.get(CLASS_ANNOTATION) or claim["spec"].get("storageClassName")
        entry = self._classes.get("", named) if named else None
        return entry is not None and bool(entry.document().get("allowVolumeExpansion"))


def _asked(claim: Document) -> Quantity:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    amount: Any = requests.get("storage", "0")
    return amount if isinstance(amount, Quantity) else quantity.parse(amount)
