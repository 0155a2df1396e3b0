"""The pods of simulated nodes: each is brought to where its life stands, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.node.simulated.behaviour import Behaviour
from steersman.node.simulated.heartbeats import Heartbeats
from steersman.node.simulated.life import (
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
from steersman.world.interface import World

BY_NODE = "node name"  # index: pods by the node they are bound to


class SimulatedPods:
    """The pods of any number of nodes, which come and go."""

    def __init__(
        self,
        client_of: Callable[[str], Noting],
        views: Views,
        world: World,
        behaviour: Behaviour,
        addresses: IPv4Network,
        beats: Heartbeats,
    ) -> None:
        self._client_of = client_of
        self._views = views
        self._view = views.of(POD)
        self._view.index(BY_NODE, _by_node)
        self._world = world
        self._behaviour = behaviour
        self._beats = beats
        self._nodes: dict[str, str] = {}  # node -> its address
        self._lives: dict[str, Life] = {}
        self._range = addresses
        self._taken: set[str] = set()
        self._next_address = 2
        self._some = asyncio.Event()
        self._runner: Runner | None = None

    def add(self, name: str, address: str) -> None:
        """Takes a node's pods on."""
        self._nodes[name] = address
        self._some.set()
        self.look_at(name)

    def remove(self, name: str) -> None:
        """Leaves a node's pods alone: it is gone."""
        self._nodes.pop(name, None)

    def look_at(self, name: str) -> None:
        """Looks at all pods of a node."""
        if self._runner is not None:
            for pod in self._view.by(BY_NODE, name):
                self._runner.queue.add(POD.ref(*pod.key))

    def crash(self, pod: Pod, exit_code: int) -> None:
        """Ends the containers of a pod now."""
        life = self._lives.get(pod.metadata.uid)
        if life is not None and self._runner is not None:
            life.ends_at, life.exit_code = self._world.now(), exit_code
            self._runner.queue.add(POD.ref(*pod.key))

    async def run(self) -> None:
        """Works for ever, from the first node on."""
        await self._some.wait()
        for pod in self._view.list():
            self._taken.update(it.ip for it in pod.status.pod_ips)
        client = self._client_of(next(iter(self._nodes), ""))  # what it tells is not of its own
        self._runner = Runner(self._controller(), client, self._views, self._world)
        await self._runner.run()

    def _controller(self) -> type[Controller]:
        pods = self

        class Agent:
            """The loop's face of the pods; see `reconcile.loop.Controller`."""

            name: ClassVar[str] = "kubelet"
            watches: ClassVar[tuple[Watch, ...]] = (Watch(POD, pods._of_pod),)
            writes: ClassVar[tuple[Rule, ...]] = ()

            def __init__(self, given: Given) -> None:
                """Takes nothing: every node writes with its own client."""

            async def reconcile(self, ref: Ref) -> Done:
                """Brings one pod to where its life stands."""
                return await pods._reconcile(ref)

        return Agent

    def _of_pod(self, _views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
        for pod in (old, new):
            if pod is not None and pod.spec.node_name in self._nodes:
                return (POD.ref(*pod.key),)
        return ()

    async def _reconcile(self, ref: Ref) -> Done:
        pod: Pod | None = self._view.get(ref)
        if pod is None:
            self._forget()
            return Done()
        name = pod.spec.node_name
        if name not in self._nodes or self._beats.is_silent(name):
            return Done()
        now = self._world.now()
        life = self._life(pod, now)
        if pod.metadata.deletion_timestamp is not None:
            return await self._stop(ref, pod, life, now)
        if pod.status.phase in ENDED:
            return Done()
        self._turn(pod, life, now)
        patch = plan_status(pod, life, self._nodes[name], now)
        if patch is not None:
            await self._write(ref, pod, patch)
            self._tell(pod, life, now)
        coming = life.next(now)
        return Done(None if coming is None else coming - now)

    async def _write(self, ref: Ref, pod: Pod, patch: Document) -> None:
        client, uid = self._client_of(pod.spec.node_name), pod.metadata.uid
        await client.patch(ref, patch, how="strategic", subresource="status", uid=uid)

    def _life(self, pod: Pod, now: float) -> Life:
        """Returns the pod's life, drawn when it is first seen; what its status says already
        happened is kept."""
        if (found := self._lives.get(pod.metadata.uid)) is not None:
            return found
        behaviour = self._behaviour
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
        return initial + self._draw(self._behaviour.ready_seconds)

    def _draw_end(self, pod: Pod, life: Life) -> None:
        crashes = self._world.jitter(1.0, 1.0) - 1.0 < self._behaviour.crash_chance
        if crashes or pod.spec.restart_policy != "Always":
            life.ends_at = life.runs_at + self._draw(self._behaviour.run_seconds)
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
            life.stops_at = now + min(grace, self._draw(self._behaviour.stop_seconds))
            for container in pod.spec.containers:
                self._say(pod, "Killing", f"Stopping container {container.name}")
        if now < life.stops_at:
            return Done(life.stops_at - now)
        if patch := plan_stopped(pod, life, now):
            await self._write(ref, pod, patch)
        client, uid = self._client_of(pod.spec.node_name), pod.metadata.uid
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
        assert self._runner is not None
        self._runner.events.say(Said(about(pod), "Normal", reason, note, host=host))

    def _draw(self, seconds: float) -> float:
        return self._world.jitter(seconds, 1.0) if seconds else 0.0

    def _address(self) -> str:
        size = self._range.num_addresses
        for _ in range(size):
            address = str(self._range[self._next_address])
            self._next_address = self._next_address % (size - 2) + 1
            if address not in self._taken:
                return address
        raise RuntimeError(f"no pod address is free in {self._range}")

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
