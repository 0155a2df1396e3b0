"""MutatingAdmissionPolicies: what they make of objects, in which order, and what they may not."""

from __future__ import annotations

from typing import Any

import pytest

from customs import WIDGETS, definition, establish, version, widget
from policies import (
    MAPS_RULE,
    MUTATING,
    applying,
    mutate,
    mutating,
    patching,
    validate,
    validating,
)
from served import APPLY, DEPLOYMENTS, MAPS, PODS, Served, config_map, deployment, pod, served

Document = dict[str, Any]

LABEL = "Object{metadata: Object.metadata{labels: {'seen': 'yes'}}}"
PODS_RULE = {**MAPS_RULE, "resources": ["pods"]}
WHO = "policy 'rule' with binding 'rule-bound' denied request: "


@served
async def test_an_object_is_merged_and_what_is_merged_is_nobodys(api: Served) -> None:
    await mutate(api, applying(LABEL))
    given = config_map("one", a="1")
    given["metadata"]["labels"] = {"own": "too"}
    made = (await api.post(MAPS, given)).ok()
    assert made["metadata"]["labels"] == {"own": "too", "seen": "yes"}
    (owned,) = made["metadata"]["managedFields"]
    assert "f:seen" not in owned["fieldsV1"]["f:metadata"]["f:labels"]


