"""Documents merged, cut and checked place by place, as the structure of their kind says.

After structured-merge-diff's Merge, RemoveItems, Validate and EnsureNamedFieldsAreMembers. Pure
mechanics: who owns what is no concern here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import is_
from typing import Any, Final, NamedTuple

from steersman.model.fields.fieldset import SELF, Tree, is_member, text_of
from steersman.model.fields.structure import ElementError, Structure, judged
from steersman.model.gotext import printed, quote

_LEAF: Final[Tree] = {}


class Problem(NamedTuple):
    """What is wrong at a path; the text is upstream's."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


def told(problems: list[Problem]) -> str:
    """Returns problems as upstream lists them."""
    if len(problems) == 1:
        return str(problems[0])
    return "\n".join(["errors:", *(f"  {problem}" for problem in problems)])


def merge(live: Any, applied: Any, structure: Structure) -> Any:
    """Lays an applied value over a live one; nothing is removed, a leaf given is taken. What is not
    changed is the live value itself; nothing is shared with the applied one.

    Lists with keys follow the applied order; live items that are not in it keep their place
    between those that are.
    """
    structure = judged(structure, applied)
    if structure.leaf or not applied:
        return _merged_leaf(live, applied, structure)
    if structure.kind == "map":
        return _merged_map(live, applied, structure)
    return _merged_list(live if isinstance(live, list) else [], applied, structure)


def _merged_leaf(live: Any, applied: Any, structure: Structure) -> Any:
    # an empty or null container says nothing of what is in it
    granular = not structure.leaf and structure.kind != "any"
    return live if (granular and live) or _is_same(live, applied) else _copied(applied)


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value


def _is_same(one: Any, other: Any) -> bool:
    """Says whether two values are written alike, but for the order of names."""
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    if type(one) is list:
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


def _merged_map(live: Any, applied: Mapping[str, Any], structure: Structure) -> Any:
    if not isinstance(live, dict):
        return _copied(applied)
    merged: dict[str, Any] = live
    fields, values = structure.fields, structure.values
    for name, item in applied.items():
        known, child = live.get(name), fields.get(name, values)
        if child.leaf:
            new = known if _is_same(known, item) else _copied(item)
        else:
            new = _copied(item) if known is None else merge(known, item, child)
        if new is not known or name not in live:
            if merged is live:
                merged = dict(live)
            merged[name] = new
    return merged


def _merged_list(live: list[Any], applied: list[Any], structure: Structure) -> list[Any]:
    left = [structure.element(item) for item in live]
    right = [structure.element(item) for item in applied]
    if left == right and len(set(left)) == len(left):
        if structure.items.leaf:
            return live
        pairs = zip(live, applied, strict=True)
        merged = [merge(one, other, structure.items) for one, other in pairs]
        return live if all(map(is_, merged, live)) else merged
    items = dict(zip(right, applied, strict=True))
    known = _unrepeated(left, live)
    merged = []
    for element, item in _woven(list(zip(left, live, strict=True)), right):
        if element not in items:
            merged.append(item)
        elif known.get(element) is None:
            merged.append(_copied(items[element]))
        else:
            merged.append(merge(known[element], items[element], structure.items))
    return merged


def _unrepeated(elements: list[str], items: list[Any]) -> dict[str, Any]:
    """Returns items by element; those that occur twice are None, for they merge with nothing."""
    found: dict[str, Any] = {}
    for element, item in zip(elements, items, strict=True):
        found[element] = None if element in found else item
    return found


def _woven(left: list[tuple[str, Any]], right: list[str]) -> Iterator[tuple[str, Any]]:
    """Yields the elements of both lists in upstream's order, each of the right list once.

    Elements of both go by the right list's order; those of the left alone stay before the next
    shared one that followed them.
    """
    in_left, in_right = {element for element, _ in left}, set(right)
    shared = [element for element in right if element in in_left]
    taken: set[str] = set()
    at_left = at_right = 0
    while at_left < len(left) or at_right < len(right):
        if at_left < len(left):
            element, item = left[at_left]
            next_shared = shared[0] if shared else None
            if at_right < len(right):
                if element == right[at_right]:
                    taken.add(element)
                    yield element, item
                    at_left, at_right, shared = at_left + 1, at_right + 1, shared[1:]
                    continue
                if element in in_right and next_shared is not None and next_shared != element:
                    at_left += 1
                    continue
            if element not in in_right:
                yield element, item
                at_left += 1
                continue
            if element in taken:
                at_left += 1
        if at_right < len(right):
            element = right[at_right]
            taken.add(element)
            yield element, None
            at_right += 1
            if shared and shared[0] == element:
                shared = shared[1:]


