"""The definitions of custom resources in OpenAPI documents: what each dialect can say of a schema.

Follows apiextensions' controller/openapi: builder.go, and v2/conversion.go for what old kubectl
cannot read. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from steersman.api.published.operations import META
from steersman.api.published.schemas import Dialect
from steersman.model.kind import Document, Kind

Raw = Mapping[str, Any]

_GVK: Final = "x-kubernetes-group-version-kind"
_KEEPS: Final = "x-kubernetes-preserve-unknown-fields"
_EMBEDS: Final = "x-kubernetes-embedded-resource"
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf", "not")
_ABOUT: Final = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture"
_TYPE_META: Final[Document] = {
    "apiVersion": {
        "description": "APIVersion defines the versioned schema of this representation of an "
        "object. Servers should convert recognized schemas to the latest internal value, and may "
        f"reject unrecognized values. {_ABOUT}/api-conventions.md#resources",
        "type": "string",
    },
    "kind": {
        "description": "Kind is a string value representing the REST resource this object "
        "represents. Servers may infer this from the endpoint the client submits requests to. "
        f"Cannot be updated. In CamelCase. {_ABOUT}/api-conventions.md#types-kinds",
        "type": "string",
    },
}


def custom_name(kind: Kind, version: str) -> str:
    """Returns the definition's name of a custom resource: the group reversed, version, kind."""
    return ".".join([*reversed(kind.group.split(".")), version, kind.name])


def list_name(kind: Kind, version: str) -> str:
    """Returns the name of the definition of its lists."""
    return custom_name(kind, version).removesuffix(kind.name) + kind.list_kind


def custom_shapes(kind: Kind, version: str, structure: Raw, dialect: Dialect) -> Document:
    """Returns the definitions of a custom resource and its list."""
    name = custom_name(kind, version)
    own = {"group": kind.group, "version": version}
    told = _selectable(kind)
    items = {"type": "array", "items": {"$ref": name}, "description": _listed(kind)}
    return {
        name: {**_whole(structure, dialect), _GVK: [{**own, "kind": kind.name}], **told},
        list_name(kind, version): {
            "description": f"{kind.list_kind} is a list of {kind.name}",
            "type": "object",
            "required": ["items"],
            "properties": {**_TYPE_META, "items": items, "metadata": {"$ref": f"{META}.ListMeta"}},
            _GVK: [{**own, "kind": kind.list_kind}],
            **told,
        },
    }


def _listed(kind: Kind) -> str:
    return f"List of {kind.plural}. {_ABOUT}/api-conventions.md"


def _selectable(kind: Kind) -> Document:
    fields = [{"fieldPath": path} for path in kind.selectable]
    return {"x-kubernetes-selectable-fields": fields} if fields else {}


def _whole(structure: Raw, dialect: Dialect) -> Document:
    if dialect == "v2" and structure.get(_KEEPS):
        return {"type": "object"}  # with anything more kubectl complains about all else
    found = _told(structure, dialect)
    meta = {"$ref": f"{META}.ObjectMeta"}
    return {
        **found,
        "properties": {**(found.get("properties") or {}), **_TYPE_META, "metadata": meta},
    }


def _told(raw: Raw, dialect: Dialect) -> Document:
    """Returns what a dialect says of a place and of all below it."""
    found = _reduced(raw) if dialect == "v2" else _unfolded(raw)
    if properties := found.get("properties"):
        found["properties"] = {name: _told(one, dialect) for name, one in properties.items()}
    for name in ("items", "additionalProperties"):
        if isinstance(found.get(name), Mapping):
            found[name] = _told(found[name], dialect)
    if raw.get(_EMBEDS) and not (dialect == "v2" and raw.get(_KEEPS)):
        meta = {"$ref": f"{META}.ObjectMeta"}
        found["properties"] = {**(found.get("properties") or {}), **_TYPE_META, "metadata": meta}
        required = list(found.get("required") or ())
        found["required"] = [
            *required,
            *(name for name in ("kind", "apiVersion") if name not in required),
        ]
    return found


def _unfolded(raw: Raw) -> Document:
    """Returns a place with the types of what may be a number or a text spelt out."""
    found = dict(raw)
    if not raw.get("x-kubernetes-int-or-string"):
        return found
    every = raw.get("allOf") or []
    if raw.get("anyOf") == _INT_OR_STRING or (every and every[0].get("anyOf") == _INT_OR_STRING):
        return found
    if raw.get("anyOf"):
        found["allOf"] = [{"anyOf": _INT_OR_STRING}, *every]
    else:
        found["anyOf"] = _INT_OR_STRING
    return found


def _reduced(raw: Raw) -> Document:
    """Returns a place without what version 2, or kubectl's reading of it, cannot express."""
    found = {name: value for name, value in raw.items() if name not in _JUNCTORS}
    if raw.get("nullable"):
        for name in ("type", "nullable", "items", "properties"):
            found.pop(name, None)
    if raw.get(_KEEPS):
        for name in ("items", "properties"):
            found.pop(name, None)
        if raw.get("type") == "object":
            found.pop("type", None)
    if found.get("type") == "array" and "items" not in found:
        del found["type"]
    fields, more = found.get("properties") or {}, found.get("additionalProperties")
    required = [one for one in found.get("required") or () if not _nullable(fields.get(one))]
    if isinstance(more, Mapping) and more.get("nullable"):
        required = []
    found.pop("required", None)
    return {**found, "required": required} if required else found


def _nullable(raw: Raw | None) -> bool:
    return raw is not None and bool(raw.get("nullable"))
