"""The node agent: follows the pods of its node, and gives each a worker for as long as it lives.

A restarted agent finds what its predecessor left through the records on disk and the shims, and
touches nothing that is as it should be.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from steersman.client.view import FollowedView
from steersman.model.kinds.pod import POD, Pod
from steersman.node import record
from steersman.node.acting import ending, sandboxes
from steersman.node.acting.log_compression import LogCompressor
from steersman.node.admission.predicates import decide_by_ports
from steersman.node.admission.refusing import refused
from steersman.node.claims.interface import CannotPrepare
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Observed, Sandbox, engine_name, parse_engine_name
from steersman.node.pressure import preemption
from steersman.node.pressure.preemption import choose_victims
from steersman.node.resizing import granting
from steersman.node.resizing.granting import decide_shortage
from steersman.node.static.marks import MIRROR, is_mirror, is_static
from steersman.node.static.source import Source
from steersman.node.tools import Tools
from steersman.node.worker import Worker, retry_seconds
from steersman.runtime.engine import EngineError, Event, SandboxState
from steersman.world.interface import Tasks

# Before the first new try to clear away what a dead shim has left, doubling: a busy control group
# is free by then
CLEAR_RETRY_SECONDS = 1.0
# The ground of a pod that has none and may not have another yet
_GONE = Sandbox(0, "", ())
_STAYS = "what is left of pod {} cannot be removed"
log = logging.getLogger(__name__)


class _Left(NamedTuple):
    """What an agent before this one has left, by the pod's uid."""

    sandboxes: Mapping[str, SandboxState]
    records: Mapping[str, Observed]


