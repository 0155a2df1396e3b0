"""Sets of fields as they stand in managedFields (FieldsV1), and their algebra.

A set is the tree that FieldsV1 writes: `{"f:spec": {"f:replicas": {}}}`. An empty node is a member
without members below it; `.` marks a member that has some. Trees are never changed, so results
share what they can. After structured-merge-diff's fieldpath.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from steersman.model.gotext import printed, quote, shown

Tree = dict[str, Any]
Path = tuple[str, ...]

SELF: Final = "."
_LEAF: Final[Tree] = {}
_CACHED: Final = 4096  # elements with keys: as many as objects have containers, ports, volumes
_CACHED_LENGTH: Final = 512
MAX_DEPTH: Final = 100  # upstream's objects nest some twenty levels; a deeper set is hostile


class FieldSetError(ValueError):
    """A document is no FieldsV1."""


class FieldSet:
    """A set of paths; equal when the members are. `tree` may be read, never changed."""

    __slots__ = ("tree",)

    def __init__(self, tree: Tree | None = None) -> None:
        self.tree: Tree = tree or {}

    def __bool__(self) -> bool:
        return bool(self.tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.tree == other.tree

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: FieldSet) -> FieldSet:
        return FieldSet(union(self.tree, other.tree))

    def __and__(self, other: FieldSet) -> FieldSet:
        return FieldSet(intersection(self.tree, other.tree))

    def __sub__(self, other: FieldSet) -> FieldSet:
        return FieldSet(difference(self.tree, other.tree))

    def without(self, other: FieldSet) -> FieldSet:
        """Returns the set without the other's members and all that is below them."""
        return FieldSet(recursive_difference(self.tree, other.tree))

    def __contains__(self, path: Path) -> bool:
        node: Tree | None = self.tree
        for element in path:
            if node is None or (node := node.get(element)) is None:
                return False
        return bool(path) and node is not None and is_member(node)

    def __iter__(self) -> Iterator[Path]:
        """Yields paths in upstream's order: the members of a level, then what is below them."""
        return _walk(self.tree, ())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<FieldSet {' '.join(map(text_of, self))}>"


def parse(document: Any) -> FieldSet:
    """Reads FieldsV1; kinds of elements that we do not know are left out, as upstream does.

    Raises FieldSetError.
    """
    return FieldSet(_parsed(document, 0)[0])


def of_paths(*paths: Path) -> FieldSet:
    """Returns the set of the given paths, each a sequence of elements such as `f:spec`."""
    tree: Tree = {}
    for path in paths:
        below: Tree = _LEAF
        for element in reversed(path):
            below = {element: below}
        tree = union(tree, below)
    return FieldSet(tree)


def text_of(path: Path) -> str:
    """Returns a path as messages show it: `.spec.containers[name="main"].image`."""
    return "".join(map(_element_text, path))


def is_member(node: Tree) -> bool:
    """Says whether the node itself belongs to the set."""
    return not node or SELF in node


def union(one: Tree, other: Tree) -> Tree:
    """Returns the members of either tree; shares them where they are the same."""
    if one is other or not other:
        return one
    if not one:
        return other
    result = dict(one)
    for element, node in other.items():
        known = result.get(element)
        if known is None:
            result[element] = node
        elif known is not node:
            result[element] = _both(known, node)
    return result


def _both(one: Tree, other: Tree) -> Tree:
    if not one:
        return _as_member(other)
    if not other:
        return _as_member(one)
    return union(one, other)


def _as_member(node: Tree) -> Tree:
    return node if is_member(node) else {SELF: _LEAF, **node}


def difference(one: Tree, other: Tree) -> Tree:
    """Returns the members of the first tree that are not the second's; the first itself where
    nothing goes. What is below a member stays."""
    return _less(one, other, recursive=False)


def recursive_difference(one: Tree, other: Tree) -> Tree:
    """Returns the first tree without the second's members and all that is below them."""
    return _less(one, other, recursive=True)


def _less(one: Tree, other: Tree, *, recursive: bool) -> Tree:
    if not one or not other:
        return one
    result: Tree | None = None
    for element, gone in other.items():
        node = one.get(element)
        if node is None or element == SELF:
            continue
        left = _left_of(node, gone, recursive)
        if left is node:
            continue
        if result is None:
            result = dict(one)
        if left is None:
            del result[element]
        else:
            result[element] = left
    return one if result is None else result


