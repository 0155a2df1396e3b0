"""Which fields a document gives values to, and in which fields two documents differ.

After structured-merge-diff's ToFieldSet and Compare; nothing here knows who owns a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from steersman.model.fields.fieldset import SELF, FieldSet, Tree
from steersman.model.fields.structure import Structure, judged, structure_of
from steersman.model.patch import equal
from steersman.model.schema import Node

Document = Mapping[str, Any]

_LEAF: Final[Tree] = {}


class Changes(NamedTuple):
    """What a write did: `changed` holds what it added or modified."""

    changed: FieldSet
    removed: FieldSet


def of(document: Document, node: Node) -> FieldSet:
    """Returns every field that a document gives a value to, as an applier owns them.

    Items of lists belong to it beside their fields; what is atomic is one field. Raises
    structure.ElementError.
    """
    return FieldSet(given(document, structure_of(node)))


def compare(old: Document | None, new: Document, node: Node) -> Changes:
    """Returns what distinguishes two objects of a kind; no old one means a creation.

    managedFields do not count. Raises structure.ElementError.
    """
    structure = structure_of(node)
    before = structure.start() if old is None else bare(old)
    changed, removed = _compare(before, bare(new), structure)
    return Changes(FieldSet(changed), FieldSet(removed))


def bare(document: Document) -> Document:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return document
    left = {name: value for name, value in metadata.items() if name != "managedFields"}
    return {**document, "metadata": left}


def given(value: Any, structure: Structure) -> Tree:
    """Returns the tree of what a value gives, below itself (TypedValue.ToFieldSet)."""
    structure = judged(structure, value)
    if structure.leaf or not value:
        return _LEAF
    if structure.kind == "map":
        return _given_map(value, structure)
    return _given_list(value, structure)


def _given_map(value: Document, structure: Structure) -> Tree:
    tree: Tree = {}
    for name, item in value.items():
        child = judged(structure.child(name), item)
        if child.leaf or item is None or item == {}:
            tree[f"f:{name}"] = _LEAF
            continue
        below = given(item, child)
        if name not in structure.fields:
            tree[f"f:{name}"] = {SELF: _LEAF, **below} if below else _LEAF
        elif below:
            tree[f"f:{name}"] = below
    return tree


def _given_list(value: list[Any], structure: Structure) -> Tree:
    elements = [structure.element(item) for item in value]
    tree: Tree = {}
    for element, item in zip(elements, value, strict=True):
        # of several items with one key nothing but the key is owned
        if element in tree:
            tree[element] = _LEAF
            continue
        below = given(item, structure.items)
        tree[element] = {SELF: _LEAF, **below} if below else _LEAF
    return tree


def _whole(value: Any, structure: Structure) -> Tree:
    """Returns the node of a value that came or went as a whole: itself and all below."""
    structure = judged(structure, value)
    if structure.leaf or not value or structure.kind == "scalar":
        return _LEAF
    if structure.kind == "map":
        if not isinstance(value, dict):
            return _LEAF
        fields, values = structure.fields, structure.values
        tree = {f"f:{name}": _whole(item, fields.get(name, values)) for name, item in value.items()}
        return {SELF: _LEAF, **tree}
    if not isinstance(value, list):
        return _LEAF
    tree = {SELF: _LEAF}
    for element, items in _by_element(value, structure).items():
        tree[element] = _whole(items[0], structure.items) if len(items) == 1 else _LEAF
    return tree


def _by_element(value: list[Any], structure: Structure) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in value:
        found.setdefault(structure.element(item), []).append(item)
    return found


def _compare(old: Any, new: Any, structure: Structure) -> tuple[Tree, Tree]:
    """Returns what changed and what is gone below two values that are both there and granular."""
    if old is new or (structure.definite and old == new):
        return _LEAF, _LEAF
    if structure.kind == "map":
        return _compare_maps(old or {}, new or {}, structure)
    return _compare_lists(old or [], new or [], structure)


def _compare_maps(old: Document, new: Document, structure: Structure) -> tuple[Tree, Tree]:
    changed: Tree = {}
    removed: Tree = {}
    fields, values = structure.fields, structure.values
    for name, item in new.items():
        child = fields.get(name, values)
        if name in old:
            _compare_items(f"f:{name}", old[name], item, child, changed, removed)
        else:
            changed[f"f:{name}"] = _whole(item, child)
    for name, item in old.items():
        if name not in new:
            removed[f"f:{name}"] = _whole(item, fields.get(name, values))
    return changed, removed


def _compare_lists(old: list[Any], new: list[Any], structure: Structure) -> tuple[Tree, Tree]:
    changed: Tree = {}
    removed: Tree = {}
    before, after = _by_element(old, structure), _by_element(new, structure)
    for element, items in after.items():
        known = before.get(element, ())
        if len(items) == 1 == len(known):
            _compare_items(element, known[0], items[0], structure.items, changed, removed)
        elif len(items) > 1 and len(known) > 1:
            if not equal(items, known):
                changed[element] = _LEAF
        elif len(items) > 1:
            changed[element] = _LEAF
            if known:
                removed[element] = _whole(known[0], structure.items)
        else:
            changed[element] = _whole(items[0], structure.items)
            if known:
                removed[element] = _LEAF
    for element, known in before.items():
        if element not in after:
            single = len(known) == 1
            removed[element] = _whole(known[0], structure.items) if single else _LEAF
    return changed, removed


def _compare_items(
    element: str, old: Any, new: Any, structure: Structure, changed: Tree, removed: Tree
) -> None:
    """Notes what distinguishes two values at one place."""
    if old is new:
        return
    before, after = judged(structure, old), judged(structure, new)
    if before.kind != after.kind or before.leaf != after.leaf:
        _note_another_kind(element, (old, before), (new, after), changed, removed)
    elif after.leaf or (not old and not new) or not (_fits(old, after) and _fits(new, after)):
        if not equal(old, new):
            changed[element] = _LEAF
    else:
        below, gone = _compare(old, new, after)
        if below:
            changed[element] = below
        if gone:
            removed[element] = gone


def _note_another_kind(
    element: str,
    old: tuple[Any, Structure],
    new: tuple[Any, Structure],
    changed: Tree,
    removed: Tree,
) -> None:
    changed[element] = _whole(*new)
    gone = _whole(*old)
    if below := {name: node for name, node in gone.items() if name != SELF}:
        removed[element] = below


def _fits(value: Any, structure: Structure) -> bool:
    return value is None or isinstance(value, dict if structure.kind == "map" else list)
