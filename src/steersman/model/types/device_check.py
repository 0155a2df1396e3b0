"""What the objects of dynamic resource allocation have in common: names, taints, tolerations,
configuration, conditions of binding (pkg/apis/resource/validation)."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from steersman.model.errors import Cause
from steersman.model.gotext import shown
from steersman.model.kind import Document
from steersman.model.types.persistent_sources import check_declared_driver, check_driver_name

ItemCheck = Callable[[Any, str], Iterable[Cause]]

MOST_REQUESTS: Final = 32
MOST_CONFIGURATIONS: Final = 32
MOST_SELECTORS: Final = 32
_MOST_POOL_NAME: Final = 253
_MOST_IDENTIFIER: Final = 32
_MOST_BINDING_CONDITIONS: Final = 4
_MOST_PARAMETER_BYTES: Final = 10 * 1024
_TAINT_EFFECTS: Final = ("NoExecute", "NoSchedule", "None")
_OPERATORS: Final = ("Equal", "Exists")
_UUID: Final = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII)
_UUID_TEXT: Final = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with "
    "lowercase hexadecimal characters"
)


def check_list(
    items: Sequence[Any], most: int | None, check: ItemCheck, path: str
) -> Iterator[Cause]:
    """Yields what is wrong with the items of a list; one that is too long is not looked into."""
    if most is not None and len(items) > most:
        yield too_many(path, len(items), most)
        return
    for index, item in enumerate(items):
        yield from check(item, f"{path}[{index}]")


def check_set(
    items: Sequence[Any],
    most: int | None,
    check: ItemCheck,
    path: str,
    key: Callable[[Any], Hashable] = lambda item: item,
) -> Iterator[Cause]:
    """Yields what is wrong with the items of a list in which each key may stand once."""
    yield from check_list(items, most, check, path)
    if most is not None and len(items) > most:
        return
    seen: set[Hashable] = set()
    for index, item in enumerate(items):
        if (found := key(item)) in seen:
            yield duplicate(f"{path}[{index}]", found)
        seen.add(found)


def name_of(item: Document) -> str:
    """Returns the name of an item, empty where it has none."""
    return str(item.get("name") or "")


def check_label(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of a device, request or counter."""
    yield from each(path, name, names.dns1123_label(name))


