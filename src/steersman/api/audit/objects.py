"""The documents of a request and of its answer, as the audit log shows them: JSON, whatever the
client speaks, with the defaults of its version.

A body that cannot be read shows nothing: the answer says why. Built a second time from the bytes,
so that the way of a write knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from steersman.api import body
from steersman.api.access.authorization import Attributes
from steersman.api.route import Kinds
from steersman.model.errors import APIError
from steersman.model.kind import Document, Kind, Version
from steersman.wire import json
from steersman.wire.media import PROTOBUF, YAML
from steersman.wire.message import JSON, Request, Response

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
# What subresources are sent that is no object of the resource
_DEFINITIONS: Final = {
    "binding": "io.k8s.api.core.v1.Binding",
    "eviction": "io.k8s.api.policy.v1.Eviction",
    "scale": "io.k8s.api.autoscaling.v1.Scale",
    "token": "io.k8s.api.authentication.v1.TokenRequest",
}
_STARTS_WITH: Final = 64  # bytes in which a Status says that it is one


def sent(kinds: Kinds, request: Request, asked: Attributes) -> Any:
    """Returns what was sent: an object, a patch, options of a deletion; None where nothing was,
    where it cannot be read, or where it goes on to somebody else."""
    if not request.body or not asked.is_resource or asked.subresource == "proxy":
        return None
    kind = kinds.by_resource(asked.group, asked.version, asked.resource)
    version = kind.version(asked.version) if kind is not None else None
    if kind is None or version is None:
        return None
    try:
        if asked.verb == "patch":
            return _patch(request)
        return _document(kind, version, request, asked)
    except (APIError, ValueError):
        return None


def _patch(request: Request) -> Any:
    if body.media_type(request).endswith("yaml"):
        from steersman.wire import yaml  # loaded with the first YAML body

        return yaml.load(request.body)
    return json.load(request.body)


def _document(kind: Kind, version: Version, request: Request, asked: Attributes) -> Any:
    if asked.verb in ("delete", "deletecollection"):
        return body.parse_any(request, f"{_META}DeleteOptions")
    if asked.subresource in _DEFINITIONS:
        return body.parse_any(request, _DEFINITIONS[asked.subresource])
    value = body.parse_any(request, version.definition)
    if not isinstance(value, dict) or body.is_too_deep(request.body, value):
        return None
    head = {"kind": kind.name, "apiVersion": kind.api_version(version.name)}
    if any((value.get(name) or head[name]) != head[name] for name in head):
        return None
    document = body.admit(kind, version, value).document
    if version.from_storage is not None:
        document = version.from_storage(document)
    return {**head, **document, **head}


def answered(kinds: Kinds, response: Response, asked: Attributes) -> Any:
    """Returns the document of an answer; None for streams, text and what others answered."""
    if asked.subresource == "proxy" or callable(response.body):
        return None
    if asked.is_resource and not kinds.by_resource(asked.group, asked.version, asked.resource):
        return None
    data = response.body
    if isinstance(data, Sequence) and not isinstance(data, bytes):
        data = b"".join(data)
    if not isinstance(data, bytes):
        return None
    try:
        found = _read(data, response.content_type)
    except (ValueError, KeyError):
        return None
    return found if isinstance(found, dict) and "kind" in found else None


def _read(data: bytes, media: str) -> Any:
    if media.startswith(JSON):
        return orjson.loads(data)
    if media == YAML:
        from steersman.wire import yaml  # loaded with the first client that asks for it

        return yaml.load(data)
    return _read_protobuf(data) if media.startswith(PROTOBUF) else None


def _read_protobuf(data: bytes) -> Document:
    from steersman.wire.protobuf import objects, writer  # loaded with the first client

    found = objects.unwrap(data)
    head = {"kind": found.kind, "apiVersion": found.api_version}
    if found.kind.endswith("List"):
        one = writer.definition_of(found.api_version, found.kind.removesuffix("List"))
        return {**head, **objects.decode_list(one, found.raw)}
    definition = writer.definition_of(found.api_version, found.kind)
    return {**head, **objects.decode(definition, found.raw)}


def told(response: Response) -> Document | None:
    """Returns the Status that an answer is, None where it is an object."""
    data = response.body
    if not isinstance(data, bytes) or b"Status" not in data[:_STARTS_WITH]:
        return None
    found = _read(data, response.content_type)
    return found if isinstance(found, dict) and found.get("kind") == "Status" else None
