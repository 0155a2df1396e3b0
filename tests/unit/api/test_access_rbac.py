"""RBAC answers, their reasons, and the words of refusals."""

from __future__ import annotations

import pytest

from steersman.api.access.authorization import (
    ALLOWED,
    Attributes,
    Decision,
    Masters,
    Union,
    forbidden,
    quoted_list,
)
from steersman.api.access.rbac import RBAC
from steersman.model.errors import Forbidden, InternalError, NotFound
from steersman.model.kind import Document
from steersman.model.types.aggregation import aggregate
from steersman.wire.message import User

JANE = User("jane", ("team", "system:authenticated"))
ROOT = User("root", ("system:masters",))
BUILDER = User(
    "system:serviceaccount:ci:builder",
    ("system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"),
)


class Stored:
    """Objects by plural, in memory."""

    def __init__(self, *documents: Document) -> None:
        self.documents = list(documents)

    def each(self, group: str, plural: str) -> list[Document]:
        assert group == "rbac.authorization.k8s.io"
        return [one for one in self.documents if one["kind"].lower() + "s" == plural]


def role(name: str, *rules: Document, namespace: str = "") -> Document:
    where = {"namespace": namespace} if namespace else {}
    kind = "Role" if namespace else "ClusterRole"
    return {"kind": kind, "metadata": {"name": name, **where}, "rules": list(rules)}


def binding(
    name: str, to: Document, *subjects: Document, namespace: str = "", kind: str = ""
) -> Document:
    where = {"namespace": namespace} if namespace else {}
    return {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": name, **where},
        "roleRef": {"kind": to["kind"], "name": to["metadata"]["name"]},
        "subjects": list(subjects),
    }


def user(name: str) -> Document:
    return {"kind": "User", "name": name}


def group(name: str) -> Document:
    return {"kind": "Group", "name": name}


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Document:
    found = {
        "verbs": verbs.split(),
        "apiGroups": [one.replace("core", "") for one in groups.split()],
        "resources": resources.split(),
    }
    return {**found, "resourceNames": names.split()} if names else found


def rbac(*documents: Document) -> RBAC:
    return RBAC(Stored(*documents))


def may(rules: RBAC, who: User, attributes: Attributes) -> bool:
    return rules.allowed(who, attributes).allowed


def pods(verb: str = "get", namespace: str = "default", **others: str) -> Attributes:
    return Attributes(verb, "", "v1", "pods", namespace=namespace, **others)


READER = role("reader", rule("get list", "core", "pods pods/log"))


def test_nobody_may_anything_without_rules() -> None:
    assert rbac().allowed(JANE, pods()) == Decision(False, "")


def test_a_cluster_binding_holds_everywhere_and_says_why() -> None:
    rules = rbac(READER, binding("readers", READER, user("jane")))
    why = 'RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to User "jane"'
    assert rules.allowed(JANE, pods()) == Decision(True, why)
    assert may(rules, JANE, pods(namespace=""))
    assert not may(rules, User("joe"), pods())


def test_a_binding_in_a_namespace_holds_there_only() -> None:
    rules = rbac(READER, binding("readers", READER, group("team"), namespace="default"))
    why = 'RBAC: allowed by RoleBinding "readers/default" of ClusterRole "reader" to Group "team"'
    assert rules.allowed(JANE, pods()) == Decision(True, why)
    assert not may(rules, JANE, pods(namespace="other"))
    assert not may(rules, JANE, pods(namespace=""))


def test_a_role_is_looked_up_in_the_namespace_of_its_binding() -> None:
    local = role("local", rule("get", "core", "pods"), namespace="default")
    rules = rbac(local, binding("b", local, user("jane"), namespace="other"))
    decision = rules.allowed(JANE, pods(namespace="other"))
    assert decision == Decision(False, 'RBAC: role.rbac.authorization.k8s.io "local" not found')
    assert not may(rules, JANE, pods())


def test_all_missing_roles_are_named_once_each() -> None:
    one, two = role("one"), role("two")
    bound = [binding(str(at), to, user("jane")) for at, to in enumerate((one, two, one))]
    reason = rbac(*bound).allowed(JANE, pods()).reason
    shown = 'clusterrole.rbac.authorization.k8s.io "{}" not found'
    assert reason == f"RBAC: [{shown.format('one')}, {shown.format('two')}]"


