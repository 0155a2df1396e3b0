"""Extended resources that devices meet, from a request to a device and back, for a client."""

from __future__ import annotations

from typing import Any

from simulation.quiet import Quiet, quietly
from simulation.test_simulated_devices import bound, create_slice, told, unschedulable
from steersman.model.kinds.deviceclass import DEVICECLASS
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.resourceclaim import RESOURCECLAIM
from steersman.model.resource_claims import FINALIZER

GPU = "example.com/gpu"
WEB = POD.ref("default", "web")
CEL = {"cel": {"expression": 'device.driver == "d.example"'}}
LACK = "Insufficient example.com/gpu"


async def create_class(quiet: Quiet, **more: Any) -> None:
    await quiet.create(DEVICECLASS, "gpu", spec={"selectors": [CEL], **more})


async def create_pod(quiet: Quiet, name: str, resource: str = GPU, count: int = 1) -> None:
    asked = {resource: str(count)}
    resources = {"requests": asked, "limits": asked}
    container = {"name": "c", "image": "i", "resources": resources}
    await quiet.create(POD, name, spec={"containers": [container]})


def test_a_pod_gets_a_claim_of_its_own_and_gives_its_device_back_with_it() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet, extendedResourceName=GPU)
        await create_slice(quiet, "node-1", "d0")
        await create_pod(quiet, "web")
        await quiet.until(lambda: bound(quiet, "web"))
        pod = await quiet.admin.get(WEB)
        assert pod.spec.node_name == "node-1"
        (claim,) = await quiet.items(RESOURCECLAIM)
        meta = claim.metadata
        assert meta.name.startswith("web-extended-resources-")
        assert meta.finalizers == (FINALIZER,)
        assert meta.annotations == {"resource.kubernetes.io/extended-resource-claim": "true"}
        assert meta.controller is not None and meta.controller.uid == pod.metadata.uid
        (result,) = claim.status.allocation.devices.results
        assert (result.request, result.device) == ("container-0-request-0", "d0")
        assert [one.name for one in claim.status.reserved_for] == ["web"]
        noted = pod.status.extended_resource_claim_status
        assert noted is not None and noted.resource_claim_name == meta.name
        (mapping,) = noted.request_mappings
        told = (mapping.container_name, mapping.resource_name, mapping.request_name)
        assert told == ("c", GPU, "container-0-request-0")
        await create_pod(quiet, "other")
        text = "3 cannot allocate all claims"
        await quiet.until(lambda: unschedulable(quiet, "other", text))
        await quiet.admin.delete(WEB)
        await quiet.until(lambda: quiet.gone(RESOURCECLAIM.ref(*claim.key)))
        await quiet.until(lambda: bound(quiet, "other"))

    quietly(scenario)


def test_a_claim_goes_when_its_pod_has_ended() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet, extendedResourceName=GPU)
        await create_slice(quiet, "node-1", "d0")
        await create_pod(quiet, "web")
        await quiet.until(lambda: bound(quiet, "web"))
        (claim,) = await quiet.items(RESOURCECLAIM)
        await quiet.admin.patch(WEB, {"status": {"phase": "Failed"}}, subresource="status")
        await quiet.until(lambda: quiet.gone(RESOURCECLAIM.ref(*claim.key)))
        assert not await quiet.gone(WEB)

    quietly(scenario)


def test_a_pod_waits_for_a_class_that_gives_its_resource_and_then_for_devices() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_pod(quiet, "web")
        await quiet.until(lambda: unschedulable(quiet, "web", LACK))
        await create_class(quiet, extendedResourceName=GPU)
        text = "3 cannot allocate all claims"
        await quiet.until(lambda: unschedulable(quiet, "web", text), within=30)
        await create_slice(quiet, "node-2", "d0")
        await quiet.until(lambda: bound(quiet, "web"), within=30)

    quietly(scenario)


def test_every_class_can_be_asked_for_by_its_name() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet)
        await create_slice(quiet, "node-1", "d0", "d1")
        await create_pod(quiet, "web", "deviceclass.resource.kubernetes.io/gpu", count=2)
        await quiet.until(lambda: bound(quiet, "web"))
        (claim,) = await quiet.items(RESOURCECLAIM)
        assert len(claim.status.allocation.devices.results) == 2

    quietly(scenario)


