"""All documents of a new cluster, and what to write when an old one lacks some of them.

Pure: who stores them is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from steersman.api.access import rules
from steersman.api.bootstrap import controllers, flow, roles
from steersman.api.bootstrap.grammar import AUTOUPDATE, GROUP, binding_document, role_document
from steersman.model import local_path
from steersman.model.kind import Document
from steersman.model.types.aggregation import aggregate

NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")

_PRIORITIES = (
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another "
        "node if necessary.",
    ),
)


def documents() -> list[Document]:
    """Returns everything a new cluster holds, in the order in which it may be created."""
    return [
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in NAMESPACES
        ),
        *rbac_documents(),
        *(_priority(*one) for one in _PRIORITIES),
        local_path.storage_class(),
        *flow.level_documents(),
        *flow.flow_documents(),
    ]


def rbac_documents() -> list[Document]:
    """Returns the default roles and bindings; aggregated roles hold their rules already."""
    named = (*roles.CLUSTER_ROLES, *controllers.CONTROLLER_ROLES, *controllers.NAMESPACE_ROLES)
    bound = (
        *roles.CLUSTER_BINDINGS,
        *controllers.CONTROLLER_BINDINGS,
        *controllers.NAMESPACE_BINDINGS,
    )
    found = [role_document(role) for role in named]
    _fill(found)
    return [*found, *(binding_document(binding) for binding in bound)]


def _fill(found: Iterable[Document]) -> None:
    cluster = [role for role in found if role["kind"] == "ClusterRole"]
    named = {role["metadata"]["name"]: role for role in cluster}
    for name in ("view", "edit", "admin"):  # each is a source of the next
        named[name]["rules"] = aggregate(named[name], cluster)


def _priority(name: str, value: int, description: str) -> Document:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": description,
        "preemptionPolicy": "PreemptLowerPriority",
    }


def reconcile(live: Document | None, wanted: Document) -> Document | None:
    """Returns what to write so that a live object grants at least what is wanted, None where it
    does already (component-helpers/auth/rbac/reconciliation, without removal of extras).

    An absent object is created whole. A role or binding annotated autoupdate=false is left as it
    is; others get missing rules, selectors, subjects, labels and annotations. A binding to
    another role is replaced. Objects of other groups are only ever created.
    """
    if live is None:
        return wanted
    if not wanted["apiVersion"].startswith(GROUP) or _is_protected(live):
        return None
    merged = {**live, "metadata": _metadata(live["metadata"], wanted["metadata"])}
    if wanted["kind"] in ("Role", "ClusterRole"):
        merged.update(_role_fields(live, wanted))
    elif live.get("roleRef") != wanted["roleRef"]:
        merged.update(
            {field: wanted[field] for field in ("roleRef", "subjects") if field in wanted}
        )
    else:
        merged.update(_added("subjects", live, wanted))
    return merged if merged != live else None


def _is_protected(live: Document) -> bool:
    annotations = live["metadata"].get("annotations") or {}
    return bool(annotations.get(AUTOUPDATE) == "false")


def _metadata(live: Document, wanted: Document) -> Document:
    found = dict(live)
    for field in ("labels", "annotations"):
        both = {**(wanted.get(field) or {}), **(live.get(field) or {})}
        if both:
            found[field] = both
    return found


def _role_fields(live: Document, wanted: Document) -> Document:
    if aggregation := wanted.get("aggregationRule"):
        have = live.get("aggregationRule") or {}
        return {"aggregationRule": {**have, **_added("clusterRoleSelectors", have, aggregation)}}
    owned = rules.parse_all(live.get("rules"))
    absent = rules.missing(owned, rules.parse_all(wanted["rules"]))
    if not absent:
        return {}
    return {"rules": [*(live.get("rules") or ()), *(rules.document(rule) for rule in absent)]}


def _added(field: str, live: Document, wanted: Document) -> Document:
    have = live.get(field) or []
    absent = [item for item in wanted.get(field) or () if item not in have]
    return {field: [*have, *absent]} if absent else {}
