"""The scheduler: the rows of [sig-scheduling] SchedulerPredicates and SchedulerPreemption."""

from __future__ import annotations

from typing import Any

from served import JSON_PATCH, Document
from simulation.objects import Objects, condition_of
from simulation.quiet import Quiet, pod_template, quietly
from steersman.node.simulated.behaviour import Behaviour

SIZE = Behaviour(cpu="4", memory="8Gi")
EXTENDED = "example.com/fakecpu"


def pod(**spec: Any) -> Document:
    """Returns the spec of a pod with one container, and what is asked for."""
    made = pod_template({})["spec"]
    made["containers"][0] |= spec.pop("container", {})
    return {**made, **spec}


def asks(**resources: str) -> Document:
    """Returns a container's request and limit."""
    return {"resources": {"requests": resources, "limits": resources}}


class Cluster:
    """Pods, nodes and classes of a cluster."""

    def __init__(self, quiet: Quiet) -> None:
        self.quiet = quiet
        self.pods = Objects(quiet, "/api/v1", "pods")
        self.nodes = Objects(quiet, "/api/v1", "nodes", "")
        self.classes = Objects(quiet, "scheduling.k8s.io/v1", "priorityclasses", "")

    async def place(self, name: str, **spec: Any) -> str:
        """Creates a pod that is to be placed; returns the name of its node."""
        await self.pods.post(name, spec=pod(**spec))
        node: str = await self.quiet.until(lambda: self.node_of(name))
        return node

    async def node_of(self, name: str) -> str:
        found = await self.pods.get(name)
        running = found.get("status", {}).get("phase") == "Running"
        return str(found["spec"].get("nodeName", "")) if running else ""

    async def waits(self, name: str, **spec: Any) -> str:
        """Creates a pod that fits nowhere; returns what its condition says."""
        await self.pods.post(name, spec=pod(**spec))
        return str(await self.quiet.until(lambda: self.told(name)))

    async def told(self, name: str) -> str:
        found = condition_of(await self.pods.get(name), "PodScheduled")
        return str(found["message"]) if found.get("reason") == "Unschedulable" else ""

    async def label(self, node: str, **labels: str | None) -> None:
        await self.nodes.patch(node, {"metadata": {"labels": labels}})

    async def make_classes(self, **values: int) -> None:
        for name, value in values.items():
            await self.classes.post(name, value=value)

    async def extend(self, number: int) -> None:
        """Has each node offer a resource of its own."""
        add = {
            "status": {"capacity": {EXTENDED: str(number)}, "allocatable": {EXTENDED: str(number)}}
        }
        for name in await self.nodes.names():
            await self.nodes.patch(name, add, "status")


def test_pods_are_placed_up_to_the_size_of_each_node_and_no_further() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Cluster(quiet)
        share = asks(cpu="2800m")  # of what is free, upstream's test takes 70 % too
        nodes = {await it.place(f"filler-{number}", container=share) for number in range(3)}
        assert nodes == {"node-0", "node-1", "node-2"}
        told = await it.waits("additional", container=asks(cpu="2000m"))
        assert told.startswith("0/3 nodes are available: 3 Insufficient cpu.")

    quietly(scenario, behaviour=SIZE)


def test_a_node_selector_that_matches_nothing_keeps_a_pod_waiting() -> None:
    async def scenario(quiet: Quiet) -> None:
        told = await Cluster(quiet).waits("restricted", nodeSelector={"label": "nonempty"})
        assert told.startswith(
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
        )

    quietly(scenario)


def test_a_node_selector_that_matches_a_node_leads_there() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Cluster(quiet)
        await it.label("node-1", **{"kubernetes.io/e2e-1": "42"})
        chosen = {"kubernetes.io/e2e-1": "42"}
        assert await it.place("with-labels", nodeSelector=chosen) == "node-1"
        # the label may go, the pod stays
        await it.label("node-1", **{"kubernetes.io/e2e-1": None})
        await quiet.world.sleep(10)
        assert await it.node_of("with-labels") == "node-1"

    quietly(scenario)


def test_a_host_port_on_all_addresses_conflicts_with_one_on_a_single_address() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Cluster(quiet)
        port = {"containerPort": 54322, "hostPort": 54322, "protocol": "TCP"}
        chosen = {"kubernetes.io/hostname": "node-0"}
        every = {"ports": [{**port, "hostIP": "0.0.0.0"}]}
        assert await it.place("pod4", container=every, nodeSelector=chosen) == "node-0"
        one = {"ports": [{**port, "hostIP": "127.0.0.1"}]}
        told = await it.waits("pod5", container=one, nodeSelector=chosen)
        assert "1 node(s) didn't have free ports for the requested pod ports" in told
        other = {"ports": [{**port, "protocol": "UDP", "hostIP": "127.0.0.1"}]}
        assert await it.place("pod6", container=other, nodeSelector=chosen) == "node-0"

    quietly(scenario)


async def fill(it: Cluster, **first: str) -> None:
    """Fills every node with two pods; the first of all is of low priority, the others medium."""
    await it.make_classes(low=10, medium=100, high=1000)
    await it.extend(5)
    share = asks(**{EXTENDED: "2"})
    for number in range(6):
        name = "low" if number == 0 else "medium"
        await it.place(f"pod{number}", container=share, priorityClassName=name, **first)


