"""What a schema in a definition may say, beyond being structural; upstream's texts.

Follows ValidateCustomResourceDefinitionOpenAPISchema (apiextensions/validation/validation.go) and
schema/defaulting/validation.go. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.patch import equal
from steersman.model.structural import defaulting, embedded, pruning, structure_check
from steersman.model.structural.fieldpath import BadPath, resolve
from steersman.model.structural.results import causes_of
from steersman.model.structural.validation import Validator

Raw = Mapping[str, Any]

TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_REASONS: Final = (
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
)
_META: Final = pruning.META_FIELDS
_SET = "must be atomic as item of a list with x-kubernetes-list-type=set"
# what the root may hold where the status has a path of its own, by JSON name
_AT_ROOT: Final = {
    "description": "Description",
    "type": "Type",
    "format": "Format",
    "title": "Title",
    "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum",
    "minimum": "Minimum",
    "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength",
    "minLength": "MinLength",
    "pattern": "Pattern",
    "maxItems": "MaxItems",
    "minItems": "MinItems",
    "uniqueItems": "UniqueItems",
    "multipleOf": "MultipleOf",
    "required": "Required",
    "items": "Items",
    "properties": "Properties",
    "externalDocs": "ExternalDocs",
    "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields",
    "x-kubernetes-validations": "XValidations",
}
# not supported at all: JSON name, name in the text
_NOT_SUPPORTED: Final = (
    ("id", "id"),
    ("additionalItems", "additionalItems"),
    ("patternProperties", "patternProperties"),
    ("definitions", "definitions"),
    ("dependencies", "dependencies"),
    ("$ref", "$ref"),
)


@dataclass(frozen=True, slots=True)
class _Where:
    """What holds at a place: why no default may stand there; whether it is an object's metadata."""

    no_defaults: str | None = None
    in_meta: bool = False


def check(raw: Raw, path: str, *, status: bool) -> list[Cause]:
    """Returns what is wrong with a version's schema; `path` ends in openAPIV3Schema."""
    found = [*_check_root(raw, path, status)]
    unsupported = structure_check.unsupported(raw)
    if not unsupported:
        wrong = structure_check.check(raw, path)
        found += wrong or _check_defaults(raw, path)
    found += _check(raw, path, _Where(), root=True)
    if not found and unsupported:
        found.append(causes.invalid(path, "", unsupported))
    return found


def _check_root(raw: Raw, path: str, status: bool) -> Iterator[Cause]:
    if status:
        if (raw.get("type") or "") not in ("object", ""):
            detail = (
                'only "object" is allowed as the type at the root of the schema if the status '
                "subresource is enabled"
            )
            yield causes.invalid(f"{path}.type", raw["type"], detail)
        elif any(value and name not in _AT_ROOT for name, value in raw.items()):
            listed = " ".join(_AT_ROOT.values())
            detail = (
                f"only [{listed}] fields are allowed at the root of the schema if the status "
                "subresource is enabled"
            )
            yield causes.invalid(path, raw, detail)
    if raw.get("nullable"):
        yield causes.forbidden(f"{path}.nullable", "nullable cannot be true at the root")


def _check(raw: Raw, path: str, where: _Where, *, root: bool = False) -> Iterator[Cause]:
    yield from _check_here(raw, path, where)
    yield from _check_below(raw, path, where, root)
    yield from _check_extensions(raw, path)
    yield from _check_rules(raw, path)


def _check_here(raw: Raw, path: str, where: _Where) -> Iterator[Cause]:
    kind = raw.get("type") or ""
    if kind and kind not in TYPES:
        yield causes.not_supported(f"{path}.type", kind, TYPES)
    if raw.get("default") is not None and where.no_defaults is not None:
        yield causes.forbidden(f"{path}.default", f"must not be set {where.no_defaults}")
    for name, shown in _NOT_SUPPORTED:
        if raw.get(name) or (name in ("dependencies", "$ref", "additionalItems") and name in raw):
            yield causes.forbidden(f"{path}.{name}", f"{shown} is not supported")
    if kind == "null":
        detail = "type cannot be set to null, use nullable as an alternative"
        yield causes.forbidden(f"{path}.type", detail)
    if isinstance(raw.get("items"), list):
        yield causes.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if where.in_meta and raw.get("x-kubernetes-embedded-resource"):
        detail = "must not be used inside of resource meta"
        yield causes.forbidden(f"{path}.x-kubernetes-embedded-resource", detail)
    if raw.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield causes.forbidden(f"{path}.uniqueItems", detail)


