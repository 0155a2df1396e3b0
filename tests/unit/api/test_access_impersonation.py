"""The modes of constrained impersonation: what each asks for, and whom it makes."""

from __future__ import annotations

import pytest
from test_access_rbac import binding, rbac, role, rule, user

from steersman.api.access import impersonation
from steersman.api.access.authorization import Attributes, Decision, Masters, Union
from steersman.api.access.impersonation import Acted, Impersonation
from steersman.model.errors import Forbidden
from steersman.model.kind import Document
from steersman.wire.message import User

AUTH = "authentication.k8s.io"
JANE = User("jane")
ROOT = User("root", ("system:masters",))
LIST = Attributes("list", "", "v1", "pods", namespace="ns")
NODE_KEY = "authentication.kubernetes.io/node-name"
AGENT = User("system:serviceaccount:ns:agent", (), "", {NODE_KEY: ("n1",), "other": ("x",)})
EXTRA = {"example.com/scope": ("read",)}


class Asked(Masters):
    """Allows some verbs, and notes what it is asked and about whom."""

    def __init__(self, *verbs: str) -> None:
        self.verbs = verbs
        self.seen: list[tuple[User, Attributes]] = []

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        self.seen.append((user, attributes))
        return Decision(attributes.verb in self.verbs)


def acts(wanted: Impersonation, *rules: Document, sender: User = JANE) -> Acted:
    one = role("impersonator", *rules)
    bound = binding("b", one, user(sender.name))
    return impersonation.act(Union(Masters(), rbac(one, bound)), sender, wanted, LIST)


def on(mode: str, verb: str = "list") -> Document:
    return rule(f"impersonate-on:{mode}:{verb}", "core", "pods")


def why(wanted: Impersonation, *rules: Document) -> str:
    with pytest.raises(Forbidden) as raised:
        acts(wanted, *rules)
    return raised.value.message


def test_a_user_is_acted_as_by_two_verbs() -> None:
    wanted, verb = Impersonation("joe"), "impersonate:user-info"
    users = rule(verb, AUTH, "users", "joe")
    joe = User("joe", ("system:authenticated",))
    assert acts(wanted, on("user-info"), users) == Acted(joe, verb)
    assert why(wanted, users) == (
        'pods is forbidden: User "jane" cannot impersonate-on:user-info:list resource "pods" in'
        ' API group "" in the namespace "ns"'
    )
    assert why(wanted, on("user-info", "get"), users) == why(wanted, users)
    assert why(wanted, on("user-info")) == (
        'users.authentication.k8s.io "joe" is forbidden: User "jane" cannot impersonate:user-info'
        ' resource "users" in API group "authentication.k8s.io" at the cluster scope'
    )
    core = rule(verb, "core", "users", "joe")  # where the old mode asks
    assert why(wanted, on("user-info"), core).startswith("users.authentication.k8s.io")


@pytest.mark.parametrize(
    ("wanted", "granted", "refusal"),
    [
        (Impersonation("joe", ("g", "h")), ("groups", "g"), 'groups.authentication.k8s.io "h"'),
        (Impersonation("joe", uid="7"), ("uids", "8"), 'uids.authentication.k8s.io "7"'),
        (Impersonation("joe", extra=EXTRA), ("userextras/example.com/scope", "write"),
         'userextras.authentication.k8s.io "read"'),
    ],
)  # fmt: skip
def test_every_part_of_a_user_needs_the_verb(
    wanted: Impersonation, granted: tuple[str, str], refusal: str
) -> None:
    verb, (resource, name) = "impersonate:user-info", granted
    rules = on("user-info"), rule(verb, AUTH, "users")
    assert why(wanted, *rules, rule(verb, AUTH, resource, name)).startswith(refusal)
    found = acts(wanted, *rules, rule(verb, AUTH, resource))
    assert found.user == wanted.user(wanted.groups)
    assert found.constraint == verb


def test_many_groups_or_extras_may_be_allowed_at_once() -> None:
    verb = "impersonate:user-info"
    rules = on("user-info"), rule(verb, AUTH, "users")
    many = Impersonation("joe", ("a", "b", "c", "d"))
    acts(many, *rules, rule(verb, AUTH, "groups", "*"))
    assert why(many, *rules, rule(verb, AUTH, "groups", "a b c")).startswith(
        'groups.authentication.k8s.io "d"'
    )
    few = Impersonation("joe", ("a", "b", "c"))
    assert why(few, *rules, rule(verb, AUTH, "groups", "*")).startswith("groups")
    extra = {"example.com/scope": ("a", "b", "c", "d")}
    every = rule(verb, AUTH, "userextras/*", "*")
    acts(Impersonation("joe", extra=extra), *rules, every)
    three = rule(verb, AUTH, "userextras/example.com/scope", "a b c")
    assert why(Impersonation("joe", extra=extra), *rules, three).startswith(
        'userextras.authentication.k8s.io "d"'
    )
    fewer = {"example.com/scope": ("a", "b", "c")}
    assert why(Impersonation("joe", extra=fewer), *rules, every).startswith("userextras")


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Impersonation("joe", ("a", "")), "impersonating the empty string group is not allowed"),
        (Impersonation("joe", ("system:masters",)),
         "impersonating the system:masters group is not allowed"),
        (Impersonation("joe", extra={"": ("a",)}),
         "impersonating the empty string key in extra is not allowed"),
        (Impersonation("joe", extra={"scope": ("a",)}),
         'impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "scope":'
         ' must be a domain-prefixed path (such as "acme.io/foo")'),
        (Impersonation("joe", extra={"/a": ("a",)}),
         'impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "/a":'
         ' must be a domain-prefixed path (such as "acme.io/foo")'),
        (Impersonation("joe", extra={"example.com/a": ("a", "")}),
         "impersonating the empty string value in extra is not allowed"),
    ],
)  # fmt: skip
def test_what_no_rule_can_allow(wanted: Impersonation, reason: str) -> None:
    rules = on("user-info"), rule("impersonate:user-info", AUTH, "*")
    assert why(wanted, *rules).endswith(f": {reason}")
    assert acts(wanted, sender=ROOT).constraint == ""  # the old mode knows no such bounds


