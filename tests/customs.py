"""Definitions of custom resources for tests, and how a test waits for them."""

from __future__ import annotations

from typing import Any

from served import Served

Document = dict[str, Any]

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
SPEC: Document = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 0, "maximum": 10},
        "colour": {"type": "string", "default": "red", "enum": ["red", "green"]},
        "label": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
        "port": {"x-kubernetes-int-or-string": True},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
            },
        },
        "tags": {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "items": {"type": "string"},
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
STATUS: Document = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"}},
}


def version(name: str = "v1", **more: Any) -> Document:
    """Returns a version of the widgets' definition."""
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    return {
        "name": name,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.size",
                "statusReplicasPath": ".status.replicas",
            },
        },
        **more,
    }


def definition(
    *versions: Document, kind: str = "Widget", scope: str = "Namespaced", **names: Any
) -> Document:
    """Returns a definition in the group example.com."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": scope,
            "names": {"plural": plural, "kind": kind, **names},
            "versions": list(versions) or [version()],
        },
    }


def widget(name: str, api: str = "v1", **spec: Any) -> Document:
    """Returns a widget."""
    return {
        "apiVersion": f"example.com/{api}",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 1, **spec},
    }


async def establish(api: Served, document: Document) -> Document:
    """Creates a definition and waits until it is established; returns it as it then is."""
    name = document["metadata"]["name"]
    watch = await api.watch(CRDS, fieldSelector=f"metadata.name={name}")
    (await api.post(CRDS, document)).ok()
    while True:
        found: Document = (await watch.next())["object"]
        conditions = (found.get("status") or {}).get("conditions") or ()
        if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
            watch.close()
            return found


async def gone(api: Served, path: str) -> None:
    """Waits, in virtual time, until an object is gone."""
    collection, _, name = path.rpartition("/")
    watch = await api.watch(collection, fieldSelector=f"metadata.name={name}")
    if (await api.get(path)).code == 404:
        return
    while (await watch.next())["type"] != "DELETED":
        continue
