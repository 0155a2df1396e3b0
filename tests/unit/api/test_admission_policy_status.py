"""The status of ValidatingAdmissionPolicies: what is wrong with their expressions for a kind."""

from __future__ import annotations

from typing import Any

import pytest

from customs import definition
from served import Served, served
from steersman.api.admission.policies.type_check import typed_kinds, warnings
from steersman.model.builtin import Registry

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
REGISTRY = Registry()


def rule(group: str, version: str, *plurals: str) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": list(plurals),
        "operations": ["*"],
    }


def spec(*expressions: str, rules: Any = None, **more: Any) -> dict[str, Any]:
    found = [rule("apps", "v1", "deployments")] if rules is None else rules
    return {
        "matchConstraints": {"resourceRules": found},
        "validations": [{"expression": one} for one in expressions],
        **more,
    }


def told(*expressions: str, **more: Any) -> list[dict[str, Any]]:
    return warnings({"spec": spec(*expressions, **more)}, REGISTRY)


def test_a_field_that_a_kind_has_not_is_told_with_the_kind() -> None:
    assert told("object.spec.replicas > 1", "object.replicas > 1") == [
        {
            "fieldRef": "spec.validations[1].expression",
            "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n"
            " | object.replicas > 1\n"
            " | ......^\n",
        }
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "object.spec.template.spec.containers.all(c, c.image != '')",
        "object.metadata.labels['a'] == 'b'",
        "object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')",
        "object.spec.strategy.rollingUpdate.maxSurge == 1",
        "object.spec.template.spec.containers[0].resources.limits['cpu'] == '1'",
        "oldObject == null || oldObject.spec.replicas <= object.spec.replicas",
        "request.userInfo.username == 'jane' && namespaceObject.metadata.name == 'a'",
        "authorizer.group('').resource('pods').check('get').allowed()",
    ],
)
def test_what_fits_the_kind_is_not_told(expression: str) -> None:
    assert told(expression) == []


def test_types_that_do_not_fit_are_told_for_messages_and_variables_too() -> None:
    (found,) = told("object.spec.replicas > '1'")
    assert "found no matching overload for '_>_' applied to '(int, string)'" in found["warning"]
    validation = {"expression": "true", "messageExpression": "object.spec.nothing"}
    (found,) = warnings({"spec": {**spec(), "validations": [validation]}}, REGISTRY)
    assert found["fieldRef"] == "spec.validations[0].messageExpression"
    variables = [{"name": "n", "expression": "object.spec.replicas"}]
    (found,) = told("variables.n == 'a'", variables=variables)
    assert "applied to '(int, string)'" in found["warning"]
    assert told("variables.n == 3", variables=variables) == []


def test_each_kind_that_is_named_is_told_of_in_order() -> None:
    rules = [rule("apps", "v1", "replicasets", "deployments"), rule("", "v1", "pods")]
    (found,) = told("object.spec.replicas == 1", rules=rules)
    assert [line.split(":")[0] for line in found["warning"].splitlines() if "Kind=" in line] == [
        "/v1, Kind=Pod"
    ]
    (found,) = told("object.nothing == 1", rules=rules)
    assert [line.split(":")[0] for line in found["warning"].splitlines() if "Kind=" in line] == [
        *("/v1, Kind=Pod", "apps/v1, Kind=Deployment", "apps/v1, Kind=ReplicaSet"),
    ]


@pytest.mark.parametrize(
    "rules",
    [
        [rule("*", "v1", "deployments")],
        [rule("apps", "*", "deployments")],
        [rule("apps", "v1", "*")],
        [rule("apps", "v1", "deployments/scale")],
        [rule("example.com", "v1", "unknown")],
        [],
    ],
)
def test_kinds_that_are_not_named_are_not_looked_at(rules: Any) -> None:
    assert typed_kinds(spec(rules=rules), REGISTRY) == []
    assert told("object.nothing == 1", rules=rules) == []


def test_no_more_than_ten_kinds_are_looked_at() -> None:
    plurals = sorted({kind.plural for kind in REGISTRY.all() if not kind.group and kind.stored})
    assert len(plurals) > 10
    assert len(typed_kinds(spec(rules=[rule("", "v1", *plurals)]), REGISTRY)) == 10


def test_parameters_are_typed_by_their_kind() -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    (found,) = told("params.date['a'] == 'b'", paramKind=kind)
    assert "undefined field 'date'" in found["warning"]
    assert told("params.data['a'] == 'b'", paramKind=kind) == []
    unknown = {"apiVersion": "example.com/v1", "kind": "Unknown"}
    assert told("params.date['a'] == 'b'", paramKind=unknown) == []


async def status(api: Served, name: str, generation: int) -> Any:
    """Returns a policy's status once it speaks of a generation."""
    watched = await api.watch(POLICIES, fieldSelector=f"metadata.name={name}")
    while True:
        found = (await watched.next())["object"].get("status") or {}
        if found.get("observedGeneration") == generation:
            watched.close()
            return found


@served
async def test_the_status_follows_the_spec(api: Served) -> None:
    policy = {"metadata": {"name": "p"}, "spec": spec("object.replicas > 1")}
    (await api.post(POLICIES, policy)).ok()
    found = await status(api, "p", 1)
    (warning,) = found["typeChecking"]["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[0].expression"
    (await api.patch(f"{POLICIES}/p", {"spec": spec("object.spec.replicas > 1")})).ok()
    found = await status(api, "p", 2)
    assert found["typeChecking"] == {}
    revision = api.revision
    await api.world.sleep(3600)
    (await api.patch(f"{POLICIES}/p", {"metadata": {"labels": {"a": "b"}}})).ok()
    await api.world.sleep(3600)
    assert api.revision == revision + 1, "nothing to say of a label"


@served
async def test_custom_resources_are_typed_by_their_schema(api: Served) -> None:
    (await api.post(DEFINITIONS, definition())).ok()
    await api.world.sleep(10)
    rules = [rule("example.com", "v1", "widgets")]
    given = spec("object.spec.size > 1", "object.spec.sise > 1", rules=rules)
    (await api.post(POLICIES, {"metadata": {"name": "p"}, "spec": given})).ok()
    found = (await status(api, "p", 1))["typeChecking"]["expressionWarnings"]
    assert [one["fieldRef"] for one in found] == ["spec.validations[1].expression"]
    assert found[0]["warning"].startswith("example.com/v1, Kind=Widget: ERROR: <input>:1:12:")