class Agent:
    """All pods of one node."""

    def __init__(
        self, tools: Tools, pods: FollowedView, tasks: Tasks, statics: Source | None = None
    ) -> None:
        self.workers: dict[str, Worker] = {}
        self._tools = tools
        self._pods = pods
        self._tasks = tasks
        self._statics = statics
        self._over: Callable[[], None] = lambda: None
        # What may be of a static pod whose source has yet to be read, by uid
        self._held: set[str] = set()
        # Pods that begin once something has gone: those for which others are ended, or of which
        # there is what no record knows; by uid
        self._awaiting: set[str] = set()
        self._removing: dict[str, tuple[str, str]] = {}
        self._complete = asyncio.Event()
        self._compressor = LogCompressor()
        self._routing = asyncio.Event()
        self._refusal: Callable[[Pod], tuple[str, str] | None] = lambda _: None

    async def run(self) -> None:
        """Takes over what is there, then works for ever; view and statics must be followed.

        Static pods need no API, and do not wait for it.
        """
        await self._tools.engine.prepare()
        self._tools.classes.prepare()
        self._tasks.start(self._route_all(), name="events of the runtime")
        if self._statics is not None:
            await self._statics.tried()
            await self._begin_statics(self._statics)
            self._statics.listen(self._hear_statics)
        await self._pods.synced()
        self._routing.clear()
        left = await self._find_left()
        pods = {pod.metadata.uid: pod for pod in self._pods.list() if not is_mirror(pod)}
        await self._take_over(pods, left)
        self._let_go(left)
        self._pods.listen(self._hear)
        self._catch_up()
        self._routing.set()
        if self._statics is not None and not self._statics.known:
            left = await self._await_statics(self._statics)
        # Before all sources have been read nobody knows what belongs to no pod (sourcesReady)
        self._remove_rest(left)
        self._complete.set()
        self._over()

    @property
    def complete(self) -> bool:
        """Whether every pod that is here has a worker, or ends for want of an object."""
        return self._complete.is_set()

    async def _begin_statics(self, statics: Source) -> _Left:
        """Begins the static pods that are known now, and goes on with those that were begun; what
        was left of others waits for those whose source could not be read yet."""
        self._routing.clear()
        left = await self._find_left()
        new = {it: one.pod for it, one in statics.pods.items() if it not in self.workers}
        await self._take_over(new, left)
        self._held = set() if statics.known else {*left.records, *left.sandboxes}
        self._hear_statics()
        self._routing.set()
        return left

    async def _await_statics(self, statics: Source) -> _Left:
        """Begins the static pods late of what could not be read at first."""
        await statics.synced()
        return await self._begin_statics(statics)

    def on_over(self, hear: Callable[[], None]) -> None:
        """Calls `hear` whenever a pod has gone from this node."""
        self._over = hear

    def admit_by(self, refusal: Callable[[Pod], tuple[str, str] | None]) -> None:
        """Has pods that come refused for a reason and a message that a function gives."""
        self._refusal = refusal

    def ending_statics(self) -> set[tuple[str, str]]:
        """Returns namespace and name of static pods that end now."""
        workers = self.workers.values()
        ending = {it.pod.key for it in workers if is_static(it.pod) and it.seen.gone}
        return ending | set(self._removing.values())

    def find(self, namespace: str, name: str, container: str = "") -> tuple[str, str] | None:
        """Returns pod id and container id in the runtime of a pod's container by name; the first
        container where none is named, None where it does not run."""
        for worker in self.workers.values():
            if (worker.seen.namespace, worker.seen.name) != (namespace, name):
                continue
            chosen = container or worker.pod.spec.containers[0].name
            run = worker.seen.of(chosen).run
            if run is None or run.state != "running":
                return None
            return worker.seen.uid, engine_name(chosen, run.attempt)
        return None

    # What happens

    def _catch_up(self) -> None:
        """Hears what came and went while nobody listened."""
        pods = {pod.metadata.uid: pod for pod in self._pods.list()}
        for uid in self.workers.keys() - pods.keys():
            if not is_static(self.workers[uid].pod):
                self.workers[uid].vanish()
        for pod in pods.values():
            self._hear(None, pod)

    def _hear_statics(self) -> None:
        """Begins static pods whose files have come, and ends those whose files are gone."""
        assert self._statics is not None
        for uid, worker in self.workers.items():
            if is_static(worker.pod) and uid not in self._statics.pods:
                worker.vanish()
        for uid, static in self._statics.pods.items():
            # One of the same name ends first, and `_forget` comes back here
            ending = any(it.pod.key == static.key for it in self.workers.values())
            waits = uid in self._held or uid in self._awaiting
            if uid not in self.workers and not ending and not waits:
                self._adopt(static.pod, self._begin(static.pod))

    def _hear_mirror(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._show(old, None)
        if new is not None:
            self._show(new, new)

    def _show(self, mirror: Pod, now: Pod | None) -> None:
        worker = self.workers.get(mirror.metadata.annotations[MIRROR])
        if worker is not None and is_static(worker.pod) and worker.pod.key == mirror.key:
            worker.mirror(now)

    def _hear(self, old: Pod | None, new: Pod | None) -> None:
        if is_mirror(new or old or Pod()):
            self._hear_mirror(old, new)
            return
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            worker = self.workers.get(old.metadata.uid)
            if worker is not None:
                worker.vanish()
        if new is None:
            return
        worker = self.workers.get(new.metadata.uid)
        if worker is not None:
            worker.hear(new)
        elif not _is_over(new) and new.metadata.uid not in self._awaiting:
            refusal = self._refusal(new) or self._admit(new)
            if refusal is not None and (victims := self._victims(new)):
                self._awaiting.add(new.metadata.uid)
                self._tasks.start(self._make_room(new, victims), name=f"room for {new.key}")
                return
            seen = self._begin(new)
            self._adopt(new, seen if refusal is None else refused(seen, *refusal))
            if refusal is not None:
                self._tools.say(new, "Warning", *refusal)

    def _admit(self, pod: Pod) -> tuple[str, str] | None:
        """Returns why a pod that has come does not fit on this node, None where it does."""
        grants = self._tools.grants
        allocatable = self._tools.machine.allocatable
        others = grants.others(pod.metadata.uid)
        workers = self.workers.values()
        beside = (it.pod for it in workers if it.stays or it.seen.sandbox is not None)
        return granting.decide_admission(
            pod, others, grants.count(), allocatable
        ) or decide_by_ports(pod, beside)

    def _victims(self, pod: Pod) -> list[Worker]:
        """Returns who goes so that a critical pod that does not fit does."""
        if self._refusal(pod) is not None:
            return []
        grants, allocatable = self._tools.grants, self._tools.machine.allocatable
        others = grants.others(pod.metadata.uid)
        needed = decide_shortage(pod, others, grants.count(), allocatable)
        here = {it.seen.uid: it for it in self.workers.values() if it.stays}
        pods = [it.pod for it in here.values()]
        chosen = choose_victims(pod, pods, needed) if needed else []
        return [here[it.metadata.uid] for it in chosen]

    async def _make_room(self, pod: Pod, victims: list[Worker]) -> None:
        """Ends pods for a critical one, which is heard of once they have."""
        for victim in victims:
            grace = float(victim.pod.spec.termination_grace_period_seconds)
            victim.evict(preemption.REASON, preemption.MESSAGE, grace)
        for victim in victims:
            await victim.at_rest()
        self._await_no_more(pod)

    def _await_no_more(self, pod: Pod) -> None:
        self._awaiting.discard(pod.metadata.uid)
        if is_static(pod):
            self._hear_statics()
            return
        now = self._pods.get(POD.ref(*pod.key))
        if now is not None and now.metadata.uid == pod.metadata.uid:
            self._hear(None, now)

    def _begin(self, pod: Pod) -> Observed:
        metadata = pod.metadata
        return Observed(
            metadata.namespace,
            metadata.name,
            metadata.uid,
            _start_of(pod, self._tools.world.now()),
            grants=granting.first_grants(pod),
            unplaced=True,
        )

    def _adopt(self, pod: Pod, seen: Observed) -> Worker:
        worker = Worker(self._tools, pod, seen, self._forget)
        self.workers[seen.uid] = worker
        self._tools.placement.stays(seen.uid)
        worker.change(seen)
        worker.hear(pod)
        self._tasks.start(worker.run(), name=f"pod {seen.namespace}/{seen.name}")
        if is_static(pod):
            mirror = self._pods.get(POD.ref(*pod.key))
            if mirror is not None and is_mirror(mirror):
                self._hear_mirror(None, mirror)
        return worker

    def _forget(self, uid: str) -> None:
        self.workers.pop(uid, None)
        self._tools.objects.release(uid)
        if self._statics is not None:
            self._hear_statics()
        self._over()

    async def _route_all(self) -> None:
        async for event in self._tools.engine.events():
            # While pods are taken over, what happens to them waits until they have workers
            await self._routing.wait()
            await self._route(event)

    async def _route(self, event: Event) -> None:
        if event.kind == "overflow":
            await self._until_done("pods cannot be listed", self._compare_all)
            return
        worker = self.workers.get(event.pod)
        if worker is None:
            return
        if event.kind == "lost":
            # Not here: it takes as long as the kernel does, and other pods' events wait meanwhile
            self._tasks.start(self._clear(worker), name=f"loss of {worker.seen.name}")
        elif event.kind == "aside":
            self._tasks.start(self._compress(worker, event.container), name="compression")
        elif event.kind == "exit" and event.exit is not None:
            container, attempt = parse_engine_name(event.container)
            worker.exited(container, attempt, event.exit)

    async def _compress(self, worker: Worker, run: str) -> None:
        log_file = self._tools.paths.log(worker.seen, *parse_engine_name(run))
        try:
            await self._compressor.compress(log_file)
        except OSError as error:  # as on a full disk; with the next file it is tried again
            log.warning("old logs of %s cannot be compressed: %s", log_file, error)

    async def _clear(self, worker: Worker) -> None:
        """Removes what a dead shim has left, trying until it is gone; the pod begins anew then."""
        await self._remove_sandbox(worker.seen.uid)
        worker.lost()

    async def _remove_sandbox(self, uid: str) -> None:
        async def remove() -> None:
            await self._tools.engine.prepare()  # it may have been killed too
            await self._tools.engine.remove_sandbox(uid)

        await self._until_done(_STAYS.format(uid), remove)

    async def _until_done(self, trouble: str, work: Callable[[], Awaitable[None]]) -> None:
        for failures in itertools.count():
            try:
                await work()
                return
            except (BadConfiguration, CannotPrepare, EngineError, OSError) as error:
                log.warning("%s: %s", trouble, error)
                await self._tools.world.sleep(retry_seconds(failures, CLEAR_RETRY_SECONDS))

    async def _compare_all(self) -> None:
        for sandbox in await self._tools.engine.pods():
            self._compare(sandbox)

    def _compare(self, sandbox: SandboxState) -> None:
        worker = self.workers.get(sandbox.pod)
        for state in sandbox.containers:
            if worker is not None and state.exit is not None:
                container, attempt = parse_engine_name(state.id)
                worker.exited(container, attempt, state.exit)

    # What a predecessor left

    async def _find_left(self) -> _Left:
        """Returns what is on the machine; the addresses of what runs are given to nobody else."""
        sandboxes_now = {it.pod: it for it in await self._tools.engine.connect()}
        records = {it.uid: it for it in record.load_all(self._tools.paths)}
        for uid, seen in records.items():
            # A record whose sandbox is gone may name an address that another pod has by now
            if seen.sandbox is not None and uid in sandboxes_now and not sandboxes_now[uid].lost:
                self._tools.engine.restore(uid, seen.sandbox)
        return _Left(sandboxes_now, records)

    async def _take_over(self, pods: Mapping[str, Pod], left: _Left) -> None:
        """Goes on with pods that were begun."""
        for uid, pod in pods.items():
            sandbox = left.sandboxes.get(uid)
            if uid in left.records:
                await self._resume(pod, left.records[uid], sandbox)
            elif sandbox is not None and uid not in self._awaiting:
                self._awaiting.add(uid)
                self._tasks.start(self._begin_late(pod), name=f"rest of {pod.key}")

    async def _begin_late(self, pod: Pod) -> None:
        """Begins a pod once the ground that is there and that no record knows is removed."""
        await self._remove_sandbox(pod.metadata.uid)
        self._await_no_more(pod)

    def _let_go(self, left: _Left) -> None:
        """Has pods that come wait for what those have that are no more wanted, and frees what
        belongs to pods of which nothing else is left."""
        found = left.sandboxes.keys() | left.records.keys()
        here = self._here()
        for uid in found - here:
            self._tools.placement.leaves(uid)
        for uid in self._tools.placement.holders() - found - here:
            self._tools.placement.release(uid)

    def _here(self) -> set[str]:
        return {pod.metadata.uid for pod in self._pods.list()} | self.workers.keys()

    def _remove_rest(self, left: _Left) -> None:
        """Removes what belongs to no pod, which takes as long as the kernel does."""
        found = left.sandboxes.keys() | left.records.keys()
        for uid in found - self._here():
            if (seen := left.records.get(uid)) is not None:
                self._removing[uid] = seen.namespace, seen.name
            self._tasks.start(self._remove(uid, seen), name=f"rest of {uid}")

    async def _resume(self, pod: Pod, seen: Observed, sandbox: SandboxState | None) -> None:
        """Takes a pod over; what happened while nobody looked is made good, first by removing
        what was begun and never written down: the worker gives the same names."""
        if sandbox is None or sandbox.lost or seen.sandbox is None:
            if is_static(pod):  # what gave it up, as the end of the machine, is over
                seen = replace(seen, ended=None, grace=None)
            await self._begin_again(pod, seen)
            return
        self._tools.classes.put(pod)
        states = {it.id for it in sandbox.containers}
        known = {engine_name(n, c.run.attempt) for n, c in seen.containers.items() if c.run}
        for name in states - known:
            await self._remove_unknown(seen, name)
        self._adopt(pod, _without_lost(seen, states, self._tools.world.now()))
        self._compare(sandbox)

    async def _begin_again(self, pod: Pod, seen: Observed) -> None:
        """Goes on with a pod whose ground is gone, or was never noted. What cannot be removed of it
        at once holds up no other pod, and this one has no other ground before it is."""
        try:
            await self._tools.engine.remove_sandbox(seen.uid)  # its connection too
        except (EngineError, OSError):
            worker = self._adopt(pod, replace(seen, sandbox=seen.sandbox or _GONE))
            self._tasks.start(self._clear(worker), name=f"rest of {seen.name}")
        else:
            self._adopt(pod, seen).lost()

    async def _remove_unknown(self, seen: Observed, run: str) -> None:
        """Removes a run that was never written down; where that fails, who starts another one of
        its name tries again."""
        try:
            await self._tools.engine.delete(seen.uid, run, force=True)
        except EngineError as error:
            log.warning("%s of pod %s stays for now: %s", run, seen.uid, error)

    async def _remove(self, uid: str, seen: Observed | None) -> None:
        """Removes what is left of a pod that is no more wanted, trying until it is gone."""
        paths = self._tools.paths

        async def remove() -> None:
            await sandboxes.tear_down(self._tools, uid)
            if seen is not None:
                for path in (paths.pod_logs(seen.namespace, seen.name, uid), paths.pod(uid)):
                    await asyncio.to_thread(record.remove_tree, path)

        await self._until_done(_STAYS.format(uid), remove)
        if seen is None:
            return
        del self._removing[uid]
        self._over()


def _without_lost(seen: Observed, states: Iterable[str], now: float) -> Observed:
    """Returns what is observed, where runs that the runtime does not know have ended."""
    known = set(states)
    for name, container in seen.containers.items():
        run = container.run
        if run is not None and container.running and engine_name(name, run.attempt) not in known:
            seen = seen.having(name, replace(container, run=ending.read_loss(run, now)))
    return seen


def _is_over(pod: Pod) -> bool:
    """Whether a pod has ended and been told so before this agent knew it."""
    ended = pod.status.phase in ("Succeeded", "Failed")
    return ended and pod.metadata.deletion_timestamp is None


def _start_of(pod: Pod, now: float) -> float:
    start: datetime | None = pod.status.start_time
    return start.timestamp() if start is not None else now