def _left_of(node: Tree, gone: Tree, recursive: bool) -> Tree | None:
    """Returns what remains of a child node, or None."""
    leaves = is_member(gone)
    if recursive and leaves:
        return None
    if not node:
        return None if leaves else node
    left = _less(node, gone, recursive=recursive)
    if leaves and SELF in left:
        left = {element: child for element, child in left.items() if element != SELF}
    if not left:
        return None
    return _LEAF if len(left) == 1 and SELF in left else left


def intersection(one: Tree, other: Tree) -> Tree:
    """Returns the members of both trees."""
    result: Tree = {}
    for element, node in one.items():
        match = other.get(element)
        if match is None or element == SELF:
            continue
        below = intersection(node, match)
        if is_member(node) and is_member(match):
            result[element] = {SELF: _LEAF, **below} if below else _LEAF
        elif below:
            result[element] = below
    return result


def _walk(tree: Tree, prefix: Path) -> Iterator[Path]:
    elements = sorted((element for element in tree if element != SELF), key=_order)
    for element in elements:
        if is_member(tree[element]):
            yield (*prefix, element)
    for element in elements:
        if tree[element]:
            yield from _walk(tree[element], (*prefix, element))


def _parsed(document: Any, depth: int) -> tuple[Tree, bool]:
    """Returns a node's children and whether the node is a member."""
    if not isinstance(document, dict):
        raise FieldSetError(f"expected an object, but received {printed(document)}")
    if depth > MAX_DEPTH:
        raise FieldSetError(f"nests deeper than {MAX_DEPTH} levels")
    tree: Tree = {}
    for key, value in document.items():
        if key == SELF or (element := _parsed_element(key)) is None:
            continue
        children, member = _parsed(value, depth + 1)
        tree[element] = {SELF: _LEAF, **children} if member and children else children
    return tree, SELF in document or not tree


def _parsed_element(key: str) -> str | None:
    if len(key) < 2:
        raise FieldSetError("key must be 2 characters long:")
    if key[1] != ":":
        raise FieldSetError(f"missing colon: {key}")
    if key[0] == "f":
        return key
    if key[0] not in "kvi":
        return None
    return _canonical(key) if len(key) <= _CACHED_LENGTH else _canonical.__wrapped__(key)


@lru_cache(_CACHED)
def _canonical(key: str) -> str:
    value = _value_of(key)
    if key[0] == "i" and (isinstance(value, bool) or not isinstance(value, int)):
        raise FieldSetError(f"invalid index: {key}")
    if key[0] == "k":
        if not isinstance(value, dict):
            raise FieldSetError(f"invalid key: {key}")
        value = dict(sorted(value.items()))
    return f"{key[:2]}{shown(value)}"


def _value_of(element: str) -> Any:
    try:
        return msgspec.json.decode(element[2:].encode("utf-8", "surrogatepass"))
    except msgspec.DecodeError as error:
        raise FieldSetError(f"{element}: {error}") from None


def _element_text(element: str) -> str:
    if element[0] == "f":
        return f".{element[2:]}"
    value = _value_of(element)
    if element[0] == "k":
        inside = ",".join(f"{name}={_value_text(item)}" for name, item in value.items())
        return f"[{inside}]"
    return f"[={_value_text(value)}]" if element[0] == "v" else f"[{value}]"


def _value_text(value: Any) -> str:
    if value is None:
        return "null"
    return quote(value) if isinstance(value, str) else printed(value)


def _order(element: str) -> tuple[Any, ...]:
    if element[0] == "f":
        return (0, element[2:])
    value = _value_of(element)
    if element[0] == "k":
        return (1, [(name, _value_order(item)) for name, item in value.items()])
    return (2, _value_order(value)) if element[0] == "v" else (3, value)


def _value_order(value: Any) -> tuple[int, Any]:
    """Orders values of different types: numbers, texts, booleans, the rest by its text."""
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    return (1, value) if isinstance(value, str) else (3, shown(value))
