"""apiextensions.k8s.io/v1beta1 as a form of v1, both ways (apiextensions/v1beta1/conversion.go and
defaults.go).

v1beta1 could say for all versions at once what v1 says for each, and kept fields that no schema
knew unless `preserveUnknownFields` was false; v1 says the latter in schemas, and wants them
structural: types that a schema leaves out are filled in where only one is possible.
"""

from __future__ import annotations

from typing import Any, Final

from steersman.model.kind import Document

_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_SHARED: Final = ("subresources", "additionalPrinterColumns")
_REVIEWS: Final = "conversionReviewVersions"


def to_v1(document: Document) -> Document:
    """Returns a v1beta1 document in v1."""
    if "spec" not in document:
        return document
    spec = dict(document["spec"])
    shared = {name: spec.pop(name) for name in (*_SHARED, "validation") if name in spec}
    version, preserve = spec.pop("version", ""), spec.pop("preserveUnknownFields", True)
    versions = spec.get("versions") or [{"name": version, "served": True, "storage": True}]
    spec["versions"] = [_version_to_v1(one, shared, preserve) for one in versions]
    spec["scope"] = spec.get("scope") or "Namespaced"
    if "conversion" in spec:
        spec["conversion"] = _conversion_to_v1(spec["conversion"])
    return {**document, "spec": spec}


def from_v1(document: Document) -> Document:
    """Returns a v1 document in v1beta1; what all versions have in common is said once."""
    if "spec" not in document:
        return document
    spec = dict(document["spec"])
    versions = [_version_from_v1(one) for one in spec.get("versions") or ()]
    if versions:
        spec["version"] = versions[0]["name"]
    for own, common in (*zip(_SHARED, _SHARED, strict=True), ("schema", "validation")):
        first = versions[0].get(own) if versions else None
        if first is not None and all(one.get(own) == first for one in versions):
            spec[common] = first
            for one in versions:
                del one[own]
    spec["versions"] = versions
    spec["preserveUnknownFields"] = bool(spec.get("preserveUnknownFields"))
    if "conversion" in spec:
        spec["conversion"] = _conversion_from_v1(spec["conversion"])
    return {**document, "spec": spec}


def _version_to_v1(version: Document, shared: Document, preserve: bool) -> Document:
    common: Document = {name: shared[name] for name in _SHARED if name in shared}
    made = {**common, **version}
    if "additionalPrinterColumns" in made:
        columns = made["additionalPrinterColumns"]
        made["additionalPrinterColumns"] = [_renamed(it, "JSONPath", "jsonPath") for it in columns]
    validation = made.get("schema") or shared.get("validation") or {}
    schema = typed({"type": "object", **(validation.get("openAPIV3Schema") or {})}, preserve)
    made["schema"] = {"openAPIV3Schema": schema}
    return made


def _version_from_v1(version: Document) -> Document:
    made = dict(version)
    if "additionalPrinterColumns" in made:
        columns = made["additionalPrinterColumns"]
        made["additionalPrinterColumns"] = [_renamed(it, "jsonPath", "JSONPath") for it in columns]
    return made


def _renamed(column: Document, old: str, new: str) -> Document:
    return {new if name == old else name: value for name, value in column.items()}


def _conversion_to_v1(conversion: Document) -> Document:
    made = dict(conversion)
    client, reviews = made.pop("webhookClientConfig", None), made.pop(_REVIEWS, None)
    if conversion.get("strategy") == "Webhook":
        webhook = {_REVIEWS: reviews or ["v1beta1"]}
        made["webhook"] = webhook if client is None else {"clientConfig": client, **webhook}
    return made


def _conversion_from_v1(conversion: Document) -> Document:
    made = dict(conversion)
    webhook = made.pop("webhook", None) or {}
    if "clientConfig" in webhook:
        made["webhookClientConfig"] = webhook["clientConfig"]
    if _REVIEWS in webhook:
        made[_REVIEWS] = webhook[_REVIEWS]
    return made


def typed(schema: Any, preserve: bool) -> Any:
    """Returns a schema with the types that it implies, and where `preserve` says so with unknown
    fields kept at every object; parts of allOf and the like say no types."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if isinstance(made.get("properties"), dict):
        made["properties"] = {k: typed(v, preserve) for k, v in made["properties"].items()}
    for name in ("items", "additionalProperties"):
        if name in made:
            made[name] = typed(made[name], preserve)
    if "type" not in made and not made.get(_INT_OR_STRING):
        made |= _implied(made)
    if preserve and made.get("type") == "object" and "additionalProperties" not in made:
        made.setdefault(_PRESERVE, True)
    return made


def _implied(schema: Document) -> Document:
    if "properties" in schema or "additionalProperties" in schema:
        return {"type": "object"}
    return {"type": "array"} if "items" in schema else {}
