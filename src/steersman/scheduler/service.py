"""The scheduler's shell: follows pods and nodes, decides one pod at a time, binds.

Runs as `system:kube-scheduler`. A pod counts on its node from the decision on (assumed), until
the view shows it there or it is certain that the binding was not done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from steersman.client.errors import Unreachable
from steersman.client.interface import Client, Views
from steersman.model.errors import APIError, Conflict, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.types.condition import condition
from steersman.reconcile.events import Recorder
from steersman.reconcile.rules import Rule
from steersman.reconcile.times import rfc3339
from steersman.scheduler.decide import Chosen, Fit, Memory, Unfit, decide, judge
from steersman.scheduler.filters.scheduling_gates import gated
from steersman.scheduler.queue import PodQueue
from steersman.scheduler.snapshot import NodeState, Snapshot
from steersman.world.interface import Tasks, World

IDENTITY = "system:kube-scheduler"
NAME = "default-scheduler"  # what pods name in spec.schedulerName
WRITES_AT_ONCE = 128  # bindings and conditions under way: enough to share one group commit
UNSURE_RETRY_SECONDS = 0.5  # between questions whether a binding with a lost answer was done
ENDED = ("Succeeded", "Failed")
WRITES = (
    Rule("", ("pods/binding", "bindings"), ("create",)),
    Rule("", ("pods/status",), ("patch", "update")),
)


def waits(pod: Pod) -> bool:
    """Says whether a pod is this scheduler's to place."""
    return (
        not pod.spec.node_name
        and pod.spec.scheduler_name == NAME
        and pod.metadata.deletion_timestamp is None
        and pod.status.phase not in ENDED
        and not gated(pod)
    )


def differs(old: Node | None, new: Node | None) -> bool:
    """Says whether a change of a node matters here; heartbeats do not."""
    if old is None or new is None:
        return True
    return (
        old.spec != new.spec
        or old.metadata.labels != new.metadata.labels
        or old.status.allocatable != new.status.allocatable
        or old.metadata.uid != new.metadata.uid
    )


def plan_condition(pod: Pod, message: str, now: float) -> Document | None:
    """Returns the patch that says why a pod is not scheduled, None where it says so already."""
    old = condition(pod.status.conditions, "PodScheduled")
    if old is not None and (old.status, old.reason, old.message) == (
        "False",
        "Unschedulable",
        message,
    ):
        return None
    new: Document = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "observedGeneration": pod.metadata.generation,
    }
    if old is None or old.status != "False":
        new["lastTransitionTime"] = rfc3339(now)
    return {"status": {"conditions": [new]}}


def binding(pod: Pod, node: str) -> Document:
    """Returns the document that binds a pod."""
    metadata = pod.metadata
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


