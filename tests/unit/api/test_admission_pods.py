"""What new pods and nodes are given: tolerations, priorities, taints; and namespaces that end."""

from __future__ import annotations

from typing import Any

import pytest

from customs import definition, establish, version
from served import MERGE, NAMESPACES, PODS, Served, config_map, pod, served

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
NODES = "/api/v1/nodes"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


def five_minutes(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ([], [NOT_READY, UNREACHABLE]),
        ([{"key": NOT_READY, "operator": "Exists", "effect": "NoExecute"}], [UNREACHABLE]),
        ([{"key": UNREACHABLE, "operator": "Exists"}], [NOT_READY]),
        ([{"operator": "Exists"}], []),
        (
            [{"key": NOT_READY, "operator": "Exists", "effect": "NoSchedule"}],
            [NOT_READY, UNREACHABLE],
        ),
        ([{"key": "other", "operator": "Exists"}], [NOT_READY, UNREACHABLE]),
    ],
)
@served
async def test_a_pod_stays_five_minutes_on_a_lost_node_unless_it_says_otherwise(
    api: Served, own: list[dict[str, Any]], added: list[str]
) -> None:
    spec = (await api.post(PODS, pod("p", tolerations=own))).ok()["spec"]
    assert spec.get("tolerations", []) == [*own, *map(five_minutes, added)]


@served
async def test_a_pod_has_the_priority_and_policy_of_its_class(api: Served) -> None:
    made = {"metadata": {"name": "high"}, "value": 100, "preemptionPolicy": "Never"}
    (await api.post(CLASSES, made)).ok()

    async def given(name: str, **spec: Any) -> tuple[int, str, str | None]:
        spec = (await api.post(PODS, pod(name, **spec))).ok()["spec"]
        return spec["priority"], spec["preemptionPolicy"], spec.get("priorityClassName")

    assert await given("none") == (0, "PreemptLowerPriority", None)
    assert await given("a", priorityClassName="high") == (100, "Never", "high")
    assert await given("b", priorityClassName="high", priority=100) == (100, "Never", "high")
    for name, priority, word in (("default", 5, 0), ("high", 5, 100), ("high", 0, 100)):
        spec = {} if name == "default" else {"priorityClassName": name}
        refused = await api.post(PODS, pod("c", priority=priority, **spec))
        assert (refused.code, refused.message) == (
            403,
            f'pods "c" is forbidden: the integer value of priority ({priority}) must not be '
            f"provided in pod spec; priority admission controller computed {word} from the given "
            "PriorityClass name",
        )
    refused = await api.post(PODS, pod("c", priorityClassName="nobody"))
    assert refused.message.endswith("no PriorityClass with name nobody was found")


@served
async def test_a_pod_brings_no_other_policy_than_that_of_its_class(api: Served) -> None:
    made = {"metadata": {"name": "high"}, "value": 100, "preemptionPolicy": "Never"}
    (await api.post(CLASSES, made)).ok()
    same = {"priorityClassName": "high", "preemptionPolicy": "Never"}
    (await api.post(PODS, pod("a", **same))).ok()
    for name, own, word in (
        ("high", "PreemptLowerPriority", "Never"),
        ("", "Never", "PreemptLowerPriority"),
    ):
        refused = await api.post(PODS, pod("b", priorityClassName=name, preemptionPolicy=own))
        assert (refused.code, refused.message) == (
            403,
            f'pods "b" is forbidden: the string value of PreemptionPolicy ({own}) must not be '
            f"provided in pod spec; priority admission controller computed {word} from the given "
            "PriorityClass name",
        )


@served
async def test_a_pod_that_is_replaced_without_its_priority_keeps_it(api: Served) -> None:
    made = (await api.post(PODS, pod("p"))).ok()
    spec = {
        name: value
        for name, value in made["spec"].items()
        if name not in ("priority", "preemptionPolicy")
    }
    metadata = {**made["metadata"], "labels": {"a": "b"}}
    changed = (await api.put(f"{PODS}/p", {**made, "metadata": metadata, "spec": spec})).ok()
    assert changed["spec"] == made["spec"]


