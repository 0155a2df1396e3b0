"""The status of workloads: the rows "should validate ... Status endpoints" and "verify changes to a
... status". Who writes a status writes nothing else, and a controller leaves conditions of others.
"""

from __future__ import annotations

from typing import Any

import pytest

from served import Document
from simulation.objects import Objects, condition_of, seen
from simulation.quiet import Quiet, pod_template, quietly
from steersman.node.simulated.behaviour import Behaviour

APP = {"app": "web"}
WORKLOADS = ("daemonsets", "deployments", "replicasets", "statefulsets")
BY_HAND = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set by a test"}
READY_OF = {"daemonsets": "numberReady"}


def spec_of(plural: str) -> Document:
    """Returns the spec of a workload with one pod on each of a cluster's one node."""
    spec: Document = {"selector": {"matchLabels": APP}, "template": pod_template(APP)}
    return spec if plural == "daemonsets" else {**spec, "replicas": 1}


async def ready(found: Objects) -> bool:
    status = (await found.get("web")).get("status", {})
    return bool(status.get(READY_OF.get(found.plural, "readyReplicas")) == 1)


@pytest.mark.parametrize("plural", WORKLOADS)
def test_a_workloads_status_is_read_replaced_and_patched_by_itself(plural: str) -> None:
    async def scenario(quiet: Quiet) -> None:
        found = Objects(quiet, "apps/v1", plural)
        await found.post("web", spec=spec_of(plural), metadata={"labels": APP})
        await quiet.until(lambda: ready(found))
        await quiet.world.sleep(5)
        shown = await found.get("web", "status")
        assert shown == await found.get("web")
        watched = await found.watch("app=web")
        await replaced(found, shown)
        await seen(watched, "MODIFIED", lambda it: condition_of(it, "StatusUpdate") == BY_HAND)
        patched = {"type": "StatusPatched", "status": "True"}
        await found.patch("web", {"status": {"conditions": [patched]}}, "status")
        await seen(watched, "MODIFIED", lambda it: condition_of(it, "StatusPatched") == patched)
        await quiet.until(lambda: ready(found))

    quietly(scenario, nodes=1)


async def replaced(found: Objects, shown: Document) -> None:
    """Writes a condition by hand, and a label that is not taken."""
    shown["status"].setdefault("conditions", []).append(BY_HAND)
    shown["spec"]["template"]["metadata"]["labels"]["more"] = "yes"
    after = await found.put(shown, "status")
    assert condition_of(after, "StatusUpdate") == BY_HAND
    assert after["spec"]["template"]["metadata"]["labels"] == APP


def test_a_jobs_status_is_read_replaced_and_patched_by_itself() -> None:
    async def scenario(quiet: Quiet) -> None:
        jobs = Objects(quiet, "batch/v1", "jobs")
        template = pod_template({})
        template["spec"]["restartPolicy"] = "Never"
        await jobs.post("sum", spec={"template": template, "parallelism": 2, "completions": 4})
        await quiet.until(lambda: two_active(jobs))
        own = {"type": "CustomConditionType", "status": "True", "reason": "E2E"}
        change: Any = {
            "metadata": {"annotations": {"patched": "true"}},
            "status": {"conditions": [own]},
        }
        patched = await jobs.patch("sum", change, "status")
        assert patched["metadata"]["annotations"]["patched"] == "true"
        assert condition_of(patched, "CustomConditionType") == own
        patched["status"]["conditions"] = [{**own, "status": "False", "reason": "Replaced"}]
        patched["spec"]["suspend"] = True
        await jobs.put(patched, "status")
        shown = await jobs.get("sum", "status")
        assert condition_of(shown, "CustomConditionType")["reason"] == "Replaced"
        assert shown["spec"]["suspend"] is False

    quietly(scenario, behaviour=Behaviour(run_seconds=3600.0))


async def two_active(jobs: Objects) -> bool:
    return bool((await jobs.get("sum")).get("status", {}).get("active") == 2)
