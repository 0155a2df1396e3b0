"""Reviews are answered in upstream's form."""

from __future__ import annotations

from typing import Any

import pytest
from test_access_rbac import binding, rbac, role, rule, user
from test_access_tokens import ACCOUNT, POD, Cluster

from steersman.api.access import abac
from steersman.api.access.authorization import Attributes, Authorizer, Decision, Masters, Union
from steersman.api.access.modes import AlwaysAllow, AlwaysDeny
from steersman.api.access.node_authorizer import NodeAuthorizer
from steersman.api.access.node_graph import NodeGraph
from steersman.api.access.reviews import KINDS, Reviews, attributes_of, user_document
from steersman.api.access.tokens import ISSUER
from steersman.api.tokens.bearers import Bearers
from steersman.model.errors import BadRequest, Invalid, NotFound
from steersman.model.kind import Document
from steersman.wire.message import User

JANE = User("jane", ("team",), "u-1", {"scope": ("read",)})
ROOT = User("root", ("system:masters",))
READER = role(
    "reader", rule("get list", "core", "pods"), {"verbs": ["get"], "nonResourceURLs": ["/x"]}
)
BOUND = binding("b", READER, user("jane"))


def reviews(cluster: Cluster | None = None, *others: Authorizer) -> Reviews:
    rules = rbac(READER, BOUND)
    nodes = NodeAuthorizer(NodeGraph(), lambda _ref: None)
    found = Union(Masters(), nodes, *others, rules)
    return Reviews(found, Bearers((cluster or Cluster()).tokens), lambda: 0.0)


def pods(verb: str, **others: Any) -> Document:
    return {"resourceAttributes": {"verb": verb, "resource": "pods", **others}}


WHY = 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to User "jane"'


def test_a_self_review_is_about_who_asks() -> None:
    asked = {"spec": {**pods("get"), "user": "root", "groups": ["system:masters"]}}
    found = reviews().create("SelfSubjectAccessReview", asked, JANE)
    assert found["kind"] == "SelfSubjectAccessReview"
    assert found["apiVersion"] == "authorization.k8s.io/v1"
    assert found["status"] == {"allowed": True, "reason": WHY}
    assert found["spec"] == asked["spec"]
    refused = reviews().create("SelfSubjectAccessReview", {"spec": pods("delete")}, JANE)
    assert refused["status"] == {"allowed": False}


def test_a_review_is_about_the_user_it_names() -> None:
    spec = {**pods("get"), "user": "jane", "groups": ["a"]}
    assert reviews().create("SubjectAccessReview", {"spec": spec}, ROOT)["status"]["allowed"]
    spec = {**pods("delete"), "groups": ["system:masters"]}
    assert reviews().create("SubjectAccessReview", {"spec": spec}, JANE)["status"]["allowed"]
    spec = {**pods("delete"), "user": "jane"}
    assert not reviews().create("SubjectAccessReview", {"spec": spec}, ROOT)["status"]["allowed"]


def test_a_review_is_about_all_that_it_says_of_the_user() -> None:
    class Asked(Masters):
        def allowed(self, user: User, attributes: Attributes) -> Decision:
            seen.append(user)
            return super().allowed(user, attributes)

    seen: list[User] = []
    rules = rbac()
    asking = Reviews(Union(Asked(), rules), Bearers(Cluster().tokens), lambda: 0.0)
    who = {"user": "jane", "uid": "u-1", "groups": ["a"], "extra": {"Scope": ["x"]}}
    asking.create("SubjectAccessReview", {"spec": {**pods("get"), **who}}, ROOT)
    asking.create("SubjectAccessReview", {"spec": {**pods("get"), "groups": ["a"]}}, ROOT)
    assert seen == [User("jane", ("a",), "u-1", {"scope": ("x",)}), User("", ("a",))]


def test_a_review_keeps_what_it_was_sent_as() -> None:
    asked = {
        "spec": pods("get"),
        "metadata": {"managedFields": [{"manager": "m"}]},
        "apiVersion": "authorization.k8s.io/v9",
    }
    found = reviews().create("SelfSubjectAccessReview", asked, JANE)
    assert found["metadata"] == asked["metadata"]
    assert found["apiVersion"] == "authorization.k8s.io/v9"


def test_a_review_of_a_path_is_answered() -> None:
    spec = {"nonResourceAttributes": {"verb": "get", "path": "/x"}}
    found = reviews().create("SelfSubjectAccessReview", {"spec": spec}, JANE)
    assert found["status"]["allowed"]