def test_a_service_account_is_bound_by_its_name_and_namespace() -> None:
    subject = {"kind": "ServiceAccount", "name": "builder", "namespace": "ci"}
    rules = rbac(READER, binding("b", READER, subject, namespace="default"))
    decision = rules.allowed(BUILDER, pods())
    assert decision.reason.endswith('to ServiceAccount "builder/ci"')
    assert not may(rules, User("system:serviceaccount:other:builder"), pods())


def test_a_service_account_without_a_namespace_is_of_the_bindings() -> None:
    subject = {"kind": "ServiceAccount", "name": "builder"}
    rules = rbac(READER, binding("b", READER, subject, namespace="ci"))
    assert may(rules, BUILDER, pods(namespace="ci"))
    assert not may(rbac(READER, binding("b", READER, subject)), BUILDER, pods())


@pytest.mark.parametrize(
    ("written", "asked", "expected"),
    [
        (rule("get", "core", "pods"), pods(), True),
        (rule("get", "core", "pods"), pods("list"), False),
        (rule("*", "core", "pods"), pods("list"), True),
        (rule("get", "apps", "pods"), pods(), False),
        (rule("get", "*", "pods"), pods(), True),
        (rule("get", "core", "services"), pods(), False),
        (rule("get", "core", "*"), pods(), True),
        (rule("get", "core", "pods"), pods(subresource="log"), False),
        (rule("get", "core", "pods/log"), pods(subresource="log"), True),
        (rule("get", "core", "pods/log"), pods(), False),
        (rule("get", "core", "*/log"), pods(subresource="log"), True),
        (rule("get", "core", "*/log"), pods(subresource="exec"), False),
        (rule("get", "core", "*/log"), pods(), False),
        (rule("get", "core", "*"), pods(subresource="log"), True),
        (rule("get", "core", "pods", "web"), pods(name="web"), True),
        (rule("get", "core", "pods", "web"), pods(name="db"), False),
        (rule("list", "core", "pods", "web"), pods("list"), False),
        (rule("get", "core", "pods"), Attributes("get", path="/pods", is_resource=False), False),
    ],
)
def test_a_rule_allows_what_it_says(written: Document, asked: Attributes, expected: bool) -> None:
    one = role("one", written)
    assert may(rbac(one, binding("b", one, user("jane"))), JANE, asked) is expected


def test_named_and_unnamed_rules_add_up() -> None:
    named = role("named", rule("get", "core", "pods", "web db"))
    whole = role("whole", rule("get", "core", "pods"))
    rules = rbac(named, whole, binding("a", named, user("jane")), binding("b", whole, group("x")))
    assert may(rules, JANE, pods(name="web"))
    assert may(rules, JANE, pods(name="db"))
    assert not may(rules, JANE, pods(name="cache"))
    assert may(rules, User("jane", ("x",)), pods(name="cache"))


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/etcd", False),
        ("/healthz/*", "/healthz/etcd", True),
        ("/healthz/*", "/healthz", False),
        ("*", "/metrics", True),
        ("/a*", "/api", True),
    ],
)
def test_paths_match_whole_or_by_prefix(url: str, path: str, expected: bool) -> None:
    one = role("one", {"verbs": ["get"], "nonResourceURLs": [url]})
    rules = rbac(one, binding("b", one, user("jane")))
    asked = Attributes("get", path=path, is_resource=False)
    assert may(rules, JANE, asked) is expected
    assert not may(rules, JANE, asked._replace(verb="post"))


def test_names_of_resources_bind_no_path() -> None:
    one = role("one", {"verbs": ["get"], "nonResourceURLs": ["/x"], "resourceNames": ["web"]})
    rules = rbac(one, binding("b", one, user("jane")))
    assert may(rules, JANE, Attributes("get", path="/x", is_resource=False))


