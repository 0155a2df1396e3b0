"""ResourceQuota: what is counted, what is refused and in which words, and that no two clients take
the last place twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.served import Served, config_map, pod, served, service

from steersman.model.ref import Resource

NAMESPACE = "/api/v1/namespaces/default"
PODS = f"{NAMESPACE}/pods"
QUOTAS = f"{NAMESPACE}/resourcequotas"
CLAIMS = f"{NAMESPACE}/persistentvolumeclaims"
SERVICES = f"{NAMESPACE}/services"


async def bound(api: Served, name: str = "q", /, **spec: Any) -> None:
    """Makes a quota; its bounds are `hard`."""
    (await api.post(QUOTAS, {"metadata": {"name": name}, "spec": spec})).ok()


def asking(name: str, requests: Any = None, limits: Any = None, **spec: Any) -> dict[str, Any]:
    """Returns a pod that asks for something."""
    resources = {"requests": requests or {}, "limits": limits or {}}
    container = {"name": "main", "image": "busybox", "resources": resources}
    return pod(name, **{"containers": [container], **spec})


def claim(name: str, amount: str, **spec: Any) -> dict[str, Any]:
    """Returns a claim on storage."""
    resources = {"requests": {"storage": amount}}
    return {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec},
    }


async def refused(api: Served, path: str, document: Any, why: str) -> None:
    """Expects a creation to be refused with a reason."""
    answer = await api.post(path, document)
    plural = path.rpartition("/")[2]
    name = document["metadata"]["name"]
    assert (answer.code, answer.message) == (403, f'{plural} "{name}" is forbidden: {why}')
    assert answer.document["reason"] == "Forbidden"
    assert (await api.get(f"{path}/{name}")).code == 404


@served
async def test_what_exceeds_a_quota_is_refused_with_all_amounts(api: Served) -> None:
    await bound(api, hard={"requests.cpu": "1", "requests.memory": "1Gi", "pods": "5"})
    (await api.post(PODS, asking("a", {"cpu": "600m", "memory": "600Mi"}))).ok()
    await refused(
        api,
        PODS,
        asking("b", {"cpu": "500m", "memory": "500Mi"}),
        "exceeded quota: q, requested: requests.cpu=500m,requests.memory=500Mi, "
        "used: requests.cpu=600m,requests.memory=600Mi, "
        "limited: requests.cpu=1,requests.memory=1Gi",
    )
    await refused(
        api,
        PODS,
        asking("b", {"cpu": "500m", "memory": "1Mi"}),
        "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, "
        "limited: requests.cpu=1",
    )
    (await api.post(PODS, asking("b", {"cpu": "400m", "memory": "424Mi"}))).ok()
    (await api.delete(f"{PODS}/a")).ok()
    (await api.post(PODS, asking("c", {"cpu": "600m", "memory": "1Mi"}))).ok()


@served
async def test_what_a_quota_bounds_every_container_must_name(api: Served) -> None:
    await bound(api, hard={"cpu": "1", "limits.memory": "1Gi", "requests.ephemeral-storage": "1Gi"})
    two = [{"name": name, "image": "busybox"} for name in ("y", "x")]
    await refused(
        api,
        PODS,
        pod("p", containers=two),
        "failed quota: q: must specify cpu for: x,y; limits.memory for: x,y",
    )
    early = [{"name": "i", "image": "busybox", "resources": {"limits": {"memory": "1Mi"}}}]
    await refused(
        api,
        PODS,
        asking("p", {"cpu": "1m"}, {"memory": "1Mi"}, initContainers=early),
        "failed quota: q: must specify cpu for: i",
    )
    whole = {"requests": {"cpu": "100m"}, "limits": {"cpu": "100m", "memory": "1Mi"}}
    (await api.post(PODS, pod("whole", resources=whole))).ok()
    await refused(
        api,
        PODS,
        pod("wide", resources={**whole, "limits": {"cpu": "100m", "memory": "1Gi"}}),
        "exceeded quota: q, requested: limits.memory=1Gi, used: limits.memory=1Mi, "
        "limited: limits.memory=1Gi",
    )


@served
async def test_a_quota_holds_from_the_moment_it_is_stored_for_what_was_there_before(
    api: Served,
) -> None:
    for name in ("a", "b"):
        (await api.post(PODS, pod(name))).ok()
    await bound(api, hard={"pods": "2"})
    why = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    await refused(api, PODS, pod("c"), why)
    (await api.patch(f"{QUOTAS}/q", {"spec": {"hard": {"pods": "3"}}})).ok()
    (await api.post(PODS, pod("c"))).ok()
    await refused(api, PODS, pod("d"), why.replace("=2", "=3"))
    (await api.delete(f"{QUOTAS}/q")).ok()
    (await api.post(PODS, pod("d"))).ok()


@served
async def test_a_pod_that_has_ended_uses_nothing_but_its_place_in_the_count(api: Served) -> None:
    await bound(api, hard={"pods": "1", "count/pods": "3"})
    (await api.post(PODS, pod("a"))).ok()
    await refused(
        api, PODS, pod("b"), "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    )
    for name, phase in (("a", "Succeeded"), ("b", "Failed")):
        if name != "a":
            (await api.post(PODS, pod(name))).ok()
        (await api.patch(f"{PODS}/{name}/status", {"status": {"phase": phase}})).ok()
    (await api.post(PODS, pod("c"))).ok()
    (await api.patch(f"{PODS}/c/status", {"status": {"phase": "Failed"}})).ok()
    await refused(
        api,
        PODS,
        pod("d"),
        "exceeded quota: q, requested: count/pods=1, used: count/pods=3, limited: count/pods=3",
    )


@served
async def test_a_pod_counts_no_longer_when_its_grace_period_is_over(api: Served) -> None:
    await bound(api, hard={"pods": "1"})
    (await api.post(PODS, pod("a", nodeName="n", terminationGracePeriodSeconds=30))).ok()
    (await api.delete(f"{PODS}/a")).ok()
    await api.world.sleep(59)
    why = "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    await refused(api, PODS, pod("b"), why)
    await api.world.sleep(2)
    (await api.post(PODS, pod("b"))).ok()
    await refused(api, PODS, pod("c"), why)
    (await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 0})).ok()
    await refused(api, PODS, pod("c"), why)


@served
async def test_sixty_four_clients_at_once_take_no_more_than_there_is(api: Served) -> None:
    await bound(api, hard={"pods": "10", "requests.cpu": "7"})
    await bound(api, "other", hard={"count/pods": "9"})
    made = [asking(f"p{number}", {"cpu": "1"}) for number in range(64)]
    answers = await asyncio.gather(*(api.post(PODS, one) for one in made))
    assert sorted(answer.code for answer in answers) == [201] * 7 + [403] * 57
    assert len((await api.get(PODS)).names) == 7


@served
async def test_whatever_fits_exactly_is_taken_by_clients_at_once(api: Served) -> None:
    await bound(api, hard={"count/configmaps": "64", "pods": "64"})
    answers = await asyncio.gather(
        *(api.post(f"{NAMESPACE}/configmaps", config_map(f"m{number}")) for number in range(64)),
        *(api.post(PODS, pod(f"p{number}")) for number in range(64)),
    )
    assert {answer.code for answer in answers} == {201}
    assert (await api.post(f"{NAMESPACE}/configmaps", config_map("m"))).code == 403
    assert (await api.post(PODS, pod("p"))).code == 403


@served
async def test_a_refused_write_holds_nothing(api: Served) -> None:
    await bound(api, hard={"count/configmaps": "2"})
    path = f"{NAMESPACE}/configmaps"
    (await api.post(path, config_map("a"))).ok()
    assert (await api.post(path, config_map("a"))).code == 409
    (await api.post(path, config_map("dry"), dryRun="All")).ok()
    (await api.post(path, config_map("b"))).ok()
    why = (
        "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=2, "
        "limited: count/configmaps=2"
    )
    await refused(api, path, config_map("c"), why)
    assert (await api.post(path, config_map("c"), dryRun="All")).code == 403
    (await api.patch(f"{path}/a", {"data": {"k": "v"}})).ok()  # an update is no object more


@pytest.mark.parametrize("steps", range(8))
@served
async def test_what_a_client_that_left_may_have_written_counts(api: Served, steps: int) -> None:
    await bound(api, hard={"count/configmaps": "1"})
    path = f"{NAMESPACE}/configmaps"
    left = asyncio.ensure_future(api.post(path, config_map("left")))
    for _ in range(steps):
        await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    (await api.get(path)).ok()
    await api.post(path, config_map("next"))
    await api.world.sleep(31)
    await api.post(path, config_map("last"))
    assert len((await api.get(path)).names) == 1


@pytest.mark.parametrize("name", ["configmaps", "count/configmaps"])
@served
async def test_objects_are_counted_by_either_name(api: Served, name: str) -> None:
    await bound(api, hard={name: "0"})
    await refused(
        api,
        f"{NAMESPACE}/configmaps",
        config_map("a"),
        f"exceeded quota: q, requested: {name}=1, used: {name}=0, limited: {name}=0",
    )


@served
async def test_objects_of_other_groups_and_custom_ones_are_counted(api: Served) -> None:
    definition = {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    (await api.post(crds, definition)).ok()
    hard = {"count/things.example.com": "1", "count/deployments.apps": "0"}
    await bound(api, hard=hard)
    path = "/apis/example.com/v1/namespaces/default/things"
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}}
    (await api.post(path, thing)).ok()
    answer = await api.post(path, {**thing, "metadata": {"name": "b"}})
    name = "count/things.example.com"
    assert (answer.code, answer.message) == (
        403,
        'things.example.com "b" is forbidden: exceeded quota: q, '
        f"requested: {name}=1, used: {name}=1, limited: {name}=1",
    )


@served
async def test_node_ports_and_load_balancers_are_counted_by_intent(api: Served) -> None:
    await bound(api, hard={"services.nodeports": "2", "services.loadbalancers": "1"})
    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    (await api.post(SERVICES, service("plain", ports=ports))).ok()
    await refused(
        api,
        SERVICES,
        service("many", type="NodePort", ports=[*ports, {"port": 82, "name": "c"}]),
        "exceeded quota: q, requested: services.nodeports=3, used: services.nodeports=0, "
        "limited: services.nodeports=2",
    )
    lone = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    (await api.post(SERVICES, service("lone", **lone, ports=ports))).ok()
    (await api.post(SERVICES, service("open", type="NodePort", ports=ports))).ok()
    answer = await api.patch(f"{SERVICES}/plain", {"spec": {"type": "LoadBalancer"}})
    assert (answer.code, answer.message) == (
        403,
        'services "plain" is forbidden: exceeded quota: q, '
        "requested: services.loadbalancers=1,services.nodeports=2, "
        "used: services.loadbalancers=1,services.nodeports=2, "
        "limited: services.loadbalancers=1,services.nodeports=2",
    )
    (await api.patch(f"{SERVICES}/open", {"spec": {"type": "ClusterIP"}})).ok()
    (await api.delete(f"{SERVICES}/lone")).ok()
    (await api.patch(f"{SERVICES}/plain", {"spec": {"type": "LoadBalancer"}})).ok()


@served
async def test_storage_is_bounded_whole_and_by_class(api: Served) -> None:
    gold = "gold.storageclass.storage.k8s.io/"
    hard = {"requests.storage": "10Gi", f"{gold}requests.storage": "2Gi",
            f"{gold}persistentvolumeclaims": "2", "persistentvolumeclaims": "9"}  # fmt: skip
    await bound(api, hard=hard)
    (await api.post(CLAIMS, claim("a", "1Gi", storageClassName="gold"))).ok()
    await refused(
        api,
        CLAIMS,
        claim("b", "1025Mi", storageClassName="gold"),
        f"exceeded quota: q, requested: {gold}requests.storage=1025Mi, "
        f"used: {gold}requests.storage=1Gi, limited: {gold}requests.storage=2Gi",
    )
    (await api.post(CLAIMS, claim("c", "1025Mi", storageClassName="silver"))).ok()
    old = claim("old", "2Gi")
    old["metadata"]["annotations"] = {"volume.beta.kubernetes.io/storage-class": "gold"}
    await refused(
        api,
        CLAIMS,
        old,
        f"exceeded quota: q, requested: {gold}requests.storage=2Gi, "
        f"used: {gold}requests.storage=1Gi, limited: {gold}requests.storage=2Gi",
    )


@served
async def test_an_update_is_held_against_a_quota_by_what_it_adds(api: Served) -> None:
    await bound(api, hard={"requests.storage": "3Gi"})
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    grows = {"metadata": {"name": "s"}, "provisioner": "p", "allowVolumeExpansion": True}
    (await api.post(classes, grows)).ok()
    (await api.post(CLAIMS, claim("a", "1Gi", storageClassName="s"))).ok()
    (await api.post(CLAIMS, claim("b", "1Gi", storageClassName="s"))).ok()
    status = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    (await api.patch(f"{CLAIMS}/a/status", status)).ok()
    (await api.patch(f"{CLAIMS}/a", {"spec": {"volumeName": "v"}})).ok()

    def sized(amount: str) -> Any:
        return {"spec": {"resources": {"requests": {"storage": amount}}}}

    answer = await api.patch(f"{CLAIMS}/a", sized("4Gi"))
    assert (answer.code, answer.message) == (
        403,
        'persistentvolumeclaims "a" is forbidden: exceeded quota: q, requested: '
        "requests.storage=3Gi, used: requests.storage=2Gi, limited: requests.storage=3Gi",
    )
    (await api.patch(f"{CLAIMS}/a", sized("2Gi"))).ok()
    given = {"status": {"allocatedResources": {"storage": "9Gi"}}}
    (await api.patch(f"{CLAIMS}/a/status", given)).ok()  # what is so already cannot be refused
    await refused(
        api,
        CLAIMS,
        claim("c", "1"),
        "exceeded quota: q, requested: requests.storage=1, used: requests.storage=10Gi, "
        "limited: requests.storage=3Gi",
    )


@served
async def test_a_pod_is_resized_within_its_quota(api: Served) -> None:
    await bound(api, hard={"requests.cpu": "2"})
    (await api.post(PODS, asking("a", {"cpu": "1"}))).ok()

    def resized(amount: str) -> Any:
        resources = {"requests": {"cpu": amount}}
        return {"spec": {"containers": [{"name": "main", "resources": resources}]}}

    how = "application/strategic-merge-patch+json"
    answer = await api.patch(f"{PODS}/a/resize", resized("3"), how)
    assert (answer.code, answer.message) == (
        403,
        'pods "a" is forbidden: exceeded quota: q, requested: requests.cpu=2, '
        "used: requests.cpu=1, limited: requests.cpu=2",
    )
    (await api.patch(f"{PODS}/a/resize", resized("2"), how)).ok()
    assert (await api.post(PODS, asking("b", {"cpu": "1m"}))).code == 403


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        ("BestEffort", pod("p"), asking("p", {"cpu": "1"})),
        ("NotBestEffort", asking("p", {"cpu": "1"}), pod("p")),
        ("Terminating", pod("p", activeDeadlineSeconds=5), pod("p")),
        ("NotTerminating", pod("p"), pod("p", activeDeadlineSeconds=5)),
    ],
)
@served
async def test_a_scope_narrows_a_quota(api: Served, scope: str, inside: Any, outside: Any) -> None:
    await bound(api, hard={"pods": "0"}, scopes=[scope])
    why = "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
    await refused(api, PODS, inside, why)
    (await api.post(PODS, outside)).ok()


@pytest.mark.parametrize(
    ("operator", "values", "refuses"),
    [
        ("In", ["system-node-critical"], [True, False]),
        ("NotIn", ["system-node-critical"], [False, True]),
        ("Exists", [], [True, False]),
        ("DoesNotExist", [], [False, True]),
    ],
)
@served
async def test_priority_classes_choose_the_quota(
    api: Served, operator: str, values: Any, refuses: list[bool]
) -> None:
    one = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    await bound(api, hard={"pods": "0"}, scopeSelector={"matchExpressions": [one]})
    critical = await api.post(PODS, pod("a", priorityClassName="system-node-critical"))
    plain = await api.post(PODS, pod("b"))
    assert [answer.code == 403 for answer in (critical, plain)] == refuses


@pytest.mark.parametrize("rules", ["podAffinity", "podAntiAffinity"])
@served
async def test_affinity_across_namespaces_is_a_scope(api: Served, rules: str) -> None:
    await bound(api, hard={"pods": "0"}, scopes=["CrossNamespacePodAffinity"])

    def near(**term: Any) -> Any:
        one = {"topologyKey": "zone", "labelSelector": {}, **term}
        preferred = [{"weight": 1, "podAffinityTerm": one}]
        return {rules: {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}

    (await api.post(PODS, pod("own", affinity=near()))).ok()
    assert (await api.post(PODS, pod("a", affinity=near(namespaces=["other"])))).code == 403
    assert (await api.post(PODS, pod("b", affinity=near(namespaceSelector={})))).code == 403
    one = {"topologyKey": "zone", "labelSelector": {}, "namespaces": ["other"]}
    required = {rules: {"requiredDuringSchedulingIgnoredDuringExecution": [one]}}
    assert (await api.post(PODS, pod("c", affinity=required))).code == 403


@served
async def test_all_scopes_must_hold_and_services_are_in_none(api: Served) -> None:
    one = {"scopeName": "PriorityClass", "operator": "Exists"}
    selector = {"matchExpressions": [one]}
    await bound(api, hard={"pods": "0"}, scopes=["Terminating"], scopeSelector=selector)
    critical = {"priorityClassName": "system-node-critical"}
    (await api.post(PODS, pod("a", **critical))).ok()
    (await api.post(PODS, pod("b", activeDeadlineSeconds=1))).ok()
    assert (await api.post(PODS, pod("c", activeDeadlineSeconds=1, **critical))).code == 403


@served
async def test_volume_attributes_classes_are_a_scope_of_claims(api: Served) -> None:
    one = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}
    selector = {"matchExpressions": [one]}
    await bound(api, hard={"persistentvolumeclaims": "0"}, scopeSelector=selector)
    why = (
        "exceeded quota: q, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, "
        "limited: persistentvolumeclaims=0"
    )
    fast = claim("a", "1Gi", volumeAttributesClassName="fast")
    await refused(api, CLAIMS, fast, why)
    (await api.post(CLAIMS, claim("b", "1Gi", volumeAttributesClassName="slow"))).ok()
    (await api.post(CLAIMS, claim("c", "1Gi"))).ok()


@served
async def test_huge_pages_and_devices_are_bounded_by_their_requests(api: Served) -> None:
    await bound(api, hard={"requests.example.com/gpu": "1", "requests.hugepages-2Mi": "4Mi"})
    two = {"example.com/gpu": "2", "cpu": "1"}
    await refused(
        api,
        PODS,
        asking("a", two, two),
        "exceeded quota: q, requested: requests.example.com/gpu=2, used: "
        "requests.example.com/gpu=0, limited: requests.example.com/gpu=1",
    )
    pages = {"hugepages-2Mi": "6Mi", "cpu": "1"}
    await refused(
        api,
        PODS,
        asking("a", pages, pages),
        "exceeded quota: q, requested: requests.hugepages-2Mi=6Mi, used: "
        "requests.hugepages-2Mi=0, limited: requests.hugepages-2Mi=4Mi",
    )


@served
async def test_a_quota_that_went_or_has_other_bounds_counts_on_in_nobodys_place(
    api: Served,
) -> None:
    table = api.assembly.cache.table(Resource("", "pods"))
    before = table.watching
    for amount in ("10", "11", "12"):
        name = f"q{amount}"
        await bound(api, name, hard={"pods": amount})
        (await api.post(PODS, pod(f"a{amount}"))).ok()
        assert table.watching == before + 1, "its sums follow the pods"
        (await api.patch(f"{QUOTAS}/{name}", {"spec": {"hard": {"pods": "20"}}})).ok()
        (await api.post(PODS, pod(f"b{amount}"))).ok()
        assert table.watching == before + 1, "new bounds, new sums"
        (await api.delete(f"{QUOTAS}/{name}")).ok()
        assert table.watching == before


@served
async def test_other_namespaces_and_subresources_are_left_alone(api: Served) -> None:
    (await api.post("/api/v1/namespaces", {"metadata": {"name": "other"}})).ok()
    await bound(api, hard={"count/configmaps": "0", "pods": "1"})
    (await api.post("/api/v1/namespaces/other/configmaps", config_map("a"))).ok()
    (await api.post(PODS, pod("a"))).ok()
    target = {"target": {"kind": "Node", "name": "n"}, "metadata": {"name": "a"}}
    (await api.post(f"{PODS}/a/binding", target)).ok()
    (await api.patch(f"{PODS}/a", {"metadata": {"labels": {"a": "b"}}})).ok()


def devices(name: str, *requests: dict[str, Any]) -> dict[str, Any]:
    """Returns a claim on devices."""
    named = [{"name": f"r{place}", **one} for place, one in enumerate(requests)]
    return {"metadata": {"name": name}, "spec": {"devices": {"requests": named}}}


@served
async def test_devices_are_counted_by_their_class(api: Served) -> None:
    path = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
    gpu = "gpu.deviceclass.resource.k8s.io/devices"
    await bound(api, hard={gpu: "3", "count/resourceclaims.resource.k8s.io": "5"})
    two = {"exactly": {"deviceClassName": "gpu", "count": 2}}
    (await api.post(path, devices("a", two))).ok()
    answer = await api.post(path, devices("b", two))
    assert (answer.code, answer.message) == (
        403,
        'resourceclaims.resource.k8s.io "b" is forbidden: exceeded quota: q, requested: '
        f"{gpu}=2, used: {gpu}=2, limited: {gpu}=3",
    )
    (await api.post(path, devices("c", {"exactly": {"deviceClassName": "nic", "count": 9}}))).ok()
    every = {"exactly": {"deviceClassName": "gpu", "allocationMode": "All"}}
    assert f"requested: {gpu}=32," in (await api.post(path, devices("d", every))).message
    (await api.delete(f"{path}/a")).ok()
    (await api.post(path, devices("b", two))).ok()


DEVICE_CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"


async def with_gpus(api: Served) -> None:
    """Makes a class that meets an extended resource."""
    spec = {"extendedResourceName": "example.com/gpu"}
    path = "/apis/resource.k8s.io/v1/deviceclasses"
    (await api.post(path, {"metadata": {"name": "gpu"}, "spec": spec})).ok()


def with_resource(name: str, resource: str, count: int) -> dict[str, Any]:
    """Returns a pod that asks for an extended resource."""
    given = pod(name)
    amounts = {resource: str(count)}
    given["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    return given


def gpus(name: str, count: int, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns a claim on devices of the class, made for extended resources of its owner if any."""
    made = devices(name, {"exactly": {"deviceClassName": "gpu", "count": count}})
    if owner is not None:
        meta = owner["metadata"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        made["metadata"] |= {
            "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"},
            "ownerReferences": [{**reference, "controller": True}],
        }
    return made


