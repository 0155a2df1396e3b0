"""In-place resize on a real node: in the control groups, the status, conditions and events."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from node_cluster import IMAGE, SLEEP, Cluster, Session, hears, needs_root, runs

from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, ContainerStatus, Pod
from steersman.model.kinds.priorityclass import PRIORITYCLASS
from steersman.model.quantity import parse
from steersman.model.types.condition import Condition, condition

pytestmark = [
    *needs_root,
    pytest.mark.skipif(
        not Path("/sys/fs/cgroup/memory").is_dir(), reason="control groups of version 1 are read"
    ),
]
MIB = 1 << 20


def app(pod: Pod) -> ContainerStatus:
    return pod.status.container_statuses[0]


def has(pod: Pod, **amounts: str) -> bool:
    """Whether the container's group is said to have these requests."""
    given = app(pod).resources
    return given is not None and dict(given.requests) == amounts


def told(pod: Pod, kind: str) -> Condition:
    found = condition(pod.status.conditions, kind)
    assert found is not None
    return found


def pending(pod: Pod, reason: str) -> bool:
    found = condition(pod.status.conditions, "PodResizePending")
    return found is not None and found.reason == reason


def resources(cpu: str, memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}


async def resize(session: Session, name: str, asked: dict[str, Any]) -> None:
    spec = {"containers": [{"name": "app", "resources": asked}]}
    ref = POD.ref("default", name)
    await session.client.patch(ref, {"spec": spec}, how="strategic", subresource="resize")


