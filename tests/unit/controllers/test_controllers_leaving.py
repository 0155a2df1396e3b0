"""Who has pods and jobs go that others left behind: by taints, by time, by number."""

from __future__ import annotations

from typing import Any

import pytest

from controlled import behind, controlled
from customs import gone
from served import MAPS, MERGE, PODS, Served, pod, served
from steersman.controllers import pod_garbage
from steersman.controllers.pod_garbage import QUARANTINE_SECONDS, PodGarbageController
from steersman.controllers.taint_eviction import TaintEvictionController
from steersman.controllers.ttl_after_finished import TTLAfterFinishedController
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD

NODES = "/api/v1/nodes"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
EVENTS = MAPS.replace("configmaps", "events")
TAINT = {"key": "k", "effect": "NoExecute"}


async def taint(api: Served, name: str, *taints: Any) -> None:
    fields = {"spec": {"taints": list(taints)}}
    (await api.patch(f"{NODES}/{name}", fields, how=MERGE)).ok()


async def with_node(api: Served, *names: str) -> None:
    for name in names:
        (await api.post(NODES, {"metadata": {"name": name}})).ok()


async def told(api: Served) -> set[tuple[str, str]]:
    return {(it["reason"], it["message"]) for it in (await api.get(EVENTS)).document["items"]}


@served
async def test_a_pod_leaves_a_tainted_node_at_once_or_when_its_time_is_over(api: Served) -> None:
    for_a_while = [{**TAINT, "operator": "Exists", "tolerationSeconds": 100}]
    async with controlled(api, TaintEvictionController):
        await with_node(api, "one", "two")
        (await api.post(PODS, pod("short", nodeName="one"))).ok()
        (await api.post(PODS, pod("long", nodeName="one", tolerations=for_a_while))).ok()
        (await api.post(PODS, pod("away", nodeName="two"))).ok()
        await api.world.sleep(1)
        await taint(api, "one", TAINT)
        await api.world.sleep(1)
        leaving = (await api.get(f"{PODS}/short")).document
        assert leaving["metadata"]["deletionTimestamp"]
        (condition,) = leaving["status"]["conditions"]
        assert (condition["type"], condition["reason"]) == (
            "DisruptionTarget",
            "DeletionByTaintManager",
        )
        await api.world.sleep(80)
        await taint(api, "one")
        await api.world.sleep(60)
        assert ("TaintManagerEviction", "Cancelling deletion of Pod default/long") in await told(
            api
        )
        await taint(api, "one", TAINT)
        await api.world.sleep(90)
        for name in ("long", "away"):
            assert "deletionTimestamp" not in (await api.get(f"{PODS}/{name}")).document["metadata"]
        await api.world.sleep(20)
        assert (await api.get(f"{PODS}/long")).document["metadata"]["deletionTimestamp"]
        cancelled = [text for _, text in await told(api) if text.startswith("Cancelling")]
        assert cancelled == ["Cancelling deletion of Pod default/long"]


@served
async def test_a_pod_made_anew_under_its_name_has_its_whole_time(api: Served) -> None:
    for_a_while = [{**TAINT, "operator": "Exists", "tolerationSeconds": 100}]
    async with controlled(api, TaintEvictionController):
        await with_node(api, "one")
        await taint(api, "one", TAINT)
        (await api.post(PODS, pod("p", nodeName="one", tolerations=for_a_while))).ok()
        await api.world.sleep(60)
        (await api.delete(f"{PODS}/p", gracePeriodSeconds="0")).ok()
        (await api.post(PODS, pod("p", nodeName="one", tolerations=for_a_while))).ok()
        await api.world.sleep(90)
        assert "deletionTimestamp" not in (await api.get(f"{PODS}/p")).document["metadata"]
        await api.world.sleep(20)
        assert (await api.get(f"{PODS}/p")).document["metadata"]["deletionTimestamp"]


@served
async def test_a_new_pod_is_looked_at_where_its_node_drives_pods_away(api: Served) -> None:
    to = next(watch.to for watch in TaintEvictionController.watches if watch.kind is POD)
    async with controlled(api, TaintEvictionController) as views:
        await with_node(api, "clean", "tainted")
        await taint(api, "tainted", TAINT)
        await api.world.sleep(1)
        for name in ("clean", "tainted", "unknown"):
            (await api.post(PODS, pod(name, nodeName=name))).ok()
        await api.world.sleep(1)
        heard = [list(to(views, None, it)) for it in views.of(POD).list()]
        assert [ref for refs in heard for ref in refs] == [POD.ref("default", "tainted")]
        going = [it for it in views.of(POD).list() if it.metadata.deletion_timestamp]
        assert [it.metadata.name for it in going] == ["tainted"]


