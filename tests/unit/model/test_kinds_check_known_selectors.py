"""Label selectors that are refused by now: what has one may keep and change it, but for its keys
and operators (AllowInvalidLabelValueInSelector)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import causes

VALUE = (
    'Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric '
    "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
    "'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def selecting(value: str, operator: str = "In") -> dict[str, Any]:
    return {"matchExpressions": [{"key": "k", "operator": operator, "values": [value]}]}


def policy(selector: dict[str, Any], peer: dict[str, Any] | None = None) -> dict[str, Any]:
    rules = [] if peer is None else [{"from": [{"podSelector": peer}]}]
    return {"spec": {"podSelector": selector, "ingress": rules}}


def claim(selector: dict[str, Any]) -> dict[str, Any]:
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, "selector": selector}
    return {"spec": spec}


CASES = [
    ("policy", "poddisruptionbudgets", lambda it: {"spec": {"selector": it}}, "spec.selector"),
    ("networking.k8s.io", "networkpolicies", policy, "spec.podSelector"),
    ("", "persistentvolumeclaims", claim, "spec.selector"),
]


@pytest.mark.parametrize(("group", "plural", "made", "path"), CASES)
def test_values_of_a_selector_may_stay_and_change(
    group: str, plural: str, made: Any, path: str
) -> None:
    bad, other, good = (made(selecting(value)) for value in ("a b", "c d", "e"))
    where = f"{path}.matchExpressions[0]"
    refused = [(f"{where}.values[0]", VALUE)]
    assert causes(group, plural, bad) == refused
    assert refused[0] in causes(group, plural, bad, good)
    assert causes(group, plural, bad, bad) == []
    assert refused[0] not in causes(group, plural, bad, other)
    odd = made(selecting("a b", "Is"))
    operator = (f"{where}.operator", 'Invalid value: "Is": not a valid selector operator')
    assert operator in causes(group, plural, odd, bad)


def test_the_peers_of_a_policy_follow_the_selector_of_its_pods() -> None:
    group, plural = "networking.k8s.io", "networkpolicies"
    bad, good = selecting("a b"), selecting("e")
    assert causes(group, plural, policy(bad, bad), policy(bad, good)) == []
    assert causes(group, plural, policy(good, bad), policy(good, bad)) == [
        ("spec.ingress[0].from[0].podSelector.matchExpressions[0].values[0]", VALUE)
    ]


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def template(spec: dict[str, Any], **labels: str) -> dict[str, Any]:
    containers = [{"name": "a", "image": "i"}]
    metadata = {"labels": {"a": "b", **labels}}
    pods = {"metadata": metadata, "spec": {"containers": containers, **spec}}
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pods}}


def neighbour(value: str, **labels: str) -> dict[str, Any]:
    term = {"topologyKey": "t", "namespaceSelector": selecting(value)}
    return template({"affinity": {"podAntiAffinity": {REQUIRED: [term]}}}, **labels)


def preferred(value: str, **labels: str) -> dict[str, Any]:
    term = {"topologyKey": "t", "labelSelector": selecting(value)}
    weighted = [{"weight": 1, "podAffinityTerm": term}]
    return template({"affinity": {"podAffinity": {PREFERRED: weighted}}}, **labels)


def on_nodes(value: str, **labels: str) -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [selecting(value)]}
    return template({"affinity": {"nodeAffinity": {REQUIRED: terms}}}, **labels)


def spread(value: str, **labels: str) -> dict[str, Any]:
    constraint = {"maxSkew": 1, "topologyKey": "t", "whenUnsatisfiable": "DoNotSchedule"}
    constraints = [{**constraint, "labelSelector": selecting(value)}]
    return template({"topologySpreadConstraints": constraints}, **labels)


@pytest.mark.parametrize("made", [neighbour, preferred, on_nodes, spread])
def test_what_pods_select_may_stay_and_change(made: Any) -> None:
    bad, other, good = (made(value, c="d") for value in ("a b", "c d", "e"))
    before = made("a b")

    def found(new: Any, old: Any = None) -> list[str]:
        return [message for _, message in causes("apps", "deployments", new, old)]

    assert found(bad) == [VALUE]
    assert found(bad, made("e")) == [VALUE]
    assert found(bad, before) == found(other, before) == found(good, before) == []


def test_only_what_was_no_good_is_not_checked_any_more() -> None:
    before, now = neighbour("a b"), on_nodes("a b")
    assert [message for _, message in causes("apps", "deployments", now, before)] == [VALUE]
    before, now = on_nodes("a b"), spread("a b")
    assert [message for _, message in causes("apps", "deployments", now, before)] == [VALUE]
    before, now = spread("a b"), preferred("a b")
    assert [message for _, message in causes("apps", "deployments", now, before)] == [VALUE]