@served
async def test_lists_with_keys_are_merged_by_them(api: Served) -> None:
    expression = (
        "Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: 'side', "
        "image: 'busybox', restartPolicy: 'Always'}], containers: "
        "object.spec.containers.map(c, Object.spec.containers{name: c.name, env: ["
        "Object.spec.containers.env{name: 'A', value: string(variables.n)}]})}}"
    )
    variables = [{"name": "n", "expression": "object.spec.containers.size()"}]
    await mutate(api, applying(expression, rule=PODS_RULE, variables=variables))
    spec = (await api.post(PODS, pod("one"))).ok()["spec"]
    assert spec["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    assert spec["containers"][0]["image"] == "busybox"
    assert spec["initContainers"][0]["imagePullPolicy"] == "Always", "it has its defaults"


@served
async def test_operations_are_applied(api: Served) -> None:
    expression = (
        "[JSONPatch{op: 'test', path: '/data/a', value: '1'}, "
        "JSONPatch{op: 'move', from: '/data/a', path: '/data/b'}]"
    )
    await mutate(api, patching(expression))
    made = (await api.post(MAPS, config_map("one", a="1"))).ok()
    assert made["data"] == {"b": "1"}
    unmoved = (await api.post(MAPS, config_map("two", a="2"))).ok()
    assert unmoved["data"] == {"a": "2"}, "a test that fails is no failure"


@served
async def test_a_key_with_a_slash_is_escaped(api: Served) -> None:
    expression = (
        "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}, JSONPatch{op: 'add', "
        "path: '/metadata/annotations/' + jsonpatch.escapeKey('a.b/c'), value: 'x'}]"
    )
    await mutate(api, patching(expression))
    made = (await api.post(MAPS, config_map("one"))).ok()
    assert made["metadata"]["annotations"] == {"a.b/c": "x"}


@served
async def test_mutations_see_what_those_before_made(api: Served) -> None:
    first = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": LABEL}}
    text = "[JSONPatch{op: 'add', path: '/data', value: {'l': object.metadata.labels.seen}}]"
    second = {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
    await mutate(api, mutating(first, second))
    assert (await api.post(MAPS, config_map("one"))).ok()["data"] == {"l": "yes"}


@served
async def test_policies_go_by_name_and_again_where_they_want_it(api: Served) -> None:
    def counting(key: str) -> str:
        return (
            f"[JSONPatch{{op: 'add', path: '/data/{key}', value: "
            f"has(object.data.{key}) ? object.data.{key} + '+' : '{key}'}}]"
        )

    await mutate(api, patching(counting("b"), "b", reinvocationPolicy="Never"))
    await mutate(api, patching(counting("a"), "a", reinvocationPolicy="IfNeeded"))
    made = (await api.post(MAPS, config_map("one", x="1"))).ok()
    assert made["data"] == {"x": "1", "a": "a+", "b": "b"}


@served
async def test_what_was_mutated_is_validated(api: Served) -> None:
    await mutate(api, applying(LABEL))
    await validate(api, validating("!has(object.metadata.labels)", "strict"))
    refused = await api.post(MAPS, config_map("one"))
    assert refused.code == 422 and "'strict'" in refused.message


@served
async def test_updates_and_applied_objects_are_mutated(api: Served) -> None:
    (await api.post(MAPS, config_map("one", a="1"))).ok()
    conditions = [{"name": "c", "expression": "request.operation == 'UPDATE'"}]
    await mutate(api, applying(LABEL, matchConditions=conditions))
    changed = (await api.patch(f"{MAPS}/one", {"data": {"a": "2"}})).ok()
    assert changed["metadata"]["labels"] == {"seen": "yes"}
    other = (await api.post(MAPS, config_map("two"))).ok()
    assert "labels" not in other["metadata"]
    made = config_map("two", b="2")
    applied = (await api.patch(f"{MAPS}/two", made, APPLY, fieldManager="me")).ok()
    assert applied["metadata"]["labels"] == {"seen": "yes"}


@served
async def test_parameters_are_seen(api: Served) -> None:
    (await api.post(MAPS, config_map("values", label="from-params"))).ok()
    expression = "Object{metadata: Object.metadata{labels: {'seen': params.data.label}}}"
    param = {"apiVersion": "v1", "kind": "ConfigMap"}
    reference = {"name": "values", "parameterNotFoundAction": "Deny"}
    await mutate(api, applying(expression, paramKind=param), paramRef=reference)
    made = (await api.post(MAPS, config_map("one"))).ok()
    assert made["metadata"]["labels"] == {"seen": "from-params"}
    (await api.delete(f"{MAPS}/values")).ok()
    refused = await api.post(MAPS, config_map("two"))
    told = (
        f"{WHO}failed to configure binding: no params found for policy binding with `Deny` "
        "parameterNotFoundAction"
    )
    assert (refused.code, refused.message) == (403, told)
    assert refused.document["reason"] == "Forbidden"


@served
async def test_custom_resources_are_merged_by_their_schema(api: Served) -> None:
    await establish(api, definition(version()))
    rule = {**MAPS_RULE, "apiGroups": ["example.com"], "resources": ["widgets"]}
    part = "Object.spec.parts{name: 'b', count: 2}"
    expression = f"Object{{spec: Object.spec{{colour: 'green', parts: [{part}]}}}}"
    await mutate(api, applying(expression, rule=rule))
    made = (await api.post(WIDGETS, widget("one", parts=[{"name": "a"}]))).ok()
    assert made["spec"]["colour"] == "green"
    assert sorted(one["name"] for one in made["spec"]["parts"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (
            "Object{spec: Object.spec{template: Object.spec.template{spec: "
            "Object.spec.template.spec{containers: [Object.spec.template.spec.containers{"
            "name: 'main', command: ['sh']}]}}}}",
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps "
            "or structs: .spec.template.spec.containers[0].command",
        ),
        (
            "Object{spec: Object.status{replicas: 1}}",
            'type mismatch: unexpected type name "Object.status", expected "Object.spec", which '
            "matches field name path from root Object type",
        ),
        (
            "Object{spec: Object.spec{unheard: 1}}",
            "error applying patch: failed to convert patch object to typed object: "
            ".spec.unheard: field not declared in schema",
        ),
        (
            "Object{spec: Object.spec{replicas: object.spec.unheard}}",
            "expression 'Object{spec: Object.spec{replicas: object.spec.unheard}}' resulted in "
            "error: no such key: unheard",
        ),
    ],
)
@served
async def test_what_cannot_be_merged_is_denied_or_ignored(
    api: Served, expression: str, told: str
) -> None:
    rule = {**MAPS_RULE, "apiGroups": ["apps"], "resources": ["deployments"]}
    await mutate(api, applying(expression, rule=rule))
    refused = await api.post(DEPLOYMENTS, deployment("one"))
    assert refused.document == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"{WHO}{told}",
        "reason": "Invalid",
        "details": {
            "name": "one",
            "group": "apps",
            "kind": "deployments",
            "causes": [{"message": f"{WHO}{told}"}],
        },
        "code": 403,
    }
    (await api.patch(f"{MUTATING}/rule", {"spec": {"failurePolicy": "Ignore"}})).ok()
    (await api.post(DEPLOYMENTS, deployment("one"))).ok()


@served
async def test_operations_that_do_not_fit_are_denied(api: Served) -> None:
    await mutate(api, patching("[JSONPatch{op: 'remove', path: '/data/none'}]"))
    refused = await api.post(MAPS, config_map("one", a="1"))
    told = "JSON Patch: Unable to remove nonexistent key: none: missing value"
    assert refused.message == f"{WHO}{told}"


@pytest.mark.parametrize(
    ("made", "field", "told"),
    [
        (applying("1"), "applyConfiguration", "must evaluate to Object but got int"),
        (
            patching("Object{}"),
            "jsonPatch",
            "must evaluate to list(JSONPatch) but got Object",
        ),
        (applying("Objekt{}"), "applyConfiguration", "undeclared reference to 'Objekt'"),
        (patching("[JSONPatch{op: 1}]"), "jsonPatch", "expected type of field 'op'"),
    ],
)
@served
async def test_expressions_that_give_something_else_are_refused(
    api: Served, made: Document, field: str, told: str
) -> None:
    refused = await api.post(MUTATING, made)
    (cause,) = refused.document["details"]["causes"]
    assert cause["field"] == f"spec.mutations[0].{field}.expression" and told in cause["message"]


@served
async def test_moments_and_numbers_become_json(api: Served) -> None:
    text = (
        "[JSONPatch{op: 'add', path: '/data', value: {'at': dyn(timestamp("
        "'2026-01-02T03:04:05Z')), 'for': dyn(duration('90s'))}}]"
    )
    await mutate(api, patching(text))
    made = (await api.post(MAPS, config_map("one"))).ok()
    assert made["data"] == {"at": "2026-01-02T03:04:05Z", "for": "90s"}
