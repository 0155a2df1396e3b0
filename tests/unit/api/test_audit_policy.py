"""Audit policies: which rule decides, and what a policy may not say."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.api.access.authorization import Attributes
from steersman.api.audit.policy import parse
from steersman.wire.message import User

JANE = User("jane", ("dev", "system:authenticated"))
POD = Attributes("get", "", "v1", "pods", "", "default", "web", "/api/v1/namespaces/default/pods")
LOG = POD._replace(subresource="log")
ROLES = Attributes("list", "rbac.authorization.k8s.io", "v1", "clusterroles", path="/apis")
PATH = Attributes("get", path="/healthz/ping", is_resource=False)


def policy(*rules: Any, **more: Any) -> Any:
    return parse({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": list(rules), **more})


def is_meant(asked: Attributes, user: User | None = JANE, **rule: Any) -> bool:
    return bool(policy({"level": "Metadata", **rule}).decide(user, asked).level)


def resources(*names: str, group: str = "", only: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"resources": [{"group": group, "resources": names, "resourceNames": only}]}


@pytest.mark.parametrize(
    ("rule", "meant"),
    [
        ({}, (POD, LOG, ROLES, PATH)),
        ({"users": ["jane"]}, (POD, LOG, ROLES, PATH)),
        ({"users": ["john"]}, ()),
        ({"userGroups": ["ops", "dev"]}, (POD, LOG, ROLES, PATH)),
        ({"userGroups": ["ops"]}, ()),
        ({"verbs": ["list", "watch"]}, (ROLES,)),
        ({"namespaces": ["default"]}, (POD, LOG)),
        ({"namespaces": [""]}, (ROLES,)),
        ({"nonResourceURLs": ["*"]}, (PATH,)),
        ({"nonResourceURLs": ["/healthz*"]}, (PATH,)),
        ({"nonResourceURLs": ["/healthz/ping"]}, (PATH,)),
        ({"nonResourceURLs": ["/healthz"]}, ()),
        ({"nonResourceURLs": ["/version", "/healthz*"]}, (PATH,)),
        ({"nonResourceURLs": ["/version", "/livez*"]}, ()),
        (resources("pods"), (POD,)),
        (resources("pods/log"), (LOG,)),
        (resources("pods/*"), (POD, LOG)),
        (resources("*/log"), (LOG,)),
        (resources("*/status"), ()),
        (resources("*"), (POD, LOG)),
        (resources(), (POD, LOG)),
        (resources("clusterroles"), ()),
        (resources("clusterroles", group="rbac.authorization.k8s.io"), (ROLES,)),
        (resources("*", group="*"), (POD, LOG, ROLES)),
        (resources("pods", only=("web",)), (POD,)),
        (resources("pods", only=("db",)), ()),
        ({**resources("pods"), "namespaces": ["other"]}, ()),
        ({**resources("pods"), "verbs": ["get"], "users": ["jane"]}, (POD,)),
        ({**resources("pods"), "verbs": ["get"], "users": ["john"]}, ()),
    ],
)
def test_a_rule_means_what_matches_all_that_it_names(
    rule: dict[str, Any], meant: tuple[Attributes, ...]
) -> None:
    assert tuple(one for one in (POD, LOG, ROLES, PATH) if is_meant(one, **rule)) == meant


def test_nobody_is_meant_by_no_rule_about_users() -> None:
    assert is_meant(POD, None)
    assert not is_meant(POD, None, users=["jane"])
    assert not is_meant(POD, None, userGroups=["dev"])


def test_the_first_rule_that_matches_decides_and_without_one_nothing_is_kept() -> None:
    found = policy(
        {"level": "None", "verbs": ["watch"]},
        {"level": "Request", "verbs": ["get"], "omitStages": ["Panic"], "omitManagedFields": False},
        {"level": "RequestResponse", "verbs": ["get", "list"]},
        omitStages=["RequestReceived"],
        omitManagedFields=True,
    )
    decided = found.decide(JANE, POD)
    assert decided.level == 2
    assert decided.omitted == {"RequestReceived", "Panic"}
    assert not decided.bare
    decided = found.decide(JANE, ROLES)
    assert decided.level == 3
    assert decided.omitted == {"RequestReceived"}
    assert decided.bare
    assert found.decide(JANE, POD._replace(verb="watch")).level == 0
    assert found.decide(JANE, POD._replace(verb="create")).level == 0


LEVELS = 'supported values: "None", "Metadata", "Request", "RequestResponse"'
STAGES = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic"
SLASH = "non-resource URL rules must begin with a '/' character"
STAR = "non-resource URL wildcards '*' must be the final character of the rule"
ALONE = "rules cannot apply to both regular resources and non-resource URLs"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({}, "rules[0].level: Required value"),
        ({"level": "All"}, f'rules[0].level: Unsupported value: "All": {LEVELS}'),
        (
            {"level": "None", "nonResourceURLs": ["*", "version"]},
            f'rules[0].nonResourceURLs[1]: Invalid value: "version": {SLASH}',
        ),
        (
            {"level": "None", "nonResourceURLs": ["/a*/b", "/a*"]},
            f'rules[0].nonResourceURLs[0]: Invalid value: "/a*/b": {STAR}',
        ),
        (
            {"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["b"]},
            f'rules[0].nonResourceURLs: Invalid value: ["/a"]: {ALONE}',
        ),
        (
            {"level": "None", "resources": [{"resourceNames": ["a"]}]},
            'rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires '
            "at least one resource",
        ),
        (
            {"level": "None", "omitStages": ["Panic", "End"]},
            f'rules[0].omitStages[1]: Invalid value: "End": {STAGES}',
        ),
    ],
)
def test_a_bad_rule_is_told_in_upstreams_words(rule: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=r"^rules") as raised:
        policy(rule)
    assert str(raised.value) == problem


def test_a_group_with_a_version_is_no_group() -> None:
    with pytest.raises(ValueError, match=r"^rules\[0\]\.resources\.group: Invalid value: ") as why:
        policy({"level": "None", **resources("roles", group="rbac/v1")})
    assert "a lowercase RFC 1123 subdomain must consist of" in str(why.value)


def test_several_problems_are_told_together() -> None:
    with pytest.raises(ValueError, match="omitStages") as raised:
        policy({"level": ""}, {"level": "x"}, omitStages=["End"])
    assert str(raised.value) == (
        f'[omitStages[0]: Invalid value: "End": {STAGES}, rules[0].level: Required value, '
        f'rules[1].level: Unsupported value: "x": {LEVELS}]'
    )


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"kind": "Policy", "apiVersion": "audit.k8s.io/v1"}, "loaded illegal policy with 0 rules"),
        ({"apiVersion": "audit.k8s.io/v1"}, "failed decoding: Object 'Kind' is missing"),
        ({"kind": "Policy"}, "failed decoding: Object 'apiVersion' is missing"),
        (
            {"kind": "Policy", "apiVersion": "audit.k8s.io/v1beta1"},
            'failed decoding: no kind "Policy" is registered for version "audit.k8s.io/v1beta1": '
            "a Policy of audit.k8s.io/v1 is wanted",
        ),
        ([], "failed decoding: Expected `object`, got `array`"),
    ],
)
def test_what_is_no_policy_is_refused(document: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse(document)
    assert str(raised.value) == problem


def test_fields_that_nobody_knows_are_left() -> None:
    assert policy({"level": "Request", "colour": "red"}, metadata={"name": "x"}).rules
