"""Claims for devices, from a template to a device and back, as a client sees it."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.quiet import Quiet, pod_template, quietly
from steersman.client.view import FollowedView
from steersman.model.kinds.deviceclass import DEVICECLASS
from steersman.model.kinds.devicetaintrule import DEVICETAINTRULE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.resourceclaim import RESOURCECLAIM
from steersman.model.kinds.resourceclaimtemplate import RESOURCECLAIMTEMPLATE
from steersman.model.kinds.resourceslice import RESOURCESLICE
from steersman.model.resource_claims import FINALIZER
from steersman.model.types.condition import Condition

REQUEST = {"name": "r", "exactly": {"deviceClassName": "gpu"}}
SPEC = {"devices": {"requests": [REQUEST]}}
WEB = POD.ref("default", "web")


async def create_pod(quiet: Quiet, name: str, *claims: dict[str, str], **more: Any) -> None:
    spec = {**pod_template({})["spec"], "resourceClaims": list(claims), **more}
    await quiet.create(POD, name, spec=spec)


async def names_noted(quiet: Quiet) -> Any:
    return (await quiet.admin.get(WEB)).status.resource_claim_statuses


async def told(quiet: Quiet, reason: str, text: str) -> bool:
    return (reason, text) in await quiet.events("Pod")


OF_TEMPLATE = {"name": "gpu", "resourceClaimTemplateName": "t"}


def test_a_claim_is_made_of_its_template_once_that_is_there_and_goes_with_its_pod() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_pod(quiet, "web", OF_TEMPLATE)
        text = (
            'PodResourceClaim gpu: resource claim template "t": '
            'resourceclaimtemplate.resource.k8s.io "t" not found'
        )
        await quiet.until(lambda: told(quiet, "FailedResourceClaimCreation", text))
        await quiet.create(RESOURCECLAIMTEMPLATE, "t", spec={"spec": SPEC})
        await quiet.until(lambda: names_noted(quiet))
        (claim,) = await quiet.items(RESOURCECLAIM)
        ((noted),) = await names_noted(quiet)
        assert (noted.name, noted.resource_claim_name) == ("gpu", claim.metadata.name)
        assert claim.metadata.name.startswith("web-gpu-")
        await quiet.admin.delete(WEB)
        await quiet.until(lambda: quiet.gone(RESOURCECLAIM.ref(*claim.key)))

    quietly(scenario)


async def released(quiet: Quiet) -> bool:
    found = await quiet.admin.get(RESOURCECLAIM.ref("default", "c"))
    free = found.status.allocation is None and not found.status.reserved_for
    return free and FINALIZER not in found.metadata.finalizers


def test_what_was_allocated_is_given_up_with_its_last_consumer() -> None:
    async def scenario(quiet: Quiet) -> None:
        claim = RESOURCECLAIM.ref("default", "c")
        finalizers = {"finalizers": [FINALIZER]}
        await quiet.create(RESOURCECLAIM, "c", spec=SPEC, metadata=finalizers)
        await create_pod(quiet, "web", {"name": "x", "resourceClaimName": "c"}, nodeName="node-0")
        result = {"request": "r", "driver": "d.example", "pool": "p", "device": "d"}
        pod = await quiet.admin.get(WEB)
        status = {"allocation": {"devices": {"results": [result]}}}
        await quiet.admin.patch(claim, {"status": status}, subresource="status")
        await quiet.until(lambda: reserved(quiet, "c"))
        (consumer,) = (await quiet.admin.get(claim)).status.reserved_for
        assert (consumer.resource, consumer.name, consumer.uid) == ("pods", "web", pod.metadata.uid)
        await quiet.admin.delete(WEB)
        await quiet.until(lambda: released(quiet))

    quietly(scenario)


CEL = {"cel": {"expression": 'device.driver == "d.example"'}}


async def create_class(quiet: Quiet) -> None:
    await quiet.create(DEVICECLASS, "gpu", spec={"selectors": [CEL]})


async def create_slice(quiet: Quiet, node: str, *devices: str, **more: Any) -> None:
    pool = {"name": node, "resourceSliceCount": 1}
    listed = [{"name": name, **more} for name in devices]
    spec = {"driver": "d.example", "pool": pool, "nodeName": node, "devices": listed}
    await quiet.create(RESOURCESLICE, node, spec=spec)


async def bound(quiet: Quiet, name: str) -> bool:
    return bool((await quiet.admin.get(POD.ref("default", name))).spec.node_name)


async def reserved(quiet: Quiet, name: str) -> bool:
    claim = await quiet.admin.get(RESOURCECLAIM.ref("default", name))
    return bool(claim.status.reserved_for)


async def unreserved(quiet: Quiet, name: str) -> bool:
    return not await reserved(quiet, name)


async def unschedulable(quiet: Quiet, name: str, text: str) -> bool:
    pod = await quiet.admin.get(POD.ref("default", name))
    return any(text in one.message for one in pod.status.conditions)


def test_a_pod_goes_where_its_claim_finds_a_device_and_another_waits_for_that() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet)
        await create_slice(quiet, "node-1", "d0")
        await quiet.create(RESOURCECLAIMTEMPLATE, "t", spec={"spec": SPEC})
        await create_pod(quiet, "web", OF_TEMPLATE)
        await quiet.until(lambda: bound(quiet, "web"))
        (claim,) = await quiet.items(RESOURCECLAIM)
        assert claim.metadata.finalizers == (FINALIZER,)
        (result,) = claim.status.allocation.devices.results
        assert (result.request, result.driver, result.pool, result.device) == (
            "r",
            "d.example",
            "node-1",
            "d0",
        )
        assert claim.status.allocation.node_selector == {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
            ]
        }
        assert [one.name for one in claim.status.reserved_for] == ["web"]
        await create_pod(quiet, "other", OF_TEMPLATE)
        text = (
            "0/3 nodes are available: 3 cannot allocate all claims. still not schedulable, "
            "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        )
        await quiet.until(lambda: unschedulable(quiet, "other", text))
        await quiet.admin.delete(WEB)
        await quiet.until(lambda: bound(quiet, "other"))

    quietly(scenario)


def test_a_pod_waits_for_a_class_and_for_devices() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(RESOURCECLAIM, "c", spec=SPEC)
        await create_pod(quiet, "web", {"name": "x", "resourceClaimName": "c"})
        missing = "request r: device class gpu does not exist"
        await quiet.until(lambda: unschedulable(quiet, "web", missing))
        await create_class(quiet)
        text = "3 cannot allocate all claims"
        await quiet.until(lambda: unschedulable(quiet, "web", text))
        await create_slice(quiet, "node-2", "d0")
        await quiet.until(lambda: bound(quiet, "web"))

    quietly(scenario)


def test_what_one_pod_gets_no_other_gets_in_the_same_moment() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet)
        for name in ("a", "b"):
            await quiet.create(RESOURCECLAIM, name, spec=SPEC)
            await create_pod(quiet, name, {"name": "x", "resourceClaimName": name})
        for name in ("a", "b"):
            await quiet.until(lambda name=name: unschedulable(quiet, name, "cannot allocate"))
        await create_slice(quiet, "node-2", "d0")
        await quiet.world.sleep(30)
        claims = await quiet.items(RESOURCECLAIM)
        assert sorted(one.status.allocation is not None for one in claims) == [False, True]

    quietly(scenario)


def test_a_device_is_kept_for_its_claim_until_the_allocation_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply = FollowedView._watch

    async def late(view: FollowedView) -> None:
        if view.kind is RESOURCECLAIM:
            monkeypatch.setattr(view, "_source", Late(view))
        await apply(view)

    monkeypatch.setattr(FollowedView, "_watch", late)

    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet)
        await create_slice(quiet, "node-2", "d0")
        for name in ("a", "b"):
            await quiet.create(RESOURCECLAIM, name, spec=SPEC)
        await quiet.world.sleep(5)
        await create_pod(quiet, "a", {"name": "x", "resourceClaimName": "a"})
        await quiet.until(lambda: bound(quiet, "a"))
        await create_pod(quiet, "b", {"name": "x", "resourceClaimName": "b"})
        await quiet.until(lambda: unschedulable(quiet, "b", "cannot allocate"))

    quietly(scenario)


class Late:
    """A source whose watch tells everything a second later."""

    def __init__(self, view: FollowedView) -> None:
        self._inner, self._world = view._source, view._world

    async def watch(self, *words: Any, **more: Any) -> Any:
        async for changes in self._inner.watch(*words, **more):
            await self._world.sleep(1.0)
            yield changes


def test_a_claim_that_is_being_allocated_is_waited_for() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet)
        await quiet.create(RESOURCECLAIM, "c", spec=SPEC)
        for name in ("a", "b"):
            await create_pod(quiet, name, {"name": "x", "resourceClaimName": "c"})
        for name in ("a", "b"):
            await quiet.until(lambda name=name: unschedulable(quiet, name, "cannot allocate"))
        await create_slice(quiet, "node-2", "d0")
        for name in ("a", "b"):
            await quiet.until(lambda name=name: bound(quiet, name))
        assert not any("PreBind" in text for _, text in await quiet.events("Pod"))

    quietly(scenario)


def test_a_claim_goes_when_the_pod_that_it_was_made_for_has_ended() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(RESOURCECLAIMTEMPLATE, "t", spec={"spec": SPEC})
        await create_pod(quiet, "web", OF_TEMPLATE)
        await quiet.until(lambda: names_noted(quiet))
        (claim,) = await quiet.items(RESOURCECLAIM)
        await quiet.admin.patch(WEB, {"status": {"phase": "Failed"}}, subresource="status")
        await quiet.until(lambda: quiet.gone(RESOURCECLAIM.ref(*claim.key)))
        assert not await quiet.gone(WEB)

    quietly(scenario)


def test_pods_share_a_claim_on_the_node_where_it_was_allocated() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet)
        await create_slice(quiet, "node-2", "d0")
        await quiet.create(RESOURCECLAIM, "c", spec=SPEC)
        named = {"name": "x", "resourceClaimName": "c"}
        for name in ("web", "other"):
            await create_pod(quiet, name, named)
        for name in ("web", "other"):
            await quiet.until(lambda name=name: bound(quiet, name))
            pod = await quiet.admin.get(POD.ref("default", name))
            assert pod.spec.node_name == "node-2"
        claim = await quiet.admin.get(RESOURCECLAIM.ref("default", "c"))
        assert {one.name for one in claim.status.reserved_for} == {"web", "other"}

    quietly(scenario)


def test_an_allocation_that_nobody_has_moves_to_where_the_pod_can_go() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet)
        for node in ("node-1", "node-2"):
            await create_slice(quiet, node, "d0")
        finalizers = {"finalizers": [FINALIZER]}
        await quiet.create(RESOURCECLAIM, "c", spec=SPEC, metadata=finalizers)
        result = {"request": "r", "driver": "d.example", "pool": "node-1", "device": "d0"}
        fields = [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]
        selector = {"nodeSelectorTerms": [{"matchFields": fields}]}
        allocation = {"devices": {"results": [result]}, "nodeSelector": selector}
        claim = RESOURCECLAIM.ref("default", "c")
        await quiet.admin.patch(claim, {"status": {"allocation": allocation}}, subresource="status")
        there = {"kubernetes.io/hostname": "node-2"}
        named = {"name": "x", "resourceClaimName": "c"}
        await quiet.world.sleep(1)
        await create_pod(quiet, "web", named, nodeSelector=there)
        await quiet.until(lambda: bound(quiet, "web"))
        found = await quiet.admin.get(claim)
        assert [one.pool for one in found.status.allocation.devices.results] == ["node-2"]

    quietly(scenario)


def test_a_pod_waits_until_its_device_is_made_ready_and_goes_back_where_that_fails() -> None:
    async def scenario(quiet: Quiet) -> None:
        await create_class(quiet)
        conditions = {"bindingConditions": ["Attached"], "bindingFailureConditions": ["Broken"]}
        await create_slice(quiet, "node-1", "d0", **conditions)
        await quiet.create(RESOURCECLAIM, "c", spec=SPEC)
        await create_pod(quiet, "web", {"name": "x", "resourceClaimName": "c"})
        await quiet.until(lambda: reserved(quiet, "c"))
        await quiet.world.sleep(5)
        assert not await bound(quiet, "web")
        await tell(quiet, "Broken")
        text = 'running PreBind plugin "DynamicResources": claim c binding failed: Broken'
        await quiet.until(lambda: told(quiet, "FailedScheduling", text))
        await quiet.until(lambda: unreserved(quiet, "c"))
        await quiet.until(lambda: reserved(quiet, "c"))
        await tell(quiet, "Attached")
        await quiet.until(lambda: bound(quiet, "web"))

    quietly(scenario)


async def tell(quiet: Quiet, condition: str) -> None:
    when = "2026-01-01T00:00:00Z"
    one = {"type": condition, "status": "True", "reason": "Told", "lastTransitionTime": when}
    device = {"driver": "d.example", "pool": "node-1", "device": "d0", "conditions": [one]}
    claim = RESOURCECLAIM.ref("default", "c")
    await quiet.admin.patch(claim, {"status": {"devices": [device]}}, subresource="status")


RULE: dict[str, Any] = {
    "deviceSelector": {"driver": "d.example"},
    "taint": {"key": "k", "effect": "NoExecute"},
}


async def with_device(quiet: Quiet, **request: Any) -> None:
    await create_class(quiet)
    await create_slice(quiet, "node-1", "d0")
    wanted = {"name": "r", "exactly": {"deviceClassName": "gpu", **request}}
    await quiet.create(RESOURCECLAIM, "c", spec={"devices": {"requests": [wanted]}})
    await create_pod(quiet, "web", {"name": "x", "resourceClaimName": "c"})
    await quiet.until(lambda: bound(quiet, "web"))


def test_pods_leave_devices_that_are_tainted_by_a_rule() -> None:
    async def scenario(quiet: Quiet) -> None:
        await with_device(quiet)
        await quiet.create(DEVICETAINTRULE, "t", spec=RULE)
        await quiet.until(lambda: quiet.gone(WEB))
        assert await told(quiet, "DeviceTaintManagerEviction", "Marking for deletion")
        await quiet.until(lambda: released(quiet))

    quietly(scenario)


async def condition_of_rule(quiet: Quiet, name: str = "t") -> tuple[str, str, str]:
    found = (await quiet.admin.get(DEVICETAINTRULE.ref("", name))).status.conditions
    (told,) = found or (Condition(),)
    return told.status, told.reason, told.message


def test_a_rule_is_told_whom_it_drives_away_and_how_many_went() -> None:
    async def scenario(quiet: Quiet) -> None:
        toleration = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 100}
        await with_device(quiet, tolerations=[toleration])
        taint = {**RULE["taint"], "effect": "None"}
        await quiet.create(DEVICETAINTRULE, "would", spec={**RULE, "taint": taint})
        await quiet.create(DEVICETAINTRULE, "t", spec=RULE)
        await quiet.world.sleep(5)
        status, reason, message = await condition_of_rule(quiet, "would")
        assert (status, reason) == ("False", "NoEffect")
        start = "1 published device selected. 1 allocated device selected. 1 pod would be evicted"
        assert message.startswith(start)
        pending = "1 pod needs to be evicted in 1 namespace."
        assert await condition_of_rule(quiet) == ("True", "PodsPendingEviction", pending)
        await quiet.until(lambda: quiet.gone(WEB), within=200)
        await quiet.world.sleep(15)
        gone = "1 pod evicted since starting the controller."
        assert await condition_of_rule(quiet) == ("False", "Completed", gone)
        assert (await condition_of_rule(quiet, "would"))[2] == message

    quietly(scenario)


def test_pods_leave_devices_that_their_driver_taints_when_their_time_is_over() -> None:
    async def scenario(quiet: Quiet) -> None:
        toleration = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 100}
        await with_device(quiet, tolerations=[toleration])
        taint = {"key": "k", "effect": "NoExecute"}
        tainted = {"spec": {"devices": [{"name": "d0", "taints": [taint]}]}}
        ref = RESOURCESLICE.ref("", "node-1")
        await quiet.admin.patch(ref, tainted)
        await quiet.world.sleep(60)
        assert await bound(quiet, "web")
        await quiet.admin.patch(ref, {"spec": {"devices": [{"name": "d0"}]}})
        await quiet.until(lambda: told(quiet, "DeviceTaintManagerEviction", "Cancelling deletion"))
        await quiet.world.sleep(100)
        assert await bound(quiet, "web")
        await quiet.admin.patch(ref, tainted)
        await quiet.world.sleep(90)
        assert await bound(quiet, "web")
        await quiet.until(lambda: quiet.gone(WEB))

    quietly(scenario)
