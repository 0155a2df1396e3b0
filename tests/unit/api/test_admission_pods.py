"""What new pods and nodes are given: tolerations, priorities, taints; and namespaces that end."""

from __future__ import annotations

from typing import Any

import pytest

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
async def test_of_default_classes_the_lowest_counts_and_a_new_one_at_once(api: Served) -> None:
    async def given(name: str) -> Any:
        spec = (await api.post(PODS, pod(name))).ok()["spec"]
        return spec["priority"], spec.get("priorityClassName")

    for name, value, default in (("b", 20, True), ("c", 10, True), ("a", 5, False)):
        made = {"metadata": {"name": name}, "value": value, "globalDefault": default}
        (await api.post(CLASSES, made)).ok()
        if name == "b":
            assert await given("first") == (20, "b")
    assert await given("second") == (10, "c")
    (await api.delete(f"{CLASSES}/c")).ok()
    assert await given("third") == (20, "b")


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