def test_a_node_that_has_the_resource_by_itself_needs_no_claim() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet, extendedResourceName=GPU)
        node = NODE.ref("", "node-2")
        room = {"status": {"capacity": {GPU: "1"}, "allocatable": {GPU: "1"}}}
        await quiet.admin.patch(node, room, subresource="status")
        await create_pod(quiet, "web")
        await quiet.until(lambda: bound(quiet, "web"))
        assert (await quiet.admin.get(WEB)).spec.node_name == "node-2"
        assert await quiet.items(RESOURCECLAIM) == []
        await create_pod(quiet, "other")
        await quiet.until(lambda: unschedulable(quiet, "other", f"1 {LACK}, 2 cannot allocate"))

    quietly(scenario)


def test_of_pods_that_want_one_device_one_gets_it() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet, extendedResourceName=GPU)
        for name in ("a", "b"):
            await create_pod(quiet, name)
        for name in ("a", "b"):
            await quiet.until(lambda name=name: unschedulable(quiet, name, "cannot allocate"))
        await create_slice(quiet, "node-2", "d0")
        await quiet.world.sleep(30)
        pods = await quiet.items(POD)
        assert sorted(bool(one.spec.node_name) for one in pods) == [False, True]
        (claim,) = await quiet.items(RESOURCECLAIM)
        assert claim.status.allocation is not None

    quietly(scenario)


def test_a_claim_whose_binding_failed_goes_before_the_next_attempt() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet, extendedResourceName=GPU)
        conditions = {"bindingConditions": ["Attached"], "bindingFailureConditions": ["Broken"]}
        await create_slice(quiet, "node-1", "d0", **conditions)
        await create_pod(quiet, "web")
        await quiet.until(lambda: allocated(quiet))
        (claim,) = await quiet.items(RESOURCECLAIM)
        await tell(quiet, claim, "Broken")
        text = f'running PreBind plugin "DynamicResources": claim {claim.metadata.name} binding '
        await quiet.until(lambda: told(quiet, "FailedScheduling", f"{text}failed: Broken"))
        await quiet.until(lambda: quiet.gone(RESOURCECLAIM.ref(*claim.key)))
        await quiet.until(lambda: allocated(quiet))
        (again,) = await quiet.items(RESOURCECLAIM)
        assert again.metadata.uid != claim.metadata.uid
        await tell(quiet, again, "Attached")
        await quiet.until(lambda: bound(quiet, "web"))

    quietly(scenario)


def test_a_claim_that_was_left_behind_is_deleted_and_made_anew() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_pod(quiet, "web")
        await quiet.until(lambda: unschedulable(quiet, "web", LACK))
        pod = await quiet.admin.get(WEB)
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod.metadata.uid}
        metadata = {
            "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"},
            "ownerReferences": [{**owner, "controller": True}],
            "finalizers": [FINALIZER],
        }
        request = {"name": "container-0-request-0", "exactly": {"deviceClassName": "gpu"}}
        left = {"devices": {"requests": [request]}}
        await quiet.create(RESOURCECLAIM, "left", spec=left, metadata=metadata)
        await create_slice(quiet, "node-1", "d0")
        await create_class(quiet, extendedResourceName=GPU)
        await quiet.until(lambda: quiet.gone(RESOURCECLAIM.ref("default", "left")), within=60)
        await quiet.until(lambda: bound(quiet, "web"), within=60)
        (claim,) = await quiet.items(RESOURCECLAIM)
        assert claim.metadata.name.startswith("web-extended-resources-")

    quietly(scenario)


async def allocated(quiet: Quiet) -> bool:
    claims = await quiet.items(RESOURCECLAIM)
    return any(one.status.allocation is not None for one in claims)


async def tell(quiet: Quiet, claim: Any, condition: str) -> None:
    when = "2026-01-01T00:00:00Z"
    one = {"type": condition, "status": "True", "reason": "Told", "lastTransitionTime": when}
    device = {"driver": "d.example", "pool": "node-1", "device": "d0", "conditions": [one]}
    ref = RESOURCECLAIM.ref(*claim.key)
    await quiet.admin.patch(ref, {"status": {"devices": [device]}}, subresource="status")
