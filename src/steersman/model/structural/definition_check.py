"""What is wrong with a CustomResourceDefinition, in upstream's words and order.

Follows ValidateCustomResourceDefinition and its update (apiextensions/validation/validation.go).
Definitions that an older, laxer API stored are not excused: this server never had them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from steersman.model import causes, names
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.structural import fieldpath, schema_check
from steersman.model.types import certificate_check
from steersman.model.types.metadata import check_metadata
from steersman.model.types.webhook_check import check_client

Raw = Mapping[str, Any]

APPROVED: Final = "api-approved.kubernetes.io"
MOST_SELECTABLE: Final = 8
_PROTECTED: Final = ("k8s.io", "kubernetes.io")
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = (
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
)
_LONGEST_WARNING: Final = 256
_REVIEWS: Final = ("v1", "v1beta1")
_MIXED = "may have mixed case, but should otherwise match: "
_PEER = "https://github.com/kubernetes/enhancements/pull/1111"


def check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    """Yields what is wrong with a new or changed definition."""
    spec, status = new.get("spec") or {}, new.get("status") or {}
    if subresource == "status":
        yield from check_metadata(new, old, namespaced=False, any_finalizer=True)
        yield from _check_names(status.get("acceptedNames") or {}, "status.acceptedNames")
        return
    yield from check_metadata(
        new, old, namespaced=False, name=_name_check(spec), any_finalizer=True
    )
    yield from _check_spec(spec, any_bundle=_may_have_any_bundle(old))
    if old is not None:
        yield from _check_kept(spec, old.get("spec") or {}, is_true(old, "Established"))
    yield from _check_names(status.get("acceptedNames") or {}, "status.acceptedNames")
    yield from _check_stored(status.get("storedVersions") or [], spec.get("versions") or [])
    yield from _check_approval(new, old)
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
            "spec.versions[*].schema instead"
        )
        yield causes.invalid("spec.preserveUnknownFields", True, detail)


def is_true(definition: Document, condition: str) -> bool:
    """Says whether a condition of a definition is True."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == condition and one.get("status") == "True" for one in conditions)


def _name_check(spec: Raw) -> Any:
    wanted = f"{(spec.get('names') or {}).get('plural') or ''}.{spec.get('group') or ''}"

    def problems(name: str) -> list[str]:
        found = names.dns1123_subdomain(name)
        return found if name == wanted else [*found, 'must be spec.names.plural+"."+spec.group']

    return problems


def _check_spec(spec: Raw, *, any_bundle: bool) -> Iterator[Cause]:
    yield from _check_group(spec.get("group") or "")
    yield from causes.one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    versions = spec.get("versions") or []
    for index, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            yield causes.required(f"spec.versions[{index}].schema.openAPIV3Schema")
    common = _common(versions)
    for index, version in enumerate(versions):
        yield from _check_version(version, f"spec.versions[{index}]", common)
    named = [version.get("name") for version in versions]
    shown = [_shown_version(version) for version in versions]
    if len(set(named)) != len(named):
        yield causes.invalid("spec.versions", shown, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        yield causes.invalid("spec.versions", shown, detail)
    given = spec.get("names") or {}
    for name in ("plural", "singular", "kind", "listKind"):
        if not given.get(name):
            yield causes.required(f"spec.names.{name}")
    yield from _check_names(given, "spec.names")
    if versions:
        yield from _check_served(versions[0], "spec", common)
    yield from _check_conversion(spec.get("conversion"), "spec.conversion", any_bundle)


def _check_group(group: str) -> Iterator[Cause]:
    if not group:
        yield causes.required("spec.group")
    elif wrong := names.dns1123_subdomain(group):
        yield causes.invalid("spec.group", group, ",".join(wrong))
    elif "." not in group:
        yield causes.invalid("spec.group", group, "should be a domain with at least one dot")


# how versions are served; what is the same for all of them is told of once, as a field of the spec
_SERVED: Final = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}


def _common(versions: Sequence[Raw]) -> frozenset[str]:
    """Returns the fields that are the same in all versions."""
    return frozenset(
        name
        for name in _SERVED
        if all(version.get(name) == versions[0].get(name) for version in versions)
    )


def _shown_version(version: Raw) -> Document:
    """Returns a version as upstream's internal form shows it in a message."""
    fields = ("name", "served", "storage", "deprecated", "deprecationWarning", *_SERVED)
    zero = {"name": "", "served": False, "storage": False, "deprecated": False}
    plain = {name: version.get(name, zero.get(name)) for name in fields}
    plain |= dict.fromkeys(_SERVED)
    return {name[0].upper() + name[1:]: value for name, value in plain.items()}


def _check_version(version: Raw, path: str, common: frozenset[str]) -> Iterator[Cause]:
    name = version.get("name") or ""
    if wrong := names.dns1035_label(name):
        yield causes.invalid(f"{path}.name", name, ",".join(wrong))
    yield from _check_warning(version, f"{path}.deprecationWarning")
    yield from _check_served(version, path, frozenset(_SERVED) - common)


