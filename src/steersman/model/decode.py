"""Takes a freshly parsed JSON document into a kind's shape: types checked, unknown fields and nulls
dropped, quantities and times in their canonical text, defaults applied.

The one rule: a walk that meets nothing odd makes no paths and no copies (20 µs for an ordinary
Pod). Its functions are made per definition, each when a document first reaches it. Whatever is odd
raises `_Odd`, and `mistakes` walks again, slowly, to say what is wrong or to leave it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from steersman.model import defaults, gates, mistakes, quantity, schema
from steersman.model.defaults import Defaults
from steersman.model.kind import Document
from steersman.model.schema import Node

# Checks a value in place; returns what to put in its stead, None to leave it
Walk = Callable[[Any], Any]

# a day that every month has; the slow walk looks at the others
_DAY = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_TIME = re.compile(f"{_DAY}Z", re.ASCII).fullmatch
_MICRO_TIME = re.compile(rf"{_DAY}\.\d{{6}}Z", re.ASCII).fullmatch
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch
# Definitions whose amounts by name are resource lists
_WITH_RESOURCE_LISTS = ("io.k8s.api.core.v1.", "io.k8s.api.node.")
# Texts of quantities seen lately; a big cluster has some hundreds of them
_QUANTITIES_KEPT = 4096


class Admitted(msgspec.Struct, frozen=True):
    """A document in its kind's shape and the paths of the fields that its kind does not have."""

    document: Document
    unknown: tuple[str, ...] = ()


class _Odd(Exception):
    """The fast walk met what it does not handle."""


def admit(definition: str, document: Any, kind: str, version: str) -> Admitted:
    """Takes a document into the shape of a built-in definition; owns (and changes) the document.

    Raises BadRequest with upstream's words, which name the kind and version.
    """
    walk = _WALKS[definition]
    try:
        walk(document)
    except _Odd:
        node = schema.builtin().definition(definition)
        unknown = mistakes.settle(node, document, kind, version)
        walk(document)
        return Admitted(document, unknown)
    return Admitted(document)


def takes(definition: str, part: Any) -> bool:
    """Takes a part of a document into its definition's shape, in place; False where anything about
    it is odd, after which it is not to be used."""
    try:
        _WALKS[definition](part)
    except _Odd:
        return False
    return True


class _Walks(dict[str, Walk]):
    """The walk of each definition, made on first use."""

    def __missing__(self, definition: str) -> Walk:
        walk = self[definition] = _object(schema.builtin().definition(definition))
        return walk


