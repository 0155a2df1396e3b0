"""ClusterRoles that are made up of others get their rules
(pkg/controller/clusterroleaggregation)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from steersman.client.interface import Views
from steersman.model.kind import Document
from steersman.model.kinds.rbac import CLUSTERROLE, ClusterRole
from steersman.model.ref import Ref
from steersman.model.types.aggregation import aggregate
from steersman.reconcile.actions import Patch, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch


def document(role: ClusterRole) -> Document:
    """Returns what of a role aggregation reads; empty lists are left out as in documents."""
    found: Document = {
        "metadata": {"name": role.metadata.name, "labels": dict(role.metadata.labels)},
        "rules": [_without_empty(msgspec.to_builtins(rule)) for rule in role.rules],
    }
    if role.aggregation_rule is not None:
        found["aggregationRule"] = msgspec.to_builtins(role.aggregation_rule)
    return found


def _without_empty(rule: Document) -> Document:
    return {name: values for name, values in rule.items() if values}


def plan(role: ClusterRole, others: Iterable[ClusterRole]) -> Patch | None:
    """Returns the patch that gives a role its rules, None where it has them or is its own."""
    own = document(role)
    rules = aggregate(own, map(document, others))
    if rules is None or rules == own["rules"]:
        return None
    metadata = role.metadata
    ref = CLUSTERROLE.ref("", metadata.name)
    return Patch(ref, {"rules": rules}, uid=metadata.uid, revision=metadata.revision)


def _of_role(views: Views, _old: Any | None, _new: Any | None) -> Iterable[Ref]:
    """Maps any role to all that are made up of others: there are few, and none says of whom."""
    roles = views.of(CLUSTERROLE).list()
    return [
        CLUSTERROLE.ref("", it.metadata.name) for it in roles if it.aggregation_rule is not None
    ]


class RoleAggregationController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "clusterrole-aggregation-controller"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(CLUSTERROLE, _of_role),)
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("rbac.authorization.k8s.io", ("clusterroles",), ("escalate", "patch")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._roles = given.views.of(CLUSTERROLE)

    async def reconcile(self, ref: Ref) -> Done:
        """Gives one role its rules."""
        role: ClusterRole | None = self._roles.get(ref)
        patch = plan(role, self._roles.list()) if role is not None else None
        if patch is not None:
            await act_one(self._given.client, self._given.events, patch)
        return Done()
