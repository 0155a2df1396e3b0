"""What discovery says of one kind: the entries of an APIResourceList and of the aggregated form.

Pure; follows apiserver's endpoints/installer.go and discovery/aggregated.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from steersman.model.kind import Document, Kind, Subresource

# Subresources that are opened rather than read: the kind of the options they take
_OPTIONS = {
    ("pods", "attach"): "PodAttachOptions",
    ("pods", "exec"): "PodExecOptions",
    ("pods", "portforward"): "PodPortForwardOptions",
    ("pods", "proxy"): "PodProxyOptions",
    ("services", "proxy"): "ServiceProxyOptions",
    ("nodes", "proxy"): "NodeProxyOptions",
}


class Body(NamedTuple):
    """The kind of what a resource or subresource takes and gives."""

    group: str
    version: str
    kind: str

    def document(self) -> Document:
        """Returns it as a GroupVersionKind."""
        return {"group": self.group, "version": self.version, "kind": self.kind}


def body_of(kind: Kind, version: str, subresource: Subresource) -> Body:
    """Returns the kind of a subresource's body: its own, options, or that of the object."""
    if subresource.document:
        api_version, _, name = subresource.document.partition(" ")
        group, _, own = api_version.rpartition("/")
        return Body(group, own, name)
    return Body(kind.group, version, _OPTIONS.get((kind.plural, subresource.name), kind.name))


def storage_hash(kind: Kind) -> str:
    """Returns what changes when objects are stored in another version (StorageVersionHash)."""
    text = f"{kind.group}/{kind.storage}/{kind.name}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def entries(kind: Kind, version: str) -> Iterator[Document]:
    """Yields a kind's entries in an APIResourceList: its own, then its subresources'."""
    yield {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": sorted(kind.verbs),
        **_optional(kind),
        **({"storageVersionHash": storage_hash(kind)} if kind.stored else {}),
    }
    for subresource in sorted(kind.subresources, key=lambda one: one.name):
        body = body_of(kind, version, subresource)
        own = (body.group, body.version) == (kind.group, version)
        yield {
            "name": f"{kind.plural}/{subresource.name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            **({} if own else {"group": body.group, "version": body.version}),
            "kind": body.kind,
            "verbs": sorted(subresource.verbs),
        }


def aggregated(kind: Kind, version: str) -> Document:
    """Returns a kind's APIResourceDiscovery."""
    found: Document = {
        "resource": kind.plural,
        "responseKind": Body(kind.group, version, kind.name).document(),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
        **_optional(kind),
    }
    if kind.subresources:
        found["subresources"] = [
            {
                "subresource": subresource.name,
                "responseKind": body_of(kind, version, subresource).document(),
                "verbs": sorted(subresource.verbs),
            }
            for subresource in sorted(kind.subresources, key=lambda one: one.name)
        ]
    return found


def _optional(kind: Kind) -> Document:
    found = {"shortNames": kind.short_names, "categories": kind.categories}
    return {field: list(names) for field, names in found.items() if names}