def test_a_pod_of_high_priority_takes_the_place_of_the_lowest() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Cluster(quiet)
        await fill(it)
        before = await it.node_of("pod0")
        share = asks(**{EXTENDED: "2"})
        node = await it.place("preemptor", container=share, priorityClassName="high")
        assert node == before
        names = [*(f"pod{number}" for number in range(1, 6)), "preemptor"]
        assert await it.pods.names() == names

    quietly(scenario)


def test_a_critical_pod_takes_the_place_of_the_lowest() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Cluster(quiet)
        await fill(it)
        system = Objects(quiet, "/api/v1", "pods", "kube-system")
        spec = pod(container=asks(**{EXTENDED: "2"}), priorityClassName="system-cluster-critical")
        await system.post("critical", spec=spec)
        await quiet.until(lambda: runs(system, "critical"))
        assert await it.pods.names() == [f"pod{number}" for number in range(1, 6)]

    quietly(scenario)


async def runs(pods: Objects, name: str) -> bool:
    return bool((await pods.get(name)).get("status", {}).get("phase") == "Running")


def test_a_preempted_pod_bears_the_condition_of_its_disruption() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Cluster(quiet)
        await it.make_classes(low=10, high=1000)
        await it.extend(1)
        share = asks(**{EXTENDED: "1"})
        chosen = {"kubernetes.io/hostname": "node-0"}
        held = {"finalizers": ["example.com/test-finalizer"]}
        spec = pod(container=share, priorityClassName="low", nodeSelector=chosen)
        await it.pods.post("victim", metadata=held, spec=spec)
        await quiet.until(lambda: runs(it.pods, "victim"))
        high = {"container": share, "priorityClassName": "high", "nodeSelector": chosen}
        await it.pods.post("preemptor", spec=pod(**high))
        await quiet.until(lambda: ends(it, "victim"))
        told = condition_of(await it.pods.get("victim"), "DisruptionTarget")
        assert (told["status"], told["reason"]) == ("True", "PreemptionByScheduler")
        await it.pods.patch("victim", {"metadata": {"finalizers": None}})
        await quiet.until(lambda: runs(it.pods, "preemptor"))

    quietly(scenario)


async def ends(it: Cluster, name: str) -> bool:
    return "deletionTimestamp" in (await it.pods.get(name))["metadata"]


def test_replica_sets_are_preempted_by_those_of_higher_priority_one_by_one() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Cluster(quiet)
        await it.make_classes(p1=1, p2=2, p3=3, p4=4)
        await it.nodes.patch(
            "node-0",
            {"status": {"capacity": {EXTENDED: "1k"}, "allocatable": {EXTENDED: "1k"}}},
            "status",
        )
        sets = Objects(quiet, "apps/v1", "replicasets")
        sizes = {"p1": (1, "200"), "p2": (1, "300"), "p3": (1, "450")}
        for name, (replicas, share) in sizes.items():
            await sets.post(name, spec=replica_set(name, replicas, share))
            await quiet.until(lambda name=name: ready(sets, name))  # type: ignore[misc]
        # 950 of 1000 are taken, 50 are free: 500 take the places of p1 and p2
        await sets.post("p4", spec=replica_set("p4", 1, "500"))
        await quiet.until(lambda: ready(sets, "p4"))
        created = {"p1": 2, "p2": 2, "p3": 1, "p4": 1}
        for name, least in created.items():
            said = [
                text for reason, text in await quiet.events("ReplicaSet") if f": {name}-" in text
            ]
            assert len(said) == least, (name, said)
        assert await ready(sets, "p3")

    quietly(scenario)


def replica_set(name: str, replicas: int, share: str) -> Document:
    """Returns the spec of a ReplicaSet of a priority on the one node that has the resource."""
    labels = {"name": name}
    spec = pod(
        container=asks(**{EXTENDED: share}),
        priorityClassName=name,
        nodeSelector={"kubernetes.io/hostname": "node-0"},
    )
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}


async def ready(sets: Objects, name: str) -> bool:
    found = await sets.get(name)
    return bool(found.get("status", {}).get("readyReplicas") == found["spec"]["replicas"])


def test_a_priority_class_changes_in_all_but_its_value() -> None:
    async def scenario(quiet: Quiet) -> None:
        it = Cluster(quiet)
        await it.make_classes(p1=1, p2=2)
        for name in ("p1", "p2"):
            found = await it.classes.get(name)
            refused = await it.classes.api.put(f"{it.classes.path}/{name}", {**found, "value": 9})
            assert (refused.code, refused.document["reason"]) == (422, "Invalid")
            (cause,) = refused.document["details"]["causes"]
            assert (cause["field"], cause["reason"]) == ("value", "FieldValueForbidden")
            assert cause["message"] == "Forbidden: may not be changed in an update."
            changed = await it.classes.patch(name, {"description": "changed"})
            assert (changed["description"], changed["value"]) == ("changed", int(name[1]))
        change = [{"op": "add", "path": "/description", "value": "again"}]
        assert (await it.classes.patch("p1", change, how=JSON_PATCH))["description"] == "again"
        found = await it.classes.get("p2")
        assert (await it.classes.put({**found, "description": "put"}))["description"] == "put"
        assert {"p1", "p2"} <= set(await it.classes.names())
        await it.classes.delete("p1")
        assert "p1" not in await it.classes.names()

    quietly(scenario)