class Scheduler:
    """One scheduler; `run` works until cancelled."""

    def __init__(self, client: Client, views: Views, world: World) -> None:
        self._client = client
        self._views = views
        self._world = world
        self._pods = views.of(POD)
        self._nodes = views.of(NODE)
        self.events = Recorder(client, world, NAME, form="series")
        self.queue = PodQueue(world)
        self.snapshot = Snapshot()
        self._memory = Memory()
        self._slots = asyncio.Semaphore(WRITES_AT_ONCE)
        self._start = 0

    async def run(self) -> None:
        """Follows, decides and binds for ever."""
        await self._views.synced()
        leave = [self._nodes.listen(self._hear_node), self._pods.listen(self._hear_pod)]
        try:
            for node in list(self._nodes.list()):
                self._hear_node(None, node)
            for pod in list(self._pods.list()):
                self._hear_pod(None, pod)
            async with self._world.tasks() as group:
                group.start(self.queue.keep_time(), name="scheduler timers")
                group.start(self.events.run(), name="scheduler events")
                while True:
                    await self._next(group)
        finally:
            for out in leave:
                out()

    def _hear_node(self, old: Node | None, new: Node | None) -> None:
        if not differs(old, new):
            return
        state = self.snapshot.node_changed(old, new)
        if state.exists:
            self._helped(state)

    def _hear_pod(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._gone(old)
        if new is None:
            return
        if not new.spec.node_name:
            self._hear_unbound(new)
        elif new.status.phase in ENDED:
            self._gone(new)
        else:
            self.queue.remove(new.metadata.uid)
            self.snapshot.put(new, new.spec.node_name)

    def _hear_unbound(self, pod: Pod) -> None:
        if waits(pod):
            self.queue.put(pod)
        else:
            self._gone(pod)

    def _gone(self, pod: Pod) -> None:
        self.queue.remove(pod.metadata.uid)
        if (state := self.snapshot.remove(pod.metadata.uid)) is not None and state.exists:
            self._helped(state)

    def _helped(self, state: NodeState) -> None:
        shapes = self.snapshot.shapes
        self.queue.helped(lambda pod: isinstance(judge(shapes.of(pod), state), Fit))

    async def _next(self, group: Tasks) -> None:
        await self._slots.acquire()
        try:
            pod = await self.queue.take()
        except BaseException:
            self._slots.release()
            raise
        self._start_write(group, self._place(pod), pod)
        await self._world.sleep(0)  # one decision at a time: reads and writes go on between

    def _start_write(self, group: Tasks, work: Coroutine[Any, Any, None], pod: Pod) -> None:
        task = group.start(work, name=f"schedule {pod.metadata.namespace}/{pod.metadata.name}")
        task.add_done_callback(lambda _task: self._slots.release())

    def _place(self, pod: Pod) -> Coroutine[Any, Any, None]:
        """Decides, and returns the writing that follows."""
        demand = self.snapshot.shapes.of(pod)
        nodes = self.snapshot.order
        draw = self._world.jitter(1.0, 1.0) - 1.0
        known = self._memory.of(demand)
        answer = decide(demand, nodes, start=self._start, draw=draw, known=known)
        if nodes:
            self._start = (self._start + answer.looked_at) % len(nodes)
        if isinstance(answer, Chosen):
            self.snapshot.put(pod, answer.node.name, assumed=True)
            return self._bind(pod, answer.node.name)
        return self._refuse(pod, answer)

    async def _bind(self, pod: Pod, node: str) -> None:
        ref = POD.ref(*pod.key)
        try:
            await self._client.post(ref, "binding", binding(pod, node))
        except (NotFound, Conflict):  # gone, or somebody else's: the view tells
            self._give_up(pod)
        except (APIError, Unreachable) as error:
            text = f"binding rejected: {error}"
            self.events.warning(pod, "FailedScheduling", text, "Scheduling")
            await self._make_sure(pod)
        else:
            text = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {node}"
            self.events.normal(pod, "Scheduled", text, "Binding")

    def _give_up(self, pod: Pod) -> None:
        self.queue.retry(pod.metadata.uid)
        state = self.snapshot.remove(pod.metadata.uid, only_assumed=True)
        if state is not None and state.exists:
            self._helped(state)

    async def _make_sure(self, pod: Pod) -> None:
        """Finds out whether a binding was done; until then the pod keeps its room."""
        while True:
            try:
                found: Pod = await self._client.get(POD.ref(*pod.key))
            except NotFound:
                break
            except (APIError, Unreachable):
                await self._world.sleep(UNSURE_RETRY_SECONDS)
                continue
            if found.metadata.uid == pod.metadata.uid and found.spec.node_name:
                return  # it was done: the view shows it soon
            break
        self._give_up(pod)

    async def _refuse(self, pod: Pod, answer: Unfit) -> None:
        self.queue.failed(pod.metadata.uid)
        self.events.warning(pod, "FailedScheduling", answer.message, "Scheduling")
        patch = plan_condition(pod, answer.message, self._world.now())
        if patch is None:
            return
        ref, uid = POD.ref(*pod.key), pod.metadata.uid
        try:
            await self._client.patch(ref, patch, how="strategic", subresource="status", uid=uid)
        except (NotFound, Conflict):  # gone, or another pod has its name now
            self.queue.remove(uid)
        except (APIError, Unreachable):  # the condition is written with the next attempt
            self.queue.retry(uid)


async def run(client: Client, views: Views, world: World) -> None:
    """Schedules until cancelled; the client's identity is `system:kube-scheduler`."""
    await Scheduler(client, views, world).run()
