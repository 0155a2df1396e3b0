"""What each controller declares that it writes is what its role in a served cluster allows.

The simulation runs controllers under roles made from their declarations; a cluster runs them under
upstream's (docs/adr/0008). This is where the two meet.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from steersman.api.bootstrap.documents import rbac_documents
from steersman.controllers.registry import Facts, controllers
from steersman.model.kind import Document
from steersman.reconcile.loop import Controller, account_of


class Signer:
    """Signs nothing."""

    def sign(self, request: bytes, usages: Sequence[str], seconds: int) -> bytes:
        raise NotImplementedError


CONTROLLERS = controllers(Facts("a bundle", "10.96.0.0/16", Signer()))


def rules_of(account: str) -> list[Document]:
    """Returns the rules of every ClusterRole that is bound to an account in kube-system."""
    documents = rbac_documents()
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}
    bound = {
        one["roleRef"]["name"]
        for one in documents
        if one["kind"] == "ClusterRoleBinding" and subject in one.get("subjects", ())
    }
    roles = [one for one in documents if one["kind"] == "ClusterRole"]
    return [rule for role in roles if role["metadata"]["name"] in bound for rule in role["rules"]]


def allows(rules: list[Document], verb: str, group: str, resource: str) -> bool:
    asked = {"verbs": verb, "apiGroups": group, "resources": resource}
    return any(
        all({"*", value} & set(rule.get(key, ())) for key, value in asked.items()) for rule in rules
    )


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda found: found.name)
def test_a_controllers_role_allows_all_that_it_declares(controller: type[Controller]) -> None:
    rules = rules_of(account_of(controller))
    refused = [
        f"{verb} {resource}.{rule.group}"
        for rule in controller.writes
        for resource in rule.resources
        for verb in rule.verbs
        if not allows(rules, verb, rule.group, resource)
    ]
    assert refused == []