@served
async def test_claims_on_a_class_and_pods_share_the_bounds_of_what_it_meets(api: Served) -> None:
    await with_gpus(api)
    for resource in ("example.com/gpu", "deviceclass.resource.kubernetes.io/gpu"):
        bounded = f"requests.{resource}"
        await bound(api, hard={bounded: "3"})
        (await api.post(DEVICE_CLAIMS, gpus("a", 2))).ok()
        refused = await api.post(PODS, with_resource("p", resource, 2))
        assert (refused.code, refused.message) == (
            403,
            f'pods "p" is forbidden: exceeded quota: q, requested: {bounded}=2, '
            f"used: {bounded}=2, limited: {bounded}=3",
        )
        (await api.post(PODS, with_resource("p", resource, 1))).ok()
        assert f"used: {bounded}=3" in (await api.post(DEVICE_CLAIMS, gpus("b", 1))).message
        (await api.delete(f"{DEVICE_CLAIMS}/a")).ok()
        (await api.post(DEVICE_CLAIMS, gpus("b", 2))).ok()
        for gone in (f"{DEVICE_CLAIMS}/b", f"{PODS}/p", f"{QUOTAS}/q"):
            (await api.delete(gone)).ok()


@served
async def test_a_claim_that_was_made_for_a_pod_counts_as_what_the_pod_asks_for(
    api: Served,
) -> None:
    bounded = "requests.example.com/gpu"
    await bound(api, hard={bounded: "2"})
    await with_gpus(api)
    owner = (await api.post(PODS, with_resource("p", "example.com/gpu", 2))).ok()
    (await api.post(DEVICE_CLAIMS, gpus("a", 2, owner))).ok()
    former = {"metadata": {**owner["metadata"], "uid": "former"}}  # a pod of the name
    assert (await api.post(DEVICE_CLAIMS, gpus("f", 2, former))).code == 403
    # of several the pod's is the one that it knows of, else the oldest
    assert (await api.post(DEVICE_CLAIMS, gpus("b", 1, owner))).code == 403
    name = owner["spec"]["containers"][0]["name"]
    mapping = {"containerName": name, "resourceName": "example.com/gpu", "requestName": "r0"}
    status = {"resourceClaimName": "b", "requestMappings": [mapping]}
    (await api.patch(f"{PODS}/p/status", {"status": {"extendedResourceClaimStatus": status}})).ok()
    (await api.post(DEVICE_CLAIMS, gpus("b", 1, owner))).ok()
    assert f"used: {bounded}=4" in (await api.post(DEVICE_CLAIMS, gpus("c", 1))).message