@served
async def test_the_default_class_counts_at_once_and_there_is_one_at_most(api: Served) -> None:
    async def given(name: str) -> Any:
        spec = (await api.post(PODS, pod(name))).ok()["spec"]
        return spec["priority"], spec.get("priorityClassName")

    def made(name: str, value: int, default: bool) -> dict[str, Any]:
        return {"metadata": {"name": name}, "value": value, "globalDefault": default}

    (await api.post(CLASSES, made("other", 30, False))).ok()
    assert await given("first") == (0, None)
    (await api.post(CLASSES, made("usual", 20, True))).ok()
    assert await given("second") == (20, "usual")
    for refused in (
        await api.post(CLASSES, made("more", 10, True)),
        await api.patch(f"{CLASSES}/other", {"globalDefault": True}),
    ):
        assert refused.code == 403
        assert refused.message.endswith(
            "PriorityClass usual is already marked as default. Only one default can exist"
        )
    (await api.patch(f"{CLASSES}/usual", {"description": "x"})).ok()
    (await api.patch(f"{CLASSES}/usual", {"globalDefault": False})).ok()
    assert await given("third") == (0, None)


@served
async def test_a_new_node_is_tainted_once_and_an_old_one_never_again(api: Served) -> None:
    own = {"key": "own", "effect": "NoExecute"}
    taint = {"key": NOT_READY, "effect": "NoSchedule"}
    made = (await api.post(NODES, {"metadata": {"name": "a"}, "spec": {"taints": [own]}})).ok()
    assert made["spec"]["taints"] == [own, taint]
    known = {"key": NOT_READY, "effect": "NoExecute"}
    made = (await api.post(NODES, {"metadata": {"name": "b"}, "spec": {"taints": [known]}})).ok()
    assert made["spec"]["taints"] == [known]
    freed = (await api.patch(f"{NODES}/a", {"spec": {"taints": None}}, MERGE)).ok()
    assert "taints" not in freed["spec"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("Pod", {"spec": {"containers": []}}),
        ("Node", {"spec": {}}),
        ("PriorityClass", {"value": 1, "globalDefault": True}),
        ("PersistentVolumeClaim", {"spec": {}}),
        ("PodCertificateRequest", {"spec": {}}),
    ],
)
@served
async def test_custom_kinds_may_have_the_names_of_built_in_ones(
    api: Served, kind: str, fields: dict[str, Any]
) -> None:
    usual = {"metadata": {"name": "usual"}, "value": 20, "globalDefault": True}
    (await api.post(CLASSES, usual)).ok()
    limits = [{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}}]
    bounds = {"metadata": {"name": "bounds"}, "spec": {"limits": limits}}
    (await api.post("/api/v1/namespaces/default/limitranges", bounds)).ok()
    await establish(api, definition(free(), kind=kind))
    path = f"/apis/example.com/v1/namespaces/default/{kind.lower()}s"
    made = {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "a"}, **fields}
    found = (await api.post(path, made)).ok()
    assert {key: found[key] for key in fields} == fields
    issued = [{"type": "Issued", "status": "True"}]
    status = {"status": {"conditions": issued, "notBefore": "2001-01-01T00:00:00Z"}}
    (await api.patch(f"{path}/a/status", status, MERGE)).ok()


def free() -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return version(schema={"openAPIV3Schema": schema}, subresources={"status": {}})


@served
async def test_a_custom_kind_named_namespace_is_none(api: Served) -> None:
    await establish(api, definition(free(), kind="Namespace"))
    made = {"apiVersion": "example.com/v1", "kind": "Namespace", "metadata": {"name": "default"}}
    path = "/apis/example.com/v1/namespaces/{}/namespaces"
    refused = await api.post(path.format("absent"), made)
    assert (refused.code, refused.message) == (404, 'namespaces "absent" not found')
    (await api.post(path.format("default"), made)).ok()
    (await api.delete(f"{path.format('default')}/default")).ok()


@served
async def test_nothing_comes_into_a_namespace_that_ends_and_what_is_there_may_change(
    api: Served,
) -> None:
    where = f"{NAMESPACES}/ends/configmaps"
    assert (await api.post(where, config_map("a"))).message == 'namespaces "ends" not found'
    (await api.post(NAMESPACES, {"metadata": {"name": "ends"}})).ok()
    (await api.post(where, config_map("a"))).ok()
    (await api.delete(f"{NAMESPACES}/ends")).ok()
    refused = await api.post(where, config_map("b"))
    assert (refused.code, refused.message) == (
        403,
        'configmaps "b" is forbidden: unable to create new content in namespace ends because it '
        "is being terminated",
    )
    assert refused.document["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace ends is being terminated",
            "field": "metadata.namespace",
        }
    ]
    (await api.patch(f"{where}/a", {"data": {"x": "y"}})).ok()
    (await api.delete(f"{where}/a")).ok()


@served
async def test_three_namespaces_cannot_be_deleted(api: Served) -> None:
    for name in ("default", "kube-system", "kube-public"):
        refused = await api.delete(f"{NAMESPACES}/{name}")
        why = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
        assert (refused.code, refused.message) == (403, why)
    (await api.delete(f"{NAMESPACES}/kube-node-lease")).ok()