def test_a_running_container_is_given_more_and_less_without_a_restart(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("grows", script=SLEEP, resources=resources("100m", "64Mi"))
        pod = await session.until(
            "grows", lambda it: runs(it) and has(it, cpu="100m", memory="64Mi")
        )
        assert dict(app(pod).allocated_resources) == {"cpu": "100m", "memory": "64Mi"}
        await resize(session, "grows", resources("200m", "128Mi"))
        pod = await session.until("grows", lambda it: has(it, cpu="200m", memory="128Mi"))
        assert cluster.limit(pod, "cpu.shares") == 204
        for group in ("app.0", ""):
            assert cluster.limit(pod, "memory.limit_in_bytes", group) == 128 * MIB
            assert cluster.limit(pod, "memory.memsw.limit_in_bytes", group) == 128 * MIB
            assert cluster.limit(pod, "cpu.cfs_quota_us", group) == 20_000
        pod = await session.until(
            "grows", lambda it: condition(it.status.conditions, "PodResizeInProgress") is None
        )
        amounts = '{"cpu":"200m","memory":"128Mi"}'
        one = f'{{"name":"app","resources":{{"limits":{amounts},"requests":{amounts}}}}}'
        summary = f'{{"containers":[{one}],"generation":2}}'
        assert await hears(session, pod, "ResizeStarted") == f"Pod resize started: {summary}"
        assert await hears(session, pod, "ResizeCompleted") == f"Pod resize completed: {summary}"
        await resize(session, "grows", resources("50m", "32Mi"))
        pod = await session.until("grows", lambda it: has(it, cpu="50m", memory="32Mi"))
        for group in ("app.0", ""):
            assert cluster.limit(pod, "memory.limit_in_bytes", group) == 32 * MIB
            assert cluster.limit(pod, "cpu.cfs_quota_us", group) == 5_000
        assert app(pod).restart_count == 0
        assert pod.status.observed_generation == 3
        await session.delete("grows")

    cluster.run(scenario)


def test_six_containers_are_resized_together_by_an_update(cluster: Cluster) -> None:
    names = [f"c{number}" for number in range(6)]
    # What each has before and after: limits and requests are raised, lowered, added, kept
    asks = {"requests": {"cpu": "10m"}}
    before: list[dict[str, Any]] = [*[resources("20m", "16Mi")] * 4, asks, asks]
    after: list[dict[str, Any]] = [
        resources("30m", "16Mi"), resources("10m", "16Mi"), resources("20m", "32Mi"), before[3],
        {"requests": {"cpu": "20m"}}, {"requests": {"cpu": "10m"}, "limits": {"cpu": "40m"}},
    ]  # fmt: skip

    def carried_out(pod: Pod) -> bool:
        found = [it.resources for it in pod.status.container_statuses]
        wanted = [(it.get("requests", {}), it.get("limits", {})) for it in after]
        return [(dict(it.requests), dict(it.limits)) for it in found if it is not None] == wanted

    async def scenario(session: Session) -> None:
        containers = [
            {"name": name, "image": IMAGE, "command": ["sh", "-c", SLEEP], "resources": it}
            for name, it in zip(names, before, strict=True)
        ]
        document = {"metadata": {"name": "six"}, "spec": {"containers": containers}}
        await session.client.create(POD, document, namespace="default")
        await session.until("six", runs)
        document = await session.client.read("/api/v1/namespaces/default/pods/six")
        del document["metadata"]["resourceVersion"]
        for container, it in zip(document["spec"]["containers"], after, strict=True):
            container["resources"] = it
        await session.client.update(POD.ref("default", "six"), document, subresource="resize")
        pod = await session.until("six", carried_out)
        assert [it.restart_count for it in pod.status.container_statuses] == [0] * 6
        shares = [cluster.limit(pod, "cpu.shares", f"{it}.0") for it in names]
        assert shares == [30, 10, 20, 20, 20, 10]
        quotas = [cluster.limit(pod, "cpu.cfs_quota_us", f"{it}.0") for it in names]
        assert quotas == [3000, 1000, 2000, 2000, -1, 4000]
        assert cluster.limit(pod, "memory.limit_in_bytes", "c2.0") == 32 << 20
        await session.delete("six")

    cluster.run(scenario)


def test_a_container_begins_anew_where_its_policy_says_so(cluster: Cluster) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]

    async def scenario(session: Session) -> None:
        spec = {"restartPolicy": "OnFailure"}
        await session.create(
            "anew",
            script=SLEEP,
            resources=resources("100m", "64Mi"),
            resizePolicy=policy,
            spec=spec,
        )
        await session.until("anew", runs)
        await resize(session, "anew", resources("200m", "64Mi"))
        pod = await session.until("anew", lambda it: has(it, cpu="200m", memory="64Mi"))
        assert app(pod).restart_count == 0
        await resize(session, "anew", resources("200m", "128Mi"))
        pod = await session.until(
            "anew",
            lambda it: (
                runs(it) and app(it).restart_count == 1 and has(it, cpu="200m", memory="128Mi")
            ),
        )
        assert cluster.limit(pod, "memory.limit_in_bytes", "app.1") == 128 * MIB
        assert cluster.limit(pod, "memory.limit_in_bytes", "") == 128 * MIB
        assert await hears(session, pod, "Killing") == "Container app resize requires restart"
        await session.until(
            "anew", lambda it: condition(it.status.conditions, "PodResizeInProgress") is None
        )
        await session.delete("anew")

    cluster.run(scenario)


