"""Authorizers in the order in which they were chosen."""

from __future__ import annotations

from test_access_rbac import rbac

from steersman.api.access.authorization import Attributes, Union
from steersman.api.access.modes import AlwaysDeny, chosen
from steersman.wire.message import User

JANE = User("jane")
GET = Attributes("get", "", "v1", "pods", namespace="default", name="p")


def union(*modes: str) -> Union:
    return Union(*chosen(modes, AlwaysDeny(), rbac()))


def test_all_is_allowed_to_everybody_where_so_chosen() -> None:
    assert union("AlwaysAllow").allowed(JANE, GET).allowed
    assert union("RBAC", "AlwaysAllow").allowed(JANE, GET).allowed


def test_nothing_is_allowed_and_that_is_said_while_others_may_still_allow() -> None:
    found = union("AlwaysDeny").allowed(JANE, GET)
    assert not found.allowed
    assert found.reason == "Everything is forbidden."
    assert union("AlwaysDeny", "AlwaysAllow").allowed(JANE, GET).allowed


def test_only_the_chosen_are_asked() -> None:
    assert union("RBAC").allowed(JANE, GET).reason == ""
    assert union("RBAC", "Node").allowed(JANE, GET).reason == "Everything is forbidden."
    assert not union().allowed(JANE, GET).allowed