def test_a_question_carries_every_field() -> None:
    spec = pods("list", group="g", version="v1", subresource="s", namespace="n", name="a")
    spec["resourceAttributes"]["fieldSelector"] = {
        "requirements": [
            {"key": "a", "operator": "In", "values": ["1"]},
            {"key": "b", "operator": "NotIn", "values": ["2"]},
            {"key": "c", "operator": "In", "values": ["3"]},
            {"key": "d", "operator": "In", "values": ["4", "5"]},  # no request can ask so
            {"key": "e", "operator": "Exists"},
        ]
    }
    assert attributes_of(spec) == Attributes(
        "list", "g", "v1", "pods", "s", "n", "a", fields="a=1,b!=2,c=3"
    )
    spec["resourceAttributes"]["fieldSelector"] = {"rawSelector": "x=y"}
    assert attributes_of(spec).selected("x") == "y"
    spec["resourceAttributes"]["labelSelector"] = {
        "requirements": [
            {"key": "a", "operator": "In", "values": ["1", "2"]},
            {"key": "b", "operator": "NotIn", "values": ["3"]},
            {"key": "c", "operator": "Exists"},
            {"key": "d", "operator": "DoesNotExist"},
        ]
    }
    assert attributes_of(spec).labels == "a in (1,2),b notin (3),c,!d"


@pytest.mark.parametrize("name", ["fieldSelector", "labelSelector"])
def test_a_selector_may_be_given_as_a_request_has_it(name: str) -> None:
    spec = pods("list", **{name: {"rawSelector": "a=b"}})
    found = reviews().create("SelfSubjectAccessReview", {"spec": spec}, JANE)
    assert found["status"]["allowed"]


FIELDS, LABELS = (f"spec.resourceAttributes.{kind}Selector" for kind in ("field", "label"))
EXISTS = {"key": "a", "operator": "Exists"}


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        (
            "SelfSubjectAccessReview",
            {},
            "spec: Invalid value: null: exactly one of nonResourceAttributes or "
            "resourceAttributes must be specified",
        ),
        (
            "SubjectAccessReview",
            pods("get"),
            'spec.user: Invalid value: "": at least one of user or group must be specified',
        ),
        (
            "LocalSubjectAccessReview",
            {"user": "jane", **pods("get", namespace="other")},
            'spec.resourceAttributes.namespace: Invalid value: "other": must match '
            "metadata.namespace",
        ),
        (
            "SelfSubjectAccessReview",
            pods("list", fieldSelector={}),
            f"{FIELDS}.requirements: Required value: when {FIELDS} is specified, requirements or "
            "rawSelector is required",
        ),
        (
            "SelfSubjectAccessReview",
            pods("list", fieldSelector={"requirements": [{"operator": "In", "values": ["a"]}]}),
            f"{FIELDS}.requirements[0].key: Required value: must be specified",
        ),
        (
            "SelfSubjectAccessReview",
            pods("list", fieldSelector={"requirements": [{"key": " ", "operator": "In"}]}),
            f"{FIELDS}.requirements[0].values: Required value: must be specified when `operator` "
            "is 'In' or 'NotIn'",
        ),
        (
            "SelfSubjectAccessReview",
            pods("list", labelSelector={"rawSelector": "a", "requirements": [EXISTS]}),
            f'{LABELS}.rawSelector: Invalid value: "a": may not specified at the same time as '
            "requirements",
        ),
        (
            "SelfSubjectAccessReview",
            pods("list", labelSelector={"requirements": [{**EXISTS, "values": ["b"]}]}),
            f"{LABELS}.requirements[0].values: Forbidden: may not be specified when `operator` is "
            "'Exists' or 'DoesNotExist'",
        ),
        (
            "SelfSubjectAccessReview",
            pods("list", labelSelector={"requirements": [{"operator": "Newer"}]}),
            f'[{LABELS}.requirements[0].key: Invalid value: "": name part must be non-empty, '
            f'{LABELS}.requirements[0].key: Invalid value: "": name part must consist of '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')]",
        ),
    ],
)
def test_an_incomplete_review_is_invalid(kind: str, spec: Document, message: str) -> None:
    with pytest.raises(Invalid) as raised:
        reviews().create(kind, {"spec": spec}, JANE, "default")
    assert raised.value.message == f'.authorization.k8s.io "" is invalid: {message}'


def test_a_review_of_two_things_is_invalid() -> None:
    spec = {**pods("get"), "nonResourceAttributes": {"path": "/x"}}
    with pytest.raises(Invalid) as raised:
        reviews().create("SelfSubjectAccessReview", {"spec": spec}, JANE)
    assert raised.value.causes[0].field == "spec"
    assert raised.value.causes[0].message == (
        'Invalid value: {"Path":"/x","Verb":""}: exactly one of nonResourceAttributes or '
        "resourceAttributes must be specified"
    )
    spec = {"user": "jane", "nonResourceAttributes": {"path": "/x"}}
    with pytest.raises(Invalid) as raised:
        reviews().create("LocalSubjectAccessReview", {"spec": spec}, JANE, "default")
    assert raised.value.causes[0].message.endswith("disallowed on this kind of request")


def test_a_local_review_is_about_its_namespace() -> None:
    spec = {"user": "jane", **pods("get", namespace="default")}
    found = reviews().create("LocalSubjectAccessReview", {"spec": spec}, ROOT, "default")
    assert found["status"]["allowed"]
    spec = {"user": "jane", **pods("get")}
    assert reviews().create("LocalSubjectAccessReview", {"spec": spec}, ROOT)["status"]["allowed"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("AccessReview")])