@served
async def test_a_pod_of_a_node_that_is_missed_for_long_goes_unless_the_api_knows_the_node(
    api: Served,
) -> None:
    async with controlled(api, PodGarbageController, through=behind(NODE)):
        await api.world.sleep(1)
        await with_node(api, "unseen")
        (await api.post(PODS, pod("lost", nodeName="nowhere"))).ok()
        (await api.post(PODS, pod("kept", nodeName="unseen"))).ok()
        await api.world.sleep(QUARANTINE_SECONDS - 1)
        assert (await api.get(f"{PODS}/lost")).code == 200
        await api.world.sleep(2)
        await gone(api, f"{PODS}/lost")
        await api.world.sleep(60)
        assert (await api.get(f"{PODS}/kept")).code == 200


@served
async def test_a_pod_that_is_going_is_ended_where_its_node_is_out_of_service(api: Served) -> None:
    async with controlled(api, PodGarbageController):
        await with_node(api, "one", "two")
        for name, node in (("stuck", "one"), ("going", "two"), ("stays", "one")):
            (await api.post(PODS, pod(name, nodeName=node))).ok()
        for name in ("stuck", "going"):
            (await api.delete(f"{PODS}/{name}")).ok()
        await api.world.sleep(60)
        assert (await api.get(f"{PODS}/stuck")).code == 200
        out = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
        await taint(api, "one", out)
        await gone(api, f"{PODS}/stuck")
        await api.world.sleep(60)
        for name in ("going", "stays"):
            assert (await api.get(f"{PODS}/{name}")).code == 200


def test_the_oldest_ended_pods_go_when_there_are_more_than_the_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pod_garbage, "THRESHOLD", 2)

    @served
    async def work(api: Served) -> None:
        async with controlled(api, PodGarbageController):
            await with_node(api, "one")
            for name in ("runs", "a", "b", "c"):
                (await api.post(PODS, pod(name, nodeName="one"))).ok()
                await api.world.sleep(2)
            for name in "cba":
                ended = {"status": {"phase": "Succeeded"}}
                (await api.patch(f"{PODS}/{name}/status", ended, how=MERGE)).ok()
            await gone(api, f"{PODS}/a")
            await api.world.sleep(60)
            assert (await api.get(PODS)).names == ["b", "c", "runs"]

    work()  # type: ignore[call-arg]


@served
async def test_a_job_that_ended_goes_after_its_time_and_not_before(api: Served) -> None:
    async with controlled(api, TTLAfterFinishedController):
        for name, seconds in (("short", 100), ("long", 1000), ("stays", None), ("runs", 100)):
            template = {"spec": {**pod(name)["spec"], "restartPolicy": "Never"}}
            spec = {"template": template, "ttlSecondsAfterFinished": seconds}
            (await api.post(JOBS, {"metadata": {"name": name}, "spec": spec})).ok()
        for name in ("short", "long", "stays"):
            await end(api, name)
        await api.world.sleep(95)
        assert (await api.get(JOBS)).names == ["long", "runs", "short", "stays"]
        await api.world.sleep(10)
        going = (await api.get(f"{JOBS}/short")).document["metadata"]
        assert going["finalizers"] == ["foregroundDeletion"]  # its pods first
        for name in ("long", "stays", "runs"):
            assert "deletionTimestamp" not in (await api.get(f"{JOBS}/{name}")).document["metadata"]
        await api.world.sleep(900)
        assert (await api.get(f"{JOBS}/long")).document["metadata"]["deletionTimestamp"]


async def end(api: Served, name: str) -> None:
    """Has a job be complete now."""
    when = (await api.get(f"{JOBS}/{name}")).document["metadata"]["creationTimestamp"]
    common = {"status": "True", "lastTransitionTime": when, "lastProbeTime": when}
    said = [{"type": "SuccessCriteriaMet", **common}, {"type": "Complete", **common}]
    fields = {"startTime": when, "completionTime": when, "conditions": said}
    (await api.patch(f"{JOBS}/{name}/status", {"status": fields}, how=MERGE)).ok()