def check_needed_label(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a name that must be given."""
    yield from check_label(name, path) if name else (required(path),)


def check_pool_name(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of a pool: DNS subdomains, divided by slashes."""
    if not name:
        yield required(path)
        return
    if len(name.encode()) > _MOST_POOL_NAME:
        yield too_long(path, _MOST_POOL_NAME)
    for part in name.split("/"):
        yield from each(path, part, names.dns1123_subdomain(part))


def check_class_name(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a reference to a DeviceClass."""
    yield from each(path, name, names.dns1123_subdomain(name)) if name else (required(path),)


def check_uid(uid: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with an id of a share."""
    if not _UUID.fullmatch(uid):
        yield invalid(path, uid, _UUID_TEXT)


def check_qualified_name(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of an attribute or capacity."""
    parts = name.split("/")
    if len(parts) == 1:
        yield from _check_identifier(name, path)
    elif len(parts) > 2:
        yield invalid(path, name, "must not contain more than one slash")
    else:
        domain, identifier = parts
        if domain:
            yield from check_driver_name(domain, path)
        else:
            yield invalid(path, "", "the domain must not be empty")
        if identifier:
            yield from _check_identifier(identifier, path)
        else:
            yield invalid(path, "", "the name must not be empty")


def check_full_name(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of an attribute that must have a domain."""
    yield from check_qualified_name(name, path)
    if "/" not in name:
        detail = "a fully qualified name must be a domain and a name separated by a slash"
        yield invalid(path, name, detail)


def _check_identifier(name: str, path: str) -> Iterator[Cause]:
    if len(name.encode()) > _MOST_IDENTIFIER:
        yield too_long(path, _MOST_IDENTIFIER)
    yield from each(path, name, names.c_identifier(name))


def check_label_name(key: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a key of a taint or the type of a condition."""
    yield from each(path, key, names.qualified_name(key))


def _check_label_value(value: str, path: str) -> Iterator[Cause]:
    yield from each(path, value, names.label_value(value))


def check_taint(taint: Document, path: str, old: Document | None = None) -> Iterator[Cause]:
    """Yields what is wrong with a taint; an effect that was there before is kept."""
    effect = taint.get("effect") or ""
    yield from check_label_name(taint.get("key") or "", f"{path}.key")
    if value := taint.get("value"):
        yield from _check_label_value(value, f"{path}.value")
    if old is not None and (old.get("effect") or "") == effect:
        return
    if not effect:
        yield required(f"{path}.effect")
    elif effect not in _TAINT_EFFECTS:
        yield not_supported(f"{path}.effect", effect, _TAINT_EFFECTS)


def check_toleration(toleration: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a toleration of taints."""
    operator, value = toleration.get("operator") or "", toleration.get("value") or ""
    if key := toleration.get("key"):
        yield from check_label_name(key, f"{path}.key")
    if not operator:
        yield required(f"{path}.operator")
    elif operator == "Exists":
        if value:
            yield invalid(f"{path}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from _check_label_value(value, f"{path}.value")
    else:
        yield not_supported(f"{path}.operator", operator, _OPERATORS)
    effect = toleration.get("effect")
    if effect and effect not in _TAINT_EFFECTS:
        yield not_supported(f"{path}.effect", effect, _TAINT_EFFECTS)


def check_tolerations(holder: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the tolerations of a request or a result."""
    tolerations = holder.get("tolerations") or ()
    yield from check_list(tolerations, None, check_toleration, f"{path}.tolerations")


def check_selector(selector: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a selector of devices; expressions are compiled elsewhere
    (`api/admission/devices.py`)."""
    if selector.get("cel") is None:
        yield required(f"{path}.cel")


def check_selectors(holder: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the selectors of a class or a request."""
    selectors = holder.get("selectors") or ()
    yield from check_list(selectors, MOST_SELECTORS, check_selector, f"{path}.selectors")


def check_configuration(config: Document, path: str, *, stored: bool = False) -> Iterator[Cause]:
    """Yields what is wrong with configuration of a driver; what is `stored` may be of any size."""
    opaque = config.get("opaque")
    if opaque is None:
        yield required(f"{path}.opaque")
        return
    yield from check_declared_driver(opaque.get("driver") or "", f"{path}.opaque.driver")
    parameters = opaque.get("parameters")
    yield from check_raw(parameters, f"{path}.opaque.parameters", stored=stored)


def check_raw(raw: Any, path: str, *, stored: bool = False) -> Iterator[Cause]:
    """Yields what is wrong with data that only a driver reads."""
    if raw is None:
        yield required(path)
    elif not stored and len(shown(raw).encode()) > _MOST_PARAMETER_BYTES:
        yield too_long(path, _MOST_PARAMETER_BYTES)
    elif not isinstance(raw, dict):
        yield invalid(path, "<value omitted>", "must be a valid JSON object")


def check_binding(holder: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the conditions for which a bound pod waits (KEP-5007)."""
    wanted = holder.get("bindingConditions") or []
    failures = holder.get("bindingFailureConditions") or []
    named = ((wanted, "bindingConditions"), (failures, "bindingFailureConditions"))
    for listed, name in named:
        where = f"{path}.{name}"
        yield from check_list(listed, _MOST_BINDING_CONDITIONS, check_label_name, where)
    for listed, name in named:
        for index, condition in enumerate(listed):
            where = f"{path}.{name}[{index}]"
            if condition in listed[:index]:
                yield duplicate(where, condition)
            if listed is failures and condition in wanted:
                detail = "bindingFailureConditions must not overlap with bindingConditions"
                yield invalid(where, condition, detail)
    for name, other in (_PAIR, _PAIR[::-1]):
        if not holder.get(name) and holder.get(other):
            yield invalid(f"{path}.{name}", holder.get(name), f"{name} are required to use {other}")


_PAIR: Final = ("bindingConditions", "bindingFailureConditions")
