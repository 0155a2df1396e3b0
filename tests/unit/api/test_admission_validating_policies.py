"""ValidatingAdmissionPolicies: which are asked, with what, and what their answers do."""

from __future__ import annotations

from typing import Any

import pytest

from customs import WIDGETS, definition, establish, version, widget
from policies import MAPS_RULE, VALIDATING, VALIDATING_BINDINGS, validate, validating
from served import MAPS, NAMESPACES, PODS, Served, config_map, pod, served, serving
from steersman.store.memory import MemoryStore
from steersman.wire.message import User
from steersman.world.simulated import SimulatedWorld, simulate

Document = dict[str, Any]

WHO = "ValidatingAdmissionPolicy 'rule' with binding 'rule-bound' denied request: "
SMALL = "!has(object.data) || object.data.size() < 2"
LARGE = config_map("large", a="1", b="2")


@served
async def test_what_breaks_a_policy_is_denied_in_upstreams_words(api: Served) -> None:
    await validate(api, validating(SMALL))
    (await api.post(MAPS, config_map("small", a="1"))).ok()
    refused = await api.post(MAPS, LARGE)
    told = f"{WHO}failed expression: {SMALL}"
    assert refused.document == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'configmaps "large" is forbidden: {told}',
        "reason": "Invalid",
        "details": {"name": "large", "kind": "configmaps", "causes": [{"message": told}]},
        "code": 422,
    }
    refused = await api.patch(f"{MAPS}/small", {"data": {"b": "2"}})
    assert refused.code == 422
    (await api.delete(f"{MAPS}/small")).ok()


@pytest.mark.parametrize(
    ("validation", "told"),
    [
        ({"message": " too large "}, "too large"),
        ({"messageExpression": "'has ' + string(object.data.size())"}, "has 2"),
        ({"messageExpression": "string(object.unheard)", "message": "static"}, "static"),
        ({"messageExpression": "'a\\nb'", "message": "static"}, "static"),
        ({"messageExpression": "'  '"}, f"failed expression: {SMALL}"),
    ],
)
@served
async def test_a_denial_has_a_message(api: Served, validation: Document, told: str) -> None:
    await validate(api, validating(SMALL, validation=validation))
    refused = await api.post(MAPS, LARGE)
    assert refused.message == f'configmaps "large" is forbidden: {WHO}{told}'


@pytest.mark.parametrize(
    ("reason", "code"), [("Forbidden", 403), ("Invalid", 422), ("RequestEntityTooLarge", 413)]
)
@served
async def test_a_denial_has_a_reason_and_its_code(api: Served, reason: str, code: int) -> None:
    await validate(api, validating("false", validation={"reason": reason}))
    refused = await api.post(MAPS, LARGE)
    assert (refused.code, refused.document["reason"]) == (code, reason)


@served
async def test_a_policy_without_a_binding_does_nothing(api: Served) -> None:
    (await api.post(VALIDATING, validating("false"))).ok()
    (await api.post(MAPS, LARGE)).ok()
    assert not api.assembly.writer.templates  # nothing is remembered of ConfigMaps


@served
async def test_a_binding_says_what_is_done(api: Served) -> None:
    await validate(api, validating("false"), validationActions=["Warn", "Audit"])
    answer = await api.post(MAPS, LARGE)
    answer.ok()
    assert answer.headers["Warning"] == (
        "299 - \"Validation failed for ValidatingAdmissionPolicy 'rule' with binding "
        "'rule-bound': failed expression: false\""
    )
    where = f"{VALIDATING_BINDINGS}/rule-bound"
    (await api.patch(where, {"spec": {"validationActions": ["Deny"]}})).ok()
    assert (await api.patch(f"{MAPS}/large", {"data": {"a": "2"}})).code == 422
    (await api.delete(where)).ok()
    (await api.patch(f"{MAPS}/large", {"data": {"a": "2"}})).ok()


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("request.operation == 'CREATE' && request.name == 'large'", True),
        ("request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'", True),
        (
            "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups",
            True,
        ),
        ("namespaceObject.metadata.name == 'default'", True),
        ("namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'default'", True),
        ("oldObject == null", True),
        ("authorizer.requestResource.check('update').allowed()", True),
        ("authorizer.serviceAccount('a', 'b').path('/x').check('get').allowed()", False),
        ("authorizer.path('/x').check('get').allowed()", True),
        ("has(request.subResource)", False),
        ("variables.count == 2 && variables.more == 3", True),
        ("has(variables.count)", True),
        ("false && variables.broken", False),
    ],
)
@served
async def test_expressions_see_the_request(api: Served, expression: str, holds: bool) -> None:
    variables = [
        {"name": "count", "expression": "object.data.size()"},
        {"name": "more", "expression": "variables.count + 1"},
        {"name": "broken", "expression": "object.unheard"},
    ]
    await validate(api, validating(expression, variables=variables))
    assert (await api.post(MAPS, LARGE)).code == (201 if holds else 422)


