"""Ingress as v1beta1 wrote it, of networking.k8s.io and of extensions, and as v1 does, both ways
(pkg/apis/networking/v1beta1/conversion.go and defaults.go).

A backend named its service and port in one object; the default one was `backend`; a path without a
type was left to the implementation.
"""

from __future__ import annotations

from typing import Final

from steersman.model.kind import Convert, Document

_OF_SERVICE: Final = ("serviceName", "servicePort")
_DEFAULT_TYPE: Final = "ImplementationSpecific"


def to_v1(document: Document) -> Document:
    """Returns a v1beta1 document in v1."""
    if "spec" not in document:
        return document
    spec = dict(document["spec"])
    if (backend := spec.pop("backend", None)) is not None:
        spec["defaultBackend"] = _deep(backend)
    if "rules" in spec:
        spec["rules"] = [_rule(rule, _path_to_v1) for rule in spec["rules"]]
    return {**document, "spec": spec}


def from_v1(document: Document) -> Document:
    """Returns a v1 document in v1beta1."""
    if "spec" not in document:
        return document
    spec = dict(document["spec"])
    if (backend := spec.pop("defaultBackend", None)) is not None:
        spec["backend"] = _flat(backend)
    if "rules" in spec:
        spec["rules"] = [_rule(rule, _path_from_v1) for rule in spec["rules"]]
    return {**document, "spec": spec}


def _rule(rule: Document, convert: Convert) -> Document:
    http = rule.get("http")
    if http is None or "paths" not in http:
        return rule
    return {**rule, "http": {**http, "paths": [convert(path) for path in http["paths"]]}}


def _path_to_v1(path: Document) -> Document:
    found = {"pathType": _DEFAULT_TYPE, **path}
    return {**found, "backend": _deep(path["backend"])} if "backend" in path else found


def _path_from_v1(path: Document) -> Document:
    return {**path, "backend": _flat(path["backend"])} if "backend" in path else path


def _deep(backend: Document) -> Document:
    """Returns a backend as v1 writes it."""
    found = {name: value for name, value in backend.items() if name not in _OF_SERVICE}
    name, port = backend.get("serviceName") or "", backend.get("servicePort", 0)
    if name or port != 0:
        service: Document = {"name": name}
        if isinstance(port, str):
            service["port"] = {"name": port} if port else {}
        else:
            service["port"] = {"number": port} if port else {}
        found["service"] = service
    return found


def _flat(backend: Document) -> Document:
    """Returns a backend as v1beta1 writes it."""
    found = {name: value for name, value in backend.items() if name != "service"}
    service = backend.get("service")
    if service is None:
        return found
    port = service.get("port") or {}
    return {
        **found,
        "serviceName": service.get("name", ""),
        "servicePort": port.get("name") or port.get("number", 0),
    }