def _check_below(raw: Raw, path: str, where: _Where, root: bool) -> Iterator[Cause]:
    more, named = raw.get("additionalProperties"), raw.get("properties") or {}
    if more is not None:
        if named and more is not True:
            detail = "additionalProperties and properties are mutual exclusive"
            yield causes.forbidden(f"{path}.additionalProperties", detail)
        if isinstance(more, Mapping):
            why = "inside additionalProperties applying to object metadata"
            inner = replace(where, no_defaults=why) if where.in_meta else where
            yield from _check(more, f"{path}.additionalProperties", inner)
    for name, field in named.items():
        inner = where
        if name in _META and (root or raw.get("x-kubernetes-embedded-resource")):
            inner = replace(where, in_meta=True)
            if root:
                inner = replace(inner, no_defaults=f"in top-level {name}")
        yield from _check(field, f"{path}.properties[{name}]", inner)
    if isinstance(raw.get("not"), Mapping):
        yield from _check(raw["not"], f"{path}.not", where)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for index, one in enumerate(raw.get(junctor) or ()):
            yield from _check(one, f"{path}.{junctor}[{index}]", where)
    if isinstance(raw.get("items"), Mapping):
        yield from _check(raw["items"], f"{path}.items", where)


def _check_extensions(raw: Raw, path: str) -> Iterator[Cause]:
    keeps = "x-kubernetes-preserve-unknown-fields"
    if raw.get(keeps) is False:
        yield causes.invalid(f"{path}.{keeps}", False, "must be true or undefined")
    map_type, list_type = raw.get("x-kubernetes-map-type"), raw.get("x-kubernetes-list-type")
    items = raw.get("items")
    yield from _check_owner(raw, path, "object", "x-kubernetes-map-type")
    if map_type is not None and map_type not in ("atomic", "granular"):
        place = f"{path}.x-kubernetes-map-type"
        yield causes.not_supported(place, map_type, ("atomic", "granular"))
    owner = [*_check_owner(raw, path, "array", "x-kubernetes-list-type")]
    yield from owner
    if not owner and list_type == "set" and isinstance(items, Mapping):
        yield from _check_set(items, path)
    if list_type is not None and list_type not in ("atomic", "set", "map"):
        place = f"{path}.x-kubernetes-list-type"
        yield causes.not_supported(place, list_type, ("atomic", "set", "map"))
    yield from _check_keys(raw, list_type, path)
    if list_type == "map":
        yield from _check_map(raw, path)
    if list_type in ("set", "map") and isinstance(items, Mapping):
        yield from _check_items(raw, items, list_type, path)


def _check_owner(raw: Raw, path: str, kind: str, name: str) -> Iterator[Cause]:
    if raw.get(name) is None or raw.get("type") == kind:
        return
    detail = f"must be {kind} if {name} is specified"
    if raw.get("type"):
        yield causes.invalid(f"{path}.type", raw["type"], detail)
    else:
        yield causes.required(f"{path}.type", detail)


def _check_set(items: Raw, path: str) -> Iterator[Cause]:
    list_type, map_type = items.get("x-kubernetes-list-type"), items.get("x-kubernetes-map-type")
    if items.get("type") == "array" and list_type not in (None, "atomic"):
        yield causes.invalid(f"{path}.items.x-kubernetes-list-type", list_type, _SET)
    if items.get("type") == "object" and map_type != "atomic":
        yield causes.invalid(f"{path}.items.x-kubernetes-map-type", list_type, _SET)


def _check_keys(raw: Raw, list_type: str | None, path: str) -> Iterator[Cause]:
    if not raw.get("x-kubernetes-list-map-keys") or list_type == "map":
        return
    detail = "must be map if x-kubernetes-list-map-keys is non-empty"
    place = f"{path}.x-kubernetes-list-type"
    yield (
        causes.required(place, detail)
        if list_type is None
        else causes.invalid(place, list_type, detail)
    )


def _check_map(raw: Raw, path: str) -> Iterator[Cause]:
    keys, items = raw.get("x-kubernetes-list-map-keys") or [], raw.get("items")
    if not keys:
        detail = "must not be empty if x-kubernetes-list-type is map"
        yield causes.required(f"{path}.x-kubernetes-list-map-keys", detail)
    if items is None:
        detail = "must have a schema if x-kubernetes-list-type is map"
        yield causes.required(f"{path}.items", detail)
    if not isinstance(items, Mapping):
        return
    if items.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        yield causes.invalid(f"{path}.items.type", items.get("type") or "", detail)
        return
    fields, place = items.get("properties") or {}, f"{path}.x-kubernetes-list-map-keys"
    for index, key in enumerate(keys):
        if key not in fields:
            yield causes.invalid(place, keys, "entries must all be names of item properties")
        elif fields[key].get("type") in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield causes.invalid(f"{path}.items.properties[{key}].type", items["type"], detail)
        if key in keys[:index]:
            yield causes.invalid(place, keys, "must not contain duplicate entries")