@served
async def test_an_expression_without_a_value_denies_unless_failures_are_ignored(
    api: Served,
) -> None:
    variables = [{"name": "broken", "expression": "object.unheard"}]
    await validate(api, validating("variables.broken == 1", variables=variables))
    refused = await api.post(MAPS, LARGE)
    assert refused.message.endswith(
        "expression 'variables.broken == 1' resulted in error: composited variable \"broken\" "
        "fails to evaluate: no such key: unheard"
    )
    (await api.patch(f"{VALIDATING}/rule", {"spec": {"failurePolicy": "Ignore"}})).ok()
    (await api.post(MAPS, LARGE)).ok()


@served
async def test_conditions_say_whether_a_policy_is_asked(api: Served) -> None:
    conditions = [{"name": "named", "expression": "request.name == 'large'"}]
    await validate(api, validating("false", matchConditions=conditions))
    (await api.post(MAPS, config_map("other"))).ok()
    assert (await api.post(MAPS, LARGE)).code == 422


@pytest.mark.parametrize(
    ("match", "asked"),
    [
        ({"resourceRules": [MAPS_RULE]}, True),
        ({"resourceRules": [{**MAPS_RULE, "resourceNames": ["large"]}]}, True),
        ({"resourceRules": [{**MAPS_RULE, "resourceNames": ["other"]}]}, False),
        ({"resourceRules": [{**MAPS_RULE, "operations": ["UPDATE"]}]}, False),
        ({"resourceRules": [MAPS_RULE], "excludeResourceRules": [MAPS_RULE]}, False),
        (
            {
                "resourceRules": [MAPS_RULE],
                "excludeResourceRules": [{**MAPS_RULE, "resourceNames": ["other"]}],
            },
            True,
        ),
        ({"resourceRules": [MAPS_RULE], "objectSelector": {"matchLabels": {"a": "b"}}}, False),
        (
            {
                "resourceRules": [MAPS_RULE],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
            },
            True,
        ),
    ],
)
@pytest.mark.parametrize("of_binding", [False, True])
@served
async def test_policies_and_bindings_choose(
    api: Served, match: Document, asked: bool, of_binding: bool
) -> None:
    made, spec = validating("false"), {}
    if of_binding:
        spec["matchResources"] = match
    else:
        made["spec"]["matchConstraints"] = match
    await validate(api, made, **spec)
    assert (await api.post(MAPS, LARGE)).code == (422 if asked else 201)


PARAM: Document = {"apiVersion": "v1", "kind": "ConfigMap"}
LIMIT = "!has(object.data) || object.data.size() <= int(params.data.most)"
OTHERS = [{"name": "others", "expression": "request.name != 'limit'"}]


@served
async def test_a_parameter_by_name(api: Served) -> None:
    reference = {"name": "limit", "parameterNotFoundAction": "Deny"}
    made = validating(LIMIT, paramKind=PARAM, matchConditions=OTHERS)
    (await api.post(MAPS, config_map("limit", most="1"))).ok()
    await validate(api, made, paramRef=reference)
    assert (await api.post(MAPS, LARGE)).code == 422
    (await api.delete(f"{MAPS}/limit")).ok()
    refused = await api.post(MAPS, LARGE)
    assert refused.message == (
        f'configmaps "large" is forbidden: {WHO}failed to configure binding: no params found for '
        "policy binding with `Deny` parameterNotFoundAction"
    )
    allow = {"spec": {"paramRef": {"parameterNotFoundAction": "Allow"}}}
    (await api.patch(f"{VALIDATING_BINDINGS}/rule-bound", allow)).ok()
    (await api.post(MAPS, LARGE)).ok()


@served
async def test_parameters_by_labels_all_count(api: Served) -> None:
    for name, most in (("loose", "9"), ("strict", "1")):
        made = config_map(name, most=most)
        made["metadata"]["labels"] = {"limit": "yes"}
        (await api.post(MAPS, made)).ok()
    reference = {"selector": {"matchLabels": {"limit": "yes"}}, "parameterNotFoundAction": "Deny"}
    await validate(api, validating(LIMIT, paramKind=PARAM), paramRef=reference)
    assert (await api.post(MAPS, LARGE)).code == 422
    unlabelled = {"metadata": {"labels": None}, "data": {"most": "1"}}
    (await api.patch(f"{MAPS}/strict", unlabelled)).ok()
    (await api.post(MAPS, LARGE)).ok()


