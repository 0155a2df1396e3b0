"""Is a schema structural: every value that it speaks of has one known type.

Follows apiextensions' schema/validation.go and schema/complete.go, whose texts these are. Pure; a
schema is the JSON of a JSONSchemaProps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.structural import patterns

Raw = Mapping[str, Any]
Level = Literal["root", "items", "field"]

_EMPTY_TYPE: Final[Mapping[Level, str]] = {
    "root": "must not be empty at the root",
    "items": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_NO = "must be empty to be structural"
_FALSE = "must be false to be structural"
_UNDEFINED = "must be undefined to be structural"
# what may not stand inside of allOf, anyOf, oneOf, not
_NOT_NESTED: Final = (
    ("title", _NO),
    ("description", _NO),
    ("nullable", _FALSE),
    ("x-kubernetes-preserve-unknown-fields", _FALSE),
    ("x-kubernetes-embedded-resource", _FALSE),
    ("x-kubernetes-int-or-string", _FALSE),
    ("x-kubernetes-list-map-keys", _NO),
    ("x-kubernetes-list-type", _UNDEFINED),
    ("x-kubernetes-map-type", _UNDEFINED),
    ("x-kubernetes-validations", _NO),
)
_UNSUPPORTED: Final = (
    ("id", "id"),
    ("$schema", "schema"),
    ("$ref", "$ref"),
    ("patternProperties", "patternProperties"),
    ("dependencies", "dependencies"),
    ("additionalItems", "additionalItems"),
    ("definitions", "definitions"),
)


def unsupported(raw: Raw) -> str:
    """Returns why a schema cannot be taken as structural at all, empty where it can."""
    for name, shown in _UNSUPPORTED:
        if raw.get(name):
            return f"OpenAPIV3Schema '{shown}' is not supported"
    if isinstance(raw.get("items"), list):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    return next(filter(None, map(unsupported, below(raw))), "")


def below(raw: Raw) -> Iterator[Raw]:
    """Yields the schemas that stand in a schema."""
    for name in ("items", "additionalProperties", "not"):
        if isinstance(raw.get(name), Mapping):
            yield raw[name]
    yield from (raw.get("properties") or {}).values()
    for name in ("allOf", "anyOf", "oneOf"):
        yield from raw.get(name) or ()


def check(raw: Raw, path: str) -> list[Cause]:
    """Returns what is not structural, sorted as upstream sorts it."""
    found = [*_check(raw, "root", path), *_check_complete(raw, raw, path, path)]
    return sorted(found, key=lambda cause: f"{cause.field}: {cause.message}")


def _check(raw: Raw, level: Level, path: str) -> Iterator[Cause]:
    items, more = raw.get("items"), raw.get("additionalProperties")
    if raw.get("type") == "array" and not isinstance(items, Mapping):
        yield causes.required(f"{path}.items", "must be specified")
    if isinstance(items, Mapping):
        yield from _check(items, "items", f"{path}.items")
    for name, field in (raw.get("properties") or {}).items():
        yield from _check(field, "field", f"{path}.properties[{name}]")
    if more is not None and level == "root":
        yield causes.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(more, Mapping):
        yield from _check(more, "field", f"{path}.additionalProperties")
    yield from _check_extensions(raw, path)
    yield from _check_values(raw, level, path, skip_any=_is_int_or_string(raw))
    yield from _check_type(raw, level, path)
    yield from _check_meta(raw, level, path)


def _check_extensions(raw: Raw, path: str) -> Iterator[Cause]:
    if not raw.get("x-kubernetes-int-or-string"):
        return
    for name in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
        if raw.get(name):
            detail = "must be false if x-kubernetes-int-or-string is true"
            yield causes.invalid(f"{path}.{name}", True, detail)


def _check_type(raw: Raw, level: Level, path: str) -> Iterator[Cause]:
    kind, embedded = raw.get("type") or "", raw.get("x-kubernetes-embedded-resource")
    keeps = raw.get("x-kubernetes-preserve-unknown-fields")
    if embedded and kind != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        place = f"{path}.type"
        yield causes.invalid(place, kind, detail) if kind else causes.required(place, detail)
    elif not kind and not raw.get("x-kubernetes-int-or-string") and not keeps:
        yield causes.required(f"{path}.type", _EMPTY_TYPE[level])
    if embedded and raw.get("additionalProperties") is not None:
        detail = "must not be used if x-kubernetes-embedded-resource is set"
        yield causes.forbidden(f"{path}.additionalProperties", detail)
    if level == "root" and kind and kind != "object":
        yield causes.invalid(f"{path}.type", kind, "must be object at the root")
    if embedded and not keeps and not raw.get("properties"):
        detail = (
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        )
        yield causes.required(f"{path}.properties", detail)


def _check_meta(raw: Raw, level: Level, path: str) -> Iterator[Cause]:
    """Checks what a schema says of the fields that every object has."""
    properties = raw.get("properties") or {}
    if level != "root" and not raw.get("x-kubernetes-embedded-resource"):
        return
    for name in ("kind", "apiVersion"):
        if name in properties and properties[name].get("type") != "string":
            kind = properties[name].get("type") or ""
            yield causes.invalid(f"{path}.properties[{name}].type", kind, "must be string")
    if (metadata := properties.get("metadata")) is None:
        return
    place = f"{path}.properties[metadata]"
    if metadata.get("type") != "object":
        yield causes.invalid(f"{place}.type", metadata.get("type") or "", "must be object")
    if level == "root" and not _is_bare(metadata):
        detail = (
            "must not specify anything other than name and generateName, but metadata is "
            "implicitly specified"
        )
        yield causes.forbidden(place, detail)


def _is_bare(metadata: Raw) -> bool:
    """Says whether a schema of metadata speaks of names alone."""
    fields = set(metadata.get("properties") or {})
    others = {name for name, value in metadata.items() if value} - {"type", "default"}
    if fields and fields <= {"name", "generateName"}:
        others.discard("properties")
    return not others


def _is_int_or_string(raw: Raw) -> bool:
    return list(raw.get("anyOf") or ()) == _INT_OR_STRING


def _check_values(raw: Raw, level: Level, path: str, *, skip_any: bool = False) -> Iterator[Cause]:
    """Checks what a schema says of values: alternatives speak of values alone."""
    every = raw.get("allOf") or ()
    if not skip_any:
        for index, one in enumerate(raw.get("anyOf") or ()):
            yield from _check_nested(one, level, f"{path}.anyOf[{index}]")
    for index, one in enumerate(every):
        skip = index == 0 and _is_int_or_string(one)
        yield from _check_nested(one, level, f"{path}.allOf[{index}]", skip_any=skip)
    for index, one in enumerate(raw.get("oneOf") or ()):
        yield from _check_nested(one, level, f"{path}.oneOf[{index}]")
    if isinstance(raw.get("not"), Mapping):
        yield from _check_nested(raw["not"], level, f"{path}.not")
    if pattern := raw.get("pattern"):
        try:
            patterns.matcher(pattern)
        except patterns.BadPattern as error:
            detail = f"must be a valid regular expression, but isn't: {error}"
            yield causes.invalid(f"{path}.pattern", pattern, detail)


def _check_nested(raw: Raw, level: Level, path: str, *, skip_any: bool = False) -> Iterator[Cause]:
    yield from _check_values(raw, level, path, skip_any=skip_any)
    if isinstance(raw.get("items"), Mapping):
        yield from _check_nested(raw["items"], level, f"{path}.items")
    for name, field in (raw.get("properties") or {}).items():
        yield from _check_nested(field, "field", f"{path}.properties[{name}]")
    if raw.get("type"):
        yield causes.forbidden(f"{path}.type", _NO)
    if raw.get("additionalProperties"):
        yield causes.forbidden(f"{path}.additionalProperties", _UNDEFINED)
    if raw.get("default") is not None:
        yield causes.forbidden(f"{path}.default", _UNDEFINED)
    for name, detail in _NOT_NESTED:
        if raw.get(name):
            yield causes.forbidden(f"{path}.{name}", detail)
    if "metadata" in (raw.get("properties") or {}):
        detail = "must not be specified in a nested context"
        yield causes.forbidden(f"{path}.properties[metadata]", detail)


def _check_complete(raw: Raw, known: Raw | None, place: str, path: str) -> Iterator[Cause]:
    """Checks that what alternatives speak of is described outside of them."""
    for one, where in _alternatives(raw, path):
        yield from _check_known(one, known, place, where)


def _alternatives(raw: Raw, path: str) -> Iterator[tuple[Raw, str]]:
    if isinstance(raw.get("not"), Mapping):
        yield raw["not"], f"{path}.not"
    for name in ("allOf", "anyOf", "oneOf"):
        for index, one in enumerate(raw.get(name) or ()):
            yield one, f"{path}.{name}[{index}]"


def _check_known(raw: Raw, known: Raw | None, place: str, path: str) -> Iterator[Cause]:
    if known is None:
        yield causes.required(place, f"because it is defined in {path}")
        return
    yield from _check_complete(raw, known, place, path)
    if isinstance(raw.get("items"), Mapping):
        items = known.get("items")
        inner = items if isinstance(items, Mapping) else None
        yield from _check_known(raw["items"], inner, f"{place}.items", f"{path}.items")
    named = known.get("properties") or {}
    for name, field in (raw.get("properties") or {}).items():
        at = f".properties[{name}]"
        yield from _check_known(field, named.get(name), place + at, path + at)


def walk(raw: Raw, visit: Callable[[Raw], None]) -> None:
    """Visits a schema and all that stand in it."""
    visit(raw)
    for one in below(raw):
        walk(one, visit)