def test_what_others_have_is_waited_for(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        milli = parse(node.status.allocatable["cpu"]).milli()
        await session.create("holds", script=SLEEP, resources={"requests": {"cpu": "200m"}})
        await session.until("holds", runs)
        await session.create("waits", script=SLEEP, resources={"requests": {"cpu": "100m"}})
        await session.until("waits", runs)
        wanted = f"{milli - 100}m"
        await resize(session, "waits", {"requests": {"cpu": wanted}})
        pod = await session.until("waits", lambda it: pending(it, "Deferred"))
        text = f"cpu, requested: {milli - 100}, used: 200, capacity: {milli}"
        assert told(pod, "PodResizePending").message == f"Node didn't have enough resource: {text}"
        await session.delete("holds")
        pod = await session.until("waits", lambda it: has(it, cpu=wanted))
        assert cluster.limit(pod, "cpu.shares") == (milli - 100) * 1024 // 1000
        note = await hears(session, pod, "ResizeDeferred")
        assert note.startswith('Pod resize Deferred: {"containers":[{"name":"app"')
        assert note.endswith(
            f'"generation":2,"error":"Node didn\'t have enough resource: {text}"}}'
        )
        assert condition(pod.status.conditions, "PodResizePending") is None
        await session.delete("waits")

    cluster.run(scenario)


def test_of_two_that_wait_the_one_of_higher_priority_is_given_more(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        milli = parse(node.status.allocatable["cpu"]).milli()
        document = {"metadata": {"name": "high"}, "value": 1000}
        await session.client.create(PRIORITYCLASS, document)
        few = {"requests": {"cpu": "50m"}}
        await session.create("held", script=SLEEP, resources={"requests": {"cpu": "300m"}})
        await session.create("low", script=SLEEP, resources=few)
        spec = {"priorityClassName": "high"}
        await session.create("high", script=SLEEP, resources=few, spec=spec)
        for name in ("held", "low", "high"):
            await session.until(name, runs)
        for name in ("low", "high"):  # who waits for longer would come first
            await resize(session, name, {"requests": {"cpu": f"{milli - 200}m"}})
            await session.until(name, lambda it: pending(it, "Deferred"))
        await session.delete("held")
        await session.until("high", lambda it: has(it, cpu=f"{milli - 200}m"))
        low = await session.until("low", lambda it: pending(it, "Deferred"))
        assert has(low, cpu="50m")
        for name in ("low", "high"):
            await session.delete(name)

    cluster.run(scenario)


def test_what_a_pod_may_as_a_whole_changes_in_its_group_and_in_who_has_no_limit(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        spec = {"resources": resources("100m", "64Mi")}
        await session.create("whole", script=SLEEP, spec=spec)
        pod = await session.until("whole", runs)
        for group in ("app.0", ""):
            assert cluster.limit(pod, "memory.limit_in_bytes", group) == 64 * MIB
        ref = POD.ref("default", "whole")
        patch = {"spec": {"resources": resources("200m", "128Mi")}}
        await session.client.patch(ref, patch, how="strategic", subresource="resize")
        assert await hears(session, pod, "ResizeCompleted")
        for group in ("app.0", ""):
            assert cluster.limit(pod, "memory.limit_in_bytes", group) == 128 * MIB
            assert cluster.limit(pod, "cpu.cfs_quota_us", group) == 20_000
        document = await session.client.read("/api/v1/namespaces/default/pods/whole")
        assert document["status"]["resources"] == resources("200m", "128Mi")
        assert document["status"]["allocatedResources"] == {"cpu": "200m", "memory": "128Mi"}
        assert document["status"]["containerStatuses"][0]["restartCount"] == 0
        await session.delete("whole")

    cluster.run(scenario)


def test_a_pod_that_does_not_fit_is_refused_by_the_node(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        milli = parse(node.status.allocatable["cpu"]).milli()
        name = node.metadata.name
        await session.create("first", script=SLEEP, resources={"requests": {"cpu": "200m"}})
        await session.until("first", runs)
        asked = {"requests": {"cpu": f"{milli - 100}m"}}
        spec = {"nodeName": name}  # past the scheduler
        await session.create("second", script=SLEEP, resources=asked, spec=spec)
        pod = await session.until("second", lambda it: it.status.phase == "Failed")
        text = f"cpu, requested: {milli - 100}, used: 200, capacity: {milli}"
        assert (pod.status.reason, pod.status.message) == (
            "OutOfcpu",
            f"Pod was rejected: Node didn't have enough resource: {text}",
        )
        await session.delete("first")
        await session.create("third", script=SLEEP, resources=asked, spec=spec)
        await session.until("third", runs)
        for one in ("second", "third"):
            await session.delete(one)

    cluster.run(scenario)


def test_a_critical_pod_that_does_not_fit_has_another_end_for_it(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        milli = parse(node.status.allocatable["cpu"]).milli()
        await session.create("ordinary", script=SLEEP, resources={"requests": {"cpu": "200m"}})
        await session.until("ordinary", runs)
        asked = {"requests": {"cpu": f"{milli - 100}m"}}
        spec = {"nodeName": node.metadata.name, "priorityClassName": "system-node-critical"}
        await session.create("critical", script=SLEEP, resources=asked, spec=spec)
        await session.until("critical", runs)
        gone = await session.until("ordinary", lambda it: it.status.phase == "Failed")
        assert gone.status.reason == "Preempting"
        assert await hears(session, gone, "Preempting") == gone.status.message
        assert gone.status.message == "Preempted in order to admit critical pod"
        for name in ("critical", "ordinary"):
            await session.delete(name)

    cluster.run(scenario)


def test_memory_is_not_taken_from_below_what_is_in_use(cluster: Cluster) -> None:
    doubled = " ".join("x" * 20)  # 16 bytes, twenty times doubled
    script = f"x=0123456789abcdef; for i in {doubled}; do x=$x$x; done; echo full; {SLEEP}"

    async def scenario(session: Session) -> None:
        await session.create("full", script=script, resources=resources("500m", "256Mi"))
        pod = await session.until("full", runs)
        while "full\n" not in cluster.log(pod):
            pod = await session.until("full", runs)
        await resize(session, "full", resources("500m", "8Mi"))
        pod = await session.until(
            "full",
            lambda it: (
                (found := condition(it.status.conditions, "PodResizeInProgress")) is not None
                and found.reason == "Error"
            ),
        )
        text = told(pod, "PodResizeInProgress").message
        limit = f'attempting to set container "app" memory limit ({8 * MIB}) below current usage ('
        assert text.startswith(limit)
        assert cluster.limit(pod, "memory.limit_in_bytes") == 256 * MIB
        await resize(session, "full", resources("500m", "300Mi"))
        pod = await session.until("full", lambda it: has(it, cpu="500m", memory="300Mi"))
        assert app(pod).restart_count == 0
        await session.delete("full")

    cluster.run(scenario)


def test_a_resize_that_was_granted_is_carried_out_by_the_next_agent(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create("kept", script=SLEEP, resources=resources("100m", "64Mi"))
        before = await session.until("kept", runs)
        killed = cluster.agent()
        os.kill(killed, 9)
        await resize(session, "kept", resources("200m", "128Mi"))
        pod = await session.until("kept", lambda it: has(it, cpu="200m", memory="128Mi"))
        assert cluster.limit(pod, "memory.limit_in_bytes") == 128 * MIB
        assert app(pod).container_id == app(before).container_id
        await session.delete("kept")

    cluster.run(scenario)


def test_a_resize_to_what_is_the_same_for_the_kernel_is_told_and_taken_back(
    cluster: Cluster,
) -> None:
    """Row "resize with equivalents": shares have a least of 2, a quota one of 1 ms."""

    def asks(request: str, limit: str) -> dict[str, Any]:
        return {"requests": {"cpu": request}, "limits": {"cpu": limit}}

    async def scenario(session: Session) -> None:
        await session.create("alike", script=SLEEP, resources=asks("2m", "10m"))
        await session.until("alike", lambda it: runs(it) and has(it, cpu="2m"))
        for request, limit in (("1m", "5m"), ("2m", "10m")):
            await resize(session, "alike", asks(request, limit))
            pod = await session.until(
                "alike",
                lambda it, request=request: (  # type: ignore[misc]
                    has(it, cpu=request)
                    and condition(it.status.conditions, "PodResizeInProgress") is None
                ),
            )
            assert dict(app(pod).allocated_resources) == {"cpu": request}
            given = app(pod).resources
            assert given is not None
            assert dict(given.limits) == {"cpu": limit}
            assert cluster.limit(pod, "cpu.shares") == 2
            assert cluster.limit(pod, "cpu.cfs_quota_us") == 1_000
            assert app(pod).restart_count == 0
        await session.delete("alike")

    cluster.run(scenario)
