"""The rules of ObjectMeta that hold for every kind: what the server sets and what it keeps.

Pure; semantic checks of names and labels are the model's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from steersman.model.kind import EVERY_FIELD, Document, Kind
from steersman.model.times import rfc3339

# generateName keeps at most this much before its suffix (names.go: 63 - 5)
GENERATED_PREFIX = 58
SUFFIX_LENGTH = 5
# carried over from the stored object by every update, whatever the body says
KEPT = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


def begin(document: Document, kind: Kind, namespace: str, uid: str, now: float) -> Document:
    """Returns a new object's metadata with what the server sets."""
    metadata = dict(document.get("metadata") or {})
    for name in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
        metadata.pop(name, None)
    _place(metadata, namespace)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = rfc3339(now)
    metadata.pop("generation", None)
    if kind.spec_fields:
        metadata["generation"] = 1
    return metadata


def carry(metadata: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Returns an updated object's metadata with what an update cannot change."""
    carried = {key: value for key, value in metadata.items() if key != "selfLink"}
    _place(carried, old.get("namespace", ""))
    for name in KEPT:
        if name in old:
            carried[name] = old[name]
        else:
            carried.pop(name, None)
    return carried


def _place(metadata: dict[str, Any], namespace: str) -> None:
    """Puts an object where the request is about, whatever it says of a cluster-scoped one."""
    if namespace:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)


def generation(kind: Kind, old: Document, new: Document) -> int | None:
    """Returns the generation of an update: one more where the desired state changed."""
    present = old["metadata"].get("generation")
    if not kind.spec_fields:
        return present if isinstance(present, int) else None
    names: Iterable[str] = kind.spec_fields
    if names == EVERY_FIELD:
        alone = () if kind.subresource("status") is None else ("status",)
        names = {*old, *new} - {"metadata", "apiVersion", "kind", *alone}
    changed = any(old.get(name) != new.get(name) for name in names)
    if not changed and kind.spec_metadata:
        before, after = old["metadata"], new["metadata"]
        changed = any(before.get(name) != after.get(name) for name in kind.spec_metadata)
    return int(present or 1) + changed


def overlay(base: Document, changed: Document, paths: Iterable[tuple[str, ...]]) -> Document:
    """Returns `base` with the fields at `paths` taken from `changed`, absent ones removed."""
    result = base
    for path in paths:
        result = _with(result, path, _at(changed, path))
    return result


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def _with(document: Document, path: tuple[str, ...], value: Any) -> Document:
    name, *rest = path
    copy = dict(document)
    if rest:
        value = _with(copy.get(name) or {}, tuple(rest), value)
        if not value and name not in copy:
            value = None
    if value is None:
        copy.pop(name, None)
    else:
        copy[name] = value
    return copy