@served
async def test_parameters_may_be_custom_resources_of_another_namespace(api: Served) -> None:
    await establish(api, definition(version()))
    (await api.post(WIDGETS, widget("limit", size=1))).ok()
    (await api.post(NAMESPACES, {"metadata": {"name": "other"}})).ok()
    param = {"apiVersion": "example.com/v1", "kind": "Widget"}
    expression = "object.data.size() <= params.spec.size"
    reference = {"name": "limit", "namespace": "default", "parameterNotFoundAction": "Deny"}
    await validate(api, validating(expression, paramKind=param), paramRef=reference)
    refused = await api.post(f"{NAMESPACES}/other/configmaps", LARGE)
    assert refused.code == 422 and "failed expression" in refused.message


@served
async def test_a_kind_of_parameters_that_is_not_there_denies(api: Served) -> None:
    param = {"apiVersion": "example.com/v1", "kind": "Widget"}
    reference = {"name": "limit", "parameterNotFoundAction": "Allow"}
    await validate(api, validating("true", paramKind=param), paramRef=reference)
    refused = await api.post(MAPS, LARGE)
    assert refused.message == (
        "configmaps \"large\" is forbidden: ValidatingAdmissionPolicy 'rule' denied request: "
        "failed to configure policy: failed to find resource referenced by paramKind: "
        "'example.com/v1, Kind=Widget'"
    )
    await establish(api, definition(version()))
    (await api.post(MAPS, LARGE)).ok()


@served
async def test_deletions_are_asked_about_with_the_old_object_alone(api: Served) -> None:
    (await api.post(MAPS, LARGE)).ok()
    rule = {**MAPS_RULE, "operations": ["DELETE"]}
    expression = "object == null && !has(oldObject.data)"
    await validate(api, validating(expression, rule=rule))
    assert (await api.delete(f"{MAPS}/large")).code == 422
    (await api.patch(f"{MAPS}/large", {"data": None})).ok()
    (await api.delete(f"{MAPS}/large")).ok()


@served
async def test_a_binding_of_a_pod_is_asked_about_as_what_is_created(api: Served) -> None:
    rule = {**MAPS_RULE, "operations": ["CREATE"], "resources": ["pods/binding"]}
    made = validating("object.target.name != 'forbidden'")
    made["spec"]["matchConstraints"]["resourceRules"] = [rule]
    await validate(api, made)
    (await api.post(PODS, pod("p"))).ok()
    named = {"metadata": {"name": "p"}}
    refused = await api.post(f"{PODS}/p/binding", {**named, "target": {"name": "forbidden"}})
    assert refused.code == 422
    assert "nodeName" not in (await api.get(f"{PODS}/p")).ok()["spec"]
    (await api.post(f"{PODS}/p/binding", {**named, "target": {"name": "allowed"}})).ok()


@served
async def test_who_asks_is_seen(api: Served) -> None:
    await validate(api, validating("request.userInfo.username != 'eve'"))
    eve = User("eve", ("system:masters",))
    assert (await api.post(MAPS, LARGE, user=eve)).code == 422
    (await api.post(MAPS, LARGE)).ok()


@served
async def test_notes_for_the_audit_log_must_have_a_value(api: Served) -> None:
    notes = [{"key": "it", "valueExpression": "string(object.unheard)"}]
    made = validating("true", auditAnnotations=notes)
    await validate(api, made, validationActions=["Audit"])
    refused = await api.post(MAPS, LARGE)
    assert refused.code == 422 and "'string(object.unheard)' resulted in error" in refused.message


