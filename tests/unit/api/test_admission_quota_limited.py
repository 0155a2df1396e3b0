"""Resources of which nothing may be used where no quota covers it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.served import Served, config_map, pod, prepare, serving

from steersman.api.admission import quota_limited
from steersman.api.admission.plugins.registry import AdmissionSettings
from steersman.api.admission.quota_limited import Limited
from steersman.model.kind import Document
from steersman.world.simulated import SimulatedWorld, simulate

NAMESPACE = "/api/v1/namespaces/default"
PODS = f"{NAMESPACE}/pods"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
SCOPE = {"scopeName": "PriorityClass", "operator": "In", "values": ["urgent", "high"]}
Test = Callable[[Served], Coroutine[Any, Any, None]]


def file(*limited: Document) -> Document:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "ResourceQuotaConfiguration",
        "limitedResources": list(limited),
    }


def case(document: Document, test: Test) -> None:
    async def main(world: SimulatedWorld) -> None:
        settings = AdmissionSettings(limited=quota_limited.parse(document))
        async with serving(world, admission=settings) as api:
            await prepare(api)
            await test(api)

    simulate(1, main)


async def bound(api: Served, name: str, **spec: Any) -> None:
    quota = {"metadata": {"name": name}, "spec": spec}
    (await api.post(f"{NAMESPACE}/resourcequotas", quota)).ok()


def asking(name: str, **spec: Any) -> Document:
    resources = {"requests": {"cpu": "1", "memory": "1Mi"}}
    return pod(name, containers=[{"name": "a", "image": "i", "resources": resources}], **spec)


def test_a_file_is_read_as_upstream_reads_it() -> None:
    assert quota_limited.parse(None) == ()
    assert quota_limited.parse(file()) == ()
    (found,) = quota_limited.parse(
        file({"resource": "jobs", "apiGroup": "batch", "matchContains": ["c"]})
    )
    assert found == Limited("jobs", "batch", ("c",))
    old = {
        **file(),
        "kind": "Configuration",
        "apiVersion": "resourcequota.admission.k8s.io/v1beta1",
    }
    assert quota_limited.parse(old) == ()
    for wrong, why in (
        ({**file(), "kind": "Configuration"},
         "it is no ResourceQuotaConfiguration of apiserver.config.k8s.io/v1"),
        (file({"matchContains": ["x"]}), "limitedResources[0].resource: Required value"),
        (file({}, {}),
         "[limitedResources[0].resource: Required value, limitedResources[1].resource: Required"
         " value]"),
        (file({"resources": "x"}),
         "Object contains unknown field `resources` - at `$.limitedResources[0]`"),
    ):  # fmt: skip
        with pytest.raises(ValueError) as raised:
            quota_limited.parse(wrong)
        assert str(raised.value) == why


def test_what_is_named_so_needs_a_quota_that_bounds_it() -> None:
    async def test(api: Served) -> None:
        refused = await api.post(PODS, asking("a"))
        assert (refused.code, refused.message) == (
            403,
            'pods "a" is forbidden: insufficient quota to consume: cpu,requests.cpu',
        )
        (await api.post(PODS, pod("free"))).ok()  # asks for no processor
        (await api.post(f"{NAMESPACE}/configmaps", config_map("a", k="cpu"))).ok()
        await bound(api, "memory", hard={"requests.memory": "1Gi", "cpu": "5"})
        refused = await api.post(PODS, asking("a"))
        assert refused.message.endswith("insufficient quota to consume: requests.cpu")
        await bound(api, "others", hard={"requests.cpu": "5"}, scopes=["Terminating"])
        assert (await api.post(PODS, asking("a"))).code == 403
        await bound(api, "cpu", hard={"requests.cpu": "1"})
        (await api.post(PODS, asking("a"))).ok()
        refused = await api.post(PODS, asking("b"))
        assert "exceeded quota: cpu" in refused.message

    case(file({"resource": "pods", "matchContains": ["cpu"]}), test)


def test_other_resources_than_pods_are_limited_by_their_number() -> None:
    async def test(api: Served) -> None:
        refused = await api.post(f"{NAMESPACE}/configmaps", config_map("a"))
        assert refused.message == (
            'configmaps "a" is forbidden: insufficient quota to consume:'
            " configmaps,count/configmaps"
        )
        (await api.post(PODS, asking("a"))).ok()
        hard = {"count/configmaps": "5", "configmaps": "5"}
        await bound(api, "q", hard=hard)
        (await api.post(f"{NAMESPACE}/configmaps", config_map("a"))).ok()

    case(file({"resource": "configmaps", "matchContains": ["configmaps"]}), test)


def test_who_is_of_a_scope_needs_a_quota_of_that_scope() -> None:
    async def test(api: Served) -> None:
        for name in ("urgent", "low"):
            (await api.post(CLASSES, {"metadata": {"name": name}, "value": 5})).ok()
        (await api.post(PODS, asking("free", priorityClassName="low"))).ok()
        refused = await api.post(PODS, asking("a", priorityClassName="urgent"))
        assert (refused.code, refused.message) == (
            500,
            "insufficient quota to match these scopes: [{PriorityClass In [urgent high]}]",
        )
        low = {"matchExpressions": [{**SCOPE, "values": ["low"]}]}
        await bound(api, "low", hard={"pods": "5"}, scopeSelector=low)
        assert (await api.post(PODS, asking("a", priorityClassName="urgent"))).code == 500
        await bound(api, "urgent", hard={"pods": "1"}, scopeSelector={"matchExpressions": [SCOPE]})
        (await api.post(PODS, asking("a", priorityClassName="urgent"))).ok()
        refused = await api.post(PODS, asking("b", priorityClassName="urgent"))
        assert "exceeded quota: urgent" in refused.message

    case(file({"resource": "pods", "matchScopes": [SCOPE]}), test)
