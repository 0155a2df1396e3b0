"""ABAC: policies of both versions, and what each allows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from test_access_rbac import rbac

from steersman.api.access import abac
from steersman.api.access.abac import AttributeBased, Policy
from steersman.api.access.authorization import Attributes, Union
from steersman.api.access.modes import AlwaysDeny, chosen
from steersman.wire.message import User

JANE = User("jane", ("dev", "system:authenticated"))
NOBODY = User("system:anonymous", ("system:unauthenticated",))
GET = Attributes("get", "apps", "v1", "deployments", namespace="ns", name="d")
WRITE = GET._replace(verb="update")
PATH = Attributes("get", path="/logs/a", is_resource=False)


def allows(line: dict[str, Any], asked: Attributes, user: User = JANE) -> bool:
    policies = abac.parse(orjson.dumps(line).decode())
    return AttributeBased(policies).allowed(user, asked).allowed


def spec(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": abac.VERSION, "kind": "Policy", "spec": fields}


WHOLE = {"namespace": "*", "resource": "*", "apiGroup": "*", "nonResourcePath": "*"}


@pytest.mark.parametrize(
    ("who", "user", "expected"),
    [
        ({"user": "jane"}, JANE, True),
        ({"user": "joe"}, JANE, False),
        ({"group": "dev"}, JANE, True),
        ({"group": "ops"}, JANE, False),
        ({"user": "jane", "group": "ops"}, JANE, False),
        ({"user": "joe", "group": "dev"}, JANE, False),
        ({"user": "*"}, JANE, True),
        ({"group": "*"}, JANE, True),
        ({"user": "*"}, NOBODY, False),
        ({}, JANE, False),
    ],
)
def test_a_policy_is_for_a_user_and_a_group(
    who: dict[str, str], user: User, expected: bool
) -> None:
    assert allows(spec(**who, **WHOLE), GET, user) is expected
    assert allows(spec(**who, **WHOLE), PATH, user) is expected


@pytest.mark.parametrize(
    ("what", "asked", "expected"),
    [
        ({"namespace": "ns", "resource": "deployments", "apiGroup": "apps"}, GET, True),
        ({"namespace": "other", "resource": "deployments", "apiGroup": "apps"}, GET, False),
        ({"namespace": "ns", "resource": "pods", "apiGroup": "apps"}, GET, False),
        ({"namespace": "ns", "resource": "deployments", "apiGroup": ""}, GET, False),
        ({"namespace": "ns", "resource": "*", "apiGroup": "*"}, WRITE, True),
        ({"namespace": "ns", "resource": "*", "apiGroup": "*", "readonly": True}, GET, True),
        ({"namespace": "ns", "resource": "*", "apiGroup": "*", "readonly": True}, WRITE, False),
        ({"nonResourcePath": "*"}, GET, False),
        ({"nonResourcePath": "*"}, PATH, True),
        ({"nonResourcePath": "/logs/a"}, PATH, True),
        ({"nonResourcePath": "/logs*"}, PATH, True),
        ({"nonResourcePath": "/log"}, PATH, False),
        ({"namespace": "*", "resource": "*", "apiGroup": "*"}, PATH, False),
    ],
)
def test_a_policy_covers_resources_or_paths(
    what: dict[str, Any], asked: Attributes, expected: bool
) -> None:
    assert allows(spec(user="jane", **what), asked) is expected


def test_what_a_line_without_a_version_leaves_out_means_all() -> None:
    assert abac.parse('{"user": "jane", "readonly": true}') == (
        Policy("jane", "", True, "*", "*", "*", "*"),
    )
    everybody = Policy("", "system:authenticated", False, "*", "pods", "*", "")
    for line in ('{"resource": "pods"}', '{"user": "*", "resource": "pods"}',
                 '{"user": "jane", "group": "*", "resource": "pods"}'):  # fmt: skip
        assert abac.parse(line) == (everybody,)
    assert abac.parse('{"group": "dev", "namespace": "ns"}') == (
        Policy("", "dev", False, "*", "*", "ns", ""),
    )


def test_comments_and_empty_lines_are_passed_over_and_others_named() -> None:
    assert len(abac.parse('# who\n\n{"user": "a"}\n  {"user": "b"}\n')) == 2
    assert len(abac.parse("{}\n" * 10_000)) == 10_000
    for text, why in (
        ('{"user": "a"}\n{"user": 5}', "line 2: Expected `str`, got `int` - at `$.user`"),
        ("\nuser", "line 2: JSON is malformed"),
        ('{"kind": "Policy", "apiVersion": "v1"}',
         f"line 1: it is no Policy of {abac.VERSION}"),
        ('{"kind": "Policy", "user": "a"}', f"line 1: it is no Policy of {abac.VERSION}"),
        (f'{{"apiVersion": "{abac.VERSION}", "user": "a"}}', "line 1: it is no Policy of"),
        ("{}\n" * 10_001, "10001 policies, 10000 at most"),
    ):  # fmt: skip
        with pytest.raises(ValueError) as raised:
            abac.parse(text)
        assert str(raised.value).startswith(why)


def test_it_is_one_of_the_modes_and_leaves_others_their_say() -> None:
    policies = abac.parse('{"user": "jane"}')
    found = Union(*chosen(("ABAC", "AlwaysAllow"), AlwaysDeny(), rbac(), policies=policies))
    assert found.allowed(JANE, GET).allowed
    assert found.allowed(NOBODY, GET).allowed
    alone = Union(*chosen(("RBAC", "ABAC"), AlwaysDeny(), rbac(), policies=policies))
    assert alone.allowed(JANE, GET).allowed
    assert alone.allowed(NOBODY, GET) == abac.NO_MATCH