def test_a_key_of_extra_has_a_domain_and_a_path() -> None:
    rules = on("user-info"), rule("impersonate:user-info", AUTH, "*")
    for key, shown in (("Example.com/a", "Example.com"), ("example.com/a b", "a b")):
        told = why(Impersonation("joe", extra={key: ("a",)}), *rules)
        assert f'extra.key: Invalid value: "{shown}": ' in told


def test_an_account_is_acted_as_by_a_mode_of_its_own() -> None:
    name, verb = "system:serviceaccount:ci:builder", "impersonate:serviceaccount"
    rules = on("serviceaccount"), rule(verb, AUTH, "serviceaccounts", "builder")
    found = acts(Impersonation(name), *rules)
    groups = ("system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated")
    assert found == Acted(User(name, groups), verb)
    old = rule("impersonate", "core", "serviceaccounts", "builder")
    assert acts(Impersonation(name), old) == Acted(User(name, groups))
    info = on("user-info"), rule("impersonate:user-info", AUTH, "users")
    assert "impersonate-on:serviceaccount:list" in why(Impersonation(name), *info)
    assert why(Impersonation(name), on("serviceaccount")) == (
        'serviceaccounts.authentication.k8s.io "builder" is forbidden: User "jane" cannot '
        'impersonate:serviceaccount resource "serviceaccounts" in API group '
        '"authentication.k8s.io" in the namespace "ci"'
    )
    with_group = Impersonation(name, ("g",))
    assert why(with_group, *rules, *info).startswith('serviceaccounts "builder" is forbidden')


@pytest.mark.parametrize("name", [":builder", "ci:", "ci:builder:x", "ci"])
def test_what_only_begins_like_an_account_is_a_user(name: str) -> None:
    verb = "impersonate:user-info"
    found = acts(
        Impersonation(f"system:serviceaccount:{name}"), on("user-info"), rule(verb, AUTH, "users")
    )
    assert found.constraint == verb
    assert found.user.groups == ("system:authenticated",)


def test_a_node_is_acted_as_by_name() -> None:
    name, verb = "system:node:n1", "impersonate:arbitrary-node"
    rules = on("arbitrary-node"), rule(verb, AUTH, "nodes", "n1")
    found = acts(Impersonation(name), *rules)
    assert found == Acted(User(name, ("system:nodes", "system:authenticated")), verb)
    told = why(Impersonation("system:node:n2"), *rules)
    assert told.startswith('nodes.authentication.k8s.io "n2" is forbidden')
    assert acts(Impersonation(name), sender=ROOT).user.groups[0] == "system:nodes"
    assert acts(Impersonation("system:node:N 1"), sender=ROOT).constraint.endswith("user-info")


def test_an_account_acts_as_the_node_that_its_pod_is_on() -> None:
    verb = "impersonate:associated-node"
    asked = Asked(verb, "impersonate-on:associated-node:list")
    found = impersonation.act(Union(asked), AGENT, Impersonation("system:node:n1"), LIST)
    groups = ("system:nodes", "system:authenticated")
    assert found == Acted(User("system:node:n1", groups), verb)
    sender = User(
        AGENT.name,
        extra={"authentication.kubernetes.io/associated-node-keys": (NODE_KEY, "other")},
    )
    assert asked.seen == [
        (sender, LIST._replace(verb="impersonate-on:associated-node:list")),
        (sender, Attributes(verb, AUTH, "v1", "nodes", name="*")),
    ]
    with pytest.raises(Forbidden) as raised:  # of several modes the first is told about
        impersonation.act(Union(Asked()), AGENT, Impersonation("system:node:n1"), LIST)
    assert "cannot impersonate-on:associated-node:list resource" in raised.value.message
    for wanted, who in (
        (Impersonation("system:node:n2"), AGENT),
        (Impersonation("system:node:n1", uid="7"), AGENT),
        (Impersonation("system:node:n1"), User("jane", (), "", AGENT.extra)),
    ):
        with pytest.raises(Forbidden):
            impersonation.act(Union(asked), who, wanted, LIST)


def test_who_gave_no_answer_is_told_with_the_refusal() -> None:
    class Broken(Masters):
        def allowed(self, user: User, attributes: Attributes) -> Decision:
            return Decision(False, "because", error="down")

    with pytest.raises(Forbidden) as raised:
        impersonation.act(Union(Broken()), JANE, Impersonation("joe"), LIST)
    assert raised.value.message.endswith('in the namespace "ns": down: because')


def test_a_group_that_says_whether_somebody_is_known_is_not_given_twice() -> None:
    for group in ("system:authenticated", "system:unauthenticated"):
        assert acts(Impersonation("joe", (group,)), sender=ROOT).user.groups == (group,)


def test_nobody_is_not_authenticated_whatever_groups_are_named() -> None:
    wanted = Impersonation("system:anonymous", ("system:authenticated",))
    groups = ("system:authenticated", "system:unauthenticated")
    assert acts(wanted, sender=ROOT).user.groups == groups
