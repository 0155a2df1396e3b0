"""Upstream's rows about quotas: what is counted, refused, and given back."""

from __future__ import annotations

from typing import Any

import pytest

from served import MAPS, PODS, SERVICES, STRATEGIC, Document, Served, config_map, pod, service
from served import served as served_alone
from whole import running, until, whole

NAMESPACED = "/api/v1/namespaces/default"
QUOTAS = f"{NAMESPACED}/resourcequotas"
CONTROLLERS = f"{NAMESPACED}/replicationcontrollers"
SECRETS = f"{NAMESPACED}/secrets"
SETS = "/apis/apps/v1/namespaces/default/replicasets"
EXTENDED = "example.com/dongle"
HARD: Document = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "cpu": "1",
    "memory": "500Mi",
    "ephemeral-storage": "50Gi",
    "configmaps": "10",
    "secrets": "10",
    "replicationcontrollers": "10",
    "count/replicasets.apps": "5",
    f"requests.{EXTENDED}": "3",
}


def quota(name: str = "test-quota", *scopes: str, **hard: str) -> Document:
    """Returns a quota, with all bounds unless some are given."""
    spec: Document = {"hard": hard or HARD}
    if scopes:
        spec["scopes"] = list(scopes)
    return {"metadata": {"name": name}, "spec": spec}


async def used(api: Served, name: str = "test-quota", **wanted: str) -> Document:
    """Waits until a quota's status says that these amounts are used, names written with _ for
    what a Python name cannot have; returns all amounts."""

    async def counted() -> Document | None:
        found = (await api.get(f"{QUOTAS}/{name}")).ok()
        amounts: Document = found["status"].get("used", {})
        plain = {key.replace(".", "_").replace("/", "_"): amounts[key] for key in amounts}
        same = found["status"].get("hard") == found["spec"]["hard"]
        holds = all(plain.get(key) == value for key, value in wanted.items())
        return amounts if same and holds else None

    found: Document = await until(api, counted)
    return found


async def filled(api: Served) -> Document:
    """Creates the quota and returns what was used of it before anything was made."""
    (await api.post(QUOTAS, quota())).ok()
    return await used(api)


def more(before: Document, name: str, by: int = 1) -> dict[str, str]:
    """Returns what is used when so many more are there."""
    return {name.replace(".", "_").replace("/", "_"): str(int(before[name]) + by)}


def sized(name: str, extended: str = "", **requests: str) -> Document:
    """Returns a pod that asks for resources."""
    made = pod(name)
    amounts = {key.replace("_", "-"): value for key, value in requests.items()}
    limits = {EXTENDED: extended} if extended else {}
    made["spec"]["containers"][0]["resources"] = {
        "requests": {**amounts, **limits},
        "limits": limits,
    }
    return made


@whole
async def test_the_status_of_a_quota_is_worked_out_at_once(api: Served) -> None:
    (await api.post(QUOTAS, quota())).ok()
    amounts = await used(api, pods="0", cpu="0")
    assert set(amounts) == set(HARD)


@pytest.mark.parametrize(
    ("path", "name", "document"),
    [
        (MAPS, "configmaps", config_map("one")),
        (SECRETS, "secrets", {"metadata": {"name": "one"}, "stringData": {"a": "b"}}),
    ],
)
def test_config_maps_and_secrets_are_counted(path: str, name: str, document: Document) -> None:
    @whole
    async def life(api: Served) -> None:
        before = await filled(api)
        (await api.post(path, document)).ok()
        await used(api, **more(before, name))
        (await api.delete(f"{path}/one")).ok()
        await used(api, **more(before, name, 0))

    life()


@pytest.mark.parametrize(
    ("path", "name", "selector"),
    [
        (CONTROLLERS, "replicationcontrollers", {"a": "b"}),
        (SETS, "count/replicasets.apps", {"matchLabels": {"a": "b"}}),
    ],
)
def test_controllers_of_pods_are_counted(path: str, name: str, selector: Document) -> None:
    @whole
    async def life(api: Served) -> None:
        before = await filled(api)
        template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
        spec = {"replicas": 0, "selector": selector, "template": template}
        (await api.post(path, {"metadata": {"name": "one"}, "spec": spec})).ok()
        await used(api, **more(before, name))
        (await api.delete(f"{path}/one")).ok()
        await used(api, **more(before, name, 0))

    life()


@whole
async def test_services_are_counted_by_what_they_take(api: Served) -> None:
    before = await filled(api)
    (await api.post(SERVICES, service("plain"))).ok()
    (await api.post(SERVICES, service("node", type="NodePort"))).ok()
    exceeding = await api.post(SERVICES, service("balanced", type="LoadBalancer"))
    assert exceeding.code == 403
    assert "exceeded quota: test-quota, requested: services.nodeports=1" in exceeding.message
    both = {"services_nodeports": "1", "services_loadbalancers": "0"}
    await used(api, **more(before, "services", 2), **both)
    for name in ("plain", "node"):
        (await api.delete(f"{SERVICES}/{name}")).ok()
    await used(api, **more(before, "services", 0), services_nodeports="0")