def test_answers_are_kept_until_a_change_is_told() -> None:
    stored = Stored(READER, binding("readers", READER, user("jane")))
    rules = RBAC(stored)
    assert may(rules, JANE, pods())
    stored.documents.pop()
    assert may(rules, JANE, pods())
    before = rules.generation
    rules.changed()
    assert rules.generation == before + 1
    assert not may(rules, JANE, pods())


def test_the_cache_of_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steersman.api.access.rbac.CACHE_SIZE", 4)
    rules = rbac(READER, binding("readers", READER, user("jane")))
    for at in range(20):
        assert may(rules, JANE, pods(namespace=f"n{at}"))
    assert len(rules._answers) <= 4


def test_the_rules_of_a_user_come_from_all_its_bindings() -> None:
    other = role("other", rule("get", "core", "secrets"))
    rules = rbac(
        READER,
        other,
        binding("a", READER, user("jane")),
        binding("b", other, group("team"), namespace="default"),
    )
    assert len(rules.rules_of(JANE, "default")) == 2
    assert len(rules.rules_of(JANE, "")) == 1


def test_a_role_that_is_taken_away_grants_nothing_more() -> None:
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    reader = role("reader", pods)
    stored = Stored(reader, binding("b", reader, user("jane")))
    rbac = RBAC(stored)
    asked = Attributes("get", resource="pods", namespace="n", name="p")
    assert rbac.allowed(JANE, asked).allowed
    stored.documents.remove(reader)
    rbac.changed()
    assert not rbac.allowed(JANE, asked).allowed
    assert rbac.rules_of(JANE, "n") == []
    with pytest.raises(NotFound):
        rbac.role("", "reader")


def test_a_role_is_found_by_whoever_asks_first_after_a_change() -> None:
    stored = Stored()
    rbac = RBAC(stored)
    with pytest.raises(NotFound):
        rbac.role("", "reader")
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    stored.documents.append(role("reader", pods))
    rbac.changed()
    (rule,) = rbac.role("", "reader")
    assert set(rule.verbs) == {"get"}


def test_a_role_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound) as found:
        rbac().role("default", "none")
    assert found.value.message == 'roles.rbac.authorization.k8s.io "none" not found'
    with pytest.raises(NotFound) as found:
        rbac().role("", "none")
    assert found.value.message == 'clusterroles.rbac.authorization.k8s.io "none" not found'


def test_masters_may_everything() -> None:
    union = Union(Masters(), rbac())
    union.require(ROOT, pods("delete"))
    assert Masters().allowed(ROOT, pods()) == ALLOWED
    assert not Masters().allowed(JANE, pods()).allowed


class Saying:
    def __init__(self, allowed: bool, reason: str) -> None:
        self.decision = Decision(allowed, reason)

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        return self.decision


def test_a_union_takes_the_first_yes_and_joins_the_reasons_of_noes() -> None:
    no, other, yes = Saying(False, "one"), Saying(False, "two"), Saying(True, "three")
    assert Union(no, yes, other).allowed(JANE, pods()) == Decision(True, "three")
    assert Union(no, Saying(False, ""), other).allowed(JANE, pods()) == Decision(False, "one\ntwo")
    assert Union().allowed(JANE, pods()) == Decision(False, "")


class Kept:
    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def annotate(self, key: str, value: str) -> None:
        self.notes[key] = value


DECIDED, WHY = (f"authorization.k8s.io/{name}" for name in ("decision", "reason"))


@pytest.mark.parametrize(
    ("decision", "notes"),
    [
        (Decision(True, "yes"), {DECIDED: "allow", WHY: "yes"}),
        (Decision(True, "yes", error="x"), {DECIDED: "allow", WHY: "yes"}),
        (Decision(False, "no"), {DECIDED: "forbid", WHY: "no"}),
        (Decision(False, "no", error="x"), {WHY: "internal error"}),
    ],
)
def test_a_decision_is_noted(decision: Decision, notes: dict[str, str]) -> None:
    saying, kept = Saying(False, ""), Kept()
    saying.decision = decision
    if decision.allowed:
        Union(saying).require(JANE, pods(), kept)
    else:
        with pytest.raises(InternalError if decision.error else Forbidden):
            Union(saying).require(JANE, pods(), kept)
    assert kept.notes == notes


