"""How a place in the schema merges: as one leaf, as a list of items with keys, as a map.

The view of a `Node` that field ownership and server-side apply share, after
structured-merge-diff's schema. What the schema leaves open is judged by the value: maps are
granular, lists and plain values are leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Final, Literal

from steersman.model.fields import presence
from steersman.model.gotext import quote, shown
from steersman.model.schema import Node, Schema, builtin

Kind = Literal["scalar", "list", "map", "any"]

_CACHED: Final = 2048  # roots: built-in kinds and versions of custom resources
# Defaults of list keys; the packed schema has none (k8s.io/api core/v1/types.go, `+default`)
_KEY_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "io.k8s.api.core.v1.ContainerPort": {"protocol": "TCP"},
    "io.k8s.api.core.v1.ServicePort": {"protocol": "TCP"},
    "io.k8s.api.core.v1.LocalObjectReference": {"name": ""},
}
# no comparison sees it, for it is taken out before
_UNSEEN: Final = ("managedFields",)
_OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_SCALARS: Final = {
    "string": "string",
    "integer": "numeric",
    "number": "numeric",
    "boolean": "boolean",
    "int-or-string": "untyped",
    "quantity": "untyped",
}


class ElementError(ValueError):
    """An item of a list has no key to tell it by; the text is upstream's."""


