"""Aggregated discovery (apidiscovery.k8s.io, v2 and v2beta1) in its Protocol Buffers form.

These kinds are in no published schema: their numbers stand here, from k8s.io/api's
apidiscovery/v2/generated.proto. Reading is not served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.wire.protobuf.fields import delimited
from steersman.wire.protobuf.writer import envelope

Document = Mapping[str, Any]


def encode(document: Document) -> bytes:
    """Returns an APIGroupDiscoveryList with its envelope."""
    items = (delimited(2, _group(one)) for one in document["items"])
    raw = delimited(1, b"") + b"".join(items)
    return envelope(document["apiVersion"], document["kind"], raw)


def _group(group: Document) -> bytes:
    versions = (delimited(2, _version(one)) for one in group["versions"])
    return delimited(1, _text(1, group["metadata"].get("name"))) + b"".join(versions)


def _version(version: Document) -> bytes:
    resources = (delimited(2, _resource(one)) for one in version.get("resources") or ())
    told = _text(1, version["version"]), *resources, _text(3, version.get("freshness"))
    return b"".join(told)


def _resource(resource: Document) -> bytes:
    below = (delimited(8, _subresource(one)) for one in resource.get("subresources") or ())
    told = (
        _text(1, resource["resource"]),
        _kind(2, resource.get("responseKind")),
        _text(3, resource.get("scope")),
        _text(4, resource.get("singularResource")),
        _texts(5, resource.get("verbs")),
        _texts(6, resource.get("shortNames")),
        _texts(7, resource.get("categories")),
    )
    return b"".join((*told, *below))


def _subresource(subresource: Document) -> bytes:
    told = (
        _text(1, subresource["subresource"]),
        _kind(2, subresource.get("responseKind")),
        *(_kind(3, one) for one in subresource.get("acceptedTypes") or ()),
        _texts(4, subresource.get("verbs")),
    )
    return b"".join(told)


def _kind(number: int, found: Document | None) -> bytes:
    if found is None:
        return b""
    names = enumerate(("group", "version", "kind"), start=1)
    return delimited(number, b"".join(_text(one, found.get(name)) for one, name in names))


def _texts(number: int, values: Iterable[str] | None) -> bytes:
    return b"".join(delimited(number, value.encode()) for value in values or ())


def _text(number: int, value: str | None) -> bytes:
    return delimited(number, value.encode()) if value else b""
