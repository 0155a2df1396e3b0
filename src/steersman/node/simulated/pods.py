"""The pods of simulated nodes: each is brought to where its life stands, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.model.kind import Document
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.node.simulated.addresses import Addresses
from steersman.node.simulated.behaviour import NO_RULES, NOTHING, Behaviour, Rules, Script
from steersman.node.simulated.heartbeats import Heartbeats
from steersman.node.simulated.life import (
    ENDED,
    EVICTED,
    LOW_ON_MEMORY,
    NEVER,
    Life,
    plan_status,
    plan_stopped,
    restart_delay,
    starts_again,
)
from steersman.node.simulated.reading import BadBehaviour, script_of
from steersman.reconcile.events import Said, about
from steersman.reconcile.loop import Controller, Done, Given, Runner
from steersman.reconcile.noting import Noting
from steersman.reconcile.rules import Rule, Watch
from steersman.world.interface import World

INVALID = "InvalidBehaviour"
MOST_WARNINGS = 100  # before there is a node that can tell them
BY_NODE = "node name"  # index: pods by the node they are bound to


class SimulatedPods:
    """The pods of any number of nodes, which come and go."""

    def __init__(
        self,
        client_of: Callable[[str], Noting],
        views: Views,
        world: World,
        behaviour: Behaviour,
        addresses: Addresses,
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
        self._rules: dict[str, Rules] = {}
        self._lives: dict[Ref, Life] = {}
        self._addresses = addresses
        self._own: dict[str, Addresses] = {}  # of nodes that have a range of their own
        self._from: dict[Ref, Addresses] = {}
        self._some = asyncio.Event()
        self._warnings: list[Said] = []  # until there is somebody to tell them
        self._runner: Runner | None = None

    def add(self, name: str, address: str) -> None:
        """Takes a node's pods on."""
        self._nodes[name] = address
        self._some.set()
        self.look_at(name)

    def give_range(self, name: str, range_: str) -> None:
        """Has pods that come to a node from now on take their addresses out of a range."""
        if str(self._own.get(name)) == range_:
            return
        own = self._own[name] = Addresses(range_)
        for pod in self._view.by(BY_NODE, name):
            own.hold(it.ip for it in pod.status.pod_ips)

    def rule(self, name: str, rules: Rules) -> None:
        """Has pods that come to a node from now on behave as its rules say."""
        self._rules[name] = rules

    def remove(self, name: str) -> None:
        """Leaves a node's pods alone: it is gone."""
        self._nodes.pop(name, None)
        self._rules.pop(name, None)
        self._own.pop(name, None)

    def look_at(self, name: str) -> None:
        """Looks at all pods of a node."""
        if self._runner is not None:
            for pod in self._view.by(BY_NODE, name):
                self._runner.queue.add(POD.ref(*pod.key))

    def crash(self, pod: Pod, exit_code: int) -> None:
        """Ends the containers of a pod now."""
        ref = POD.ref(*pod.key)
        life = self._lives.get(ref)
        if life is not None and life.uid == pod.metadata.uid and self._runner is not None:
            life.ends_at, life.exit_code = self._world.now(), exit_code
            self._runner.queue.add(ref)

    def warn(self, node: Node, reason: str, note: str) -> None:
        """Tells what is wrong with a node."""
        said = Said(about(node), "Warning", reason, note, host=node.metadata.name)
        if len(self._warnings) < MOST_WARNINGS:
            self._warnings.append(said)
        self._tell_warnings()

    def _tell_warnings(self) -> None:
        while self._runner is not None and self._warnings:
            self._runner.events.say(self._warnings.pop(0))

    async def run(self) -> None:
        """Works for ever, from the first node on."""
        await self._some.wait()
        for pod in self._view.list():
            self._addresses.hold(it.ip for it in pod.status.pod_ips)
        client = self._client_of(next(iter(self._nodes), ""))  # what it tells is not of its own
        self._runner = Runner(self._controller(), client, self._views, self._world)
        self._tell_warnings()
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
            if pod is None:
                continue
            ref = POD.ref(*pod.key)
            # also one whose node is gone before it: its life is to be forgotten
            if pod.spec.node_name in self._nodes or ref in self._lives:
                return (ref,)
        return ()

    async def _reconcile(self, ref: Ref) -> Done:
        pod: Pod | None = self._view.get(ref)
        if pod is None:
            self._forget(ref)
            return Done()
        name = pod.spec.node_name
        if name not in self._nodes or self._beats.is_silent(name):
            return Done()
        now = self._world.now()
        life = self._life(ref, pod, now)
        if pod.metadata.deletion_timestamp is not None:
            return await self._stop(ref, pod, life, now)
        if pod.status.phase in ENDED:
            return Done()
        self._turn(pod, life, now)
        self._try_pull(pod, life, now)
        patch = plan_status(pod, life, self._nodes[name], now)
        if patch is not None:
            await self._write(ref, pod, patch)
            self._tell(pod, life, now)
        coming = life.next(now)
        return Done(None if coming is None else coming - now)

    async def _write(self, ref: Ref, pod: Pod, patch: Document) -> None:
        client, uid = self._client_of(pod.spec.node_name), pod.metadata.uid
        await client.patch(ref, patch, how="strategic", subresource="status", uid=uid)

    def _life(self, ref: Ref, pod: Pod, now: float) -> Life:
        """Returns the pod's life, drawn when it is first seen; what its status says already
        happened is kept."""
        found = self._lives.get(ref)
        if found is not None and found.uid == pod.metadata.uid:
            return found
        self._forget(ref)  # another pod had the name
        script = self._script(pod)
        ran = pod.status.phase == "Running"
        start = _given(script.start_after, lambda: self._draw(self._behaviour.start_seconds))
        runs_at = now if ran else now + start
        addresses = self._own.get(pod.spec.node_name, self._addresses)
        address = pod.status.pod_ip or addresses.take()
        if not address:
            raise RuntimeError(f"no pod address is free in {addresses}")
        life = Life(address, now, runs_at, 0.0, uid=pod.metadata.uid, script=script)
        if script.pull_fails and not ran:
            life.pull_fails, life.pulls_at, life.runs_at = script.pull_fails, runs_at, NEVER
        if script.evict_after is not None:
            life.evicts_at = runs_at + script.evict_after
        life.restarts = max((it.restart_count for it in pod.status.container_statuses), default=0)
        life.ready_at = runs_at if ran and not script.never_ready else self._ready_at(pod, life)
        self._draw_end(pod, life)
        self._lives[ref], self._from[ref] = life, addresses
        addresses.hold((address,))
        return life

    def _script(self, pod: Pod) -> Script:
        """Returns what was said of a pod, by itself and by its node; what cannot be is told once
        and does not count."""
        said = NOTHING
        try:
            said = script_of(pod)
        except BadBehaviour as error:
            self._say(pod, INVALID, str(error), kind="Warning")
        return said.over(self._rules.get(pod.spec.node_name, NO_RULES).of(pod))

    def _ready_at(self, pod: Pod, life: Life) -> float:
        if life.script.never_ready:
            return NEVER
        return life.runs_at + _given(life.script.ready_after, lambda: self._readiness(pod))

    def _readiness(self, pod: Pod) -> float:
        probes = [it.readiness_probe for it in pod.spec.containers if it.readiness_probe]
        initial = max((probe.initial_delay_seconds for probe in probes), default=0)
        return initial + self._draw(self._behaviour.ready_seconds)

    def _draw_end(self, pod: Pod, life: Life) -> None:
        script = life.script
        crashes = self._world.jitter(1.0, 1.0) - 1.0 < self._behaviour.crash_chance
        if script.crash_after is not None:
            life.ends_at = life.runs_at + script.crash_after
            life.exit_code = 1 if script.exit_code is None else script.exit_code
        elif script.run_for is not None or crashes or pod.spec.restart_policy != "Always":
            took = _given(script.run_for, lambda: self._draw(self._behaviour.run_seconds))
            life.ends_at = life.runs_at + took
            life.exit_code = int(crashes) if script.exit_code is None else script.exit_code

    def _try_pull(self, pod: Pod, life: Life, now: float) -> None:
        """Asks for an image that cannot be had, with a kubelet's back-off."""
        if life.pulls_at is None or now < life.pulls_at:
            return
        life.failures += 1
        life.pulls_at = now + restart_delay(life.failures - 1)
        for image in dict.fromkeys(it.image for it in pod.spec.containers):
            self._say(pod, "Pulling", f'Pulling image "{image}"')
            text = f'Failed to pull image "{image}": {life.pull_fails}'
            self._say(pod, "Failed", text, kind="Warning")
            self._say(pod, "Failed", "Error: ErrImagePull", kind="Warning")
            if life.failures > 1:
                self._say(pod, "BackOff", f'Back-off pulling image "{image}"')
                self._say(pod, "Failed", "Error: ImagePullBackOff", kind="Warning")

    def _turn(self, pod: Pod, life: Life, now: float) -> None:
        """Begins the next run of containers that ended and are to be restarted."""
        if not life.ended(now) or not starts_again(pod, life.exit_code):
            return
        life.runs_at = now + restart_delay(life.restarts)
        life.ready_at = self._ready_at(pod, life)
        life.restarts += 1
        life.ends_at = None
        self._draw_end(pod, life)

    async def _stop(self, ref: Ref, pod: Pod, life: Life, now: float) -> Done:
        """Ends a pod gracefully: its last status first, then the object with grace 0."""
        if life.stops_at is None:
            grace = float(pod.metadata.deletion_grace_period_seconds or 0)
            drawn = self._draw(self._behaviour.stop_seconds)
            life.stops_at = now + min(grace, _given(life.script.stop_after, lambda: drawn))
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
        if life.evicted(now):
            self._say(pod, EVICTED, LOW_ON_MEMORY, kind="Warning")
            self._beats.press(pod.spec.node_name)
            return
        if pod.status.phase != "Pending" or not life.runs_at <= now:
            return
        for container in pod.spec.containers:
            present = f'Container image "{container.image}" already present on machine'
            self._say(pod, "Pulled", present)
            self._say(pod, "Created", f"Created container: {container.name}")
            self._say(pod, "Started", f"Started container {container.name}")

    def _say(self, pod: Pod, reason: str, note: str, *, kind: str = "Normal") -> None:
        host = pod.spec.node_name
        assert self._runner is not None
        self._runner.events.say(Said(about(pod), kind, reason, note, host=host))

    def _draw(self, seconds: float) -> float:
        return self._world.jitter(seconds, 1.0) if seconds else 0.0

    def _forget(self, ref: Ref) -> None:
        if (life := self._lives.pop(ref, None)) is not None:
            self._from.pop(ref).give_back(life.address)


def _given(said: float | None, draw: Callable[[], float]) -> float:
    return draw() if said is None else said


def _by_node(pod: Any) -> tuple[str, ...]:
    return (pod.spec.node_name,) if pod.spec.node_name else ()