def test_who_denies_ends_the_question() -> None:
    no, yes = Saying(False, ""), Saying(True, "later")
    no.decision = Decision(False, "never", denied=True)
    assert Union(no, yes).allowed(JANE, pods()) == no.decision


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            pods("list"),
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" '
            'in the namespace "default"',
        ),
        (
            pods("get", subresource="log", name="web"),
            'pods "web" is forbidden: User "jane" cannot get resource "pods/log" in API group "" '
            'in the namespace "default"',
        ),
        (
            Attributes("create", "apps", "v1", "deployments"),
            'deployments.apps is forbidden: User "jane" cannot create resource "deployments" '
            'in API group "apps" at the cluster scope',
        ),
        (
            Attributes("get", path="/foo?<a>&b", is_resource=False),
            'forbidden: User "jane" cannot get path "/foo?&lt;a&gt;&amp;b"',
        ),
    ],
)
def test_refusals_read_as_upstream_words_them(asked: Attributes, message: str) -> None:
    refusal = forbidden(JANE, asked)
    assert refusal.message == message
    assert refusal.code == 403
    assert refusal.status()["reason"] == "Forbidden"


def test_a_refusal_carries_details_and_the_reason() -> None:
    refusal = forbidden(JANE, pods(name="web"), "because")
    assert refusal.message.endswith('in the namespace "default": because')
    assert refusal.details == {"name": "web", "kind": "pods"}
    with pytest.raises(Forbidden) as raised:
        Union(Saying(False, "because")).require(JANE, Attributes("get", "apps", "v1", "d"))
    assert raised.value.details == {"group": "apps", "kind": "d"}
    assert raised.value.message.endswith(": because")


def test_lists_are_quoted_as_go_prints_them() -> None:
    assert quoted_list(["a", 'b"c', "é"]) == '["a" "b\\"c" "é"]'


def labelled(name: str, labels: dict[str, str], *rules: Document) -> Document:
    found = role(name, *rules)
    found["metadata"]["labels"] = labels
    return found


def test_an_aggregated_role_collects_the_rules_that_its_selectors_choose() -> None:
    one, two = rule("get", "core", "pods"), rule("list", "core", "pods")
    sources = [
        labelled("b", {"to": "all"}, two, one),
        labelled("a", {"to": "all"}, one),
        labelled("c", {"to": "none"}, rule("delete", "core", "pods")),
        labelled("whole", {"to": "all"}, rule("patch", "core", "pods")),
    ]
    whole = {
        "metadata": {"name": "whole"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]},
    }
    assert aggregate(whole, sources) == [one, two]
    assert aggregate(sources[0], sources) is None


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ({"key": "to", "operator": "In", "values": ["a"]}, ["a"]),
        ({"key": "to", "operator": "NotIn", "values": ["a"]}, ["b", "none"]),
        ({"key": "to", "operator": "Exists"}, ["a", "b"]),
        ({"key": "to", "operator": "DoesNotExist"}, ["none"]),
    ],
)
def test_selectors_of_an_aggregated_role_may_be_expressions(
    expression: Document, chosen: list[str]
) -> None:
    sources = [
        labelled("a", {"to": "a"}, rule("a", "core", "pods")),
        labelled("b", {"to": "b"}, rule("b", "core", "pods")),
        labelled("none", {}, rule("none", "core", "pods")),
    ]
    selector = {"matchExpressions": [expression]}
    whole = {
        "metadata": {"name": "whole"},
        "aggregationRule": {"clusterRoleSelectors": [selector]},
    }
    found = aggregate(whole, sources)
    assert found is not None
    assert [one["verbs"][0] for one in found] == chosen


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("metadata.name=web", True),
        ("spec.nodeName=a,metadata.name==web", True),
        ("metadata.name!=web", False),
        ("metadata.name=db", False),
        ("", False),
    ],
)
def test_a_selected_name_counts_as_a_name(fields: str, expected: bool) -> None:
    one = role("one", rule("list watch", "core", "pods", "web"))
    rules = rbac(one, binding("b", one, user("jane")))
    assert may(rules, JANE, pods("watch", fields=fields)) is expected
