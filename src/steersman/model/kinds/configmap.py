"""ConfigMap: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steersman.model import names
from steersman.model.causes import each, forbidden, invalid, too_long
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object


class ConfigMap(Object, frozen=True):
    """core/v1 ConfigMap; binary_data is decoded from base64."""

    data: Mapping[str, str] = {}
    binary_data: Mapping[str, bytes] = {}
    immutable: bool = False


def _count(document: Document, _now: float) -> int:
    return len(document.get("data") or ()) + len(document.get("binaryData") or ())


_COLUMNS = (NAME, Column("Data", _count), AGE)

MOST_BYTES = 1024 * 1024


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if old is not None and old.get("immutable"):
        yield from check_unchanged(new, old, "data", "binaryData")
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    total = 0
    for key, value in data.items():
        yield from each(f"data[{key}]", key, names.config_map_key(key))
        if key in binary:
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        total += len(value) if value.isascii() else len(value.encode())
    for key, value in binary.items():
        yield from each(f"binaryData[{key}]", key, names.config_map_key(key))
        total += decoded_bytes(value)
    if total > MOST_BYTES:
        yield too_long("", MOST_BYTES)


def decoded_bytes(text: str) -> int:
    """Returns how many bytes a base64 text stands for."""
    return len(text) // 4 * 3 - text[-2:].count("=")


def check_unchanged(new: Document, old: Document, *fields: str) -> Iterator[Cause]:
    """Yields what is changed of an object that has made itself immutable."""
    detail = "field is immutable when `immutable` is set"
    if not new.get("immutable"):
        yield forbidden("immutable", detail)
    for name in fields:
        if (new.get(name) or {}) != (old.get(name) or {}):
            yield forbidden(name, detail)


CONFIGMAP = Kind(
    group="",
    name="ConfigMap",
    plural="configmaps",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.ConfigMap"),),
    storage="v1",
    short_names=("cm",),
    columns=_COLUMNS,
    check=_check,
    view=ConfigMap,
    complete=True,
)
