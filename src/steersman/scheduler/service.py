"""The scheduler's shell: decides one pod at a time, binds, makes room by preemption.

Runs as `system:kube-scheduler`. A pod counts on its node from the decision on (assumed), until
the view shows it there or it is certain that the binding was not done.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Hashable
from typing import Any

from steersman.client.errors import Unreachable
from steersman.client.interface import Client, Views
from steersman.model.errors import APIError, Conflict, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.model.types.condition import condition
from steersman.reconcile.events import Recorder
from steersman.reconcile.rules import Rule
from steersman.reconcile.times import rfc3339
from steersman.scheduler.budgets import Budgets
from steersman.scheduler.configuration import DEFAULT, SchedulerConfiguration
from steersman.scheduler.decide import Unfit, decide
from steersman.scheduler.devices.inventory import Inventory
from steersman.scheduler.devices.reserving import NotReserved, Reservation, Reserver
from steersman.scheduler.devices.rule import PLUGIN, Claims, DeviceRule
from steersman.scheduler.devices.rule import rule_of as device_rule_of
from steersman.scheduler.eviction import Evictor
from steersman.scheduler.following import Following
from steersman.scheduler.hints import Waits, blocked_by
from steersman.scheduler.local import joined
from steersman.scheduler.memory import Ask, Memory, kept
from steersman.scheduler.message import DEALLOCATED, HAS_CLAIMS, NO_CLAIMS, fit_error
from steersman.scheduler.owners import Owners
from steersman.scheduler.preemption import Candidate, Trials, ineligible, preempt
from steersman.scheduler.queue import PodQueue
from steersman.scheduler.state.snapshot import Snapshot
from steersman.scheduler.volumes.binder import Binder, NotBound
from steersman.scheduler.volumes.binding import Choice
from steersman.scheduler.volumes.rule import VolumeRule, rule_of
from steersman.scheduler.volumes.storage import Storage
from steersman.world.interface import Tasks, World

IDENTITY = "system:kube-scheduler"
COMPONENT = "default-scheduler"
WRITES_AT_ONCE = 128  # bindings and conditions under way: enough to share one group commit
UNSURE_RETRY_SECONDS = 0.5  # between questions whether a binding with a lost answer was done
MAX_TRIALS = 16  # shapes whose trials of preemption are kept
WRITES = (
    Rule("", ("pods/binding", "bindings"), ("create",)),
    Rule("", ("pods",), ("delete",)),
    Rule("", ("pods/status",), ("patch", "update")),
    Rule("", ("persistentvolumeclaims", "persistentvolumes"), ("patch", "update")),
    Rule(
        "resource.k8s.io",
        ("resourceclaims", "resourceclaims/status", "resourceclaims/binding"),
        ("patch", "update"),
    ),
)


def plan_condition(
    pod: Pod, message: str, now: float, nominated: str | None = None
) -> Document | None:
    """Returns the patch that says why a pod is not scheduled and for which node it is nominated
    (None: as it was), None where it says so already."""
    status: Document = {}
    if nominated is not None and nominated != pod.status.nominated_node_name:
        status["nominatedNodeName"] = nominated or None
    old = condition(pod.status.conditions, "PodScheduled")
    told = ("False", "Unschedulable", message)
    if old is None or (old.status, old.reason, old.message) != told:
        new: Document = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "observedGeneration": pod.metadata.generation,
        }
        if old is None or old.status != "False":
            new["lastTransitionTime"] = rfc3339(now)
        status["conditions"] = [new]
    return {"status": status} if status else None


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

    def __init__(
        self,
        client: Client,
        views: Views,
        world: World,
        configuration: SchedulerConfiguration = DEFAULT,
    ) -> None:
        self._client = client
        self._views = views
        self._world = world
        self._profiles = configuration.profiles
        self.events = Recorder(client, world, COMPONENT, form="series")
        first, last = configuration.first_backoff_seconds, configuration.last_backoff_seconds
        self.queue = PodQueue(world, first, last)
        self.snapshot = Snapshot()
        self._following = Following(views, self.snapshot, self.queue, self._profiles)
        self._owners = Owners(views)
        self._budgets = Budgets(views)
        self._storage = Storage(views)
        self._binder = Binder(client, world, self._storage)
        self._inventory = Inventory(views)
        self._reserver = Reserver(client, world, self._inventory)
        self._evictor = Evictor(client, world, self.snapshot, self.events)
        self._memory = Memory(self.snapshot)
        self._trials: OrderedDict[Hashable, Trials] = OrderedDict()
        self._slots = asyncio.Semaphore(WRITES_AT_ONCE)
        self._start = 0

    async def run(self) -> None:
        """Follows, decides and binds for ever."""
        await self._views.synced()
        leave = [*self._following.begin(), *self._storage.listen(self._following.hear_storage)]
        leave += self._inventory.listen(self._following.hear_devices)
        try:
            async with self._world.tasks() as group:
                group.start(self.queue.keep_time(), name="scheduler timers")
                group.start(self.events.run(), name="scheduler events")
                while True:
                    await self._next(group)
        finally:
            for out in leave:
                out()

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
        nominated = self.snapshot.nominated(pod.metadata.uid)
        self.snapshot.nominate(pod, "")  # a pod does not stand in its own way
        profile = self._profiles[pod.spec.scheduler_name]
        rule = rule_of(pod, profile, self._storage, self.snapshot)
        devices = device_rule_of(pod, profile, self._inventory)
        ask = self._memory.of(pod, profile, self._owners.selector(pod), joined(rule, devices))
        for early, plugin in ((rule, "VolumeBinding"), (devices, PLUGIN)):
            if isinstance(early, str):
                unfit = Unfit(self.snapshot.all.bit_count(), early=early, plugin=plugin)
                self.snapshot.nominate(pod, nominated)
                return self._refuse(ask, unfit, fit_error(unfit), None)
        answer = decide(ask, start=self._start, draw=self._draw())
        if isinstance(answer, Unfit):
            movable = devices.movable(pod) if isinstance(devices, DeviceRule) else None
            if movable is not None:
                return self._deallocate(ask, answer, movable)
            return self._make_room(ask, answer, nominated)
        self._start = answer.start
        choice = rule.choice(answer.node) if isinstance(rule, VolumeRule) else Choice()
        self._binder.promise(choice)
        claims = devices.choice(answer.node) if isinstance(devices, DeviceRule) else Claims()
        reservation = self._reserver.promise(pod, claims, answer.node.name)
        self.snapshot.put(pod, answer.node.name, assumed=True)
        return self._bind(pod, answer.node.name, choice, reservation)

    def _draw(self) -> float:
        return self._world.jitter(1.0, 1.0) - 1.0

    async def _bind(self, pod: Pod, node: str, choice: Choice, reservation: Reservation) -> None:
        ref = POD.ref(*pod.key)
        if reservation and not await self._reserve(reservation):
            return
        if (choice.given or choice.made) and not await self._bind_volumes(pod, node, choice):
            return
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

    async def _bind_volumes(self, pod: Pod, node: str, choice: Choice) -> bool:
        """Binds the pod's claims first; says whether that was done."""
        try:
            within = self._profiles[pod.spec.scheduler_name].bind_timeout_seconds
            await self._binder.bind(choice, node, within)
        except (NotBound, APIError, Unreachable) as error:
            text = f'running PreBind plugin "VolumeBinding": {error}'
            self.events.warning(pod, "FailedScheduling", text, "Scheduling")
            self._give_up(pod)
            return False
        return True

    async def _reserve(self, reservation: Reservation) -> bool:
        """Has the pod's claims for devices written; says whether that was done."""
        try:
            await self._reserver.reserve(reservation)
        except (NotReserved, APIError, Unreachable) as error:
            text = f'running PreBind plugin "{PLUGIN}": {error}'
            self.events.warning(reservation.pod, "FailedScheduling", text, "Scheduling")
            self._give_up(reservation.pod)
            return False
        return True

    def _give_up(self, pod: Pod) -> None:
        self.queue.retry(pod.metadata.uid)
        placed = self.snapshot.remove(pod.metadata.uid, only_assumed=True)
        if placed is not None:
            self._following.left(placed)

    async def _make_sure(self, pod: Pod) -> None:
        """Finds out whether a binding was done; until then the pod keeps its room."""
        while True:
            try:
                found: Pod = await self._client.get(POD.ref(*pod.key))
            except NotFound:
                break
            except (APIError, Unreachable):
                await self._world.wire_sleep(UNSURE_RETRY_SECONDS)
                continue
            if found.metadata.uid == pod.metadata.uid and found.spec.node_name:
                return  # it was done: the view shows it soon
            break
        self._give_up(pod)

    # Where nothing fits

    def _make_room(self, ask: Ask, unfit: Unfit, nominated: str) -> Coroutine[Any, Any, None]:
        pod = ask.pod
        claims = HAS_CLAIMS if pod.spec.resource_claims else NO_CLAIMS
        if not unfit.nodes or not ask.profile.preempts:
            return self._refuse(ask, unfit, fit_error(unfit), None)
        if why := ineligible(ask, unfit, nominated):
            self.snapshot.nominate(pod, nominated)
            return self._refuse(ask, unfit, fit_error(unfit, why, claims), None)
        trials = kept(self._trials, (ask.profile, ask.demand), Trials, MAX_TRIALS)
        found = preempt(ask, unfit, self._budgets.all(), draw=self._draw(), trials=trials)
        if isinstance(found, str):
            return self._refuse(ask, unfit, fit_error(unfit, found, claims), "")
        self.snapshot.nominate(pod, found.node.name)
        return self._preempt(ask, unfit, found)

    async def _deallocate(self, ask: Ask, unfit: Unfit, claim: ResourceClaim) -> None:
        """Gives up where a claim is allocated; the claim's change brings the pod back."""
        try:
            await self._reserver.deallocate(claim)
        except (APIError, Unreachable):  # it changed meanwhile: the next attempt sees how
            self.queue.retry(ask.pod.metadata.uid)
            return
        await self._refuse(ask, unfit, f"{fit_error(unfit)} {DEALLOCATED}", None)

    async def _preempt(self, ask: Ask, unfit: Unfit, found: Candidate) -> None:
        """Writes the nomination, and makes the victims leave before the pod is tried again."""
        pod, uid = ask.pod, ask.pod.metadata.uid
        try:
            await self._tell(pod, fit_error(unfit), found.node.name)
            for other, demand in list(found.node.nominated.values()):
                if demand.priority < ask.demand.priority:
                    self.snapshot.nominate(other, "")
                    await self._evictor.release(other)
                    self.queue.activate(other.metadata.uid)
            await self._evictor.evict(pod, found)
        except (NotFound, Conflict):  # gone, or another pod has its name now
            self.snapshot.nominate(pod, "")
            self.queue.remove(uid)
        except (APIError, Unreachable):  # what is left undone comes with the next attempt
            self.queue.retry(uid)
        else:
            self.queue.failed(uid, self._waits(ask, unfit, nominated=True))

    async def _refuse(self, ask: Ask, unfit: Unfit, text: str, nominated: str | None) -> None:
        uid = ask.pod.metadata.uid
        waits = self._waits(ask, unfit, nominated=bool(self.snapshot.nominated(uid)))
        self.queue.failed(uid, waits)
        try:
            await self._tell(ask.pod, text, nominated)
        except (NotFound, Conflict):  # gone, or another pod has its name now
            self.queue.remove(uid)
        except (APIError, Unreachable):  # the condition is written with the next attempt
            self.queue.retry(uid)

    def _waits(self, ask: Ask, unfit: Unfit, *, nominated: bool) -> Waits:
        uid = ask.pod.metadata.uid if nominated else ""
        blockers = blocked_by(unfit.blockers)
        return Waits(ask.demand, ask.standing.rule, ask.hood, blockers, uid)

    async def _tell(self, pod: Pod, text: str, nominated: str | None) -> None:
        """Says on a pod why it is not scheduled, as an event and in its status."""
        self.events.warning(pod, "FailedScheduling", text, "Scheduling")
        patch = plan_condition(pod, text, self._world.now(), nominated)
        if patch is not None:
            ref, uid = POD.ref(*pod.key), pod.metadata.uid
            await self._client.patch(ref, patch, how="strategic", subresource="status", uid=uid)


async def run(
    client: Client, views: Views, world: World, configuration: SchedulerConfiguration = DEFAULT
) -> None:
    """Schedules until cancelled; the client's identity is `system:kube-scheduler`."""
    await Scheduler(client, views, world, configuration).run()