@served
async def test_a_budget_bounds_all_expressions(api: Served) -> None:
    big = "object.data.all(a, object.data.all(b, object.data.all(c, true)))"
    await validate(api, validating(" && ".join([big] * 3)))
    many = config_map("many", **{f"k{number}": "v" for number in range(120)})
    refused = await api.post(MAPS, many)
    assert "operation cancelled: actual cost limit exceeded" in refused.message


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"validations": [{"expression": "object."}]}, "validations[0].expression", "compilation"),
        (
            {"validations": [{"expression": "1 + 1"}]},
            "validations[0].expression",
            "must evaluate to bool but got int",
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "validations[0].messageExpression",
            "must evaluate to string but got int",
        ),
        (
            {"validations": [{"expression": "params == null"}]},
            "validations[0].expression",
            "undeclared reference to 'params'",
        ),
        (
            {"validations": [{"expression": "variables.unheard"}]},
            "validations[0].expression",
            "undefined field 'unheard'",
        ),
        (
            {"validations": [{"expression": "request.unheard == 1"}]},
            "validations[0].expression",
            "undefined field 'unheard'",
        ),
        (
            {
                "validations": [
                    {"expression": "true", "messageExpression": "string(authorizer == null)"}
                ]
            },
            "validations[0].messageExpression",
            "undeclared reference to 'authorizer'",
        ),
        (
            {"variables": [{"name": "a", "expression": "b"}]},
            "variables[0].expression",
            "undeclared reference to 'b'",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "2"}]},
            "matchConditions[0].expression",
            "must evaluate to bool but got int",
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": "1"}]},
            "auditAnnotations[0].valueExpression",
            "must evaluate to one of [string null_type] but got int",
        ),
    ],
)
@served
async def test_expressions_that_do_not_compile_are_refused(
    api: Served, change: Document, field: str, told: str
) -> None:
    made = validating("true")
    made["spec"] |= change
    refused = await api.post(VALIDATING, made)
    assert refused.code == 422
    (cause,) = refused.document["details"]["causes"]
    assert cause["field"] == f"spec.{field}" and told in cause["message"], cause


@served
async def test_conditions_of_webhooks_must_compile(api: Served) -> None:
    webhook = {
        "name": "a.example.com",
        "clientConfig": {"url": "https://localhost"},
        "rules": [MAPS_RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "matchConditions": [{"name": "a", "expression": "params.x"}],
    }
    made = {"metadata": {"name": "w"}, "webhooks": [webhook]}
    group = "/apis/admissionregistration.k8s.io/v1"
    refused = await api.post(f"{group}/validatingwebhookconfigurations", made)
    (cause,) = refused.document["details"]["causes"]
    assert cause["field"] == "webhooks[0].matchConditions[0].expression"
    assert "compilation failed: ERROR: <input>:1:1: undeclared reference" in cause["message"]


@served
async def test_parameters_must_stand_where_they_can(api: Served) -> None:
    param = {"apiVersion": "v1", "kind": "Namespace"}
    reference = {"name": "default", "namespace": "x", "parameterNotFoundAction": "Allow"}
    await validate(api, validating("true", paramKind=param), paramRef=reference)
    refused = await api.post(MAPS, LARGE)
    assert refused.message.endswith(
        "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped "
        "`paramKind`"
    )
    rule = {**MAPS_RULE, "apiGroups": ["*"], "resources": ["clusterroles"]}
    made = validating("true", "roles", rule=rule, paramKind=PARAM)
    reference = {"name": "limit", "parameterNotFoundAction": "Allow"}
    await validate(api, made, paramRef=reference)
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    refused = await api.post(roles, {"metadata": {"name": "r"}, "rules": []})
    assert refused.message.endswith(
        "failed to configure binding: cannot use namespaced paramRef in policy binding that "
        "matches cluster-scoped resources"
    )


@served
async def test_a_namespace_selector_is_about_namespaces_themselves(api: Served) -> None:
    everything = {**MAPS_RULE, "apiGroups": ["*"], "resources": ["namespaces", "clusterroles"]}
    made = validating("false", rule=everything)
    wanted = {"matchLabels": {"strict": "yes"}}
    made["spec"]["matchConstraints"]["namespaceSelector"] = wanted
    await validate(api, made)
    (await api.post(NAMESPACES, {"metadata": {"name": "loose"}})).ok()
    strict = {"metadata": {"name": "strict", "labels": {"strict": "yes"}}}
    assert (await api.post(NAMESPACES, strict)).code == 422
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    cluster_wide = await api.post(roles, {"metadata": {"name": "r"}, "rules": []})
    assert cluster_wide.code == 422, "what has no namespace is selected"


def test_a_server_starts_whatever_is_configured() -> None:
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view"
    everything = {
        "operations": ["*"],
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": ["*"],
    }

    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store) as api:
            (await api.delete(role)).ok()
            await validate(api, validating("false", rule=everything))
        async with serving(world, store) as api:
            (await api.get(role)).ok()
            assert (await api.post(MAPS, LARGE)).code == 422

    simulate(1, main)


@served
async def test_what_cannot_be_used_is_ignored_where_failures_are(api: Served) -> None:
    reference = {"name": "none", "parameterNotFoundAction": "Deny"}
    made = validating("true", paramKind=PARAM, failurePolicy="Ignore")
    await validate(api, made, paramRef=reference)
    (await api.post(MAPS, LARGE)).ok()
    (await api.patch(f"{VALIDATING}/rule", {"spec": {"failurePolicy": "Fail"}})).ok()
    assert (await api.patch(f"{MAPS}/large", {"data": {"a": "2"}})).code == 422
