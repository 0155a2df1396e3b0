"""What is checked of PersistentVolumeClaims, and what of them may change
(ValidatePersistentVolumeClaim* in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steersman.model import names
from steersman.model.causes import each, forbidden, immutable, invalid, not_supported, required
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.quantity import Quantity, parse
from steersman.model.types import persistent_difference
from steersman.model.types.persistent_check import (
    CLASS_ANNOTATION,
    VOLUME_MODES,
    check_access_modes,
    check_units,
)
from steersman.model.types.resource_check import check_amount, is_native
from steersman.model.types.resources import ZERO
from steersman.model.types.selector import check_selector

_RESIZING: Final = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
_ATTRIBUTES: Final = "volumeAttributesClassName"
_FIXED_TEXT: Final = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
    "bound claims"
)
_CORE_KIND: Final = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"


def check_claim(spec: Document, path: str, old: Document | None = None) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a claim; `old` is the spec before an update."""
    modes = spec.get("accessModes") or ()
    if not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    before = (old or {}).get("selector")
    yield from check_selector(spec.get("selector"), f"{path}.selector", old=before)
    yield from check_access_modes(modes, f"{path}.accessModes")
    yield from _check_size(spec, f"{path}.resources[storage]")
    if class_name := spec.get("storageClassName"):
        where = f"{path}.storageClassName"
        yield from each(where, class_name, names.dns1123_subdomain(class_name))
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", mode, VOLUME_MODES)
    loose = any("apiGroup" in ((old or {}).get(name) or {}) for name in _SOURCES)
    yield from _check_sources(spec, path, loose)
    if class_name := spec.get(_ATTRIBUTES):
        where = f"{path}.{_ATTRIBUTES}"
        yield from each(where, class_name, names.dns1123_subdomain(class_name))


_SOURCES: Final = ("dataSource", "dataSourceRef")


def _storage(spec: Document) -> Quantity | None:
    text = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return None if text is None else parse(text)


def _check_size(spec: Document, path: str) -> Iterator[Cause]:
    size = _storage(spec)
    if size is None:
        yield required(path)
    elif size <= ZERO:
        yield invalid(path, str(size), "must be greater than zero")


def _check_sources(spec: Document, path: str, loose: bool) -> Iterator[Cause]:
    for name in _SOURCES:
        if (source := spec.get(name)) is not None:
            yield from _check_source(source, f"{path}.{name}", loose)
    source, reference = (spec.get(name) for name in _SOURCES)
    if source is None or reference is None:
        return
    # upstream shows the path of the field, which has no public part
    if reference.get("namespace"):
        yield invalid(path, {}, "may not be specified when dataSourceRef.namespace is specified")
    elif any(source.get(name) != reference.get(name) for name in ("apiGroup", "kind", "name")):
        yield invalid(path, {}, "must match dataSourceRef")


