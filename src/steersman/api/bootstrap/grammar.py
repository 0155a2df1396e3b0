"""The short notation of the bootstrap tables: words instead of documents.

A rule is written `rule("get list", "core", "pods pods/log")`; `core` is the empty API group.
Lists are sorted in documents, as upstream sorts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steersman.model.kind import Document

GROUP = "rbac.authorization.k8s.io"
VERSION = f"{GROUP}/v1"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
READ_WRITE = f"{READ} {WRITE}"
READ_UPDATE = "get list patch update watch"


class Role(NamedTuple):
    """A role; `aggregates` names the label whose roles it is made of, `into` where it adds."""

    name: str
    rules: tuple[Document, ...] = ()
    aggregates: str = ""
    into: str = ""
    namespace: str = ""


class Binding(NamedTuple):
    """A binding; a subject is `User:name`, `Group:name` or `ServiceAccount:namespace/name`."""

    role: str
    subjects: tuple[str, ...] = ()
    name: str = ""  # the role's where empty
    namespace: str = ""


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Document:
    """Returns a rule for resources; every argument is words between spaces."""
    found = {
        "apiGroups": ["" if group == "core" else group for group in _words(groups)],
        "resources": _words(resources),
        "verbs": _words(verbs),
    }
    found["apiGroups"].sort()
    return {**found, "resourceNames": _words(names)} if names else found


def urls(paths: str) -> Document:
    """Returns a rule that lets paths be read."""
    return {"nonResourceURLs": _words(paths), "verbs": ["get"]}


def _words(text: str) -> list[str]:
    return sorted(text.split())


EVENTS = rule("create patch update", "core events.k8s.io", "events")


def metadata(name: str, namespace: str = "", labels: Mapping[str, str] | None = None) -> Document:
    """Returns the metadata that all bootstrap roles and bindings bear."""
    where = {"namespace": namespace} if namespace else {}
    return {
        "name": name,
        **where,
        "labels": {**LABELS, **(labels or {})},
        "annotations": {AUTOUPDATE: "true"},
    }


def role_document(role: Role) -> Document:
    """Returns the Role or ClusterRole."""
    labels = {f"{AGGREGATE}{role.into}": "true"} if role.into else {}
    document: Document = {
        "apiVersion": VERSION,
        "kind": "Role" if role.namespace else "ClusterRole",
        "metadata": metadata(role.name, role.namespace, labels),
        "rules": [dict(one) for one in role.rules] or None,
    }
    if role.aggregates:
        selector = {"matchLabels": {f"{AGGREGATE}{role.aggregates}": "true"}}
        document["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return document


def binding_document(binding: Binding) -> Document:
    """Returns the RoleBinding or ClusterRoleBinding."""
    document: Document = {
        "apiVersion": VERSION,
        "kind": "RoleBinding" if binding.namespace else "ClusterRoleBinding",
        "metadata": metadata(binding.name or binding.role, binding.namespace),
        "roleRef": {
            "apiGroup": GROUP,
            "kind": "Role" if binding.namespace else "ClusterRole",
            "name": binding.role,
        },
    }
    if binding.subjects:
        document["subjects"] = subjects(binding.subjects)
    return document


def subjects(shorts: Iterable[str]) -> list[Document]:
    """Returns subjects from their short form."""
    found: list[Document] = []
    for short in shorts:
        kind, _, name = short.partition(":")
        if kind == "ServiceAccount":
            namespace, _, account = name.partition("/")
            found.append({"kind": kind, "name": account, "namespace": namespace})
        else:
            found.append({"apiGroup": GROUP, "kind": kind, "name": name})
    return found