class Structure:
    """How one place merges. Children resolve on first use, as a Node's do.

    kind:    scalar, list, map, or any (judged by the value)
    leaf:    owned as a whole: a scalar, an atomic list, an atomic map
    scalar:  string, numeric, boolean or untyped
    keys:    names of the fields that tell items of a list apart; empty for a set
    closed:  only the named fields may stand here
    """

    __slots__ = (
        "_defaults",
        "_definite",
        "_fields",
        "_items",
        "_names_alone",
        "_nested",
        "_telling",
        "_values",
        "closed",
        "keys",
        "kind",
        "leaf",
        "node",
        "read",
        "scalar",
        "walk",
    )

    def __init__(self, node: Node | None) -> None:
        self.node = node
        self.kind: Kind = _kind_of(node)
        self.scalar: str = _SCALARS.get(node.type, "") if node is not None else ""
        self.leaf = node is not None and _is_leaf(node, self.kind)
        self.keys: tuple[str, ...] = ()
        if node is not None and self.kind == "list" and node.list_type == "map":
            self.keys = node.list_keys
        self.closed = False
        if node is not None and self.kind == "map":
            self.closed = node.values is None and not node.preserve
        self._fields: dict[str, Structure] | None = None
        self._nested: dict[str, Structure] | None = None
        self._items: Structure | None = None
        self._values: Structure | None = None
        self._defaults: Mapping[str, Any] | None = None
        self._definite: bool | None = None
        self._names_alone: bool | None = None
        self._telling: tuple[tuple[tuple[str, ...], Any], ...] | None = None
        # how `shapes` notes a value's shape, and `reading` what it gives, once they were asked
        self.walk: Callable[[Any, Callable[[Any], None]], None] | None = None
        self.read: Callable[[Any], dict[str, Any]] | None = None

    @property
    def fields(self) -> Mapping[str, Structure]:
        """The fields that have names of their own."""
        if self._fields is None:
            named = self.node.fields if self.node is not None and self.kind == "map" else {}
            self._fields = {name: Structure(child) for name, child in named.items()}
        return self._fields

    @property
    def nested(self) -> Mapping[str, Structure]:
        """The named fields that are no leaves."""
        if self._nested is None:
            self._nested = {name: it for name, it in self.fields.items() if not it.leaf}
        return self._nested

    @property
    def values(self) -> Structure:
        """What stands under a name that is no field's; where none may stand, a leaf."""
        if self._values is None:
            values = self.node.values if self.node is not None else None
            unknown = _ANY_LEAF if self.closed else ANY
            self._values = Structure(values) if values is not None else unknown
        return self._values

    @property
    def items(self) -> Structure:
        """What the items of a list are."""
        if self._items is None:
            items = self.node.items if self.node is not None else None
            self._items = Structure(items) if items is not None else ANY
        return self._items

    def extend(self, fields: Mapping[str, Structure]) -> None:
        """Makes this a map that has further fields; only before its first use."""
        self._fields = {**self.fields, **fields}
        self.kind, self.leaf = "map", False

    @property
    def names_alone(self) -> bool:
        """Whether a map holds leaves only, so that its names are all there is to own."""
        if self._names_alone is None:
            named = self.closed or self.node is None or self.values.leaf
            self._names_alone = self.node is not None and named and not self.nested
        return self._names_alone

    @property
    def telling(self) -> tuple[tuple[tuple[str, ...], Any], ...]:
        """Paths to the leaves that a fresh object of this kind holds, and what it holds there."""
        if self._telling is None:
            self._telling = tuple(self._fresh_leaves(self.start(), ()))
        return self._telling

    @property
    def definite(self) -> bool:
        """Whether the schema says of all below what type it has, so that `==`, to which True is
        1, compares well enough; it is many times faster than a walk."""
        return self._is_definite(frozenset())

    def _is_definite(self, above: frozenset[str]) -> bool:
        if self._definite is None:
            self._definite = self._all_definite(above)
        return self._definite

    def _all_definite(self, above: frozenset[str]) -> bool:
        if self.kind in ("scalar", "any"):
            return self.kind == "scalar"
        definition = self.node.definition if self.node is not None else ""
        if definition in above:
            # a schema that holds itself: nobody needs it fast
            return False
        above = above | {definition} if definition else above
        if self.kind == "list":
            return self.items._is_definite(above)
        named = (it._is_definite(above) for name, it in self.fields.items() if name not in _UNSEEN)
        return all(named) and (self.closed or self.values._is_definite(above))

    def child(self, name: str) -> Structure:
        """Returns what stands under a name."""
        return self.fields.get(name) or self.values

    def element(self, item: Any) -> str:
        """Returns what tells an item of a list, as it stands in FieldsV1 (`k:{...}`, `v:...`).

        Raises ElementError.
        """
        return self._keyed(item) if self.keys else _valued(item)

    def start(self) -> dict[str, Any]:
        """Returns the object of this kind that nobody has touched, as far as it is a struct.

        Nothing is there of a custom resource before it is written.
        """
        if self.node is None or not self.node.definition or "metadata" not in self.fields:
            return {}
        return {"metadata": {}, **self._start()}

    def _start(self) -> dict[str, Any]:
        present = presence.fields().get(self.node.definition, {}) if self.node is not None else {}
        return {
            name: self.child(name)._start() if isinstance(value, dict) else value
            for name, value in present.items()
        }

    def _fresh_leaves(
        self, value: dict[str, Any], prefix: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name, item in value.items():
            child = self.child(name)
            if child.leaf:
                yield (*prefix, name), item
            elif isinstance(item, dict):
                yield from child._fresh_leaves(item, (*prefix, name))

    def _keyed(self, item: Any) -> str:
        if not isinstance(item, dict):
            what = "a null element" if item is None else "non-map elements"
            raise ElementError(f"associative list with keys may not have {what}")
        found = {name: item[name] for name in self.keys if name in item}
        if len(found) != len(self.keys):
            found = {**self._key_defaults(), **found}
            if not found:
                listed = " ".join(map(quote, self.keys))
                raise ElementError(
                    "associative list with keys has an element that omits all key fields "
                    f"[{listed}] (and doesn't have default values for any key fields)"
                )
        if len(found) > 1:
            found = dict(sorted(found.items()))
        return f"k:{shown(found)}"

    def _key_defaults(self) -> Mapping[str, Any]:
        if self._defaults is None:
            node = self.items.node
            given = _KEY_DEFAULTS.get(node.definition, {}) if node is not None else {}
            own = {
                name: it.node.raw.get("default")
                for name, it in self.items.fields.items()
                if it.node
            }
            known = {**own, **given}
            self._defaults = {
                name: known[name] for name in self.keys if known.get(name) is not None
            }
        return self._defaults


def _valued(item: Any) -> str:
    if item is None:
        raise ElementError("associative list without keys has an element that's an explicit null")
    if isinstance(item, dict):
        raise ElementError("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise ElementError("not supported: associative list with lists as elements")
    return f"v:{shown(item)}"


def _kind_of(node: Node | None) -> Kind:
    if node is None:
        return "any"
    if node.type in _SCALARS:
        return "scalar"
    if node.type == "array":
        return "list"
    if node.type == "object" and (node.fields or node.values is not None):
        return "map"
    return "any"


def _is_leaf(node: Node, kind: Kind) -> bool:
    if kind == "list":
        keyed = node.list_type == "map" and node.list_keys
        return not (keyed or node.list_type == "set")
    return kind == "scalar" or node.map_type == "atomic"


ANY: Final = Structure(None)
_ANY_LEAF: Final = Structure(None)
_ANY_LEAF.leaf = True
_ANY_MAP: Final = Structure(None)
_ANY_MAP.kind = "map"


def judged(structure: Structure, value: Any) -> Structure:
    """Returns the structure that counts for a value, where the schema leaves it open."""
    if structure.kind != "any" or structure.leaf:
        return structure
    return _ANY_MAP if isinstance(value, dict) else _ANY_LEAF


@lru_cache(_CACHED)
def structure_of(node: Node) -> Structure:
    """Returns the structure of a kind, made once.

    A custom resource's own schema need not speak of what every object has; it is added here.
    """
    structure = Structure(node)
    if not node.definition:
        structure.extend(_object_fields())
    return structure


@cache
def _object_fields() -> Mapping[str, Structure]:
    text = Structure(Schema({}).resolve({"type": "string"}))
    metadata = Structure(builtin().definition(_OBJECT_META))
    return {"apiVersion": text, "kind": text, "metadata": metadata}