def _check_served(version: Raw, path: str, fields: frozenset[str]) -> Iterator[Cause]:
    """Checks some fields of a version, where they are told of."""
    at = {name: f"{path}.{_SERVED[name] if path == 'spec' else name}" for name in _SERVED}
    subresources = version.get("subresources") or {}
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if "schema" in fields and schema is not None:
        status = subresources.get("status") is not None
        yield from schema_check.check(schema, f"{at['schema']}.openAPIV3Schema", status=status)
    scale = subresources.get("scale")
    if "subresources" in fields and scale is not None:
        yield from _check_scale(scale, f"{at['subresources']}.scale")
    if "additionalPrinterColumns" in fields:
        for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _check_column(column, f"{at['additionalPrinterColumns']}[{index}]")
    selectable = version.get("selectableFields")
    if "selectableFields" in fields and selectable:
        yield from _check_selectable(selectable, schema, at["selectableFields"])


def _check_warning(version: Raw, path: str) -> Iterator[Cause]:
    text = version.get("deprecationWarning")
    if text is None:
        return
    if not version.get("deprecated"):
        yield causes.invalid(path, text, "can only be set for deprecated versions")
        return
    if len(text.encode("utf-8", "replace")) > _LONGEST_WARNING:
        yield causes.invalid(path, text, "must be <= 256 characters long")
    if not text:
        yield causes.invalid(path, text, "must not be an empty string")
    bad = next((at for at, sign in enumerate(text) if not sign.isprintable()), None)
    if bad is not None:
        at = len(text[:bad].encode("utf-8", "replace"))
        detail = "must only contain printable UTF-8 characters; non-printable character found at"
        yield causes.invalid(path, text, f"{detail} index {at}")


def _check_scale(scale: Raw, path: str) -> Iterator[Cause]:
    for name, start in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        if not (given := scale.get(name)):
            yield causes.required(f"{path}.{name}")
        elif wrong := [*_check_path(given, f"{path}.{name}")]:
            yield from wrong
        elif not given.startswith(start):
            detail = f"should be a json path under {start[:-1]}"
            yield causes.invalid(f"{path}.{name}", given, detail)
    if given := scale.get("labelSelectorPath"):
        if wrong := [*_check_path(given, f"{path}.labelSelectorPath")]:
            yield from wrong
        elif not given.startswith((".spec.", ".status.")):
            detail = "should be a json path under either .spec or .status"
            yield causes.invalid(f"{path}.labelSelectorPath", given, detail)


def _check_path(text: str, path: str) -> Iterator[Cause]:
    if not text.startswith("."):
        yield causes.invalid(path, text, "must be a simple json path starting with .")


