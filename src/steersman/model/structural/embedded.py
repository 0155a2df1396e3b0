"""Objects inside of objects (x-kubernetes-embedded-resource): their metadata is pruned and checked.

After apiextensions' schema/objectmeta. Metadata is taken in as that of every object is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.model import causes, decode, names
from steersman.model.errors import BadRequest, Cause
from steersman.model.structural.pruning import field_of
from steersman.model.structural.results import NOWHERE
from steersman.model.types.metadata import check_metadata

Raw = Mapping[str, Any]
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# stands in for an absent name, which an embedded object need not have
_NAME = "fakename"


class BadMetadata(ValueError):
    """Metadata of the wrong shape: where, what stands there and why it does not fit."""

    def __init__(self, path: str, value: Any, why: str) -> None:
        super().__init__(f"{path}: {causes.invalid(path, value, why).message}")


def has_embedded(raw: Any) -> bool:
    """Says whether a schema has embedded objects anywhere."""
    if not isinstance(raw, Mapping):
        return False
    if raw.get("x-kubernetes-embedded-resource"):
        return True
    below = (*(raw.get("properties") or {}).values(), raw.get("items"))
    return any(map(has_embedded, (*below, raw.get("additionalProperties"))))


def admit_metadata(metadata: Any) -> tuple[str, ...]:
    """Prunes an object's metadata; returns unknown fields; raises ValueError with Go's words."""
    try:
        return decode.admit(OBJECT_META, metadata, "ObjectMeta", "v1").unknown
    except BadRequest as error:
        _, _, why = error.message.partition("cannot be handled as a ObjectMeta: ")
        raise ValueError(why) from None


def coerce(value: Any, raw: Raw | None, path: str = "") -> list[str]:
    """Takes embedded objects into their shape; returns unknown fields; raises BadMetadata."""
    if raw is None:
        return []
    unknown: list[str] = []
    if isinstance(value, list):
        items = raw.get("items")
        for index, item in enumerate(value if isinstance(items, Mapping) else ()):
            unknown += coerce(item, items, f"{path}[{index}]")
    elif isinstance(value, dict):
        if raw.get("x-kubernetes-embedded-resource"):
            unknown += _coerce_object(value, path)
        for name in list(value):
            inner = f"{path}.{name}" if path else name
            unknown += coerce(value[name], field_of(raw, name), inner)
    return unknown


def _coerce_object(value: dict[str, Any], path: str) -> list[str]:
    start = f"{path}." if path else ""
    for name in ("apiVersion", "kind"):
        if name in value and not isinstance(value[name], str):
            raise BadMetadata(f"{start}{name}", value[name], "must be a string")
    if "metadata" not in value:
        return []
    if value["metadata"] is None:
        value["metadata"] = {}
    try:
        unknown = admit_metadata(value["metadata"])
    except ValueError as error:
        raise BadMetadata(f"{start}metadata", value["metadata"], str(error)) from None
    return [f"{start}metadata.{name}" for name in unknown]


def check(value: Any, raw: Raw | None, path: str = "") -> Iterator[Cause]:
    """Yields what is wrong with the names and metadata of embedded objects."""
    if raw is None:
        return
    if isinstance(value, list):
        items = raw.get("items")
        for index, item in enumerate(value if isinstance(items, Mapping) else ()):
            yield from check(item, items, f"{path}[{index}]")
    elif isinstance(value, dict):
        if raw.get("x-kubernetes-embedded-resource"):
            yield from _check_object(value, path)
        for name, item in value.items():
            yield from check(item, field_of(raw, name), f"{path}.{name}" if path else name)


def _check_object(value: dict[str, Any], path: str) -> Iterator[Cause]:
    start = f"{path}." if path else ""
    for name in ("apiVersion", "kind"):
        if name not in value:
            yield causes.required(f"{start}{name}")
        elif not isinstance(value[name], str):
            yield causes.invalid(f"{start}{name}", value[name], "must be a string")
        elif not value[name]:
            yield causes.invalid(f"{start}{name}", "", "must not be empty")
    version, kind = value.get("apiVersion"), value.get("kind")
    if isinstance(version, str) and version.count("/") > 1:
        text = f"unexpected GroupVersion string: {version}"
        yield causes.invalid(f"{start}apiVersion", version, text)
    if isinstance(kind, str) and kind and (wrong := names.dns1035_label(kind.lower())):
        text = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
        yield causes.invalid(f"{start}kind", kind, text)
    if isinstance(value.get("metadata"), dict):
        yield from _check_metadata(value["metadata"], start)


def _check_metadata(metadata: dict[str, Any], start: str) -> Iterator[Cause]:
    named = {"metadata": {**metadata, "name": metadata.get("name") or _NAME}}
    spaced = bool(metadata.get("namespace"))
    for cause in check_metadata(
        named, None, namespaced=spaced, name=names.path_segment, any_finalizer=True
    ):
        yield Cause(cause.reason, cause.message, f"{start}{cause.field}" or NOWHERE)
