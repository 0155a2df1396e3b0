"""Strategic merge patch: lists merge by the keys that the schema names, directives do the rest.

Follows apimachinery/pkg/util/strategicpatch. Only for built-in kinds: custom resources have no
merge keys and are refused by the caller. What the schema does not know merges as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from steersman.model.errors import APIError
from steersman.model.gotext import go_type, printed
from steersman.model.patch import PatchFailed, PatchMalformed
from steersman.model.schema import Node

Document = dict[str, Any]

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"

_BAD_RETAIN = "invalid patch format of retainKeys"
_BAD_ORDER = "invalid patch format of setElementOrder list"


class Unmergeable(APIError):
    """A patch that upstream answers with a plain error: code 500, no reason."""

    code = 500
    reason = ""


def merge(document: Mapping[str, Any], patch: Any, node: Node | None) -> Document:
    """Applies a strategic merge patch; the result shares what the patch left alone.

    Raises PatchMalformed (400), PatchFailed (422) and Unmergeable (500) as upstream does.
    """
    if not isinstance(patch, dict):
        raise PatchMalformed("invalid JSON document")
    return _merge_map(document, patch, node)


def _merge_map(original: Mapping[str, Any], patch: Document, node: Node | None) -> Document:
    if _PATCH in patch:
        return _directed_map(patch)
    merged = _retained(original, patch)
    done = {_RETAIN}
    for key in patch:
        if key.startswith(_ORDER):
            done |= {key, key.removeprefix(_ORDER)}
            _merge_ordered(merged, patch, key, node)
    for key, value in patch.items():
        if key not in done:
            _merge_field(merged, key, value, node)
    return merged


def _directed_map(patch: Document) -> Document:
    if patch[_PATCH] == "replace":
        return {key: value for key, value in patch.items() if key != _PATCH}
    if patch[_PATCH] == "delete":
        return {}
    raise _unknown_directive(patch)


def _unknown_directive(patch: Document) -> Unmergeable:
    return Unmergeable(f"unknown patch type: {printed(patch[_PATCH])} in map: {printed(patch)}")


def _retained(original: Mapping[str, Any], patch: Document) -> Document:
    """Drops what `$retainKeys` does not name; all that the patch sets must be named there."""
    if _RETAIN not in patch:
        return dict(original)
    kept = patch[_RETAIN]
    if not isinstance(kept, list):
        raise PatchMalformed(_BAD_RETAIN)
    for key, value in patch.items():
        if value is None or key == _RETAIN or key.startswith((_DELETE, _ORDER)):
            continue
        if key not in kept:
            raise PatchMalformed(_BAD_RETAIN)
    return {key: value for key, value in original.items() if key in kept}


def _merge_field(merged: Document, key: str, value: Any, node: Node | None) -> None:
    deletes = key.startswith(_DELETE)
    name = key.removeprefix(_DELETE)
    if value is None:
        merged.pop(name, None)
    elif deletes:
        if isinstance(value, list) and isinstance(merged.get(name), list):
            merged[name] = _without(merged[name], value)
    elif isinstance(value, dict) and isinstance(merged.get(name), dict):
        child = _child(node, name)
        replaces = child is not None and "replace" in child.patch_strategies
        merged[name] = value if replaces else _merge_map(merged[name], value, child)
    elif isinstance(value, list) and isinstance(merged.get(name), list):
        merged[name] = _merge_list(merged[name], value, _child(node, name))
    elif isinstance(value, dict) and _PATCH in value:
        merged.pop(name, None)
    else:
        merged[name] = _taken(value)


def _child(node: Node | None, name: str) -> Node | None:
    if node is None:
        return None
    return node.fields.get(name) or node.values


def _taken(value: Any) -> Any:
    """Returns a value that has nothing to merge with: nulls and what holds a directive drop."""
    if isinstance(value, dict):
        return {key: _taken(item) for key, item in value.items() if _is_taken(item)}
    if isinstance(value, list):
        return [_taken(item) for item in value if item is None or _is_taken(item)]
    return value


def _is_taken(value: Any) -> bool:
    return value is not None and not (isinstance(value, dict) and _PATCH in value)


def _without(items: list[Any], removed: list[Any]) -> list[Any]:
    _element_kind(items, removed)
    gone = {_identity(item) for item in removed}
    return [item for item in items if _identity(item) not in gone]


def _merge_list(original: list[Any], patch: list[Any], node: Node | None) -> list[Any]:
    if node is None or "merge" not in node.patch_strategies:
        return patch
    if not original and not patch:
        return original
    if _element_kind(original, patch) is not dict:
        merged = list({_identity(item): item for item in [*original, *patch]}.values())
        return _ordered(merged, patch, original, "")
    if not node.merge_key:
        raise Unmergeable(f"cannot merge lists without merge key for {node!r}")
    kept, additions = _directed_list(original, patch, node.merge_key)
    merged = _merge_items(kept, additions, node)
    return _ordered(merged, additions, kept, node.merge_key)


def _directed_list(
    original: list[Any], patch: list[Any], merge_key: str
) -> tuple[list[Any], list[Any]]:
    """Obeys the items that are directives; returns what remains of both lists."""
    additions, removed, replaces = [], set(), False
    for item in patch:
        if _PATCH not in item:
            additions.append(item)
        elif item[_PATCH] == "delete":
            removed.add(_key_of(item, merge_key))
        elif item[_PATCH] == "replace":
            replaces = True
        elif item[_PATCH] == "merge":
            raise Unmergeable("merging lists cannot yet be specified in the patch")
        else:
            raise _unknown_directive(item)
    if replaces:
        return additions, []
    if not removed:
        return original, additions
    return [item for item in original if _found_key(item, merge_key) not in removed], additions


def _merge_items(original: list[Any], patch: list[Any], node: Node) -> list[Any]:
    merged = list(original)
    # of items with the same key the first is the one that merges
    places: dict[Any, int] = {}
    for index, item in enumerate(merged):
        places.setdefault(_found_key(item, node.merge_key), index)
    for item in patch:
        key = _key_of(item, node.merge_key)
        if (place := places.get(key)) is not None:
            merged[place] = _merge_map(merged[place], item, node.items)
        else:
            places[key] = len(merged)
            merged.append(item)
    return merged


def _merge_ordered(merged: Document, patch: Document, key: str, node: Node | None) -> None:
    """Merges the list that a `$setElementOrder` speaks of, and puts it in that order."""
    name, order = key.removeprefix(_ORDER), patch[key]
    if not name:
        raise PatchMalformed(_BAD_ORDER)
    live, change = merged.get(name), patch.get(name)
    for value in (order, *(value for value in (live, change) if value is not None)):
        if not isinstance(value, list):
            raise Unmergeable(f"expected a []interface {{}}, but received a {go_type(value)}")
    child = _child(node, name)
    merge_key = child.merge_key if child is not None else ""
    _check_order(change or [], order, merge_key)
    if name in patch and change is None:
        merged.pop(name, None)
    elif live is None and change is not None:
        merged[name] = _ordered(_taken(change), order, [], merge_key)
    elif live is not None:
        items = live if change is None else _merge_list(live, change, child)
        merged[name] = _ordered(items, order, _stood(live, change, merge_key), merge_key)


def _stood(live: list[Any], change: list[Any] | None, merge_key: str) -> list[Any]:
    """Returns the order of the live list that the ordering goes by.

    Upstream deletes and appends in one array, so that added items take the places of deleted ones;
    a client sees this in where a new item comes to stand.
    """
    if not change or not merge_key or any(item.get(_PATCH) == "replace" for item in change):
        return live
    kept, additions = _directed_list(live, change, merge_key)
    known = {_found_key(item, merge_key) for item in kept}
    added = [item for item in additions if _key_of(item, merge_key) not in known]
    return [*kept, *added][: len(live)]


def _check_order(patch: list[Any], order: list[Any], merge_key: str) -> None:
    """Refuses a patch list whose items do not stand in the order list, in the same sequence."""
    if not patch or not order:
        return
    wanted = iter(order)
    for item in patch:
        if isinstance(item, dict) and _PATCH in item:
            continue
        key = _key_of(item, merge_key)
        if not any(_key_of(candidate, merge_key) == key for candidate in wanted):
            raise Unmergeable(
                f"The order in patch list:\n{printed(patch)}\n doesn't match "
                f"{_ORDER.rstrip('/')} list:\n{printed(order)}\n"
            )


def _ordered(
    merged: list[Any], patch_order: Iterable[Any], live_order: Iterable[Any], merge_key: str
) -> list[Any]:
    """Puts a merged list in order: what the patch names in the patch's order, what it does not
    name before the first named item that stood after it."""
    wanted = _places(patch_order, merge_key)
    stood = _places(live_order, merge_key)
    keyed = [(_key_of(item, merge_key), item) for item in merged]
    named = sorted((pair for pair in keyed if pair[0] in wanted), key=lambda p: wanted[p[0]])
    others = [pair for pair in keyed if pair[0] not in wanted]
    others.sort(key=lambda pair: stood.get(pair[0], len(stood)))
    if not others or not named:
        return [item for _, item in (named or others)]
    return _interleaved(others, named, stood)


def _interleaved(
    others: list[tuple[Any, Any]], named: list[tuple[Any, Any]], stood: Mapping[Any, int]
) -> list[Any]:
    result, position = [], 0
    for key, item in named:
        place = stood.get(key)
        while position < len(others) and place is not None:
            if stood.get(others[position][0], len(stood)) > place:
                break
            result.append(others[position][1])
            position += 1
        result.append(item)
    return result + [item for _, item in others[position:]]


def _places(items: Iterable[Any], merge_key: str) -> dict[Any, int]:
    places: dict[Any, int] = {}
    for index, item in enumerate(items):
        places.setdefault(_found_key(item, merge_key), index)
    return places


def _key_of(item: Any, merge_key: str) -> Any:
    """Returns what an item merges by: itself where the list is of plain values."""
    if not merge_key:
        return _identity(item)
    if not isinstance(item, dict):
        text = f"expected a map[string]interface {{}}, but received a {go_type(item)}"
        raise Unmergeable(text)
    if merge_key not in item:
        text = f"map: {printed(item)} does not contain declared merge key: {merge_key}"
        raise Unmergeable(text)
    return _identity(item[merge_key])


def _found_key(item: Any, merge_key: str) -> Any:
    """Returns an item's key, or something that equals no key where it has none."""
    if merge_key and isinstance(item, dict) and merge_key not in item:
        return object()
    return _key_of(item, merge_key)


def _identity(value: Any) -> Any:
    """Returns a hashable that is equal for equal plain values, and tells true from 1."""
    if isinstance(value, dict | list):
        raise Unmergeable(f"{printed(value)} cannot be compared")
    return value if not isinstance(value, bool) else ("bool", value)


def _element_kind(*lists: list[Any]) -> type:
    """Returns the one type that all elements have."""
    kinds = {_kind(item) for items in lists for item in items}
    if list in kinds:
        raise PatchFailed("lists of lists are not supported")
    if len(kinds) > 1:
        raise Unmergeable(f"list element types are not identical: {printed(list(lists))}")
    return kinds.pop() if kinds else dict


def _kind(item: Any) -> type:
    return float if type(item) is int else type(item)
