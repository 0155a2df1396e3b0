"""The schema of the served Kubernetes minor: a tree of nodes read from the packed file.

A node says type, fields and merge rules. Custom resources' OpenAPI schemas become the same nodes
(`from_openapi`), so that pruning, patching and apply know one form only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from steersman.model import pack

FILE = Path(__file__).with_name(pack.FILE_NAME)
EARLIER_FILE = Path(__file__).with_name(pack.EARLIER_FILE)

ListType = Literal["atomic", "set", "map"]

# Types beyond JSON's: `any` keeps what it is given, the others are strings or numbers
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions"
_UNIONS = (
    "JSON",
    "JSONSchemaPropsOrArray",
    "JSONSchemaPropsOrBool",
    "JSONSchemaPropsOrStringArray",
)
_ANY = (
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    *(f"{_EXTENSIONS}.{version}.{name}" for version in ("v1", "v1beta1") for name in _UNIONS),
)


class SchemaMismatch(RuntimeError):
    """The packed schema is missing or was made for another pin; the text says what to run."""


class Node:
    """One place in a schema. Children resolve on first use, so recursion costs nothing.

    type:        object array string integer number boolean int-or-string quantity any
    format:      int32 int64 double byte date-time, or empty
    definition:  the definition's full name where the node stands for one, else empty
    required:    names of fields that must be given
    list_type:   atomic, set or map, with `list_keys`
    map_type:    granular or atomic
    merge_key, patch_strategies: strategic merge patch (x-kubernetes-patch-*)
    preserve:    unknown fields are kept
    """

    __slots__ = (
        "_fields",
        "_items",
        "_raw",
        "_values",
        "definition",
        "format",
        "list_keys",
        "list_type",
        "map_type",
        "merge_key",
        "patch_strategies",
        "preserve",
        "required",
        "schema",
        "type",
    )

    def __init__(self, schema: Schema, raw: Mapping[str, Any], definition: str) -> None:
        self.schema = schema
        self.definition = definition
        self._raw = raw
        self._fields: dict[str, Node] | None = None
        self._items: Node | None = None
        self._values: Node | None = None
        self.type: str = _type_of(raw, definition)
        self.format: str = raw.get("format", "")
        self.required: tuple[str, ...] = tuple(raw.get("required", ()))
        self.list_type: ListType = raw.get("x-kubernetes-list-type", "atomic")
        self.list_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys", ()))
        self.map_type: str = raw.get("x-kubernetes-map-type", "granular")
        self.merge_key: str = raw.get("x-kubernetes-patch-merge-key", "")
        strategies = raw.get("x-kubernetes-patch-strategy", "")
        self.patch_strategies = frozenset(strategies.split(",")) if strategies else frozenset()
        self.preserve: bool = bool(raw.get("x-kubernetes-preserve-unknown-fields"))

    @property
    def fields(self) -> Mapping[str, Node]:
        """The known fields of an object; empty for a map and for other types."""
        if self._fields is None:
            properties = self._raw.get("properties") or {}
            self._fields = {name: self.schema.resolve(child) for name, child in properties.items()}
        return self._fields

    @property
    def items(self) -> Node | None:
        """What the elements of an array are."""
        if self._items is None and "items" in self._raw:
            self._items = self.schema.resolve(self._raw["items"])
        return self._items

    @property
    def values(self) -> Node | None:
        """What the values of a map are; None where the object has fixed fields."""
        if self._values is None and isinstance(self._raw.get("additionalProperties"), dict):
            self._values = self.schema.resolve(self._raw["additionalProperties"])
        return self._values

    @property
    def raw(self) -> Mapping[str, Any]:
        """The packed form, for documents."""
        return self._raw

    def __repr__(self) -> str:
        return f"<Node {self.definition or self.type}>"


def _type_of(raw: Mapping[str, Any], definition: str) -> str:
    if definition == INT_OR_STRING or raw.get("x-kubernetes-int-or-string"):
        return "int-or-string"
    if definition == QUANTITY:
        return "quantity"
    if definition in _ANY:
        return "any"
    if kind := raw.get("type"):
        return str(kind)
    return "object" if "properties" in raw else "any"


class Schema:
    """All definitions of one Kubernetes minor by full name, and behind them those of versions that
    it no longer has, which `earlier` brings when one of them is first asked for."""

    def __init__(
        self, shapes: Mapping[str, Any], earlier: Callable[[], Mapping[str, Any]] = dict
    ) -> None:
        self._shapes = shapes
        self._earlier = earlier
        self._nodes: dict[str, Node] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    @property
    def shapes(self) -> Mapping[str, Any]:
        """The packed form of every definition of the minor."""
        return self._shapes

    def shape(self, name: str) -> Mapping[str, Any]:
        """Returns the packed form of a definition; raises KeyError for an unknown name."""
        found: Mapping[str, Any] | None = self._shapes.get(name)
        return found if found is not None else self._earlier()[name]

    def definition(self, name: str) -> Node:
        """Returns the node of a definition; raises KeyError for an unknown name."""
        if (node := self._nodes.get(name)) is None:
            node = self._nodes[name] = Node(self, self.shape(name), name)
        return node

    def resolve(self, raw: Mapping[str, Any]) -> Node:
        """Returns the node for a raw schema, following its reference; attributes beside the
        reference (patch strategy, list type) override the definition's."""
        if (name := raw.get("$ref")) is None:
            return Node(self, raw, "")
        beside = {key: value for key, value in raw.items() if key.startswith("x-")}
        if not beside:
            return self.definition(name)
        return Node(self, {**self.shape(name), **beside}, name)


