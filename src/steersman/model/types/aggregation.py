"""The rules of a ClusterRole that is made up of others (pkg/controller/clusterroleaggregation)."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.model import selectors
from steersman.model.kind import Document


def aggregate(role: Document, cluster_roles: Iterable[Document]) -> list[Document] | None:
    """Returns the rules an aggregated ClusterRole should have, None where it is not aggregated.

    Roles are taken selector by selector, each in order of name; equal rules stand once, and a
    role is never its own source.
    """
    rule = role.get("aggregationRule")
    if rule is None:
        return None
    own = role["metadata"]["name"]
    ordered = sorted(cluster_roles, key=lambda other: str(other["metadata"]["name"]))
    found: list[Document] = []
    for selector in rule.get("clusterRoleSelectors") or ():
        selects = selectors.of_document(selector)
        for other in ordered:
            if other["metadata"]["name"] == own or not selects(other["metadata"].get("labels")):
                continue
            found.extend(item for item in other.get("rules") or () if item not in found)
    return found
