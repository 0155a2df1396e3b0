"""Upstream's rows about admission policies, on Deployments of namespaces with a label."""

from __future__ import annotations

from policies import applying, mutate, validate, validating
from served import DEPLOYMENTS, NAMESPACES, Document, Served, deployment, served

SETS = "/apis/apps/v1/namespaces/default/replicasets"
CHOSEN = {"namespaceSelector": {"matchLabels": {"chosen": "true"}}}
RULE: Document = {
    "operations": ["CREATE", "UPDATE"],
    "apiGroups": ["apps"],
    "apiVersions": ["v1"],
    "resources": ["deployments"],
}


async def choose(api: Served) -> None:
    """Labels the namespace."""
    labels = {"metadata": {"labels": {"chosen": "true"}}}
    (await api.patch(f"{NAMESPACES}/default", labels)).ok()


def replica_set(name: str, replicas: int) -> Document:
    """Returns a ReplicaSet."""
    return {**deployment(name, replicas), "kind": "ReplicaSet"}


@served
async def test_a_deployment_is_validated(api: Served) -> None:
    await choose(api)
    made = validating("object.spec.replicas > 1", rule=RULE)
    await validate(api, made, matchResources=CHOSEN)
    refused = await api.post(DEPLOYMENTS, deployment("single", 1))
    assert refused.code == 422
    assert "failed expression: object.spec.replicas > 1" in refused.message
    (await api.post(DEPLOYMENTS, deployment("replicated", 2))).ok()
    assert (await api.patch(f"{DEPLOYMENTS}/replicated", {"spec": {"replicas": 1}})).code == 422
    (await api.post(SETS, replica_set("single", 1))).ok()
    room = f"{NAMESPACES}/room"
    (await api.post(NAMESPACES, {"metadata": {"name": "room"}})).ok()
    elsewhere = DEPLOYMENTS.replace("/default/", "/room/")
    (await api.post(elsewhere, deployment("single", 1))).ok()
    assert (await api.get(room)).code == 200


@served
async def test_expressions_refer_to_variables_and_these_to_others(api: Served) -> None:
    await choose(api)
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
    ]
    made = validating("variables.replicas > 1", rule=RULE, variables=variables)
    made["spec"]["validations"].append({"expression": "variables.oddReplicas"})
    await validate(api, made, matchResources=CHOSEN)
    for replicas, broken in ((1, "variables.replicas > 1"), (2, "variables.oddReplicas")):
        refused = await api.post(DEPLOYMENTS, deployment("wrong", replicas))
        assert refused.code == 422
        assert f"failed expression: {broken}" in refused.message
    (await api.post(DEPLOYMENTS, deployment("right", 3))).ok()
    (await api.post(SETS, replica_set("single", 1))).ok()


def annotating(entries: str) -> Document:
    """Returns a policy that gives Deployments annotations."""
    expression = f"Object{{metadata: Object.metadata{{annotations: {{{entries}}}}}}}"
    return applying(expression, rule=RULE)


@served
async def test_a_deployment_is_mutated(api: Served) -> None:
    await choose(api)
    made = annotating('"mutated-by": "admission-policy"')
    await mutate(api, made, matchResources=CHOSEN)
    found = (await api.post(DEPLOYMENTS, deployment("one", 2))).ok()
    assert found["metadata"]["annotations"] == {"mutated-by": "admission-policy"}
    assert (await api.get(f"{DEPLOYMENTS}/one")).ok() == found


@served
async def test_annotations_come_beside_those_of_a_deployment(api: Served) -> None:
    await choose(api)
    made = annotating('"my-foo-annotation": "myAnnotationValue", "second": string(1)')
    await mutate(api, made, matchResources=CHOSEN)
    given = deployment("one", 2)
    given["metadata"]["annotations"] = {"own": "kept"}
    found = (await api.post(DEPLOYMENTS, given)).ok()["metadata"]["annotations"]
    assert found == {"own": "kept", "my-foo-annotation": "myAnnotationValue", "second": "1"}
    unchosen = DEPLOYMENTS.replace("/default/", "/room/")
    (await api.post(NAMESPACES, {"metadata": {"name": "room"}})).ok()
    alone = (await api.post(unchosen, deployment("one", 2))).ok()
    assert "annotations" not in alone["metadata"]
