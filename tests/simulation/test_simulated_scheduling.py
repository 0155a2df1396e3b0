"""Preemption and spreading on a whole control plane, also in a storm: no node ever has more than
it has room for, and the important pods run in the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from controlled import EVERYBODY
from simulation.control_plane import control_plane
from simulation.faults import Weather
from simulation.quiet import Quiet, quietly, ready
from steersman.model.kind import Document
from steersman.model.kinds.csidriver import CSIDRIVER
from steersman.model.kinds.csinode import CSINODE
from steersman.model.kinds.csistoragecapacity import CSISTORAGECAPACITY
from steersman.model.kinds.node import NODE
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET
from steersman.model.kinds.priorityclass import PRIORITYCLASS
from steersman.model.kinds.service import SERVICE
from steersman.model.kinds.storageclass import STORAGECLASS
from steersman.model.kinds.validatingadmissionpolicy import (
    VALIDATINGADMISSIONPOLICY,
    VALIDATINGADMISSIONPOLICYBINDING,
)
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT
from steersman.model.ref import Resource
from steersman.model.volume_binding import SELECTED_NODE
from steersman.node.simulated.behaviour import Behaviour
from steersman.scheduler import service
from steersman.scheduler.state.demand import amount
from steersman.testing.invariants.rollouts import PODS, Broken
from steersman.world.simulated import SimulatedWorld, simulate

DRIVER = "d.example.com"
SMALL = Behaviour(cpu="4", stop_seconds=3.0)


def wanting(cpu: str, priority: str = "", **spec: Any) -> Document:
    container = {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}
    return {"containers": [container], "priorityClassName": priority, **spec}


async def classes(quiet: Quiet) -> None:
    await quiet.create(PRIORITYCLASS, "high", value=1000)
    await quiet.create(PRIORITYCLASS, "low", value=10)


async def runs(quiet: Quiet, *names: str) -> bool:
    return set(names) <= {pod.metadata.name for pod in await quiet.pods()}


def test_room_that_a_refused_binding_gives_back_goes_to_who_waits_for_it() -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"]}
    refusal = {
        "matchConstraints": {"resourceRules": [{**rule, "resources": ["pods/binding"]}]},
        "validations": [{"expression": "object.metadata.name != 'refused'"}],
    }
    binding = {"policyName": "no", "validationActions": ["Deny"]}

    async def scenario(quiet: Quiet) -> None:
        await quiet.create(VALIDATINGADMISSIONPOLICY, "no", spec=refusal)
        await quiet.create(VALIDATINGADMISSIONPOLICYBINDING, "no", spec=binding)
        quiet.plane.weather.slow_call = 5.0
        await quiet.create(POD, "refused", spec=wanting("3"))
        await quiet.create(POD, "waits", spec=wanting("3"))
        await quiet.until(lambda: is_unschedulable(quiet, "waits"))
        quiet.plane.weather.calm()
        await quiet.until(lambda: runs(quiet, "waits"))
        await quiet.until(lambda: is_told(quiet, "binding rejected: "))

    quietly(scenario, nodes=1, behaviour=SMALL)


async def is_told(quiet: Quiet, start: str) -> bool:
    return any(text.startswith(start) for _, text in await quiet.events("Pod"))


async def is_unschedulable(quiet: Quiet, name: str) -> bool:
    found = await quiet.admin.get(POD.ref("default", name))
    return any(it.reason == "Unschedulable" for it in found.status.conditions)


def test_an_important_pod_takes_the_place_of_less_important_ones() -> None:
    async def scenario(quiet: Quiet) -> None:
        await classes(quiet)
        for name, priority in (("a", "low"), ("b", "")):
            await quiet.create(POD, name, spec=wanting("3", priority))
        await quiet.until(lambda: runs(quiet, "a", "b"))
        victim = await quiet.admin.get(POD.ref("default", "b"))
        made = await quiet.create(POD, "new", spec=wanting("2", "high"))
        nominated = await quiet.until(lambda: nomination(quiet, "new"))
        assert nominated == victim.spec.node_name
        await quiet.until(lambda: runs(quiet, "a", "new"))
        found = await quiet.admin.get(POD.ref("default", "new"))
        assert (found.spec.node_name, found.status.nominated_node_name) == (nominated, "")
        assert await quiet.gone(POD.ref("default", "b"))
        events = await quiet.events("Pod")
        text = f"Preempted by pod {made.metadata.uid} on node {nominated}"
        assert ("Preempted", text) in events
        text = "0/2 nodes are available: 2 Insufficient cpu."
        assert ("FailedScheduling", text) in events
        assert len([it for it in events if it[0] == "Preempted"]) == 1

    quietly(scenario, nodes=2, behaviour=SMALL)


async def nomination(quiet: Quiet, name: str) -> str:
    found = await quiet.admin.get(POD.ref("default", name))
    return str(found.status.nominated_node_name)


def test_room_that_was_made_is_not_taken_by_others() -> None:
    async def scenario(quiet: Quiet) -> None:
        await classes(quiet)
        await quiet.create(POD, "old", spec=wanting("4"))
        await quiet.until(lambda: runs(quiet, "old"))
        await quiet.create(POD, "thief", spec=wanting("3", "low"))
        await quiet.until(lambda: nomination(quiet, "thief"))
        await quiet.create(POD, "new", spec=wanting("3", "high"))
        await quiet.until(lambda: runs(quiet, "new"))
        assert not await runs(quiet, "thief")
        await quiet.world.sleep(20)
        assert not await nomination(quiet, "thief")
        assert len([it for it in await quiet.events("Pod") if it[0] == "Preempted"]) == 1

    quietly(scenario, nodes=1, behaviour=SMALL)


def test_nobody_comes_whom_the_pod_that_waits_for_its_room_could_not_bear() -> None:
    apart = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app": "new"}},
    }
    rules = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}

    async def scenario(quiet: Quiet) -> None:
        await classes(quiet)
        await quiet.create(POD, "old", spec=wanting("2"))
        await quiet.until(lambda: runs(quiet, "old"))
        labels = {"labels": {"app": "new"}}
        await quiet.create(POD, "new", spec=wanting("3", "high"), metadata=labels)
        await quiet.until(lambda: nomination(quiet, "new"))
        await quiet.create(POD, "shy", spec=wanting("0", affinity=rules))
        await quiet.until(lambda: is_unschedulable(quiet, "shy"))
        await quiet.until(lambda: runs(quiet, "new"))
        assert not await runs(quiet, "shy")

    quietly(scenario, nodes=1, behaviour=SMALL)


def test_a_victim_is_told_before_it_goes() -> None:
    async def scenario(quiet: Quiet) -> None:
        await classes(quiet)
        await quiet.create(POD, "old", spec=wanting("3"))
        await quiet.until(lambda: runs(quiet, "old"))
        await quiet.create(POD, "new", spec=wanting("3", "high"))

        async def told() -> Any:
            found = await quiet.admin.get(POD.ref("default", "old"))
            return next(
                (it for it in found.status.conditions if it.type == "DisruptionTarget"), None
            )

        condition = await quiet.until(told)
        assert (condition.status, condition.reason) == ("True", "PreemptionByScheduler")
        assert condition.message == (
            "default-scheduler: preempting to accommodate a higher priority pod"
        )

    quietly(scenario, nodes=1, behaviour=SMALL)


def test_a_disruption_budget_sends_preemption_to_another_node() -> None:
    async def scenario(quiet: Quiet) -> None:
        await classes(quiet)
        selector = {"matchLabels": {"app": "web"}}
        budget = {"selector": selector, "minAvailable": 1}
        await quiet.create(PODDISRUPTIONBUDGET, "web", spec=budget)
        labels = {"labels": {"app": "web"}}
        await quiet.create(POD, "guarded", spec=wanting("3"), metadata=labels)
        await quiet.create(POD, "dearer", spec=wanting("3", "low"))
        await quiet.until(lambda: runs(quiet, "guarded", "dearer"))
        await quiet.create(POD, "new", spec=wanting("3", "high"))
        await quiet.until(lambda: runs(quiet, "guarded", "new"))
        assert await quiet.gone(POD.ref("default", "dearer"))

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_an_unschedulable_pod_is_tried_when_what_it_waits_for_comes() -> None:
    async def scenario(quiet: Quiet) -> None:
        near = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"a": "b"}},
        }
        rules = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
        await quiet.create(POD, "waits", spec=wanting("1", affinity=rules))
        await quiet.world.sleep(30)
        assert not await runs(quiet, "waits")
        (event,) = [it for it in await quiet.events("Pod") if it[0] == "FailedScheduling"]
        assert event[1] == (
            "0/2 nodes are available: 2 node(s) didn't match pod affinity rules. "
            "no new claims to deallocate, preemption: 0/2 "
            "nodes are available: 2 Preemption is not helpful for scheduling."
        )
        await quiet.create(POD, "friend", spec=wanting("1"), metadata={"labels": {"a": "b"}})
        await quiet.until(lambda: runs(quiet, "waits", "friend"), within=15)
        waits, friend = await quiet.pods()
        assert waits.spec.node_name == friend.spec.node_name

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_a_pod_is_tried_when_another_of_many_alike_comes() -> None:
    async def scenario(quiet: Quiet) -> None:
        near = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"a": "b"}},
        }
        rules = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
        friend = {"metadata": {"labels": {"a": "b"}}}
        on = [{"nodeSelector": {"kubernetes.io/hostname": f"node-{at}"}} for at in range(2)]
        await quiet.create(POD, "full", spec=wanting("3500m", **on[0]), **friend)
        await quiet.until(lambda: runs(quiet, "full"))
        await quiet.create(POD, "waits", spec=wanting("1", affinity=rules))
        await quiet.world.sleep(30)
        assert not await runs(quiet, "waits")
        await quiet.create(POD, "friend", spec=wanting("1", **on[1]), **friend)
        await quiet.until(lambda: runs(quiet, "waits", "friend"), within=15)

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_pods_of_a_service_are_spread_without_being_told_to() -> None:
    async def scenario(quiet: Quiet) -> None:
        for number in range(4):
            labels = {"metadata": {"labels": {"topology.kubernetes.io/zone": f"z{number % 2}"}}}
            await quiet.admin.patch(NODE.ref("", f"node-{number}"), labels)
        await quiet.create(SERVICE, "web", spec={"selector": {"app": "w"}, "ports": [{"port": 80}]})
        for name in "abcd":
            # much of one node is taken already: without spreading all would avoid it
            await quiet.create(POD, name, spec=wanting("100m"), metadata={"labels": {"app": "w"}})
            await quiet.until(lambda name=name: runs(quiet, name))  # type: ignore[misc]
        nodes = [pod.spec.node_name for pod in await quiet.pods()]
        assert sorted(nodes) == [f"node-{number}" for number in range(4)]
        assert int(nodes[0][-1]) % 2 != int(nodes[1][-1]) % 2  # the other zone comes first

    quietly(scenario, nodes=4, behaviour=SMALL)


def test_a_waiting_claim_gets_its_volume_with_the_node_and_then_the_pod_is_bound() -> None:
    async def scenario(quiet: Quiet) -> None:
        late = {"volumeBindingMode": "WaitForFirstConsumer"}
        await quiet.create(STORAGECLASS, "late", provisioner="kubernetes.io/no-provisioner", **late)
        size = {"requests": {"storage": "1Gi"}}
        modes = {"accessModes": ["ReadWriteOnce"], "storageClassName": "late"}
        await quiet.create(PERSISTENTVOLUMECLAIM, "data", spec={**modes, "resources": size})
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        await quiet.create(POD, "p", spec=wanting("1", volumes=volumes))
        text = (
            "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. "
            "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not "
            "helpful for scheduling."
        )
        await quiet.until(lambda: said(quiet, ("FailedScheduling", text)))
        on = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [on]}]}}
        local = {"local": {"path": "/data"}, "capacity": {"storage": "1Gi"}}
        spec = {**modes, **local, "nodeAffinity": affinity}
        await quiet.create(PERSISTENTVOLUME, "v", spec=spec)
        await quiet.until(lambda: runs(quiet, "p"))
        claim = await quiet.admin.get(PERSISTENTVOLUMECLAIM.ref("default", "data"))
        assert (claim.status.phase, claim.spec.volume_name) == ("Bound", "v")
        assert (await quiet.admin.get(POD.ref("default", "p"))).spec.node_name == "node-1"

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_a_pod_waits_until_a_driver_has_room_for_its_volume() -> None:
    async def scenario(quiet: Quiet) -> None:
        late = {"volumeBindingMode": "WaitForFirstConsumer"}
        await quiet.create(STORAGECLASS, "late", provisioner="d.example.com", **late)
        await quiet.create(CSIDRIVER, "d.example.com", spec={"storageCapacity": True})
        size = {"requests": {"storage": "1Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "late", "resources": size}
        await quiet.create(PERSISTENTVOLUMECLAIM, "data", spec=spec)
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        await quiet.create(POD, "p", spec=wanting("1", volumes=volumes))
        await quiet.until(lambda: is_unschedulable(quiet, "p"))
        assert await is_told(quiet, "0/2 nodes are available: 2 node(s) did not have enough free")
        near = {"matchLabels": {"kubernetes.io/hostname": "node-1"}}
        room = {"storageClassName": "late", "nodeTopology": near, "capacity": "1Gi"}
        await quiet.create(CSISTORAGECAPACITY, "room", **room)

        async def selected() -> bool:
            claim = await quiet.admin.get(PERSISTENTVOLUMECLAIM.ref("default", "data"))
            return claim.metadata.annotations.get(SELECTED_NODE) == "node-1"

        await quiet.until(selected)

    quietly(scenario, nodes=2, behaviour=SMALL)


def test_a_pod_waits_until_a_volume_of_another_is_detached() -> None:
    async def volume(quiet: Quiet, name: str) -> None:
        modes = {"accessModes": ["ReadWriteOnce"]}
        size, source = {"storage": "1Gi"}, {"driver": DRIVER, "volumeHandle": name}
        await quiet.create(PERSISTENTVOLUME, name, spec={**modes, "capacity": size, "csi": source})

    async def scenario(quiet: Quiet) -> None:
        drivers = [{"name": DRIVER, "nodeID": "n", "allocatable": {"count": 1}}]
        await quiet.create(CSINODE, "node-0", spec={"drivers": drivers})
        for name in ("old", "new"):
            await volume(quiet, name)
        source = {"persistentVolumeName": "old"}
        spec = {"attacher": DRIVER, "nodeName": "node-0", "source": source}
        held = {"finalizers": ["external-attacher/d-example-com"]}
        await quiet.create(VOLUMEATTACHMENT, "left", metadata=held, spec=spec)
        modes = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        size = {"requests": {"storage": "1Gi"}}
        claim = {**modes, "resources": size, "volumeName": "new"}
        await quiet.create(PERSISTENTVOLUMECLAIM, "data", spec=claim)
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        await quiet.create(POD, "p", spec=wanting("1", volumes=volumes))
        await quiet.until(lambda: is_unschedulable(quiet, "p"))
        text = "0/1 nodes are available: 1 node(s) exceed max volume count"
        await quiet.until(lambda: is_told(quiet, text))
        ref = VOLUMEATTACHMENT.ref("", "left")
        await quiet.admin.patch(ref, {"metadata": {"finalizers": None}})
        if not await quiet.gone(ref):
            await quiet.admin.delete(ref)
        await quiet.until(lambda: is_bound(quiet, "p"), within=20)

    quietly(scenario, nodes=1, behaviour=SMALL)


async def is_bound(quiet: Quiet, name: str) -> bool:
    return bool((await quiet.admin.get(POD.ref("default", name))).spec.node_name)


def test_a_pod_whose_volume_cannot_be_bound_is_not_bound_either() -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"]}
    refusal = {
        "matchConstraints": {"resourceRules": [{**rule, "resources": ["persistentvolumes"]}]},
        "validations": [{"expression": "!has(object.spec.claimRef)"}],
    }
    binding = {"policyName": "no", "validationActions": ["Deny"]}

    async def scenario(quiet: Quiet) -> None:
        await quiet.create(VALIDATINGADMISSIONPOLICY, "no", spec=refusal)
        await quiet.create(VALIDATINGADMISSIONPOLICYBINDING, "no", spec=binding)
        late = {"volumeBindingMode": "WaitForFirstConsumer"}
        await quiet.create(STORAGECLASS, "late", provisioner="kubernetes.io/no-provisioner", **late)
        modes = {"accessModes": ["ReadWriteOnce"], "storageClassName": "late"}
        size = {"requests": {"storage": "1Gi"}}
        await quiet.create(PERSISTENTVOLUMECLAIM, "data", spec={**modes, "resources": size})
        on = {"hostPath": {"path": "/data"}, "capacity": {"storage": "1Gi"}}
        await quiet.create(PERSISTENTVOLUME, "v", spec={**modes, **on})
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        await quiet.create(POD, "p", spec=wanting("1", volumes=volumes))
        await quiet.until(lambda: is_told(quiet, 'running PreBind plugin "VolumeBinding": '))
        assert (await quiet.admin.get(POD.ref("default", "p"))).spec.node_name == ""
        await quiet.admin.delete(VALIDATINGADMISSIONPOLICYBINDING.ref("", "no"))
        await quiet.until(lambda: runs(quiet, "p"))

    quietly(scenario, nodes=1, behaviour=SMALL)


def test_pods_of_others_and_gated_ones_are_left_alone_until_the_gate_opens() -> None:
    async def scenario(quiet: Quiet) -> None:
        gates = [{"name": "example.org/wait"}]
        await quiet.create(POD, "gated", spec=wanting("1", schedulingGates=gates))
        await quiet.create(POD, "others", spec=wanting("1", schedulerName="theirs"))
        await quiet.create(POD, "own", spec=wanting("1"))
        await quiet.until(lambda: runs(quiet, "own"))
        assert not await runs(quiet, "gated")
        assert not await runs(quiet, "others")
        await quiet.admin.patch(POD.ref("default", "gated"), {"spec": {"schedulingGates": None}})
        await quiet.until(lambda: runs(quiet, "gated"))
        assert not await runs(quiet, "others")

    quietly(scenario, nodes=1, behaviour=SMALL)


def test_more_pods_than_are_written_at_once_are_placed_one_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "WRITES_AT_ONCE", 2)

    async def scenario(quiet: Quiet) -> None:
        for name in "abcde":
            await quiet.create(POD, name, spec=wanting("100m"))
        await quiet.until(lambda: runs(quiet, *"abcde"))

    quietly(scenario, nodes=1, behaviour=SMALL)


@pytest.mark.parametrize(("slots", "turns"), [(128, 2), (8, 4)])
def test_a_crowd_is_decided_on_in_few_turns_of_the_loop(
    monkeypatch: pytest.MonkeyPatch, slots: int, turns: int
) -> None:
    """Two turns of sixteen pods, or as many as the writes under way leave room for."""
    monkeypatch.setattr(service, "WRITES_AT_ONCE", slots)
    counts: list[int] = []
    begin, go_on = service.Scheduler._begin, service.Scheduler._next

    def counted(self: service.Scheduler, group: Any, pod: Any) -> None:
        counts[-1] += 1
        begin(self, group, pod)

    async def noted(self: service.Scheduler, group: Any) -> None:
        counts.append(0)
        await go_on(self, group)

    monkeypatch.setattr(service.Scheduler, "_begin", counted)
    monkeypatch.setattr(service.Scheduler, "_next", noted)
    names = [f"p{number:02}" for number in range(32)]

    async def main(world: SimulatedWorld) -> None:
        async with control_plane(world, Weather(), lambda *_: None) as plane:
            plane.run_controllers(EVERYBODY)
            plane.run_nodes(1, SMALL)
            quiet = Quiet(plane, world)
            await quiet.until(lambda: ready(quiet, 1))
            for name in names:
                await quiet.create(POD, name, spec=wanting("10m"))
            plane.run_scheduler()
            await quiet.until(lambda: runs(quiet, *names))
        made = [count for count in counts if count]
        assert sum(made) == len(names)
        assert max(made) == min(slots, service.TURN_PODS)
        assert len(made) >= turns

    simulate(1, main)


async def said(quiet: Quiet, event: tuple[str, str]) -> bool:
    return event in await quiet.events("Pod")


class Overcommitted:
    """Sees every commit; raises where a node gets more than it has, or a pod moves."""

    def __init__(self, millis: int) -> None:
        self._millis = millis
        self._pods: dict[tuple[str, str], Document] = {}

    def see(self, resource: Resource, namespace: str, name: str, new: Document | None) -> None:
        if resource != PODS:
            return
        key = (namespace, name)
        if new is None:
            self._pods.pop(key, None)
            return
        self._pods[key] = new
        sums: Counter[str] = Counter()
        for pod in self._pods.values():
            ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            if not ended and (node := pod["spec"].get("nodeName")):
                sums[node] += sum(cpu_of(pod))
        for node, taken in sums.items():
            if taken > self._millis:
                raise Broken(f"{node} has {taken} of {self._millis} millis taken by {name}")


def cpu_of(pod: Document) -> list[int]:
    return [
        amount("cpu", it.get("resources", {}).get("requests", {}).get("cpu", "0"))
        for it in pod["spec"]["containers"]
    ]


STORMS = [(seed, "default-scheduler") for seed in range(12)]
STORMS += [(seed, "flow") for seed in range(12)]


@pytest.mark.parametrize(("seed", "scheduler"), STORMS)
def test_in_a_storm_no_node_is_overcommitted_and_the_important_run_in_the_end(
    seed: int, scheduler: str
) -> None:
    if scheduler == "flow":
        pytest.importorskip("ortools", reason="OR-Tools is not installed")
    named = {"schedulerName": scheduler}
    behaviour = Behaviour(cpu="4", stop_seconds=2.0)
    invariants = Overcommitted(4000)

    async def main(world: SimulatedWorld) -> None:
        weather = Weather()
        async with control_plane(world, weather, invariants.see) as plane:
            plane.run_controllers(EVERYBODY)
            plane.run_scheduler()
            plane.run_nodes(3, behaviour)
            quiet = Quiet(plane, world)
            await quiet.until(lambda: ready(quiet, 3))
            await classes(quiet)
            for number in range(6):
                priority = ("", "low")[number % 2]
                await quiet.create(POD, f"old-{number}", spec=wanting("2", priority, **named))
            await quiet.until(lambda: runs(quiet, *(f"old-{number}" for number in range(6))))
            weather.lose_request = weather.lose_answer = (0.0, 0.1, 0.3)[seed % 3]
            weather.slow_watch = (0.0, 2.0)[seed % 2]
            weather.slow_call = (0.0, 0.3)[seed // 2 % 2]
            weather.crash_every = (0, 11, 23)[seed // 3 % 3]
            for number in range(4):
                spec = wanting(f"{1 + number % 3}", "high", **named)
                await quiet.create(POD, f"new-{number}", spec=spec)
                await world.sleep((0.1, 3.0)[seed % 2])
            await world.sleep(20)
            weather.calm()
            names = [f"new-{number}" for number in range(4)]
            await quiet.until(lambda: runs(quiet, *names), within=400)

    simulate(seed, main)
