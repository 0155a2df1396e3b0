"""Who owns what: owner references, adoption and release (upstream's ControllerRefManager)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.client.interface import Views
from steersman.model.kind import Document, Kind
from steersman.model.kinds.pod import POD
from steersman.model.ref import Ref
from steersman.model.selectors import Selector
from steersman.model.types import selector as selecting
from steersman.model.types.selector import LabelSelector
from steersman.reconcile.actions import Patch

BY_OWNER = "controller uid"  # index: objects by the uid of the owner that manages them
ORPHANS = "orphan namespace"  # index: objects nobody manages, by namespace


def by_owner(found: Any) -> tuple[str, ...]:
    """Index values: the uid of the managing owner."""
    owner = found.metadata.controller
    return (owner.uid,) if owner is not None else ()


def orphans(found: Any) -> tuple[str, ...]:
    """Index values: the namespace where nobody manages the object."""
    return () if found.metadata.controller is not None else (found.metadata.namespace,)


INDEXES = {BY_OWNER: by_owner, ORPHANS: orphans}


def reference(owner: Any, kind: Kind) -> Document:
    """Returns the reference by which an owner manages an object (metav1.NewControllerRef)."""
    return {
        "apiVersion": kind.api_version(),
        "kind": kind.name,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_of(found: Any, kind: Kind) -> Ref | None:
    """Returns the owner of a kind that manages an object, None where another or nobody does."""
    if found is None or not found.metadata.owner_references:
        return None
    manager = found.metadata.controller
    if manager is None or manager.kind != kind.name or manager.api_version != kind.api_version():
        return None
    return kind.ref(found.metadata.namespace, manager.name)


def owned(kind: Kind, _views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps an object to the owner that manages it now or did before; bind `kind` with
    functools.partial."""
    before, after = owner_of(old, kind), owner_of(new, kind)
    if before is None or before == after:
        return (after,) if after is not None else ()
    return (before, after) if after is not None else (before,)


def owners(kind: Kind, views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps an object to the owner that manages it now or did before, or to all that might adopt
    it; bind `kind` with functools.partial."""
    if new is None or new.metadata.controller is not None:
        return owned(kind, views, old, new)
    before = owner_of(old, kind)
    found = {} if before is None else {before: None}
    for owner in views.of(kind).list(new.metadata.namespace):
        if selector_of(owner.spec.selector)(new.metadata.labels):
            found[kind.ref(*owner.key)] = None
    return found


def selector_of(selector: LabelSelector | Mapping[str, str] | None) -> Selector:
    """Returns what matches a view's label selector or plain map; None matches nothing."""
    if selector is None or isinstance(selector, LabelSelector):
        return selecting.selector_of(selector)
    return selecting.selector_of(LabelSelector(match_labels=selector))


def claim(
    owner: Any,
    kind: Kind,
    matches: Selector,
    candidates: Iterable[Any],
    of: Kind = POD,
    finalizer: str = "",
) -> tuple[list[Any], list[Patch], list[Patch]]:
    """Returns what an owner manages, the adoptions and the releases.

    An object it manages but no longer selects is released; one that it selects and that nobody
    manages is adopted; neither happens to what is being deleted or by an owner that is. A
    finalizer comes with the adoption and goes with the release.
    """
    mine, adopt, release = [], [], []
    for found in candidates:
        manager = found.metadata.controller
        if manager is not None and manager.uid != owner.metadata.uid:
            continue
        if matches(found.metadata.labels):
            if manager is not None:
                mine.append(found)
            elif _free(owner, found):
                adopt.append(_adoption(owner, kind, found, of, finalizer))
        elif manager is not None and owner.metadata.deletion_timestamp is None:
            release.append(_release(owner, found, of, finalizer))
    return mine, adopt, release


def _free(owner: Any, found: Any) -> bool:
    deleted = owner.metadata.deletion_timestamp or found.metadata.deletion_timestamp
    return deleted is None


def _adoption(owner: Any, kind: Kind, found: Any, of: Kind, finalizer: str) -> Patch:
    metadata: Document = {"ownerReferences": [reference(owner, kind)]}
    if finalizer:
        metadata["finalizers"] = [finalizer]
    return _patch(found, of, metadata)


def _release(owner: Any, found: Any, of: Kind, finalizer: str) -> Patch:
    gone = {"$patch": "delete", "uid": owner.metadata.uid}
    metadata: Document = {"ownerReferences": [gone]}
    if finalizer:
        metadata["$deleteFromPrimitiveList/finalizers"] = [finalizer]
    return _patch(found, of, metadata)


def _patch(found: Any, of: Kind, metadata: Document) -> Patch:
    ref = of.ref(found.metadata.namespace, found.metadata.name)
    uid = found.metadata.uid
    return Patch(ref, {"metadata": metadata}, uid=uid, how="strategic")
