"""Nobody grants what they do not hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from test_access_rbac import JANE, ROOT, Stored, binding, group, rbac, role, rule, user

from steersman.api.access import rules
from steersman.api.access.authorization import Attributes
from steersman.api.access.escalation import Escalation, only_collector_fields
from steersman.api.access.rbac import RBAC
from steersman.api.access.rules import Rule
from steersman.model.errors import Forbidden, NotFound
from steersman.model.kind import Document

READER = role("reader", rule("get list", "core", "pods"))
BOUND = binding("readers", READER, user("jane"))


def checked(*documents: Document) -> Escalation:
    held = rbac(*documents)
    return Escalation(held, held)


def refused(escalation: Escalation, plural: str, new: Document, old: Document | None = None) -> str:
    with pytest.raises(Forbidden) as raised:
        escalation.check(JANE, plural, new["metadata"].get("namespace", ""), new, old)
    return raised.value.message


def test_a_role_with_what_its_writer_holds_is_allowed() -> None:
    escalation = checked(READER, BOUND)
    escalation.check(JANE, "clusterroles", "", role("new", rule("list", "core", "pods")), None)


def test_a_role_with_more_than_its_writer_holds_is_refused_in_upstreams_words() -> None:
    wanted = role(
        "new",
        rule("get delete create", "core", "pods"),
        rule("get", "core apps", "secrets", "one two"),
        {"verbs": ["get"], "nonResourceURLs": ["/metrics"]},
    )
    assert refused(checked(READER, BOUND), "clusterroles", wanted) == (
        'clusterroles.rbac.authorization.k8s.io "new" is forbidden: '
        'user "jane" (groups=["team" "system:authenticated"]) is attempting to grant RBAC '
        "permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "create"]}\n'
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["one"], Verbs:["get"]}\n'
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["two"], Verbs:["get"]}\n'
        '{APIGroups:["apps"], Resources:["secrets"], ResourceNames:["one"], Verbs:["get"]}\n'
        '{APIGroups:["apps"], Resources:["secrets"], ResourceNames:["two"], Verbs:["get"]}\n'
        '{NonResourceURLs:["/metrics"], Verbs:["get"]}'
    )


def test_rules_held_in_a_namespace_suffice_for_a_role_there_only() -> None:
    escalation = checked(READER, binding("readers", READER, user("jane"), namespace="default"))
    here = role("new", rule("get", "core", "pods"), namespace="default")
    escalation.check(JANE, "roles", "default", here, None)
    there = role("new", rule("get", "core", "pods"), namespace="other")
    assert refused(escalation, "roles", there).startswith("roles.rbac.authorization.k8s.io")


def test_masters_and_those_who_may_escalate_grant_anything() -> None:
    wanted = role("new", rule("*", "*", "*"))
    checked().check(ROOT, "clusterroles", "", wanted, None)
    escalator = role("e", rule("escalate", "rbac.authorization.k8s.io", "clusterroles", "new"))
    allowed = checked(escalator, binding("b", escalator, user("jane")))
    allowed.check(JANE, "clusterroles", "", wanted, None)
    other = role("other", rule("*", "*", "*"))
    assert "not currently held" in refused(allowed, "clusterroles", other)


def test_a_write_that_touches_only_what_the_collector_needs_is_allowed() -> None:
    old = role("big", rule("*", "*", "*"))
    new = role("big", rule("*", "*", "*"))
    old["metadata"]["finalizers"] = ["foregroundDeletion"]
    new["metadata"]["ownerReferences"] = [{"uid": "1"}]
    new["metadata"]["resourceVersion"] = "2"
    checked().check(JANE, "clusterroles", "", new, old)
    new["metadata"]["labels"] = {"a": "b"}
    assert "not currently held" in refused(checked(), "clusterroles", new, old)


def test_what_is_empty_is_no_change_for_the_collector() -> None:
    new, old = role("new", rule("get", "core", "pods")), role("new", rule("get", "core", "pods"))
    new["metadata"] |= {"finalizers": ["a.b/c"], "labels": {}, "resourceVersion": "2"}
    assert only_collector_fields(new, old)
    new["metadata"]["labels"] = {"a": "b"}
    assert not only_collector_fields(new, old)


def test_only_a_cluster_admin_may_aggregate() -> None:
    wanted = role("sum")
    wanted["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    why = "must have cluster-admin privileges to use the aggregationRule"
    expected = f'clusterroles.rbac.authorization.k8s.io "sum" is forbidden: {why}'
    assert refused(checked(READER, BOUND), "clusterroles", wanted) == expected
    assert refused(checked(READER, BOUND), "clusterroles", role("sum"), wanted) == expected
    checked(READER, BOUND).check(JANE, "clusterroles", "", role("sum"), role("sum"))
    for nothing in None, {}, {"clusterRoleSelectors": []}:  # chooses nothing
        new = {**role("sum"), "aggregationRule": nothing}
        checked(READER, BOUND).check(JANE, "clusterroles", "", new, None)
    admin = role("admin", rule("*", "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]})
    checked(admin, binding("b", admin, user("jane"))).check(JANE, "clusterroles", "", wanted, None)


def test_binding_a_role_asks_for_its_rules_or_the_verb_bind() -> None:
    big = role("big", rule("delete", "core", "pods"))
    new = binding("new", big, group("team"), namespace="default")
    message = refused(checked(READER, BOUND, big), "rolebindings", new)
    assert message.startswith('rolebindings.rbac.authorization.k8s.io "new" is forbidden: user')
    assert message.endswith('{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}')
    binder = role("binder", rule("bind", "rbac.authorization.k8s.io", "clusterroles", "big"))
    allowed = checked(big, binder, binding("b", binder, user("jane")))
    allowed.check(JANE, "rolebindings", "default", new, None)
    checked(READER, BOUND).check(
        JANE, "rolebindings", "default", binding("n", READER, namespace="default"), None
    )


def test_the_verb_bind_is_asked_for_the_right_kind_of_role() -> None:
    local = role("local", rule("delete", "core", "pods"), namespace="default")
    binder = role("binder", rule("bind", "rbac.authorization.k8s.io", "roles"))
    new = binding("new", local, namespace="default")
    allowed = checked(local, binder, binding("b", binder, user("jane")))
    allowed.check(JANE, "rolebindings", "default", new, None)
    wrong = role("binder", rule("bind", "rbac.authorization.k8s.io", "clusterroles"))
    message = refused(checked(local, wrong, binding("b", wrong, user("jane"))), "rolebindings", new)
    assert "not currently held" in message


def test_binding_a_role_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound):
        checked().check(
            JANE, "clusterrolebindings", "", binding("new", role("none"), user("joe")), None
        )


def test_other_resources_pass() -> None:
    checked().check(JANE, "pods", "default", {"metadata": {"name": "a"}}, None)


@pytest.mark.parametrize(
    ("owned", "part", "expected"),
    [
        (Rule(("*",), ("",), ("pods",)), Rule(("get",), ("",), ("pods",)), True),
        (Rule(("get",), ("",), ("pods",)), Rule(("*",), ("",), ("pods",)), False),
        (Rule(("get",), ("*",), ("pods",)), Rule(("get",), ("apps",), ("pods",)), True),
        (Rule(("get",), ("",), ("*/log",)), Rule(("get",), ("",), ("pods/log",)), True),
        (Rule(("get",), ("",), ("*/log",)), Rule(("get",), ("",), ("pods",)), False),
        (Rule(("get",), ("",), ("pods",)), Rule(("get",), ("",), ("*",)), False),
        (Rule(("get",), ("",), ("p",), ("a",)), Rule(("get",), ("",), ("p",), ("a",)), True),
        (Rule(("get",), ("",), ("p",), ("a",)), Rule(("get",), ("",), ("p",), ("b",)), False),
        (Rule(("get",), ("",), ("p",), ("a",)), Rule(("get",), ("",), ("p",)), False),
        (Rule(("get",), ("",), ("p",)), Rule(("get",), ("",), ("p",), ("a",)), True),
        (Rule(("get",), urls=("/a/*",)), Rule(("get",), urls=("/a/b",)), True),
        (Rule(("get",), urls=("/a/*",)), Rule(("get",), urls=("/b",)), False),
        (Rule(("*",), ("*",), ("*",)), Rule(("get",), urls=("/b",)), False),
    ],
)
def test_one_rule_covers_another_only_if_it_allows_all_of_it(
    owned: Rule, part: Rule, expected: bool
) -> None:
    assert rules.covers(owned, part) is expected


words = some.lists(some.sampled_from(["a", "b", "*"]), min_size=1, max_size=2, unique=True)
resources = some.lists(
    some.sampled_from(["p", "p/s", "*/s", "*"]), min_size=1, max_size=2, unique=True
)
names = some.lists(some.sampled_from(["x", "y"]), max_size=2, unique=True)
any_rule = some.builds(
    lambda v, g, r, n: Rule(tuple(v), tuple(g), tuple(r), tuple(n)),
    words,
    words,
    resources,
    names,
)
any_request = some.builds(
    lambda verb, group, sub, name: Attributes(verb, group, "v1", "p", sub, "", name),
    some.sampled_from(["a", "b", "c"]),
    some.sampled_from(["a", "b", "c"]),
    some.sampled_from(["", "s", "t"]),
    some.sampled_from(["", "x", "y", "z"]),
)


@given(some.lists(any_rule, max_size=3), some.lists(any_rule, max_size=3), any_request)
def test_rules_that_miss_nothing_allow_every_request_that_the_covered_ones_do(
    owned: list[Rule], wanted: list[Rule], request: Attributes
) -> None:
    if not rules.missing(owned, wanted) and any(rules.matches(rule, request) for rule in wanted):
        assert any(rules.matches(rule, request) for rule in owned)


@given(some.lists(any_rule, max_size=3))
def test_rules_survive_their_document(wanted: list[Rule]) -> None:
    assert [rules.parse(rules.document(rule)) for rule in wanted] == wanted
    assert not rules.missing(wanted, wanted)


def test_a_change_of_the_rules_counts_at_once_for_the_next_check() -> None:
    stored = Stored(READER)
    held = RBAC(stored)
    escalation = Escalation(held, held)
    wanted = role("new", rule("get", "core", "pods"))
    assert "not currently held" in refused(escalation, "clusterroles", wanted)
    stored.documents.append(BOUND)
    held.changed()
    escalation.check(JANE, "clusterroles", "", wanted, None)