@served
async def test_what_a_class_meets_counts_from_the_moment_that_it_is_there(api: Served) -> None:
    bounded = "requests.example.com/gpu"
    await bound(api, hard={bounded: "3"})
    (await api.post(DEVICE_CLAIMS, gpus("a", 2))).ok()
    (await api.post(PODS, with_resource("p", "example.com/gpu", 1))).ok()
    await with_gpus(api)
    answer = await api.post(PODS, with_resource("o", "example.com/gpu", 1))
    assert f"requested: {bounded}=1, used: {bounded}=3, limited: {bounded}=3" in answer.message


@served
async def test_events_are_counted_by_no_quota_whichever_group_they_come_through(
    api: Served,
) -> None:
    await bound(api, hard={"count/events.events.k8s.io": "0", "count/events": "0"})
    path, about = f"{NAMESPACE}/events", {"namespace": "default", "kind": "Pod", "name": "p"}
    (await api.post(path, {"metadata": {"name": "a"}, "involvedObject": about})).ok()
    event = {
        "metadata": {"name": "c"},
        "eventTime": "2024-01-01T00:00:00.000000Z",
        "reportingController": "a.b/c",
        "reportingInstance": "d",
        "action": "Act",
        "reason": "R",
        "type": "Normal",
        "regarding": about,
    }
    (await api.post("/apis/events.k8s.io/v1/namespaces/default/events", event)).ok()
