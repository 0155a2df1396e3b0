"""Removes from a document what its schema does not name, and nulls that it does not allow.

After apiextensions' schema/pruning and defaulting/prunenulls. Documents are changed in place; a
removed field's path is told as fieldValidation tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Raw = Mapping[str, Any]

META_FIELDS = ("apiVersion", "kind", "metadata")


def prune(document: dict[str, Any], raw: Raw) -> list[str]:
    """Prunes a whole object; kind, apiVersion and metadata stay. Returns the removed paths."""
    removed: list[str] = []
    root = raw if raw.get("x-kubernetes-embedded-resource") else _embedded(raw)
    _prune(document, root, "", removed)
    return sorted(removed)


def prune_value(value: Any, raw: Raw) -> None:
    """Prunes a value that stands somewhere in an object, such as a default."""
    _prune(value, raw, "", [])


def _embedded(raw: Raw) -> Raw:
    return {**raw, "x-kubernetes-embedded-resource": True}


def _prune(value: Any, raw: Raw | None, path: str, removed: list[str]) -> None:
    if isinstance(value, list):
        items = _items(raw)
        if raw is not None and raw.get("x-kubernetes-preserve-unknown-fields"):
            _keep(value, raw, path, removed)
            return
        for index, item in enumerate(value):
            _prune(item, items, f"{path}[{index}]", removed)
    elif isinstance(value, dict):
        if raw is not None and raw.get("x-kubernetes-preserve-unknown-fields"):
            _keep(value, raw, path, removed)
        else:
            _prune_fields(value, raw or {}, path, removed)


def _prune_fields(value: dict[str, Any], raw: Raw, path: str, removed: list[str]) -> None:
    named, more = raw.get("properties") or {}, raw.get("additionalProperties")
    embedded = raw.get("x-kubernetes-embedded-resource")
    for name in list(value):
        inner = f"{path}.{name}" if path else name
        if embedded and name in META_FIELDS:
            continue
        if name in named:
            _prune(value[name], named[name], inner, removed)
        elif more is not None:
            _prune(value[name], more if isinstance(more, Mapping) else None, inner, removed)
        else:
            if name not in META_FIELDS or path:
                removed.append(inner)
            del value[name]


def _keep(value: Any, raw: Raw | None, path: str, removed: list[str]) -> None:
    """Goes on below a place where unknown fields are kept: what is known there is pruned."""
    if raw is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            _keep(item, _items(raw), f"{path}[{index}]", removed)
    elif isinstance(value, dict):
        named, more = raw.get("properties") or {}, raw.get("additionalProperties")
        embedded = raw.get("x-kubernetes-embedded-resource")
        for name, item in value.items():
            if embedded and name in META_FIELDS:
                continue
            inner = f"{path}.{name}" if path else name
            if name in named:
                _prune(item, named[name], inner, removed)
            elif more is not None:
                _prune(item, more if isinstance(more, Mapping) else None, inner, removed)


def _items(raw: Raw | None) -> Raw | None:
    found = raw.get("items") if raw is not None else None
    return found if isinstance(found, Mapping) else None


def drop_nulls(value: Any, raw: Raw | None) -> None:
    """Removes nulls that are neither allowed nor replaced by a default."""
    if isinstance(value, list):
        items = _items(raw)
        for item in value:
            drop_nulls(item, items)
    elif isinstance(value, dict):
        for name in list(value):
            child = field_of(raw, name)
            if value[name] is None and child is not None and _goes(child):
                del value[name]
            else:
                drop_nulls(value[name], child)


def _goes(raw: Raw) -> bool:
    return not raw.get("nullable") and raw.get("default") is None


def field_of(raw: Raw | None, name: str) -> Raw | None:
    """Returns the schema of a field: its own, or that of all further ones."""
    if raw is None:
        return None
    found = (raw.get("properties") or {}).get(name)
    if found is None:
        found = raw.get("additionalProperties")
    return found if isinstance(found, Mapping) else None