@whole
async def test_pods_are_counted_with_what_they_ask_for(api: Served) -> None:
    await filled(api)
    asked = {"cpu": "500m", "memory": "252Mi", "ephemeral_storage": "30Gi"}
    (await api.post(PODS, sized("one", "2", **asked))).ok()
    named = {
        "pods": "1",
        "cpu": "500m",
        "memory": "252Mi",
        "ephemeral-storage": "30Gi",
        "requests_example_com_dongle": "2",
    }
    await used(api, **named)
    too_much = await api.post(PODS, sized("two", cpu="600m", memory="100Mi", ephemeral_storage="0"))
    assert (too_much.code, "exceeded quota" in too_much.message) == (403, True)
    small = {"cpu": "100m", "memory": "100Mi", "ephemeral_storage": "1Gi"}
    too_many = await api.post(PODS, sized("two", "2", **small))
    assert (too_many.code, f"requested: requests.{EXTENDED}=2" in too_many.message) == (403, True)
    current = (await api.get(f"{PODS}/one")).ok()
    current["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "100m"
    assert (await api.put(f"{PODS}/one", current)).code == 422
    await used(api, **named)
    (await api.delete(f"{PODS}/one", {"gracePeriodSeconds": 0})).ok()
    nothing = dict.fromkeys(named, "0")
    await used(api, **nothing)


@whole
async def test_a_quota_is_updated_and_deleted(api: Served) -> None:
    made = (await api.post(QUOTAS, quota(cpu="1", memory="500Mi"))).ok()
    assert (await api.get(f"{QUOTAS}/test-quota")).ok()["spec"] == made["spec"]
    await used(api)
    current = (await api.get(f"{QUOTAS}/test-quota")).ok()
    current["spec"]["hard"] = {"cpu": "2", "memory": "1Gi"}
    (await api.put(f"{QUOTAS}/test-quota", current)).ok()
    await used(api, cpu="0", memory="0")
    kept = (await api.get(f"{QUOTAS}/test-quota")).ok()
    assert kept["spec"]["hard"] == kept["status"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    (await api.delete(f"{QUOTAS}/test-quota")).ok()
    assert (await api.get(f"{QUOTAS}/test-quota")).code == 404


@served_alone
async def test_quotas_are_listed_patched_and_deleted_together(api: Served) -> None:
    made = quota("e2e-quota", cpu="1", memory="500Mi")
    made["metadata"]["labels"] = {"e2e-rq-label": "e2e-quota"}
    (await api.post(QUOTAS, made)).ok()
    everywhere, label = "/api/v1/resourcequotas", "e2e-rq-label=e2e-quota"
    assert (await api.get(everywhere, labelSelector=label)).names == ["e2e-quota"]
    change = {
        "metadata": {"labels": {"e2e-quota": "patched"}},
        "spec": {"hard": {"memory": "750Mi"}},
    }
    patched = (await api.patch(f"{QUOTAS}/e2e-quota", change, STRATEGIC)).ok()
    assert patched["metadata"]["labels"]["e2e-quota"] == "patched"
    assert patched["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    (await api.delete(QUOTAS, labelSelector="e2e-quota=patched")).ok()
    assert (await api.get(everywhere, labelSelector="e2e-quota=patched")).names == []


@whole
async def test_what_somebody_writes_into_a_quotas_status_is_put_right(api: Served) -> None:
    spec = {"cpu": "500m", "memory": "500Mi"}
    (await api.post(QUOTAS, quota(**spec))).ok()
    await used(api)
    current = (await api.get(f"{QUOTAS}/test-quota/status")).ok()
    current["status"]["hard"] = {"cpu": "1", "memory": "1Gi"}
    written = (await api.put(f"{QUOTAS}/test-quota/status", current)).ok()
    assert written["status"]["hard"] == {"cpu": "1", "memory": "1Gi"}
    await used(api)
    change = {"status": {"hard": {"cpu": "2", "memory": "2Gi"}}}
    patched = (await api.patch(f"{QUOTAS}/test-quota/status", change)).ok()
    assert patched["status"]["hard"] == {"cpu": "2", "memory": "2Gi"}
    await used(api)
    kept = (await api.get(f"{QUOTAS}/test-quota")).ok()
    assert kept["spec"]["hard"] == kept["status"]["hard"] == spec


async def in_scope(api: Served, made: Document, inside: str, outside: str) -> None:
    """Creates a pod that counts for one quota and not for the other, and deletes it."""
    name = made["metadata"]["name"]
    (await api.post(PODS, made)).ok()
    await running(api, PODS)
    await used(api, inside, pods="1")
    await used(api, outside, pods="0")
    (await api.delete(f"{PODS}/{name}", {"gracePeriodSeconds": 0})).ok()
    await used(api, inside, pods="0")


@whole
async def test_pods_with_and_without_a_deadline_have_quotas_of_their_own(api: Served) -> None:
    amounts: dict[str, Any] = {"pods": "5", "requests.cpu": "1", "limits.cpu": "2"}
    (await api.post(QUOTAS, quota("terminating", "Terminating", **amounts))).ok()
    (await api.post(QUOTAS, quota("not", "NotTerminating", **amounts))).ok()
    resources = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}
    lasting, ending = pod("lasting"), pod("ending", activeDeadlineSeconds=3600)
    for made in (lasting, ending):
        made["spec"]["containers"][0]["resources"] = resources
    await in_scope(api, lasting, "not", "terminating")
    await in_scope(api, ending, "terminating", "not")


@whole
async def test_pods_that_ask_for_nothing_have_a_quota_of_their_own(api: Served) -> None:
    (await api.post(QUOTAS, quota("effort", "BestEffort", pods="5"))).ok()
    (await api.post(QUOTAS, quota("not", "NotBestEffort", pods="5"))).ok()
    await in_scope(api, pod("plain"), "effort", "not")
    await in_scope(api, sized("asking", cpu="100m"), "not", "effort")
