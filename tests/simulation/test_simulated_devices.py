"""Claims for devices, from a template to a device and back, as a client sees it."""

from __future__ import annotations

from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.model.kinds.pod import POD
from steersman.model.kinds.resourceclaim import RESOURCECLAIM
from steersman.model.kinds.resourceclaimtemplate import RESOURCECLAIMTEMPLATE
from steersman.model.resource_claims import FINALIZER

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
        consumer = {"resource": "pods", "name": "web", "uid": pod.metadata.uid}
        status = {"allocation": {"devices": {"results": [result]}}, "reservedFor": [consumer]}
        await quiet.admin.patch(claim, {"status": status}, subresource="status")
        await quiet.world.sleep(5)
        assert not await released(quiet)
        await quiet.admin.delete(WEB)
        await quiet.until(lambda: released(quiet))

    quietly(scenario)
