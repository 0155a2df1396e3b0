"""NodeRestriction where writes pass: in the chain of plugins and before a token is issued."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from test_access_node_restriction import FOUND, NODE
from test_access_rbac import rbac
from test_access_tokens import Cluster
from test_published_openapi import NODE as NODE_KIND
from test_published_openapi import POD

from steersman.api.access.authorization import Attributes
from steersman.api.admission.chain import Change
from steersman.api.admission.node_restriction import NodeRestriction
from steersman.api.cache import Table
from steersman.api.call import Call
from steersman.api.form import Form
from steersman.api.present import PLAIN
from steersman.api.subresources.token import TokenRequest
from steersman.model.builtin import by_resource
from steersman.model.errors import Forbidden
from steersman.model.kind import Kind
from steersman.wire.message import Request, User

ACCOUNTS = by_resource("", "v1", "serviceaccounts")


def call(kind: Kind, name: str, subresource: str = "", user: User = NODE, body: Any = None) -> Call:
    sent = Request("POST", "/", body=orjson.dumps(body) if body else b"")
    asked = Attributes("create", "", "v1", kind.plural, subresource, "default", name)
    version = kind.versions[0]
    form, table = Form(kind, "v1"), Table(kind.resource)
    return Call(sent, user, asked, kind, version, form, table, PLAIN)


def check(change: Change) -> None:
    plugin = NodeRestriction(FOUND.get)
    assert plugin.admit(change) is None
    plugin.check(change)


def test_a_new_node_is_known_by_the_name_in_its_document() -> None:
    own = {"metadata": {"name": "n1"}}
    check(Change(call(NODE_KIND, ""), "CREATE", own, None))
    with pytest.raises(Forbidden) as raised:
        check(Change(call(NODE_KIND, ""), "CREATE", {"metadata": {"name": "n2"}}, None))
    assert raised.value.message.startswith('nodes "n2" is forbidden')


def test_a_node_evicts_its_own_pods_though_eviction_is_a_deletion() -> None:
    mine = {"metadata": {"name": "mine"}, "spec": {"nodeName": "n1"}}
    check(Change(call(POD, "mine", "eviction"), "DELETE", None, mine))
    far = {"metadata": {"name": "far"}, "spec": {"nodeName": "n2"}}
    with pytest.raises(Forbidden) as raised:
        check(Change(call(POD, "far", "eviction"), "DELETE", None, far))
    assert "can only evict pods" in raised.value.message
    with pytest.raises(Forbidden):
        check(Change(call(POD, "far"), "DELETE", None, far))


def test_a_node_is_given_tokens_of_its_own_pods_only() -> None:
    assert ACCOUNTS is not None
    cluster = Cluster()
    cluster.put("serviceaccounts", "builder", "sa-1", "default")
    volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]
    for node, name in (("n1", "mine"), ("n2", "far")):
        spec = {"serviceAccountName": "builder", "nodeName": node, "volumes": volumes}
        cluster.put("pods", name, name, "default", **spec)
    handler = TokenRequest(cluster.tokens, cluster.find, rbac())

    def asked(name: str, user: User = NODE, *audiences: str) -> Call:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name}
        wanted = {"boundObjectRef": bound, "audiences": audiences}
        return call(ACCOUNTS, "builder", "token", user, {"spec": wanted})

    assert handler.handle(asked("mine")).status == 201
    assert handler.handle(asked("far", User("jane"))).status == 201
    with pytest.raises(Forbidden) as raised:
        handler.handle(asked("far"))
    assert raised.value.message == (
        'serviceaccounts "builder" is forbidden: node requested token bound to a pod scheduled on '
        "a different node"
    )
    with pytest.raises(Forbidden) as raised:
        handler.handle(asked("mine", NODE, "vault"))
    assert raised.value.message == (
        'serviceaccounts "builder" is forbidden: audience "vault" not found in pod spec volume, '
        "system:node:n1 is not authorized to request tokens for this audience"
    )
