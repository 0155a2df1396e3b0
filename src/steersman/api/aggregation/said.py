"""What a server behind this one says of itself, read with suspicion; pure."""

from __future__ import annotations

from typing import Any, Final

import orjson

from steersman.model.kind import Document

# Resources of one group and version; no server comes near it
MOST_RESOURCES: Final = 10_000


def resources(body: bytes, group: str, version: str) -> list[Document]:
    """Returns the resources of an APIResourceList in the aggregated form (KEP-3352).

    Raises ValueError where it is none.
    """
    listed = _object(body).get("resources")
    if not isinstance(listed, list) or len(listed) > MOST_RESOURCES:
        raise ValueError("no list of resources")
    found: dict[str, Document] = {}
    for one in sorted((_entry(one) for one in listed), key=lambda one: str(one["name"])):
        plural, _, subresource = one["name"].partition("/")
        kind = {
            "group": one["group"] or group,
            "version": one["version"] or version,
            "kind": one["kind"],
        }
        if not subresource:
            found[plural] = _resource(one, kind)
        elif plural in found:
            told = {"subresource": subresource, "responseKind": kind, "verbs": one["verbs"]}
            found[plural].setdefault("subresources", []).append(told)
    return list(found.values())


def _resource(one: Document, kind: Document) -> Document:
    made = {
        "resource": one["name"],
        "responseKind": kind,
        "scope": "Namespaced" if one["namespaced"] else "Cluster",
        "singularResource": one["singularName"],
        "verbs": one["verbs"],
    }
    return {**made, **{key: one[key] for key in ("shortNames", "categories") if one[key]}}


def _entry(given: Any) -> Document:
    """Returns an APIResource of which every field is of its type."""
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise ValueError("a resource without a name")
    texts = ("name", "group", "version", "kind", "singularName")
    found: Document = {key: _text(given.get(key)) for key in texts}
    for key in ("verbs", "shortNames", "categories"):
        value = given.get(key)
        found[key] = [_text(item) for item in value] if isinstance(value, list) else []
    return {**found, "namespaced": given.get("namespaced") is True}


def document_url(body: bytes, key: str) -> str:
    """Returns where the document of a group and version is, by an index of OpenAPI version 3;
    empty where it has none. Raises ValueError."""
    paths = _object(body).get("paths")
    found = paths.get(key) if isinstance(paths, dict) else None
    url = _text(found.get("serverRelativeURL")) if isinstance(found, dict) else ""
    # The address must lead through this server to the same document
    return url if url.startswith(f"/openapi/v3/{key}") else ""


def _object(body: bytes) -> Document:
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
