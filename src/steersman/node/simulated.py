"""Nodes without a machine: they register, renew their leases and say that their pods run.

One object serves any number of nodes with one view of pods and one task of heartbeats. Each node
writes as itself (`system:node:NAME`). Times and failures are drawn from the World.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network
from typing import Any, ClassVar

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client, Views
from steersman.model.errors import AlreadyExists, APIError, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.lease import LEASE
from steersman.model.kinds.node import ATTACHES, NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.node.simulated_pod import (
    ENDED,
    Life,
    plan_status,
    plan_stopped,
    restart_delay,
    starts_again,
)
from steersman.reconcile.events import Said, about
from steersman.reconcile.loop import Controller, Done, Given, Runner
from steersman.reconcile.noting import Noting
from steersman.reconcile.rules import Rule, Watch
from steersman.reconcile.times import rfc3339, rfc3339_micro
from steersman.world.interface import World

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40  # kubelet nodeLeaseDurationSeconds
RENEW_SECONDS = 10.0  # a quarter of it
REGISTER_RETRY_SECONDS = 1.0
BY_NODE = "node name"  # index: pods by the node they are bound to
VERSION = "v1.37.0"


class Behaviour(msgspec.Struct, frozen=True):
    """How simulated pods behave; every time is drawn between the given one and twice it.

    crash_chance is the chance that a run of containers ends by itself with exit code 1; runs of
    pods that are not restarted always end, after `run_seconds`.
    """

    start_seconds: float = 0.0
    ready_seconds: float = 0.0
    stop_seconds: float = 0.0
    run_seconds: float = 1.0
    crash_chance: float = 0.0
    cpu: str = "32"
    memory: str = "128Gi"
    pods: str = "110"


class Ranges(msgspec.Struct, frozen=True):
    """Where addresses come from; `nodes` gives one to each node, `pods` one to each pod."""

    nodes: str = "172.30.0.0/16"
    pods: str = "10.128.0.0/9"


class SimulatedNodes:
    """A number of nodes; `run` keeps them alive until cancelled."""

    def __init__(
        self,
        names: Sequence[str],
        client_for: Callable[[str], Client],
        views: Views,
        world: World,
        behaviour: Behaviour | None = None,
        ranges: Ranges | None = None,
    ) -> None:
        self.names = tuple(names)
        self.behaviour = behaviour or Behaviour()
        self._world = world
        self._views = views
        ranges = ranges or Ranges()
        hosts = IPv4Network(ranges.nodes)
        self._addresses = {name: str(hosts[place + 2]) for place, name in enumerate(self.names)}
        self._pod_range = IPv4Network(ranges.pods)
        self._clients = {
            # status patches and deletions by uid; and a node may not list all pods to settle them
            name: Noting(client_for(name), repeatable=True)
            for name in self.names
        }
        self._lives: dict[str, Life] = {}
        self._taken: set[str] = set()
        self._next_address = 2
        self._silent: set[str] = set()
        self._runner = Runner(self._controller(), self._clients[self.names[0]], views, world)
        self._said = self._runner.events

    def silence(self, name: str) -> None:
        """Makes a node stop speaking, as if its machine were cut off."""
        self._silent.add(name)

    def speak(self, name: str) -> None:
        """Lets a silenced node go on."""
        self._silent.discard(name)
        for pod in self._views.of(POD).by(BY_NODE, name):
            self._runner.queue.add(POD.ref(*pod.key))

    def crash(self, pod: Pod, exit_code: int = 137) -> None:
        """Ends the containers of a pod now."""
        if (life := self._lives.get(pod.metadata.uid)) is not None:
            life.ends_at, life.exit_code = self._world.now(), exit_code
            self._runner.queue.add(POD.ref(*pod.key))

    async def run(self) -> None:
        """Registers the nodes, then keeps leases and pods going."""
        await self._views.synced()
        for pod in self._views.of(POD).list():
            self._taken.update(it.ip for it in pod.status.pod_ips)
        for name in self.names:
            await self._register(name)
        async with self._world.tasks() as group:
            group.start(self._heartbeats(), name="simulated heartbeats")
            group.start(self._runner.run(), name="simulated pods")

    # Nodes

    async def _register(self, name: str) -> None:
        while True:
            try:
                await self._create(name)
                return
            except (APIError, Unreachable):  # a node tries to register for ever, as a kubelet does
                await self._world.pause(REGISTER_RETRY_SECONDS)

    async def _create(self, name: str) -> None:
        document = render_node(name, self._addresses[name], self.behaviour, self._world.now())
        client = self._clients[name]
        try:
            await client.create(NODE, document)
        except AlreadyExists:
            status = {"status": document["status"]}
            ref = NODE.ref("", name)
            await client.patch(ref, status, how="strategic", subresource="status")
        await self._renew(name)

    async def _renew(self, name: str) -> None:
        ref = LEASE.ref(LEASE_NAMESPACE, name)
        spec: Document = {"renewTime": rfc3339_micro(self._world.now())}
        try:
            await self._clients[name].patch(ref, {"spec": spec})
        except NotFound:
            spec |= {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS}
            metadata = {"name": name, "namespace": LEASE_NAMESPACE}
            document: Document = {"metadata": metadata, "spec": spec}
            document |= {"apiVersion": LEASE.api_version(), "kind": "Lease"}
            await self._clients[name].create(LEASE, document, namespace=LEASE_NAMESPACE)

    async def _heartbeats(self) -> None:
        """Renews the leases of all nodes in turn, evenly spread over the interval."""
        while True:
            for name in self.names:
                await self._world.sleep(RENEW_SECONDS / len(self.names))
                if name in self._silent:
                    continue
                try:
                    await self._beat(name)
                except (APIError, Unreachable):  # the next beat is the retry
                    continue

    async def _beat(self, name: str) -> None:
        await self._renew(name)
        node = self._views.of(NODE).get(NODE.ref("", name))
        if node is None or any(
            it.type == "Ready" and it.status != "True" for it in node.status.conditions
        ):
            await self._create(name)  # it was thought lost, or removed

    # Pods

    def _controller(self) -> type[Controller]:
        nodes = self

        class SimulatedPods:
            """The loop's face of the nodes; see `reconcile.loop.Controller`."""

            name: ClassVar[str] = "kubelet"
            watches: ClassVar[tuple[Watch, ...]] = (Watch(POD, nodes._of_pod, {BY_NODE: _by_node}),)
            writes: ClassVar[tuple[Rule, ...]] = ()

            def __init__(self, given: Given) -> None:
                """Takes nothing: every node writes with its own client."""

            async def reconcile(self, ref: Ref) -> Done:
                """Brings one pod to where its life stands."""
                return await nodes._reconcile(ref)

        return SimulatedPods

    def _of_pod(self, _views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
        for pod in (old, new):
            if pod is not None and pod.spec.node_name in self._addresses:
                return (POD.ref(*pod.key),)
        return ()

    async def _reconcile(self, ref: Ref) -> Done:
        pod: Pod | None = self._views.of(POD).get(ref)
        if pod is None:
            self._forget()
            return Done()
        name = pod.spec.node_name
        if name in self._silent or name not in self._addresses:
            return Done()
        now = self._world.now()
        life = self._life(pod, now)
        if pod.metadata.deletion_timestamp is not None:
            return await self._stop(ref, pod, life, now)
        if pod.status.phase in ENDED:
            return Done()
        self._turn(pod, life, now)
        patch = plan_status(pod, life, self._addresses[name], now)
        if patch is not None:
            await self._write(ref, pod, patch)
            self._tell(pod, life, now)
        coming = life.next(now)
        return Done(None if coming is None else coming - now)

    async def _write(self, ref: Ref, pod: Pod, patch: Document) -> None:
        client, uid = self._clients[pod.spec.node_name], pod.metadata.uid
        await client.patch(ref, patch, how="strategic", subresource="status", uid=uid)

    def _life(self, pod: Pod, now: float) -> Life:
        """Returns the pod's life, drawn when it is first seen; what its status says already
        happened is kept."""
        if (found := self._lives.get(pod.metadata.uid)) is not None:
            return found
        behaviour = self.behaviour
        ran = pod.status.phase == "Running"
        runs_at = now if ran else now + self._draw(behaviour.start_seconds)
        ready_at = runs_at if ran else runs_at + self._readiness(pod)
        address = pod.status.pod_ip or self._address()
        life = Life(address, now, runs_at, ready_at)
        life.restarts = max((it.restart_count for it in pod.status.container_statuses), default=0)
        self._draw_end(pod, life)
        self._lives[pod.metadata.uid] = life
        self._taken.add(address)
        return life

    def _readiness(self, pod: Pod) -> float:
        probes = [it.readiness_probe for it in pod.spec.containers if it.readiness_probe]
        initial = max((probe.initial_delay_seconds for probe in probes), default=0)
        return initial + self._draw(self.behaviour.ready_seconds)

    def _draw_end(self, pod: Pod, life: Life) -> None:
        crashes = self._world.jitter(1.0, 1.0) - 1.0 < self.behaviour.crash_chance
        if crashes or pod.spec.restart_policy != "Always":
            life.ends_at = life.runs_at + self._draw(self.behaviour.run_seconds)
            life.exit_code = 1 if crashes else 0

    def _turn(self, pod: Pod, life: Life, now: float) -> None:
        """Begins the next run of containers that ended and are to be restarted."""
        if not life.ended(now) or not starts_again(pod, life.exit_code):
            return
        life.runs_at = now + restart_delay(life.restarts)
        life.ready_at = life.runs_at + self._readiness(pod)
        life.restarts += 1
        life.ends_at = None
        self._draw_end(pod, life)

    async def _stop(self, ref: Ref, pod: Pod, life: Life, now: float) -> Done:
        """Ends a pod gracefully: its last status first, then the object with grace 0."""
        if life.stops_at is None:
            grace = float(pod.metadata.deletion_grace_period_seconds or 0)
            life.stops_at = now + min(grace, self._draw(self.behaviour.stop_seconds))
            for container in pod.spec.containers:
                self._say(pod, "Killing", f"Stopping container {container.name}")
        if now < life.stops_at:
            return Done(life.stops_at - now)
        if patch := plan_stopped(pod, life, now):
            await self._write(ref, pod, patch)
        client, uid = self._clients[pod.spec.node_name], pod.metadata.uid
        await client.delete(ref, uid=uid, grace_seconds=0)
        return Done()

    def _tell(self, pod: Pod, life: Life, now: float) -> None:
        if pod.status.phase != "Pending" or not life.runs_at <= now:
            return
        for container in pod.spec.containers:
            present = f'Container image "{container.image}" already present on machine'
            self._say(pod, "Pulled", present)
            self._say(pod, "Created", f"Created container: {container.name}")
            self._say(pod, "Started", f"Started container {container.name}")

    def _say(self, pod: Pod, reason: str, note: str) -> None:
        host = pod.spec.node_name
        self._said.say(Said(about(pod), "Normal", reason, note, host=host))

    def _draw(self, seconds: float) -> float:
        return self._world.jitter(seconds, 1.0) if seconds else 0.0

    def _address(self) -> str:
        size = self._pod_range.num_addresses
        for _ in range(size):
            address = str(self._pod_range[self._next_address])
            self._next_address = self._next_address % (size - 2) + 1
            if address not in self._taken:
                return address
        raise RuntimeError(f"no pod address is free in {self._pod_range}")

    def _forget(self) -> None:
        """Forgets the lives of pods that are gone, once enough of them may be."""
        pods = self._views.of(POD)
        if len(self._lives) < 2 * sum(1 for _ in pods.list()) + 64:
            return
        alive = {pod.metadata.uid for pod in pods.list()}
        for uid in [uid for uid in self._lives if uid not in alive]:
            self._taken.discard(self._lives.pop(uid).address)


def _by_node(pod: Any) -> tuple[str, ...]:
    return (pod.spec.node_name,) if pod.spec.node_name else ()


def render_node(name: str, address: str, behaviour: Behaviour, now: float) -> Document:
    """Returns the Node object of a simulated node."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
        "steersman.dev/simulated": "true",
    }
    amounts = {"cpu": behaviour.cpu, "memory": behaviour.memory, "pods": behaviour.pods}
    status = {
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": _node_conditions(now),
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": name},
        ],
        "nodeInfo": _node_info(name),
    }
    metadata = {"name": name, "labels": labels, "annotations": {ATTACHES: "true"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": status}


def _node_info(name: str) -> Document:
    return {
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
        "kernelVersion": "simulated",
        "osImage": "Simulated node",
        "containerRuntimeVersion": f"simulated://{VERSION}",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": VERSION,
        "operatingSystem": "linux",
        "architecture": "amd64",
    }


def _node_conditions(now: float) -> list[Document]:
    time = rfc3339(now)
    said = (
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "has sufficient memory available",
        ),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "is posting ready status"),
    )
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": f"kubelet {text}",
            "lastHeartbeatTime": time,
            "lastTransitionTime": time,
        }
        for kind, status, reason, text in said
    ]
