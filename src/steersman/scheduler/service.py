"""The scheduler's shell: decides one pod at a time, binds, makes room by preemption.

Runs as `system:kube-scheduler`. A pod counts on its node from the decision on (assumed), until
the view shows it there or it is certain that the binding was not done.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Hashable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client, Views
from steersman.model.errors import APIError, Conflict, NotFound
from steersman.model.figures import Family, Sources
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.model.podgroup import LABEL
from steersman.model.resource_claims import is_extended
from steersman.model.times import rfc3339
from steersman.model.types.condition import condition
from steersman.reconcile.events import Recorder
from steersman.reconcile.rules import Rule
from steersman.scheduler.assignment import Assigner, Assignment
from steersman.scheduler.budgets import Budgets
from steersman.scheduler.configuration import DEFAULT, SchedulerConfiguration
from steersman.scheduler.decide import Unfit, decide, search
from steersman.scheduler.devices.inventory import Inventory
from steersman.scheduler.devices.reserving import Reserver
from steersman.scheduler.devices.rule import PLUGIN, Claims, DeviceRule
from steersman.scheduler.devices.rule import rule_of as device_rule_of
from steersman.scheduler.eviction import Evictor
from steersman.scheduler.extenders.failure import Failed
from steersman.scheduler.extenders.word import Word
from steersman.scheduler.following import Following
from steersman.scheduler.gangs.placing import Gangs
from steersman.scheduler.hints import Alone, Waits, blocked_by
from steersman.scheduler.local import joined
from steersman.scheduler.measure.figures import GATED
from steersman.scheduler.memory import Ask, Memory, kept
from steersman.scheduler.message import DEALLOCATED, DELETED, HAS_CLAIMS, NO_CLAIMS, fit_error
from steersman.scheduler.owners import Owners
from steersman.scheduler.preemption import (
    Candidate,
    Trials,
    best_of,
    candidates,
    ineligible,
    preempt,
)
from steersman.scheduler.profile import FLOW, Profile
from steersman.scheduler.queue import PodQueue
from steersman.scheduler.state.bits import places
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.state.snapshot import Snapshot
from steersman.scheduler.volumes.binder import Binder
from steersman.scheduler.volumes.binding import Choice
from steersman.scheduler.volumes.rule import VolumeRule, rule_of
from steersman.scheduler.volumes.storage import Storage
from steersman.world.interface import Tasks, World

if TYPE_CHECKING:  # loaded where a configuration has extenders
    from steersman.scheduler.extenders.chain import Chain
    from steersman.scheduler.extenders.extender import Reach

IDENTITY = "system:kube-scheduler"
COMPONENT = "default-scheduler"
# How an event names an extender; what it is called is its URL
EXTENDER_KIND = ("kubescheduler.config.k8s.io/v1", "Extender")
WRITES_AT_ONCE = 128  # bindings and conditions under way: enough to share one group commit
UNSCHEDULABLE, SCHEDULER_ERROR = "Unschedulable", "SchedulerError"  # reasons of conditions
MAX_MESSAGE = 32_768  # of a condition: metav1.Condition's bound; extenders word their refusals
# Decided in one turn of the loop, in which all others do what is ready: with one decision for each
# turn a busy server binds fifty pods a second
TURN_PODS, TURN_SECONDS = 16, 0.002
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
    Rule("resource.k8s.io", ("resourceclaims",), ("create", "delete")),
)


def plan_condition(
    pod: Pod,
    message: str,
    now: float,
    nominated: str | None = None,
    reason: str = UNSCHEDULABLE,
) -> Document | None:
    """Returns the patch that says why a pod is not scheduled and for which node it is nominated
    (None: as it was), None where it says so already."""
    status: Document = {}
    if nominated is not None and nominated != pod.status.nominated_node_name:
        status["nominatedNodeName"] = nominated or None
    old = condition(pod.status.conditions, "PodScheduled")
    told = ("False", reason, message)
    if old is None or (old.status, old.reason, old.message) != told:
        new: Document = {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "observedGeneration": pod.metadata.generation,
        }
        if old is None or old.status != "False":
            new["lastTransitionTime"] = rfc3339(now)
        status["conditions"] = [new]
    return {"status": status} if status else None


class Question(msgspec.Struct, frozen=True):
    """Where a pod may go, with the rules of its volumes and devices; `early` where it can go
    nowhere before any node is looked at."""

    ask: Ask
    volumes: VolumeRule | None = None
    devices: DeviceRule | None = None
    early: Unfit | None = None


class Scheduler:
    """One scheduler; `run` works until cancelled."""

    def __init__(
        self,
        client: Client,
        views: Views,
        world: World,
        configuration: SchedulerConfiguration = DEFAULT,
        reach: Reach | None = None,
    ) -> None:
        self._client = client
        self._views = views
        self._world = world
        # a profile of this name in a file says which filters hold for these pods
        self._profiles = {FLOW: Profile(name=FLOW), **configuration.profiles}
        self.events = Recorder(client, world, COMPONENT, form="series")
        first, last = configuration.first_backoff_seconds, configuration.last_backoff_seconds
        self.queue = PodQueue(world, first, last, lane_of)
        self.snapshot = Snapshot()
        self._following = Following(views, self.snapshot, self.queue, self._profiles)
        self._owners = Owners(views)
        self._budgets = Budgets(views)
        self._storage = Storage(views)
        self._inventory = Inventory(views)
        self._reserver = Reserver(client, world, self._inventory)
        self._evictor = Evictor(client, world, self.snapshot, self.events)
        self._memory = Memory(self.snapshot)
        self._gangs = Gangs(self, views)
        self._extenders = _chain(configuration, client, world, reach)
        self.assigner = Assigner(
            client=client,
            world=world,
            events=self.events,
            queue=self.queue,
            snapshot=self.snapshot,
            binder=Binder(client, world, self._storage),
            reserver=self._reserver,
            extenders=self._extenders,
            left=self._following.left,
        )
        self._trials: OrderedDict[Hashable, Trials] = OrderedDict()
        self._slots = asyncio.Semaphore(WRITES_AT_ONCE)
        self._asking_slots = asyncio.Semaphore(WRITES_AT_ONCE)  # of pods that concern extenders
        self._start = 0

    def families(self) -> Iterator[Family]:
        """Yields what was counted."""
        pending = {**self.queue.pending(), GATED: self._following.gated()}
        return self.queue.figures.families(pending)

    async def run(self) -> None:
        """Follows, decides and binds for ever."""
        await self._views.synced()
        await self._gangs.begin_to_heed(self._world)
        self._hear_devices()
        leave = [*self._following.begin(), *self._storage.listen(self._following.hear_storage)]
        leave += self._inventory.listen(self._hear_devices)
        try:
            async with self._world.tasks() as group:
                group.start(self.queue.keep_time(), name="scheduler timers")
                group.start(self.events.run(), name="scheduler events")
                group.start(self._run_flow(group), name="scheduler flow")
                while True:
                    await self._next(group)
        finally:
            for out in leave:
                out()

    def _hear_devices(self) -> None:
        self._following.hear_devices(frozenset(self._inventory.resources()))

    async def _run_flow(self, group: Tasks) -> None:
        """Places the pods of the scheduler `flow`; its code is loaded for the first of them."""
        await self.queue.some(FLOW)
        from steersman.scheduler.flow.service import Flow

        await Flow(self, self._views, self._budgets, self._world, FLOW).run(group)

    def question(self, pod: Pod) -> Ask | None:
        """See `flow.service.Placing`."""
        found = self._question(pod)
        alone = found.early is not None or found.ask.local is not None
        extended = self._extenders is not None and self._extenders.mind(pod)
        return None if alone or extended or self._gangs.of(pod) is not None else found.ask

    async def act(self, group: Tasks, assignment: Assignment) -> None:
        """See `gangs.placing.Placing`."""
        await self._slots.acquire()
        self._start_write(group, self.assigner.act(assignment), assignment.pod)

    async def write(self, group: Tasks, pod: Pod, node: str | None) -> None:
        """See `flow.service.Placing`; a pod with a node is counted there already."""
        await self._slots.acquire()
        current = self.queue.taken(pod.metadata.uid)
        if node is not None:
            self._start_write(group, self.assigner.act(Assignment(pod, node)), pod)
        elif current is not None:
            self._begin(group, current)
        else:  # it waits no more
            self._slots.release()

    async def refuse(self, pod: Pod, text: str) -> None:
        """See `flow.service.Placing`."""
        self.queue.failed(pod.metadata.uid, Alone(FLOW))
        await self.say(pod, text, None)

    async def move(self, pod: Pod, text: str) -> None:
        """See `flow.service.Placing`."""
        try:
            await self._evictor.move(pod, text)
        except (APIError, Unreachable):  # it stays where it is; the next batch looks again
            return

    async def _next(self, group: Tasks) -> None:
        await self._slots.acquire()
        try:
            pod = await self.queue.take()
        except BaseException:
            self._slots.release()
            raise
        end = self._world.monotonic() + TURN_SECONDS
        self._begin(group, pod)
        for _ in range(TURN_PODS - 1):
            if self._slots.locked() or self._world.monotonic() > end:
                break
            if not (more := self.queue.take_all(1)):
                break
            await self._slots.acquire()  # there is one: this does not wait
            self._begin(group, more[0])
        await self._world.sleep(0)  # reads and writes go on between

    def _begin(self, group: Tasks, pod: Pod) -> None:
        """Begins to place a pod; whoever calls has taken a slot for the writing."""
        gang = self._gangs.of(pod)
        if isinstance(gang, str):
            self._start_write(group, self._gangs.hold_back(pod, gang), pod)
        elif gang is not None:
            self._slots.release()  # each of its pods takes one
            self._gangs.begin(group, gang, pod)
        elif self._extenders is not None and self._extenders.mind(pod):
            self._slots.release()  # who waits for an extender keeps nobody else from writing
            name = f"ask about {pod.metadata.namespace}/{pod.metadata.name}"
            group.start(self._place_asking(self._extenders, pod), name=name)
        else:
            self._start_write(group, self._place(pod), pod)

    def _start_write(self, group: Tasks, work: Coroutine[Any, Any, None], pod: Pod) -> None:
        task = group.start(work, name=f"schedule {pod.metadata.namespace}/{pod.metadata.name}")
        task.add_done_callback(lambda _task: self._slots.release())

    def _question(self, pod: Pod, word: Word | None = None) -> Question:
        profile = self._profiles[pod.spec.scheduler_name]
        rule = rule_of(pod, profile, self._storage, self.snapshot)
        devices = device_rule_of(pod, profile, self._inventory)
        local, selector = joined(rule, devices), self._owners.selector(pod)
        ask = self._memory.of(pod, profile, selector, local, word)
        for early, plugin in ((rule, "VolumeBinding"), (devices, PLUGIN)):
            if isinstance(early, str):
                unfit = Unfit(self.snapshot.all.bit_count(), early=early, plugin=plugin)
                return Question(ask, early=unfit)
        return Question(
            ask,
            rule if isinstance(rule, VolumeRule) else None,
            devices if isinstance(devices, DeviceRule) else None,
        )

    def _place(self, pod: Pod, word: Word | None = None) -> Coroutine[Any, Any, None]:
        """Decides, and returns the writing that follows. `word` is what extenders said."""
        nominated = self.snapshot.nominated(pod.metadata.uid)
        self.snapshot.nominate(pod, "")  # a pod does not stand in its own way
        found = self._question(pod, word)
        ask, devices = found.ask, found.devices
        if found.early is not None:
            self.snapshot.nominate(pod, nominated)
            return self._refuse(ask, found.early, fit_error(found.early), None)
        answer = decide(ask, start=self._start, draw=self._draw())
        if isinstance(answer, Unfit):
            movable = devices.movable(pod) if devices is not None else None
            if movable is not None:
                return self._deallocate(ask, answer, movable)
            return self._make_room(ask, answer, nominated)
        self._start = answer.start
        return self.assigner.act(self._assume(pod, found, answer.node))

    def _assume(self, pod: Pod, found: Question, node: NodeState) -> Assignment:
        """Counts a pod on a node, with the volumes and devices that it gets there."""
        choice = found.volumes.choice(node) if found.volumes is not None else Choice()
        claims = found.devices.choice(node) if found.devices is not None else Claims()
        return self.assigner.promise(pod, node.name, choice, claims, found.ask.profile)

    async def _place_asking(self, extenders: Chain, pod: Pod) -> None:
        """Places a pod that concerns extenders. Others are placed while it waits for answers, so
        that what it fits on is looked at again when they are there."""
        uid = pod.metadata.uid
        async with extenders.turn(pod):
            try:
                word = await extenders.ask(pod, self._fitting(pod))
            except NotFound:  # gone: the view tells
                self.queue.remove(uid)
                return
            except (Failed, APIError, Unreachable) as error:
                await self.fail(pod, str(error))
                return
        async with self._asking_slots:
            current = self.queue.taken(uid)
            if current is not None:
                await self._place(current, word)

    async def word(self, pod: Pod) -> Word | None:
        """See `gangs.placing.Placing`."""
        if self._extenders is None or not self._extenders.mind(pod):
            return None
        async with self._extenders.turn(pod):
            return await self._extenders.ask(pod, self._fitting(pod))

    def consider(self, pod: Pod, word: Word | None) -> Assignment | tuple[Ask, Unfit]:
        """See `gangs.placing.Placing`."""
        self.snapshot.nominate(pod, "")
        found = self._question(pod, word)
        answer = found.early or decide(found.ask, start=self._start, draw=self._draw())
        return (
            (found.ask, answer)
            if isinstance(answer, Unfit)
            else self._assume(pod, found, answer.node)
        )

    def shape(self, pod: Pod) -> Ask:
        """See `gangs.placing.Placing`."""
        return self._question(pod).ask

    def room(self, ask: Ask, unfit: Unfit, nominated: str) -> Candidate | str:
        """See `gangs.room.Deciding`; `nominated` is where room was made for the pod before. Pods
        that concern extenders drive nobody away for a group."""
        if not unfit.nodes or not ask.profile.preempts or ask.word is not None:
            return ""
        return self._held_back(ask, unfit, nominated) or self._victims(ask, unfit)

    def _held_back(self, ask: Ask, unfit: Unfit, nominated: str) -> str:
        """Counts an attempt to make room, and returns why a pod may make none now: it keeps where
        room was made for it before. Empty where it may."""
        self.queue.figures.preempting()
        if why := ineligible(ask, unfit, nominated):
            self.snapshot.nominate(ask.pod, nominated)
        return why

    def _victims(self, ask: Ask, unfit: Unfit) -> Candidate | str:
        """Chooses who leaves for a pod and nominates it there; or returns why nobody does."""
        trials = kept(self._trials, (ask.profile, ask.demand), Trials, MAX_TRIALS)
        found = preempt(ask, unfit, self._budgets.all(), draw=self._draw(), trials=trials)
        if isinstance(found, Candidate):
            self.snapshot.nominate(ask.pod, found.node.name)
        return found

    async def drive_away(self, ask: Ask, unfit: Unfit, found: Candidate) -> None:
        """See `gangs.placing.Placing`."""
        try:
            await self._drive_away(ask, unfit, found)
        except (APIError, Unreachable):
            self.queue.retry(ask.pod.metadata.uid)

    def _fitting(self, pod: Pod) -> list[str]:
        """Returns the names of the nodes where a pod may go as far as the filters know."""
        nominated = self.snapshot.nominated(pod.metadata.uid)
        self.snapshot.nominate(pod, "")
        question = self._question(pod)
        found = question.early or search(question.ask, start=self._start)
        self.snapshot.nominate(pod, nominated)
        if isinstance(found, Unfit):
            return []
        return [self.snapshot.at(place).name for place in places(found.nodes)]

    async def fail(self, pod: Pod, text: str) -> None:
        """Says that an attempt went wrong; it is made again after back-off."""
        self.queue.retry(pod.metadata.uid)
        self.snapshot.nominate(pod, "")
        try:
            await self._tell(pod, text, "", reason=SCHEDULER_ERROR)
        except (NotFound, Conflict):  # gone, or another pod has its name now
            self.queue.remove(pod.metadata.uid)
        except (APIError, Unreachable):  # the next attempt says it
            return

    def _draw(self) -> float:
        return self._world.jitter(1.0, 1.0) - 1.0

    # Where nothing fits

    def _make_room(self, ask: Ask, unfit: Unfit, nominated: str) -> Coroutine[Any, Any, None]:
        claims = HAS_CLAIMS if ask.pod.spec.resource_claims else NO_CLAIMS
        if not unfit.nodes or not ask.profile.preempts:
            return self._refuse(ask, unfit, fit_error(unfit), None)
        if why := self._held_back(ask, unfit, nominated):
            return self._refuse(ask, unfit, fit_error(unfit, why, claims), None)
        if self._extenders is not None and ask.word is not None:
            return self._choose_victims(self._extenders, ask, unfit, claims)
        found = self._victims(ask, unfit)
        if isinstance(found, str):
            return self._refuse(ask, unfit, fit_error(unfit, found, claims), "")
        return self._preempt(ask, unfit, found)

    async def _choose_victims(self, extenders: Chain, ask: Ask, unfit: Unfit, claims: str) -> None:
        """Preempts as extenders agree with."""
        found = candidates(ask, unfit, self._budgets.all(), draw=self._draw())
        if not isinstance(found, str):
            try:
                found = await extenders.choose(ask.pod, found)
            except (Failed, APIError, Unreachable) as error:
                found = str(error)
        if isinstance(found, str) or not found:
            text = found if isinstance(found, str) else ""
            await self._refuse(ask, unfit, fit_error(unfit, text, claims), "")
            return
        best = best_of(found)
        self.snapshot.nominate(ask.pod, best.node.name)
        await self._preempt(ask, unfit, best)

    async def _deallocate(self, ask: Ask, unfit: Unfit, claim: ResourceClaim) -> None:
        """Gives up where a claim is allocated, or a claim that was made for extended resources; the
        claim's change brings the pod back."""
        extended = is_extended(claim)
        try:
            await (self._reserver.discard if extended else self._reserver.deallocate)(claim)
        except (APIError, Unreachable):  # it changed meanwhile: the next attempt sees how
            self.queue.retry(ask.pod.metadata.uid)
            return
        done = DELETED if extended else DEALLOCATED
        await self._refuse(ask, unfit, f"{fit_error(unfit)} {done}", None)

    async def _preempt(self, ask: Ask, unfit: Unfit, found: Candidate) -> None:
        """Writes the nomination, and makes the victims leave before the pod is tried again."""
        uid = ask.pod.metadata.uid
        try:
            await self._drive_away(ask, unfit, found)
        except (APIError, Unreachable):  # what is left undone comes with the next attempt, if any
            self.queue.retry(uid)
        else:
            self.queue.failed(uid, self.waits(ask, unfit, nominated=True))

    async def _drive_away(self, ask: Ask, unfit: Unfit, found: Candidate) -> None:
        self.queue.figures.preempted(len(found.victims))
        await self._tell(ask.pod, fit_error(unfit), found.node.name, word=ask.word)
        for other in list(found.node.nominated.values()):
            if other.demand.priority < ask.demand.priority:
                self.snapshot.nominate(other.pod, "")
                await self._evictor.release(other.pod)
                self.queue.activate(other.pod.metadata.uid)
        await self._evictor.evict(ask.pod, found)

    async def _refuse(self, ask: Ask, unfit: Unfit, text: str, nominated: str | None) -> None:
        uid = ask.pod.metadata.uid
        waits = self.waits(ask, unfit, nominated=bool(self.snapshot.nominated(uid)))
        self.queue.failed(uid, waits)
        await self.say(ask.pod, text, nominated, ask.word)

    async def say(
        self, pod: Pod, text: str, nominated: str | None, word: Word | None = None
    ) -> None:
        """Says why a pod is not scheduled, with the next attempt where it cannot be said now."""
        try:
            await self._tell(pod, text, nominated, word=word)
        except (APIError, Unreachable):  # the condition is written with the next attempt, if any
            self.queue.retry(pod.metadata.uid)

    def waits(self, ask: Ask, unfit: Unfit, *, nominated: bool = False) -> Waits:
        """Returns what a pod waits for that fits nowhere."""
        uid = ask.pod.metadata.uid if nominated else ""
        blockers = blocked_by(unfit.blockers)
        return Waits(ask.demand, ask.standing.rule, ask.hood, blockers, uid)

    async def _tell(
        self,
        pod: Pod,
        text: str,
        nominated: str | None,
        *,
        reason: str = UNSCHEDULABLE,
        word: Word | None = None,
    ) -> None:
        """Says on a pod why it is not scheduled, as an event and in its status; the event names
        the first extender that refused nodes, for `steer why`."""
        text = text[:MAX_MESSAGE]
        refuser = (*EXTENDER_KIND, word.refusers[0]) if word and word.refusers else None
        by = pod.spec.scheduler_name
        self.events.warning(pod, "FailedScheduling", text, "Scheduling", refuser, by)
        patch = plan_condition(pod, text, self._world.now(), nominated, reason)
        if patch is not None:
            ref, uid = POD.ref(*pod.key), pod.metadata.uid
            await self._client.patch(ref, patch, how="strategic", subresource="status", uid=uid)


def lane_of(pod: Pod) -> str:
    """Returns the lane of the queue for a pod: a batch of `flow`, or one by one, where pods of a
    group fetch each other."""
    return FLOW if pod.spec.scheduler_name == FLOW and not pod.metadata.labels.get(LABEL) else ""


def _chain(
    configuration: SchedulerConfiguration, client: Client, world: World, reach: Reach | None
) -> Chain | None:
    """Returns the extenders of a configuration, None where it has none; loaded when there are."""
    if not configuration.extenders:
        return None
    from steersman.scheduler.extenders.chain import Chain
    from steersman.scheduler.extenders.extender import reach_http

    return Chain(configuration.extenders, client, world, reach or reach_http)


async def run(
    client: Client,
    views: Views,
    world: World,
    configuration: SchedulerConfiguration = DEFAULT,
    reach: Reach | None = None,
    sources: Sources | None = None,
) -> None:
    """Schedules until cancelled; the client's identity is `system:kube-scheduler`. `reach` is the
    way to extenders, HTTP where none is given; what is counted is told to `sources`."""
    scheduler = Scheduler(client, views, world, configuration, reach)
    if sources is not None:
        sources.add(scheduler.families)
    await scheduler.run()