def _check_column(column: Raw, path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield causes.required(f"{path}.name")
    kind, form = column.get("type"), column.get("format")
    listed = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        yield causes.required(f"{path}.type", listed)
    elif kind not in _COLUMN_TYPES:
        yield causes.invalid(f"{path}.type", kind, listed)
    if form and form not in _COLUMN_FORMATS:
        detail = f"must be one of {','.join(_COLUMN_FORMATS)}"
        yield causes.invalid(f"{path}.format", form, detail)
    if not (given := column.get("jsonPath")):
        yield causes.required(f"{path}.JSONPath")
    else:
        yield from _check_path(given, f"{path}.JSONPath")


def _check_selectable(fields: Sequence[Raw], schema: Raw | None, path: str) -> Iterator[Cause]:
    if schema is None:
        detail = "may only be set when `version.schema.openAPIV3Schema` is not included"
        yield causes.invalid(path, "", detail)
        return
    seen: set[tuple[str, ...]] = set()
    for index, field in enumerate(fields):
        place, given = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not given:
            yield causes.required(place)
            continue
        try:
            found, leaf = fieldpath.resolve(given, schema, arrays=False)
        except fieldpath.BadPath as error:
            yield causes.invalid(place, given, f"is an invalid path: {error}")
            continue
        if found[0] == "metadata":
            yield causes.invalid(place, given, "must not point to fields in metadata")
        if leaf.get("type") not in ("string", "boolean", "integer"):
            detail = (
                "must point to a field of type string, boolean or integer. Enum string fields and "
                "strings with formats are allowed."
            )
            yield causes.invalid(place, given, detail)
        if found in seen:
            yield causes.duplicate(place, given)
        seen.add(found)
    if len(seen) > MOST_SELECTABLE:
        yield causes.too_many(path, len(seen), MOST_SELECTABLE)


def _check_names(given: Raw, path: str) -> Iterator[Cause]:
    for name in ("plural", "singular", "kind", "listKind"):
        mixed = name in ("kind", "listKind")
        text = given.get(name) or ""
        wrong = names.dns1035_label(text.lower() if mixed else text) if text else ()
        if wrong:
            detail = (_MIXED if mixed else "") + ",".join(wrong)
            yield causes.invalid(f"{path}.{name}", text, detail)
    yield from _check_labels(given.get("shortNames") or (), f"{path}.shortNames")
    if given.get("kind") and given["kind"] == given.get("listKind"):
        detail = "kind and listKind may not be the same"
        yield causes.invalid(f"{path}.listKind", given["listKind"], detail)
    yield from _check_labels(given.get("categories") or (), f"{path}.categories")


def _check_labels(texts: Sequence[str], path: str) -> Iterator[Cause]:
    for index, text in enumerate(texts):
        if wrong := names.dns1035_label(text):
            yield causes.invalid(f"{path}[{index}]", text, ",".join(wrong))


def _check_conversion(conversion: Raw | None, path: str, any_bundle: bool) -> Iterator[Cause]:
    if conversion is None:
        return
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook") or {}
    yield from causes.one_of(f"{path}.strategy", strategy, ("None", "Webhook"))
    config, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy != "Webhook":
        detail = "should not be set when strategy is not set to Webhook"
        if config is not None:
            yield causes.forbidden(f"{path}.webhookClientConfig", detail)
        if reviews:
            yield causes.forbidden(f"{path}.conversionReviewVersions", detail)
        return
    yield from _check_client(config, f"{path}.webhookClientConfig", any_bundle=any_bundle)
    yield from _check_reviews(reviews, f"{path}.conversionReviewVersions")


def _check_client(config: Raw | None, path: str, *, any_bundle: bool) -> Iterator[Cause]:
    if config is None:
        yield causes.required(path, "required when strategy is set to Webhook")
        return
    yield from check_client(dict(config), path)
    bundle = config.get("caBundle")
    if bundle and not any_bundle and (problem := certificate_check.roots_problem(bundle)):
        yield causes.invalid(f"{path}.caBundle", bundle, problem)


def _may_have_any_bundle(old: Document | None) -> bool:
    """Says whether the bundle of a webhook need not be readable: of a definition that is not
    established, or whose bundle was not readable before."""
    if old is None or not is_true(old, "Established"):
        return True
    webhook = ((old.get("spec") or {}).get("conversion") or {}).get("webhook") or {}
    bundle = (webhook.get("clientConfig") or {}).get("caBundle")
    return bool(bundle and certificate_check.roots_problem(bundle))


def _check_reviews(versions: Sequence[str], path: str) -> Iterator[Cause]:
    if not versions:
        yield causes.required(path)
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield causes.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        for problem in names.dns1035_label(version):
            yield causes.invalid(f"{path}[{index}]", version, problem)
    if not set(versions) & set(_REVIEWS):
        detail = f"must include at least one of {', '.join(_REVIEWS)}"
        yield causes.invalid(path, list(versions), detail)


def _check_kept(spec: Raw, old: Raw, established: bool) -> Iterator[Cause]:
    given, before = spec.get("names") or {}, old.get("names") or {}
    if established:
        yield from causes.immutable("spec.scope", spec.get("scope"), old.get("scope"))
        yield from causes.immutable("spec.names.kind", given.get("kind"), before.get("kind"))
    yield from causes.immutable("spec.group", spec.get("group"), old.get("group"))
    yield from causes.immutable("spec.names.plural", given.get("plural"), before.get("plural"))


def _check_stored(stored: Sequence[str], versions: Sequence[Raw]) -> Iterator[Cause]:
    path = "status.storedVersions"
    if not stored:
        yield causes.invalid(path, list(stored), "must have at least one stored version")
        return
    known = [version.get("name") for version in versions]
    for version in versions:
        if version.get("storage") and version.get("name") not in stored:
            detail = f"must have the storage version {version.get('name')}"
            yield causes.invalid(path, list(stored), detail)
    for index, name in enumerate(stored):
        if name not in known and name not in stored[index + 1 :]:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must "
                "remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {name} and removes {name} from status.storedVersions"
            )
            yield causes.invalid(f"{path}[{index}]", name, detail)


def is_protected(group: str) -> bool:
    """Says whether a group belongs to Kubernetes' community."""
    return any(group == one or group.endswith(f".{one}") for one in _PROTECTED)


def approval(definition: Document) -> tuple[str, str]:
    """Returns the state of a definition's approval (Missing, Bypassed, Approved, Invalid), and
    why."""
    annotations = (definition.get("metadata") or {}).get("annotations") or {}
    text = annotations.get(APPROVED) or ""
    needed = f'protected groups must have approval annotation "{APPROVED}"'
    if not text:
        return "Missing", f"{needed}, see {_PEER}"
    if text.startswith("unapproved"):
        return "Bypassed", f'not approved: "{text}"'
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme and parts.netloc:
        return "Approved", f"approved in {text}"
    detail = f'with either a URL or a reason starting with "unapproved", see {_PEER}'
    return "Invalid", f"{needed} {detail}"


def _check_approval(new: Document, old: Document | None) -> Iterator[Cause]:
    if not is_protected((new.get("spec") or {}).get("group") or ""):
        return
    state, why = approval(new)
    if old is not None and approval(old)[0] == state:
        return
    path = f"metadata.annotations[{APPROVED}]"
    if state == "Missing":
        yield causes.required(path, why)
    elif state == "Invalid":
        yield causes.invalid(path, new["metadata"]["annotations"][APPROVED], why)