class _Fields(dict[str, Walk]):
    """How the fields of an object are walked, each made when it is first met."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def __missing__(self, name: str) -> Walk:
        if (node := self._node.fields.get(name)) is None:
            raise _Odd
        amounts = node.values is not None and node.values.type == "quantity"
        walk: Walk
        if amounts and self._node.definition.startswith(_WITH_RESOURCE_LISTS):
            walk = self[name] = _resource_list
        else:
            walk = self[name] = _walk(node)
        return walk


_WALKS = _Walks()


def _walk(node: Node) -> Walk:
    if node.type == "object":
        if node.definition and node.fields:
            return _WALKS[node.definition]
        return _map(node) if node.values is not None else _object(node)
    if node.type == "array":
        return _list(node)
    if node.definition == mistakes.MICRO_TIME:
        return _micro_time
    return _SCALARS.get((node.type, node.format)) or _SCALARS[node.type, ""]


def _object(node: Node) -> Walk:
    if not node.fields:
        return _untyped
    get_type = _plain_types(node).get
    others = _Fields(node)
    zero, unset, then = _defaults(node)
    structs = defaults.structs(node)

    def walk(document: Any) -> None:
        if type(document) is not dict:
            raise _Odd
        for name in structs:
            if document.get(name) is None:
                document[name] = {}
        nulls = False
        for name, value in document.items():
            if type(value) is get_type(name):
                continue
            check = others[name]
            if value is None:
                nulls = True
            elif (changed := check(value)) is not None:
                document[name] = changed
        if nulls:
            _drop_nulls(document)
        for name, value in zero:
            if not document.get(name):
                document[name] = value
        for name, value in unset:
            if name not in document:
                document[name] = value if type(value) is not dict else _fresh(value)
        if then is not None:
            then(document)

    off = tuple(name for name in gates.off(node.definition, schema.minor()) if name in node.fields)
    return _without(off, walk) if off else walk


def _without(off: tuple[str, ...], walk: Walk) -> Walk:
    """Returns a walk that leaves out, once they are known to be sound, fields that the minor which
    is served had switched off."""

    def leave_out(document: Any) -> None:
        walk(document)
        for name in off:
            document.pop(name, None)

    return leave_out


def _defaults(node: Node) -> tuple[tuple[Any, ...], tuple[Any, ...], defaults.Then | None]:
    """Returns what the fields of an object become; an earlier minor has not all of them."""
    found = defaults.of(node.definition) or Defaults()
    zero, unset = (
        tuple((name, value) for name, value in fields.items() if name in node.fields)
        for fields in (found.zero, found.unset)
    )
    return zero, unset, found.then


def _fresh(default: Document) -> Document:
    """Returns a copy of an object, for the one who gets it may change it."""
    return {
        name: _fresh(value) if type(value) is dict else value for name, value in default.items()
    }


def _plain_types(node: Node) -> dict[str, type]:
    types = {("string", ""): str, ("boolean", ""): bool}
    fields = node.fields.items()
    keys = ((name, (field.type, field.format)) for name, field in fields)
    return {name: types[key] for name, key in keys if key in types}


def _drop_nulls(document: Document) -> None:
    for name in [name for name, value in document.items() if value is None]:
        del document[name]


def _list(node: Node) -> Walk:
    items = node.items
    if items is None or items.type == "any":
        return _untyped_list
    if (items.type, items.format) == ("string", ""):
        return _strings
    inner = _later(items)
    if items.type == "object":
        return _objects(inner)

    def walk(values: Any) -> None:
        if type(values) is not list:
            raise _Odd
        for index, value in enumerate(values):
            changed = inner(value)
            if changed is not None:
                values[index] = changed

    return walk


def _objects(inner: Walk) -> Walk:
    def walk(values: Any) -> None:
        if type(values) is not list:
            raise _Odd
        for value in values:
            inner(value)

    return walk


def _map(node: Node) -> Walk:
    values = node.values
    assert values is not None
    if (values.type, values.format) == ("string", ""):
        return _string_map
    if values.type == "quantity":
        return _quantity_map
    inner = _later(values)

    def walk(document: Any) -> None:
        if type(document) is not dict:
            raise _Odd
        for name, value in document.items():
            changed = inner(value)
            if changed is not None:
                document[name] = changed

    return walk


def _later(node: Node) -> Walk:
    """Returns the walk of a node; that of an object is made on first use, since some definitions
    hold themselves."""
    if not (node.type == "object" and node.definition and node.fields):
        return _walk(node)
    definition = node.definition
    if definition in _WALKS:
        return _WALKS[definition]
    return lambda value: _WALKS[definition](value)


def _untyped(value: Any) -> None:
    if type(value) is not dict:
        raise _Odd


def _untyped_list(value: Any) -> None:
    if type(value) is not list:
        raise _Odd


def _strings(values: Any) -> None:
    if type(values) is not list:
        raise _Odd
    for value in values:
        if type(value) is not str:
            raise _Odd


def _string_map(document: Any) -> None:
    if type(document) is not dict:
        raise _Odd
    for value in document.values():
        if type(value) is not str:
            raise _Odd


def _quantity_map(document: Any) -> None:
    if type(document) is not dict:
        raise _Odd
    for name, value in document.items():
        if type(value) is not str:
            document[name] = _quantity(value)
        elif (text := _canonical(value)) != value:
            document[name] = text


def _resource_list(document: Any) -> None:
    """Takes amounts of resources, which are rounded up to thousandths (SetDefaults_ResourceList in
    pkg/apis/core/v1)."""
    _quantity_map(document)
    for name, value in document.items():
        if value is not None and (text := _thousandths(value)) != value:
            document[name] = text


def _any(_value: Any) -> None:
    """Takes anything: where a field could be null nobody asks."""


def _string(value: Any) -> None:
    if type(value) is not str:
        raise _Odd


def _boolean(value: Any) -> None:
    if type(value) is not bool:
        raise _Odd


def _int32(value: Any) -> None:
    if type(value) is not int or not -0x80000000 <= value <= 0x7FFFFFFF:
        raise _Odd


def _int64(value: Any) -> None:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _Odd


def _number(value: Any) -> None:
    if type(value) is not int and type(value) is not float:
        raise _Odd


def _int_or_string(value: Any) -> None:
    if type(value) is not str:
        _int32(value)


def _bytes(value: Any) -> None:
    if type(value) is not str or not _BASE64(value):
        raise _Odd


def _time(value: Any) -> str | None:
    if type(value) is not str:
        raise _Odd
    if _TIME(value):
        return None
    return _changed_time(value, micro=False)


def _micro_time(value: Any) -> str | None:
    if type(value) is not str:
        raise _Odd
    return None if _MICRO_TIME(value) else _changed_time(value, micro=True)


def _changed_time(value: str, micro: bool) -> str:
    text = mistakes.canonical_time(value, micro)
    if text is None:
        raise _Odd
    return text


def _quantity(value: Any) -> str | None:
    if type(value) is str:
        text = _canonical(value)
        return None if text == value else text
    if type(value) is not int and type(value) is not float:
        raise _Odd
    return _canonical(repr(value))


@lru_cache(_QUANTITIES_KEPT)
def _canonical(value: str) -> str:
    try:
        return str(quantity.parse(value.strip()))
    except quantity.QuantityError:
        raise _Odd from None


@lru_cache(_QUANTITIES_KEPT)
def _thousandths(value: str) -> str:
    return str(quantity.parse(value).in_thousandths())


_SCALARS: dict[tuple[str, str], Walk] = {
    ("string", ""): _string,
    ("string", "byte"): _bytes,
    ("string", "date-time"): _time,
    ("boolean", ""): _boolean,
    ("integer", ""): _int64,
    ("integer", "int32"): _int32,
    ("integer", "int64"): _int64,
    ("number", ""): _number,
    ("int-or-string", ""): _int_or_string,
    ("quantity", ""): _quantity,
    ("any", ""): _any,
}
