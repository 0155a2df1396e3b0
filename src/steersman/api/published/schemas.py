"""Definitions of the packed schema as OpenAPI documents, with descriptions.

Two dialects: Swagger 2.0 and OpenAPI 3.0 differ in where definitions stand, and in that 3.0 cannot
say anything beside a reference. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from steersman.model.kind import Document
from steersman.model.schema import INT_OR_STRING, QUANTITY

Dialect = Literal["v2", "v3"]
Shapes = Mapping[str, Mapping[str, Any]]
Texts = Mapping[str, Mapping[str, str]]

PREFIXES: Mapping[Dialect, str] = {"v2": "#/definitions/", "v3": "#/components/schemas/"}
_REFERENCES = ("items", "additionalProperties")
# Types that JSON schema of each dialect says in its own way (as kube-openapi writes them)
_SPECIAL: Mapping[tuple[str, Dialect], Document] = {
    (INT_OR_STRING, "v2"): {"type": "string", "format": "int-or-string"},
    (INT_OR_STRING, "v3"): {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    (QUANTITY, "v2"): {"type": "string"},
    (QUANTITY, "v3"): {"oneOf": [{"type": "string"}, {"type": "number"}]},
}


def reference(name: str, dialect: Dialect) -> Document:
    """Returns a reference to a definition."""
    return {"$ref": PREFIXES[dialect] + name}


def closure(shapes: Shapes, names: Iterable[str]) -> list[str]:
    """Returns the names and all that they refer to, sorted; unknown names are left out."""
    found: set[str] = set()
    waiting = [name for name in names if name in shapes]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(shapes[name]))
    return sorted(found)


def _references(raw: Mapping[str, Any]) -> list[str]:
    if "$ref" in raw:
        return [raw["$ref"]]
    found: list[str] = []
    for child in (raw.get("properties") or {}).values():
        found += _references(child)
    for key in _REFERENCES:
        if isinstance(raw.get(key), Mapping):
            found += _references(raw[key])
    return found


def render(name: str, shapes: Shapes, texts: Texts, dialect: Dialect) -> Document:
    """Returns one definition."""
    from steersman.api.published import values  # with the first document

    described = texts.get(name) or {}
    own = {"description": described[""]} if described.get("") else {}
    if special := _SPECIAL.get((name, dialect)):
        return {**own, **special}
    raw = shapes[name]
    found = {**own, **_node(raw, dialect)}
    if "properties" in raw:
        found["properties"] = {
            field: _property(child, described.get(field, ""), dialect)
            for field, child in raw["properties"].items()
        }
        for field, shown in found["properties"].items():
            values.tell(shown, name, field)
    return found


def _property(raw: Mapping[str, Any], text: str, dialect: Dialect) -> Document:
    own = {"description": text} if text else {}
    return {**own, **_node(raw, dialect)}


def _node(raw: Mapping[str, Any], dialect: Dialect) -> Document:
    found: Document = {}
    for key, value in raw.items():
        if key == "$ref":
            target = reference(value, dialect)
            found.update({"allOf": [target]} if dialect == "v3" else target)
        elif key in _REFERENCES and isinstance(value, Mapping):
            found[key] = _node(value, dialect)
        elif key == "properties":
            found[key] = {name: _node(child, dialect) for name, child in value.items()}
        elif isinstance(value, tuple | list):
            found[key] = list(value)
        else:
            found[key] = value
    return found
