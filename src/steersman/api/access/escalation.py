"""Nobody grants what they do not hold: the check on writes of roles and bindings.

Raises what upstream's policy-based storage of pkg/registry/rbac raises; decides nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from steersman.api.access.authorization import (
    MASTERS,
    Attributes,
    Authorizer,
    quoted,
    quoted_list,
)
from steersman.api.access.rbac import GROUP, RBAC
from steersman.api.access.rules import EVERYTHING, Rule, compact, missing, parse_all
from steersman.model.errors import forbidden
from steersman.model.kind import Document
from steersman.wire.message import User

ROLES = ("roles", "clusterroles")
BINDINGS = ("rolebindings", "clusterrolebindings")


class Escalation:
    """Checks writes in the group rbac.authorization.k8s.io."""

    def __init__(self, rbac: RBAC, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer

    def check(
        self, user: User, plural: str, namespace: str, new: Document, old: Document | None
    ) -> None:
        """Refuses a created or updated role or binding that grants more than its writer holds.

        Raises Forbidden, or NotFound where a binding names a role that does not exist. Other
        resources pass.
        """
        if MASTERS in user.groups or (old is not None and only_collector_fields(new, old)):
            return
        if plural in ROLES:
            self._check_role(user, plural, namespace, new, old)
        elif plural in BINDINGS:
            self._check_binding(user, plural, namespace, new)

    def _check_role(
        self, user: User, plural: str, namespace: str, new: Document, old: Document | None
    ) -> None:
        name = new["metadata"].get("name", "")
        if self._may(user, "escalate", plural, namespace, name):
            return
        if why := self._excess(user, namespace, parse_all(new.get("rules"))):
            raise forbidden(GROUP, plural, name, why)
        aggregated = _is_aggregated(new) or (old is not None and _is_aggregated(old))
        if aggregated and self._excess(user, namespace, EVERYTHING):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden(GROUP, plural, name, why)

    def _check_binding(self, user: User, plural: str, namespace: str, new: Document) -> None:
        reference = new.get("roleRef") or {}
        is_role = reference.get("kind") == "Role"
        role = reference.get("name", "")
        if self._may(user, "bind", "roles" if is_role else "clusterroles", namespace, role):
            return
        rules = self._rbac.role(namespace if is_role else "", role)
        if why := self._excess(user, namespace, rules):
            raise forbidden(GROUP, plural, new["metadata"].get("name", ""), why)

    def _may(self, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
        attributes = Attributes(verb, GROUP, "v1", plural, "", namespace, name)
        return self._authorizer.allowed(user, attributes).allowed

    def _excess(self, user: User, namespace: str, wanted: Iterable[Rule]) -> str:
        parts = missing(self._rbac.rules_of(user, namespace), wanted)
        if not parts:
            return ""
        listed = "\n".join(sorted({str(rule) for rule in compact(parts)}))
        who = f"user {quoted(user.name)} (groups={quoted_list(user.groups)})"
        return f"{who} is attempting to grant RBAC permissions not currently held:\n{listed}"


def _is_aggregated(role: Document) -> bool:
    rule = role.get("aggregationRule")
    return rule is not None and bool(rule.get("clusterRoleSelectors"))


def only_collector_fields(new: Document, old: Document) -> bool:
    """Says whether a write changes only what the garbage collector must be able to change:
    owner references and finalizers (registry/rbac IsOnlyMutatingGCFields)."""
    return _without_collector_fields(new) == _without_collector_fields(old)


def _without_collector_fields(document: Document) -> Document:
    left_out = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
    metadata = {
        key: value for key, value in document["metadata"].items() if key not in left_out and value
    }
    rest = {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
    return {**rest, "metadata": metadata}