def _check_items(raw: Raw, items: Raw, list_type: str, path: str) -> Iterator[Cause]:
    if items.get("nullable"):
        detail = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        yield causes.forbidden(f"{path}.items.nullable", detail)
    if list_type != "map":
        return
    fields, needed = items.get("properties") or {}, items.get("required") or ()
    for key in raw.get("x-kubernetes-list-map-keys") or ():
        if (field := fields.get(key)) is None:
            continue
        place = f"{path}.items.properties[{key}]"
        this = "this property is in x-kubernetes-list-map-keys, so it"
        if key not in needed and field.get("default") is None:
            detail = f"{this} must have a default or be a required property"
            yield causes.required(f"{place}.default", detail)
        if field.get("nullable"):
            yield causes.forbidden(f"{place}.nullable", f"{this} cannot be nullable")


def _check_rules(raw: Raw, path: str) -> Iterator[Cause]:
    for index, rule in enumerate(raw.get("x-kubernetes-validations") or ()):
        yield from _check_rule(raw, rule, f"{path}.x-kubernetes-validations[{index}]")


def _check_rule(raw: Raw, rule: Raw, path: str) -> Iterator[Cause]:
    text, message = rule.get("rule") or "", rule.get("message") or ""
    if not text.strip():
        yield causes.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield causes.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif _breaks(message.strip()):
        yield causes.invalid(f"{path}.message", message, "must not contain line breaks")
    elif _breaks(text.strip()) and not message.strip():
        detail = "message must be specified if rule contains line breaks"
        yield causes.required(f"{path}.message", detail)
    expression, place = rule.get("messageExpression") or "", rule.get("fieldPath") or ""
    if expression and not expression.strip():
        detail = "messageExpression must be non-empty if specified"
        yield causes.required(f"{path}.messageExpression", detail)
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        yield causes.not_supported(f"{path}.reason", reason, _REASONS)
    if place and not place.strip():
        yield causes.invalid(f"{path}.fieldPath", place, "must be non-empty if specified")
    if _breaks(place):
        yield causes.invalid(f"{path}.fieldPath", place, "must not contain line breaks")
    if place and not _leads_somewhere(place, raw):
        yield causes.invalid(f"{path}.fieldPath", place, "must be a valid path")


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def _leads_somewhere(path: str, raw: Raw) -> bool:
    try:
        resolve(path, raw)
    except BadPath:
        return False
    return True


def _check_defaults(
    raw: Raw, path: str, *, in_meta: bool = False, root: bool = True
) -> list[Cause]:
    """Checks that defaults are pruned and valid; there are none inside additionalProperties."""
    found: list[Cause] = []
    is_object = root or bool(raw.get("x-kubernetes-embedded-resource"))
    if raw.get("default") is not None:
        found += _check_default(raw, f"{path}.default", in_meta and not is_object)
    if isinstance(raw.get("items"), Mapping):
        found += _check_defaults(raw["items"], f"{path}.items", in_meta=in_meta, root=False)
    for name, field in (raw.get("properties") or {}).items():
        inside = (in_meta and not is_object) or (is_object and name in _META)
        place = f"{path}.properties[{name}]"
        found += _check_defaults(field, place, in_meta=inside, root=False)
    return found


def _check_default(raw: Raw, path: str, in_meta: bool) -> Iterator[Cause]:
    given = raw["default"]
    pruned = defaulting.copy(given)
    if not in_meta:
        if isinstance(pruned, dict) and raw.get("x-kubernetes-embedded-resource"):
            pruning.prune(pruned, raw)
        else:
            pruning.prune_value(pruned, raw)
        if not equal(pruned, given):
            yield causes.invalid(path, given, "must not have unknown fields")
        try:
            embedded.coerce(pruned, raw)
        except embedded.BadMetadata as error:
            yield causes.invalid(path, given, str(error))
            return
        wrong = [*embedded.check(given, raw, path)]
        yield from wrong
        if wrong:
            return
    yield from causes_of(Validator(raw).validate(given), path)