def from_openapi(document: Mapping[str, Any]) -> Node:
    """Returns the root node of a structural OpenAPI v3 schema (a custom resource's version)."""
    return Node(builtin(), document, "")


_minor = pack.NUMBER


def minor() -> int:
    """Returns the minor of Kubernetes 1 that this process serves."""
    return _minor


def serve(number: int) -> None:
    """Has this process serve an earlier minor. One process serves one: it is said once, before a
    definition has been looked at."""
    global _minor
    if number != _minor and builtin.cache_info().currsize:
        raise RuntimeError("the schema has been read already")
    _minor = number


@cache
def builtin() -> Schema:
    """Returns the packed schema of the served minor; raises SchemaMismatch.

    Behind an earlier minor's definitions stand those of 1.37 too: parts of the server use kinds
    that it does not show.
    """
    check_pin()
    now = pack.read(FILE, 0)
    if _minor == pack.NUMBER:
        return Schema(now, earlier)
    _check(EARLIER_FILE, pack.EARLIER_PIN)
    differences = pack.read(EARLIER_FILE, pack.MINORS)
    then = pack.apply_difference(now, differences[str(_minor)])
    return Schema(then, lambda: {**earlier(), **now})


@cache
def earlier() -> Mapping[str, Any]:
    """Returns the definitions of versions that were removed; raises SchemaMismatch."""
    _check(EARLIER_FILE, pack.EARLIER_PIN)
    shapes: Mapping[str, Any] = pack.read(EARLIER_FILE, pack.REMOVED)
    return shapes


@cache
def descriptions() -> Mapping[str, Mapping[str, str]]:
    """Returns descriptions by definition, then by field; "" is the definition's own."""
    check_pin()
    texts: Mapping[str, Mapping[str, str]] = pack.read(FILE, 1)
    return texts


def check_pin() -> None:
    """Refuses a packed schema that is missing or was made for another pin."""
    _check(FILE, pack.PIN)


def _check(file: Path, pin: str) -> None:
    how = "run `python hatch_build.py` in the checkout, or install the package again"
    if not file.exists():
        raise SchemaMismatch(f"{file.name} is missing: {how}")
    if (found := pack.pin_of(file)) != pin:
        raise SchemaMismatch(f"{file.name} was made for {found}, not {pin}: {how}")