def _check_source(source: Document, path: str, loose: bool) -> Iterator[Cause]:
    for name in ("name", "kind"):
        if not source.get(name):
            yield required(f"{path}.{name}")
    group, kind = source.get("apiGroup") or "", source.get("kind", "")
    if not group and kind != "PersistentVolumeClaim":
        yield invalid(path, kind, _CORE_KIND)
    if group and not loose:
        yield from each(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
    if namespace := source.get("namespace"):
        yield from each(f"{path}.namespace", namespace, names.dns1123_label(namespace))


def check_claim_change(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what an update changes of a claim and may not."""
    spec, before = (dict(one.get("spec") or {}) for one in (new, old))
    yield from _check_class(new, old)
    bound = (new.get("status") or {}).get("phase") == "Bound"
    if _comparable(spec, before, old, bound) != _comparable(before, before, old, bound):
        yield forbidden("spec", f"{_FIXED_TEXT}\n{_difference(spec, before, old, bound)}")
    size, was = _storage(spec) or ZERO, _storage(before) or ZERO
    capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage")
    if size < was and size <= parse(capacity or "0"):
        detail = "field can not be less than status.capacity"
        yield forbidden("spec.resources.requests.storage", detail)
    yield from immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
    current = (old.get("status") or {}).get("currentVolumeAttributesClassName")
    named = spec.get(_ATTRIBUTES)
    if current is not None and not named and named != before.get(_ATTRIBUTES):
        what = "nil" if named is None else "empty string"
        why = "forbidden when status.currentVolumeAttributesClassName is not nil"
        yield forbidden(f"spec.{_ATTRIBUTES}", f"update to {what} is {why}")


def _annotation(document: Document) -> str | None:
    annotations = (document.get("metadata") or {}).get("annotations") or {}
    found: str | None = annotations.get(CLASS_ANNOTATION)
    return found


def _check_class(new: Document, old: Document) -> Iterator[Cause]:
    """Yields a changed class in the old annotation, unless it moves into the spec."""
    given, before = _annotation(new), _annotation(old)
    moved = (old.get("spec") or {}).get("storageClassName") is None and before is not None
    moved = moved and (new.get("spec") or {}).get("storageClassName") == before
    if moved and given in (None, before):
        return
    if (given or "") != (before or ""):
        path = f"metadata.annotations.{CLASS_ANNOTATION}"
        yield invalid(path, given or "", "field is immutable")


def _comparable(spec: Document, before: Document, old: Document, bound: bool) -> Document:
    """Returns a spec without what may change from the one before."""
    kept = {name: value for name, value in spec.items() if value not in ([], {}, None)}
    if not before.get("volumeName"):
        kept.pop("volumeName", None)
    annotated = _annotation(old)
    may_be_named = annotated is None or kept.get("storageClassName") == annotated
    if before.get("storageClassName") is None and may_be_named:
        kept.pop("storageClassName", None)
    if bound:
        kept["resources"] = _without_storage(kept.get("resources") or {})
        kept[_ATTRIBUTES] = before.get(_ATTRIBUTES)
    return {name: value for name, value in kept.items() if value is not None}


def _difference(spec: Document, before: Document, old: Document, bound: bool) -> str:
    """Returns what changed, where what may change is as it was, or as it is."""
    now, then = dict(spec), dict(before)
    if not before.get("volumeName"):
        then["volumeName"] = spec.get("volumeName")
    annotated = _annotation(old)
    may_be_named = annotated is None or spec.get("storageClassName") == annotated
    if before.get("storageClassName") is None and may_be_named:
        now["storageClassName"] = None
    requests = (spec.get("resources") or {}).get("requests")
    if bound and requests is not None:
        size = ((before.get("resources") or {}).get("requests") or {}).get("storage", "0")
        now["resources"] = {**spec["resources"], "requests": {**requests, "storage": size}}
    if bound:
        now[_ATTRIBUTES] = before.get(_ATTRIBUTES)
    return persistent_difference.of_claims(then, now)


def _without_storage(resources: Document) -> Document:
    requests = resources.get("requests") or {}
    others = {name: value for name, value in requests.items() if name != "storage"}
    return {**resources, "requests": others}


def check_claim_status(document: Document) -> Iterator[Cause]:
    """Yields what is wrong with the status of a claim."""
    if not (document.get("spec") or {}).get("accessModes"):
        yield required("Spec.accessModes")
    status = document.get("status") or {}
    for name, text in (status.get("capacity") or {}).items():
        yield from check_units(text, f"status.capacity[{name}]")
    path = "status.allocatedResourceStatus"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        yield from _check_resource(name, path)
        if state not in _RESIZING:
            yield not_supported(path, name, _RESIZING)
    path = "status.allocatedResources"
    for name, text in (status.get("allocatedResources") or {}).items():
        problems = list(_check_resource(name, path))
        problems = problems or list(check_units(text, f"{path}[{name}]"))
        yield from problems or check_amount("storage", text, f"{path}[{name}]")


def _check_resource(name: str, path: str) -> Iterator[Cause]:
    problems = names.qualified_name(name)
    yield from each(path, name, problems)
    if not problems and is_native(name) and name != "storage":
        yield not_supported(path, name, ("storage",))