def test_an_access_review_has_no_metadata(kind: str) -> None:
    spec = {**pods("get", namespace="default"), "user": "jane"}
    is_local = kind == "LocalSubjectAccessReview"
    what = "must be empty except for namespace" if is_local else "must be empty"
    asked = {"spec": spec, "metadata": {"name": "x", "labels": {}}}
    with pytest.raises(Invalid) as raised:
        reviews().create(kind, asked, JANE, "default")
    (found,) = raised.value.causes
    assert found.field == "metadata"
    assert found.message == f'Invalid value: {{"name":"x","labels":{{}}}}: {what}'
    placed = {"spec": spec, "metadata": {"namespace": "default"}}
    if is_local:
        assert reviews().create(kind, placed, JANE, "default")["status"]["allowed"]
    else:
        with pytest.raises(Invalid, match=what):
            reviews().create(kind, placed, JANE, "default")


def test_the_rules_of_who_asks_are_listed() -> None:
    asked = {"spec": {"namespace": "default"}}
    found = reviews().create("SelfSubjectRulesReview", asked, JANE)
    assert found["status"] == {
        "resourceRules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}],
        "incomplete": False,
    }
    node = User("system:node:a", ("system:nodes",))
    status = reviews().create("SelfSubjectRulesReview", asked, node)["status"]
    assert status["incomplete"] is True
    assert status["evaluationError"] == "node authorizer does not support user rule resolution"


def test_every_authorizer_says_by_which_rules_it_decides() -> None:
    asked = {"spec": {"namespace": "default"}}
    lines = (
        '{"user": "jane", "resource": "secrets", "readonly": true}',
        '{"user": "jane", "resource": "services", "namespace": "other"}',
        '{"user": "*"}',
    )
    policies = abac.AttributeBased(abac.parse("\n".join(lines)))
    jane = User("jane", ("system:authenticated",))
    found = reviews(None, policies, AlwaysDeny()).create("SelfSubjectRulesReview", asked, jane)
    all_of_it = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    assert found["status"]["resourceRules"][:2] == [
        {"apiGroups": ["*"], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
        all_of_it,
    ]
    assert found["status"]["nonResourceRules"][0] == {"verbs": ["*"], "nonResourceURLs": ["*"]}
    assert len(found["status"]["resourceRules"]) == 3
    free = reviews(None, AlwaysAllow()).create("SelfSubjectRulesReview", asked, jane)["status"]
    assert free["resourceRules"][0] == all_of_it
    assert free["incomplete"] is False


def test_the_rules_of_no_namespace_are_a_bad_question() -> None:
    with pytest.raises(BadRequest) as raised:
        reviews().create("SelfSubjectRulesReview", {"spec": {}}, JANE)
    assert raised.value.message == "no namespace on request"


def test_who_asks_is_told_who_they_are() -> None:
    found = reviews().create("SelfSubjectReview", {"metadata": {"name": "x"}}, JANE)
    assert found["metadata"] == {"creationTimestamp": "1970-01-01T00:00:00Z"}
    assert found["apiVersion"] == "authentication.k8s.io/v1"
    assert "spec" not in found
    assert found["status"]["userInfo"] == {
        "username": "jane",
        "uid": "u-1",
        "groups": ["team"],
        "extra": {"scope": ["read"]},
    }
    assert user_document(User("x")) == {"username": "x"}


def test_a_token_is_reviewed() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600, bound=[POD])
    found = reviews(cluster).create("TokenReview", {"spec": {"token": token}}, JANE)
    status = found["status"]
    assert found["kind"] == "TokenReview"
    assert found["apiVersion"] == "authentication.k8s.io/v1"
    assert status["authenticated"] is True
    assert status["audiences"] == [ISSUER]
    assert status["user"]["username"] == "system:serviceaccount:ci:builder"
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["web"]
    cluster.remove("pods", "web")
    gone = reviews(cluster).create("TokenReview", {"spec": {"token": token}}, JANE)["status"]
    assert gone == {
        "user": {},
        "error": "[invalid bearer token, service account token has been invalidated]",
    }


def test_a_token_is_reviewed_for_the_audiences_asked_about() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600, audiences=["a", "b", "c"])
    spec = {"token": token, "audiences": ["c", "x", "a"]}
    status = reviews(cluster).create("TokenReview", {"spec": spec}, JANE)["status"]
    assert status["audiences"] == ["a", "c"]
    status = reviews(cluster).create("TokenReview", {"spec": {"token": token}}, JANE)["status"]
    assert "authenticated" not in status


def test_what_is_no_token_reviews_as_such() -> None:
    status = reviews().create("TokenReview", {"spec": {"token": "x"}}, JANE)["status"]
    assert status == {"user": {}, "error": "invalid bearer token"}
    with pytest.raises(BadRequest):
        reviews().create("TokenReview", {"spec": {}}, JANE)


def test_other_kinds_are_not_reviews() -> None:
    assert len(KINDS) == 6
    with pytest.raises(NotFound):
        reviews().create("Binding", {}, JANE)
