"""Objects of one shape own the same fields: a bounded memory of answers, by shape.

The shape is all that field ownership depends on: the names in every granular map, the keys of
list items, the values in sets, what is null or empty. Values of leaves do not count, except where
a kind's fresh object already holds one. Every write passes here, so each structure gets a function
of its own that notes its part of the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from steersman.model.fields.fieldset import Tree
from steersman.model.fields.structure import Structure
from steersman.model.patch import equal

Key = tuple[Any, ...]
Note = Callable[[Any], None]
# notes the parts of one value's shape, in the order in which they are found
Walk = Callable[[Any, Note], None]

MAX_SHAPES: Final = 1024  # a cluster writes some hundred shapes; a full memory starts again
MAX_PARTS: Final = 2048  # an object with more parts is rare, and its key would cost memory


def shape_of(value: Mapping[str, Any], structure: Structure) -> Key:
    """Returns what stands for the shape of a part of a document."""
    parts: list[Any] = []
    (structure.walk or _ready(structure))(value, parts.append)
    return tuple(parts)


class Shapes:
    """Answers by shape; the older half goes when it is full."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Key, Tree] = {}

    def key(self, document: Mapping[str, Any], structure: Structure) -> Key | None:
        """Returns what stands for the document's shape, or None where it has too many parts.

        The parts are a prefix code: what a part means is known from the parts before it.
        """
        parts: list[Any] = [structure]
        (structure.walk or _ready(structure))(document, parts.append)
        parts += [_is_fresh(document, path, fresh) for path, fresh in structure.telling]
        return tuple(parts) if len(parts) <= MAX_PARTS else None

    def answer(
        self, document: Mapping[str, Any], structure: Structure, make: Callable[[], Tree]
    ) -> Tree:
        """Returns what `make` returned for another document of the same shape, or makes it."""
        key = self.key(document, structure)
        try:
            known = self._known.get(key) if key is not None else None
        except TypeError:
            # the key of a list item is no plain value; ownership says what it thinks of that
            return make()
        if known is None:
            known = make()
            if key is not None:
                self._keep(key, known)
        return known

    def __len__(self) -> int:
        return len(self._known)

    def _keep(self, key: Key, tree: Tree) -> None:
        if len(self._known) >= MAX_SHAPES:
            for old in list(self._known)[: MAX_SHAPES // 2]:
                del self._known[old]
        self._known[key] = tree


def _is_fresh(document: Mapping[str, Any], path: tuple[str, ...], fresh: Any) -> bool:
    """Says whether a document holds what a fresh object of its kind holds: that is no change."""
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return equal(found, fresh)


def _ready(structure: Structure) -> Walk:
    """Returns a structure's function, made on its first use: schemas may be recursive."""
    if structure.kind == "list":
        structure.walk = _list_walk(structure)
    elif structure.names_alone:
        structure.walk = _names_walk
    elif structure.closed:
        structure.walk = _struct_walk(structure)
    else:
        structure.walk = _map_walk(structure)
    return structure.walk


def _names_walk(value: Any, note: Note) -> None:
    if value and type(value) is dict:
        note(tuple(value))
    else:
        note(None if value is None else type(value))


def _struct_walk(structure: Structure) -> Walk:
    walks: dict[str, Walk] = {}
    for name, child in structure.nested.items():
        walks[name] = _first_walk(name, child, walks)
    known = walks.get

    def walk(value: Any, note: Note) -> None:
        if not value or type(value) is not dict:
            note(None if value is None else type(value))
            return
        note(tuple(value))
        for name in value:
            if (child_walk := known(name)) is not None:
                child_walk(value[name], note)

    return walk


def _first_walk(name: str, child: Structure, walks: dict[str, Walk]) -> Walk:
    """Returns a function that puts the child's own in its place when it is first called."""

    def walk(value: Any, note: Note) -> None:
        walks[name] = child.walk or _ready(child)
        walks[name](value, note)

    return walk


def _map_walk(structure: Structure) -> Walk:
    def walk(value: Any, note: Note) -> None:
        if not value or type(value) is not dict:
            note(None if value is None else type(value))
            return
        note(tuple(value))
        for name, item in value.items():
            child = structure.child(name)
            if not child.leaf:
                (child.walk or _ready(child))(item, note)

    return walk


def _list_walk(structure: Structure) -> Walk:
    keys, items = structure.keys, structure.items
    only = keys[0] if len(keys) == 1 else ""

    def walk(value: Any, note: Note) -> None:
        if not value or type(value) is not list:
            note(None if value is None else type(value))
            return
        note(len(value))
        for item in value:
            if not keys or type(item) is not dict:
                # not a key: ownership refuses it in its own words
                note(item if type(item) is str else structure.element(item))
            elif only:
                note(item.get(only))
            else:
                note(tuple(map(item.get, keys)))
            if not items.leaf:
                (items.walk or _ready(items))(item, note)

    return walk
