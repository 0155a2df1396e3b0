"""Autoscalers on a whole control plane: metrics of simulated nodes, in virtual time."""

from __future__ import annotations

from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.horizontalpodautoscaler import HORIZONTALPODAUTOSCALER
from steersman.model.kinds.pod import POD

APP = {"app": "web"}
USE = "steersman.dev/cpu-usage"


async def serve(quiet: Quiet, use: str, **spec: Any) -> None:
    """Makes a workload that uses so much for each replica, and its autoscaler."""
    template = pod_template(APP)
    template["metadata"]["annotations"] = {USE: use}
    template["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    selector = {"matchLabels": APP}
    deployment = {"replicas": 1, "selector": selector, "template": template}
    await quiet.create(DEPLOYMENT, "web", spec=deployment)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    await quiet.create(
        HORIZONTALPODAUTOSCALER, "web", spec={"scaleTargetRef": target, "maxReplicas": 6, **spec}
    )


async def ready(quiet: Quiet, number: int) -> bool:
    return len(await quiet.pods()) == number


async def load(quiet: Quiet, use: str) -> None:
    """Changes what each replica uses."""
    for pod in await quiet.items(POD):
        await quiet.admin.patch(POD.ref(*pod.key), {"metadata": {"annotations": {USE: use}}})


def test_a_loaded_workload_grows_and_shrinks_when_it_has_rested_for_five_minutes() -> None:
    async def scenario(quiet: Quiet) -> None:
        await serve(quiet, "2")
        await quiet.until(lambda: ready(quiet, 6), within=300)
        await load(quiet, "10m")
        began = quiet.world.now()
        await quiet.until(lambda: ready(quiet, 1), within=900)
        assert 285 <= quiet.world.now() - began <= 330
        told = {note for reason, note in await quiet.events("HorizontalPodAutoscaler")}
        assert "New size: 1; reason: All metrics below target" in told
        hpa = await quiet.admin.get(HORIZONTALPODAUTOSCALER.ref("default", "web"))
        assert (hpa.status.current_replicas, hpa.status.desired_replicas) in ((6, 1), (1, 1))

    quietly(scenario)


def test_policies_hold_over_virtual_hours() -> None:
    async def scenario(quiet: Quiet) -> None:
        slow = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 600}]}
        await serve(quiet, "9", behavior={"scaleUp": slow})
        await quiet.until(lambda: ready(quiet, 2), within=120)
        began = quiet.world.now()
        await quiet.until(lambda: ready(quiet, 6), within=3600)
        assert 2360 <= quiet.world.now() - began <= 2520

    quietly(scenario)
