"""AuthorizationConfiguration: what a file may say, and upstream's words for what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steersman.api.access.authorization import Attributes, Decision
from steersman.api.access.webhook.conditions import Conditions, Unclear
from steersman.api.access.webhook.review import BOTH, decide, document_of, spec_of
from steersman.api.access.webhook.settings import WebhookSettings, parse, ready, seconds
from steersman.client.http import Target
from steersman.model.kind import Document
from steersman.wire.message import User

JANE = User("jane", ("a", "b"), "u-1", {"scope": ("x", "y")})
POD = Attributes("get", "", "v1", "pods", "log", "dev", "p", "/api/v1/namespaces/dev/pods/p/log")
LIST = Attributes("list", "apps", "v1", "deployments", "", "dev", path="/x")


def webhook(tmp_path: Path, **more: Any) -> Document:
    file = tmp_path / "kubeconfig"
    file.touch()
    return {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "NoOpinion",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(file)},
        **more,
    }


def configuration(*authorizers: Document) -> Document:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": list(authorizers),
    }


def hooked(tmp_path: Path, **more: Any) -> Document:
    return configuration({"type": "Webhook", "name": "w", "webhook": webhook(tmp_path, **more)})


def problem(document: Any) -> str:
    with pytest.raises(ValueError) as raised:
        parse(document)
    return str(raised.value)


def test_a_file_names_authorizers_in_order(tmp_path: Path) -> None:
    conditions = [{"expression": "request.user != 'root'"}]
    one = webhook(
        tmp_path, matchConditions=conditions, matchConditionSubjectAccessReviewVersion="v1"
    )
    found = parse(
        configuration(
            {"type": "Webhook", "name": "first", "webhook": one},
            {"type": "Node", "name": "node"},
            {"type": "RBAC", "name": "rbac"},
            {"type": "Webhook", "name": "last.example.com", "webhook": webhook(tmp_path)},
        )
    )
    assert [one.type for one in found.authorizers] == ["Webhook", "Node", "RBAC", "Webhook"]
    first = found.authorizers[0].webhook
    assert first is not None
    asked: list[Path] = []
    target = Target("there")
    made = ready(first, lambda path: (asked.append(path), target)[1])
    assert asked == [tmp_path / "kubeconfig"]
    assert made == WebhookSettings(
        target, "v1", ("request.user != 'root'",), 3.0, 300.0, 30.0, False
    )
    assert parse({**configuration({"type": "RBAC", "name": "r"}),
                  "apiVersion": "apiserver.config.k8s.io/v1beta1"})  # fmt: skip


def test_what_is_not_to_be_kept_is_kept_for_no_time(tmp_path: Path) -> None:
    more = {"cacheAuthorizedRequests": False, "unauthorizedTTL": "1m30s", "failurePolicy": "Deny"}
    one = parse(hooked(tmp_path, **more)).authorizers[0].webhook
    assert one is not None
    made = ready(one, lambda _: Target())
    assert (made.authorized_seconds, made.unauthorized_seconds, made.denies) == (0, 90, True)
    one = parse(hooked(tmp_path, cacheUnauthorizedRequests=False)).authorizers[0].webhook
    assert one is not None
    made = ready(one, lambda _: Target(), "mine")
    assert (made.authorized_seconds, made.unauthorized_seconds) == (300, 0)
    assert made.name == "mine"


@pytest.mark.parametrize(
    ("authorizers", "expected"),
    [
        ([], "authorizers: Required value: at least one authorization mode must be defined"),
        ([{"name": "a"}], "authorizers[0].type: Required value"),
        (
            [{"type": "Magic", "name": "a"}],
            'authorizers[0].type: Unsupported value: "Magic": supported values: "ABAC", '
            '"AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"',
        ),
        (
            [{"type": "RBAC", "name": "a"}, {"type": "RBAC", "name": "b"}],
            'authorizers[1].type: Duplicate value: "RBAC"',
        ),
        ([{"type": "RBAC"}], "authorizers[0].name: Required value"),
        (
            [{"type": "RBAC", "name": "a"}, {"type": "Node", "name": "a"}],
            'authorizers[1].name: Duplicate value: "a"',
        ),
        (
            [{"type": "RBAC", "name": "a", "webhook": {}}],
            'authorizers[0].webhook: Invalid value: "non-null": may only be specified when '
            "type=Webhook",
        ),
        (
            [{"type": "Webhook", "name": "a"}],
            "authorizers[0].webhook: Required value: required when type=Webhook",
        ),
        (
            [{"type": "Magic"}, {"type": "RBAC"}],
            '[authorizers[0].type: Unsupported value: "Magic": supported values: "ABAC", '
            '"AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook", '
            "authorizers[1].name: Required value]",
        ),
    ],
)
def test_authorizers_that_cannot_be_are_named(authorizers: list[Document], expected: str) -> None:
    assert problem(configuration(*authorizers)) == expected


def test_a_name_is_that_of_a_subdomain() -> None:
    said = problem(configuration({"type": "RBAC", "name": "Not Good"}))
    start = 'authorizers[0].name: Invalid value: "Not Good": authorizer name is invalid: a lowerc'
    assert said.startswith(start)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("timeout", "", "timeout: Required value"),
        ("timeout", "0s", "timeout: Required value"),
        ("timeout", "31s", 'timeout: Invalid value: "31s": must be > 0s and <= 30s'),
        ("timeout", "-1s", 'timeout: Invalid value: "-1s": must be > 0s and <= 30s'),
        ("timeout", "soon", 'timeout: time: invalid duration "soon"'),
        ("authorizedTTL", "0", "authorizedTTL: Required value"),
        ("authorizedTTL", "-1m", 'authorizedTTL: Invalid value: "-1m": must be > 0s'),
        ("unauthorizedTTL", "0s", "unauthorizedTTL: Required value"),
        ("unauthorizedTTL", "-1m", 'unauthorizedTTL: Invalid value: "-1m": must be > 0s'),
        ("subjectAccessReviewVersion", "", "subjectAccessReviewVersion: Required value"),
        (
            "subjectAccessReviewVersion",
            "v2",
            'subjectAccessReviewVersion: Unsupported value: "v2": supported values: "v1", '
            '"v1beta1"',
        ),
        (
            "matchConditionSubjectAccessReviewVersion",
            "v1beta1",
            'matchConditionSubjectAccessReviewVersion: Unsupported value: "v1beta1": supported '
            'values: "v1"',
        ),
        (
            "matchConditions",
            [{"expression": "true"}],
            "matchConditionSubjectAccessReviewVersion: Required value: required if match "
            "conditions are specified",
        ),
        ("failurePolicy", "", "failurePolicy: Required value"),
        (
            "failurePolicy",
            "Hope",
            'failurePolicy: Unsupported value: "Hope": supported values: "NoOpinion", "Deny"',
        ),
        ("connectionInfo", {}, "connectionInfo.type: Required value"),
        (
            "connectionInfo",
            {"type": "KubeConfigFile"},
            "connectionInfo.kubeConfigFile: Required value",
        ),
        (
            "connectionInfo",
            {"type": "KubeConfigFile", "kubeConfigFile": "here"},
            'connectionInfo.kubeConfigFile: Invalid value: "here": must be an absolute path',
        ),
        (
            "connectionInfo",
            {"type": "KubeConfigFile", "kubeConfigFile": "/nowhere/k"},
            'connectionInfo.kubeConfigFile: Invalid value: "/nowhere/k": error loading file: stat '
            "/nowhere/k: no such file or directory",
        ),
        (
            "connectionInfo",
            {"type": "KubeConfigFile", "kubeConfigFile": "/"},
            'connectionInfo.kubeConfigFile: Invalid value: "/": must be a regular file',
        ),
        (
            "connectionInfo",
            {"type": "Carrier"},
            'connectionInfo.type: Unsupported value: "Carrier": supported values: '
            '"InClusterConfig", "KubeConfigFile"',
        ),
        (
            "connectionInfo",
            {"type": "InClusterConfig"},
            'connectionInfo.type: Invalid value: "InClusterConfig": this server cannot ask itself',
        ),
    ],
)
def test_a_webhooks_fields_are_checked_with_upstreams_words(
    tmp_path: Path, field: str, value: Any, expected: str
) -> None:
    assert problem(hooked(tmp_path, **{field: value})) == f"authorizers[0].{expected}"


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        ([" "], "[0].expression: Required value"),
        (["true", "true"], '[1].expression: Duplicate value: "true"'),
        (
            ["'x'"],
            "[0].expression: Invalid value: \"'x'\": must evaluate to bool but got string",
        ),
        (["true"] * 65, ": Too many: 65: must have at most 64 items"),
    ],
)
def test_conditions_are_checked(tmp_path: Path, expressions: list[str], expected: str) -> None:
    said = problem(
        hooked(
            tmp_path,
            matchConditionSubjectAccessReviewVersion="v1",
            matchConditions=[{"expression": text} for text in expressions],
        )
    )
    assert said == f"authorizers[0].matchConditions{expected}"


def test_as_many_conditions_as_may_be_and_a_short_time_are_taken(tmp_path: Path) -> None:
    more = {
        "timeout": "500ms",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "matchConditions": [{"expression": f"{at} == {at}"} for at in range(64)],
    }
    one = parse(hooked(tmp_path, **more)).authorizers[0].webhook
    assert one is not None
    made = ready(one, lambda _: Target())
    assert made.timeout_seconds == 0.5
    assert len(made.conditions) == 64


def test_a_condition_that_does_not_compile_shows_where(tmp_path: Path) -> None:
    said = problem(
        hooked(
            tmp_path,
            matchConditionSubjectAccessReviewVersion="v1",
            matchConditions=[{"expression": "request.colour == 'red'"}],
        )
    )
    assert "authorizers[0].matchConditions[0].expression: Invalid value:" in said
    assert "compilation failed: ERROR: <input>:1:8: undefined field 'colour'" in said


def test_other_files_are_refused() -> None:
    assert "it is no AuthorizationConfiguration" in problem({"kind": "Pod", "apiVersion": "v1"})
    for changed in {"kind": "AuthenticationConfiguration"}, {"apiVersion": "v1"}:
        told = "it is no AuthorizationConfiguration of apiserver.config.k8s.io/v1"
        assert problem({**configuration(), **changed}) == told
    assert "unknown field `colour`" in problem({**configuration(), "colour": "red"})
    assert seconds("1h2m3.5s") == 3723.5


def test_a_review_asks_all_that_is_known() -> None:
    assert spec_of(JANE, POD) == {
        "resourceAttributes": {
            "namespace": "dev",
            "verb": "get",
            "version": "v1",
            "resource": "pods",
            "subresource": "log",
            "name": "p",
        },
        "user": "jane",
        "groups": ["a", "b"],
        "extra": {"scope": ["x", "y"]},
        "uid": "u-1",
    }
    path = Attributes("get", path="/healthz", is_resource=False)
    assert spec_of(User("x"), path) == {
        "nonResourceAttributes": {"path": "/healthz", "verb": "get"},
        "user": "x",
    }


def test_a_review_names_selectors_by_their_requirements() -> None:
    asked = LIST._replace(
        fields="metadata.name=d,status.phase!=Failed",
        labels="app=web,tier in (a,b),!old,new,x!=y,n notin (c),count>3",
    )
    found = spec_of(User("x"), asked)["resourceAttributes"]
    assert found["name"] == "d"
    assert found["fieldSelector"] == {
        "requirements": [
            {"key": "metadata.name", "operator": "In", "values": ["d"]},
            {"key": "status.phase", "operator": "NotIn", "values": ["Failed"]},
        ]
    }
    by_key = {one.pop("key"): one for one in found["labelSelector"]["requirements"]}
    assert by_key == {
        "app": {"operator": "In", "values": ["web"]},
        "tier": {"operator": "In", "values": ["a", "b"]},
        "old": {"operator": "DoesNotExist"},
        "new": {"operator": "Exists"},
        "x": {"operator": "NotIn", "values": ["y"]},
        "n": {"operator": "NotIn", "values": ["c"]},
    }
    broken = spec_of(User("x"), LIST._replace(fields="?", labels="a in"))["resourceAttributes"]
    assert "fieldSelector" not in broken
    assert "labelSelector" not in broken
    only = spec_of(User("x"), LIST._replace(labels="count>3"))["resourceAttributes"]
    assert "labelSelector" not in only


def test_the_versions_of_a_review_differ_in_a_word() -> None:
    spec = {"user": "x", "groups": ["a"]}
    new, old = document_of(spec, "v1"), document_of(spec, "v1beta1")
    assert (new["apiVersion"], new["spec"]) == ("authorization.k8s.io/v1", spec)
    assert old["apiVersion"] == "authorization.k8s.io/v1beta1"
    assert old["spec"] == {"user": "x", "group": ["a"]}
    assert new["status"] == {"allowed": False}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"allowed": True, "reason": "so"}, Decision(True, "so")),
        ({"allowed": False, "reason": "no"}, Decision(False, "no")),
        ({"denied": True}, Decision(False, denied=True)),
        ({"denied": True, "allowed": True}, Decision(False, denied=True, error=BOTH)),
        ({"allowed": "yes", "reason": 3}, Decision(False)),
        ({}, Decision(False)),
    ],
)
def test_an_answer_allows_denies_or_has_no_opinion(status: Document, expected: Decision) -> None:
    assert decide({"status": status}) == expected


def test_what_is_no_review_is_no_answer() -> None:
    for answer in ([], {"status": None}, "allowed"):
        with pytest.raises(ValueError, match="answers no SubjectAccessReview"):
            decide(answer)


@pytest.mark.parametrize(
    ("expressions", "held"),
    [
        ([], True),
        (["request.user == 'jane'", "'a' in request.groups"], True),
        (["request.user == 'jane'", "'z' in request.groups"], False),
        (["has(request.nonResourceAttributes)"], False),
        (["request.resourceAttributes.group == ''"], True),
        (["request.extra['scope'][0] == 'x' && request.uid == 'u-1'"], True),
        (["request.extra['nothing'][0] == 'x'", "false"], False),
        (["request.resourceAttributes.?labelSelector.hasValue()"], False),
    ],
)
def test_conditions_hold_where_all_do(expressions: list[str], held: bool) -> None:
    assert Conditions(expressions).hold(spec_of(JANE, POD)) is held


def test_a_condition_sees_selectors() -> None:
    text = (
        "request.resourceAttributes.labelSelector.requirements.exists(r, r.key == 'app' && "
        "r.operator == 'In' && r.values == ['web'])"
    )
    asked = LIST._replace(labels="app=web")
    assert Conditions([text]).hold(spec_of(JANE, asked))
    assert Conditions(["request.nonResourceAttributes.path == '/x'"]).hold(
        spec_of(JANE, Attributes("get", path="/x", is_resource=False))
    )


def test_a_condition_without_a_value_is_unclear_unless_another_is_false() -> None:
    text = "request.extra['nothing'][0] == 'x'"
    with pytest.raises(Unclear) as raised:
        Conditions(["true", text]).hold(spec_of(JANE, POD))
    assert str(raised.value) == (
        f"cel evaluation error: expression '{text}' resulted in error: no such key: nothing"
    )