def remove(value: Any, gone: Tree, structure: Structure) -> Any:
    """Cuts the members of a set out of a value; a container that loses all becomes null."""
    if not gone:
        return value
    structure = judged(structure, value)
    if structure.leaf or not value:
        return value if structure.kind == "scalar" else None
    if structure.kind == "map":
        left = {
            name: _remaining(item, gone.get(f"f:{name}"), structure.child(name))
            for name, item in value.items()
            if not _goes(gone.get(f"f:{name}"))
        }
        return left or None
    return _removed_items(value, gone, structure) or None


def _removed_items(value: list[Any], gone: Tree, structure: Structure) -> list[Any]:
    left = []
    for item in value:
        node = gone.get(structure.element(item))
        if not _goes(node):
            left.append(_remaining(item, node, structure.items))
    return left


def _goes(node: Tree | None) -> bool:
    return node is not None and is_member(node)


def _remaining(item: Any, node: Tree | None, structure: Structure) -> Any:
    return item if not node else remove(item, node, structure)


def with_named(tree: Tree, structure: Structure) -> Tree:
    """Returns a set with the named fields on the way to its members, but no list items or keys
    of maps."""
    result: Tree = {}
    for element, node in tree.items():
        if element == SELF:
            result[SELF] = node
            continue
        child, named = _below(element, structure)
        below = with_named(node, child) if node else node
        result[element] = {SELF: _LEAF, **below} if named and below else below
    return result


def _below(element: str, structure: Structure) -> tuple[Structure, bool]:
    if element[0] == "f":
        name = element[2:]
        return structure.child(name), name in structure.fields
    return structure.items, False


def check(value: Any, structure: Structure) -> list[Problem]:
    """Returns where a value is not what its structure says, in upstream's words."""
    return list(_checked(value, structure, ""))


def _checked(value: Any, structure: Structure, path: str) -> Iterator[Problem]:
    if value is None or structure.kind == "any":
        return
    if structure.kind == "scalar":
        yield from _checked_scalar(value, structure.scalar, path)
    elif structure.kind == "map":
        yield from _checked_map(value, structure, path)
    elif isinstance(value, list):
        yield from _checked_list(value, structure, path)
    else:
        yield Problem(path, f"expected list, got &{{{printed(value)}}}")


def _checked_map(value: Any, structure: Structure, path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"expected map, got &{{{printed(value)}}}")
        return
    for name, item in value.items():
        if structure.closed and name not in structure.fields:
            yield Problem(f"{path}.{name}", "field not declared in schema")
            return
        yield from _checked(item, structure.child(name), f"{path}.{name}")


def _checked_list(value: list[Any], structure: Structure, path: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, item in enumerate(value):
        element = f"[{index}]"
        if not structure.leaf:
            try:
                key = structure.element(item)
            except ElementError as error:
                yield Problem(path, f"element {index}: {error}")
                return
            element = text_of((key,))
            if key in seen:
                yield Problem(path, f"duplicate entries for key {element}")
            seen.add(key)
        yield from _checked(item, structure.items, path + element)


def _checked_scalar(value: Any, kind: str, path: str) -> Iterator[Problem]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "numeric" and not number:
        yield Problem(path, f"expected numeric (int or float), got {_go_kind(value)}")
    elif kind == "string" and not isinstance(value, str):
        yield Problem(path, f"expected string, got {_go_syntax(value)}")
    elif kind == "boolean" and not isinstance(value, bool):
        yield Problem(path, f"expected boolean, got &{{{printed(value)}}}")
    elif kind == "untyped" and isinstance(value, dict | list):
        yield Problem(path, f"expected any scalar, got &{{{printed(value)}}}")


def _go_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "map[string]interface {}"
    return {str: "string", bool: "bool", list: "[]interface {}"}[type(value)]


def _go_syntax(value: Any) -> str:
    """Returns a wrapped value as `%#v` prints it, which is what upstream's message shows."""
    return f"&value.valueUnstructured{{Value:{_go_literal(value)}}}"


def _go_literal(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{quote(name)}:{_go_literal(value[name])}" for name in sorted(value))
        return f"map[string]interface {{}}{{{inside}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_literal, value))}}}"
    if value is None:
        return "interface {}(nil)"
    return quote(value) if isinstance(value, str) else printed(value)
