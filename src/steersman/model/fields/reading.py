"""An applied configuration in one walk: that it is what its structure says, and what it gives.

The one rule: a walk knows what is ordinary. Whatever is odd (another type, an unknown field, a
null, a key twice) ends it, and `granular.check` and `comparison.given` walk again, slowly, to say
what is wrong or to take it. Each structure gets a function of its own, made on its first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from steersman.model.fields import comparison
from steersman.model.fields.fieldset import SELF, Tree
from steersman.model.fields.structure import ElementError, Structure

# Returns what is given below a value
Read = Callable[[Any], Tree]

_LEAF: Final[Tree] = {}
_PLAIN: Final[dict[str, type]] = {
    "string": str,
    "numeric": int,
    "boolean": bool,
    "untyped": str,
}
_OTHERS: Final[dict[str, tuple[type, ...]]] = {
    "numeric": (int, float),
    "untyped": (str, int, float, bool),
}


class _Odd(Exception):
    """The walk met what it does not handle."""


class _Place(NamedTuple):
    """What may stand under a name.

    plain: the type that most values have, of which nothing more is to be known
    whole: with nothing below it, it is owned itself; a list with keys that is empty is not
    named: the name is a field's own, which is no member when it has members below
    """

    element: str
    plain: type | None
    read: Read
    whole: bool
    named: bool


def given(value: Any, structure: Structure) -> Tree | None:
    """Returns what `comparison.given` says of a value in which `granular.check` finds nothing and
    which holds no null; None where anything about it is odd."""
    try:
        return _reader(structure)(value)
    except _Odd:
        return None


def _reader(structure: Structure) -> Read:
    """Returns a structure's function, made on its first use: schemas may be recursive."""
    if (read := structure.read) is None:
        read = structure.read = _made(structure)
    return read


def _made(structure: Structure) -> Read:
    if structure.kind == "any":
        return _any_reader(structure)
    if structure.kind == "scalar":
        return _scalar_reader(structure.scalar)
    if structure.kind == "list":
        return _atomic_list_reader(structure) if structure.leaf else _list_reader(structure)
    return _map_reader(structure)


def _any_reader(structure: Structure) -> Read:
    def read(value: Any) -> Tree:
        if value is None:
            raise _Odd
        return comparison.given(value, structure)

    return read


def _scalar_reader(scalar: str) -> Read:
    types = _OTHERS.get(scalar) or (_PLAIN[scalar],)

    def read(value: Any) -> Tree:
        if type(value) not in types:
            raise _Odd
        return _LEAF

    return read


def _map_reader(structure: Structure) -> Read:
    places: dict[str, _Place] = {}
    find = places.get
    leaf = structure.leaf

    def read(value: Any) -> Tree:
        if type(value) is not dict:
            raise _Odd
        tree: Tree = {}
        for name, item in value.items():
            element, plain, read_item, whole, named = find(name) or _place(structure, name, places)
            if type(item) is plain:
                tree[element] = _LEAF
                continue
            below = read_item(item)
            if below:
                tree[element] = below if named else {SELF: _LEAF, **below}
            elif whole or not named or item == {}:
                tree[element] = _LEAF
        return _LEAF if leaf else tree

    return read


def _place(structure: Structure, name: str, places: dict[str, _Place]) -> _Place:
    """Returns what may stand under a name; that of a field is kept, other names have no bound."""
    named = name in structure.fields
    if structure.closed and not named:
        raise _Odd
    child = structure.child(name)
    plain = _PLAIN.get(child.scalar) if child.kind == "scalar" else None
    whole = child.leaf or child.kind == "any"
    place = _Place(f"f:{name}", plain, _reader(child), whole, named)
    if named:
        places[name] = place
    return place


def _list_reader(structure: Structure) -> Read:
    element_of = structure.element

    def read(value: Any) -> Tree:
        if type(value) is not list:
            raise _Odd
        tree: Tree = {}
        read_item = _reader(structure.items)
        for item in value:
            try:
                element = element_of(item)
            except ElementError:
                raise _Odd from None
            if element in tree:
                raise _Odd
            below = read_item(item)
            tree[element] = {SELF: _LEAF, **below} if below else _LEAF
        return tree

    return read


def _atomic_list_reader(structure: Structure) -> Read:
    def read(value: Any) -> Tree:
        if type(value) is not list:
            raise _Odd
        read_item = _reader(structure.items)
        for item in value:
            read_item(item)
        return _LEAF

    return read
