"""For whom a node may have tokens made: what volumes of its pods name, and what it is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from test_access_rbac import binding, rbac, role, rule, user

from steersman.api.access import node_audience
from steersman.model.errors import Forbidden
from steersman.model.kind import Document
from steersman.model.ref import Ref
from steersman.wire.message import User

NODE = User("system:node:n1", ("system:nodes",))


def projected(**token: Any) -> Document:
    sources = [{"secret": {"name": "s"}}, {"serviceAccountToken": token}]
    return {"name": "v", "projected": {"sources": sources}}


OBJECTS: dict[tuple[str, str], Document] = {
    ("persistentvolumeclaims", "claim"): {"spec": {"volumeName": "volume"}},
    ("persistentvolumeclaims", "pod-eph"): {"spec": {"volumeName": "volume"}},
    ("persistentvolumeclaims", "waiting"): {"spec": {}},
    ("persistentvolumes", "volume"): {"spec": {"csi": {"driver": "driver"}}},
    ("csidrivers", "driver"): {"spec": {"tokenRequests": [{"audience": "store"}, {}]}},
}


def asks(
    *audiences: str, volumes: tuple[Document, ...] = (), who: User = NODE, **rules: Any
) -> str:
    """Returns why a token is refused, "" where it is not."""
    pod = {"metadata": {"name": "pod", "namespace": "ns"}, "spec": {"volumes": list(volumes)}}

    def find(ref: Ref) -> Document | None:
        if ref.kind.plural == "pods":
            return pod if (ref.namespace, ref.name) == ("ns", "pod") else None
        return OBJECTS.get((ref.kind.plural, ref.name))

    request = {"spec": {"audiences": list(audiences), "boundObjectRef": {"name": "pod"}}}
    one = role("r", *rules.get("granted", ()))
    try:
        authorizer = rbac(one, binding("b", one, user(NODE.name), namespace="ns"))
        node_audience.check(who, "ns", "builder", request, find, authorizer)
    except Forbidden as error:
        return error.message.removeprefix('serviceaccounts "builder" is forbidden: ')
    return ""


def missing(audience: str) -> str:
    return (
        f'audience "{audience}" not found in pod spec volume, system:node:n1 is not authorized to'
        " request tokens for this audience"
    )


@pytest.mark.parametrize(
    ("volume", "audience", "expected"),
    [
        (projected(path="t"), "", ""),
        (projected(path="t"), "vault", missing("vault")),
        (projected(path="t", audience="vault"), "vault", ""),
        (projected(path="t", audience="vault"), "", missing("")),
        ({"name": "v", "csi": {"driver": "driver"}}, "store", ""),
        ({"name": "v", "csi": {"driver": "driver"}}, "", ""),
        ({"name": "v", "csi": {"driver": "other"}}, "store", missing("store")),
        ({"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}, "store", ""),
        ({"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}, "x", missing("x")),
        ({"name": "v", "persistentVolumeClaim": {"claimName": "gone"}}, "store", missing("store")),
        ({"name": "v", "persistentVolumeClaim": {"claimName": "waiting"}}, "store",
         missing("store")),
        ({"name": "eph", "ephemeral": {"volumeClaimTemplate": {}}}, "store", ""),
        ({"name": "v", "emptyDir": {}}, "store", missing("store")),
    ],
)  # fmt: skip
def test_a_token_is_for_whom_a_volume_names(volume: Document, audience: str, expected: str) -> None:
    assert asks(audience, volumes=(volume,)) == expected


def test_no_audience_is_that_of_the_server_and_two_are_too_many() -> None:
    assert asks(volumes=(projected(path="t"),)) == ""
    assert asks() == missing("")
    both = projected(path="t", audience="a"), projected(path="t", audience="b")
    assert asks("a", "b", volumes=both) == "node may only request 0 or 1 audiences"


def test_a_rule_may_allow_an_audience_that_no_volume_names() -> None:
    granted = (rule(node_audience.VERB, "core", "registry", "builder"),)
    assert asks("registry", granted=granted) == ""
    assert asks("other", granted=granted) == missing("other")
    another = (rule(node_audience.VERB, "core", "registry", "tester"),)
    assert asks("registry", granted=another) == missing("registry")


def test_who_is_no_node_is_not_asked() -> None:
    assert asks("anything", "else", who=User("jane")) == ""
