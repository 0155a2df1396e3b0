"""What each controller declares that it writes is what its role in a served cluster allows.

The simulation runs controllers under roles made from their declarations; a cluster runs them under
upstream's (docs/adr/0008). This is where the two meet.
"""

from __future__ import annotations

import pytest

from controlled import NoSigner
from steersman.api.bootstrap.documents import rbac_documents
from steersman.controllers.registry import Facts, controllers
from steersman.model.kind import Document
from steersman.reconcile.loop import Controller, account_of

CONTROLLERS = controllers(Facts("a bundle", "10.96.0.0/16", NoSigner()))


def rules_of(account: str) -> list[Document]:
    """Returns the rules of every role that is bound to an account in kube-system, anywhere."""
    documents = rbac_documents()
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}
    bound = {
        role_key(one["roleRef"]["kind"], one["roleRef"]["name"], one["metadata"])
        for one in documents
        if one["kind"].endswith("RoleBinding") and subject in one.get("subjects", ())
    }
    roles = [one for one in documents if one["kind"] in ("Role", "ClusterRole")]
    found = [
        it for it in roles if role_key(it["kind"], it["metadata"]["name"], it["metadata"]) in bound
    ]
    return [rule for role in found for rule in role["rules"]]


def role_key(kind: str, name: str, metadata: Document) -> tuple[str, str, str]:
    namespace: str = metadata.get("namespace", "") if kind == "Role" else ""
    return kind, namespace, name


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
