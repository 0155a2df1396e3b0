"""Pods that wait to be scheduled: active (now), back-off (soon), unschedulable (until something
changes that could help them).

Follows pkg/scheduler/backend/queue; the caller says what could help. Unschedulable pods that wait
for the same are one group, asked about once, so that many of them cost no more than one.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Mapping

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.scheduler.measure.figures import ERROR, SCHEDULED, UNSCHEDULABLE, Figures
from steersman.world.interface import World

FIRST_BACKOFF_SECONDS = 1.0  # upstream DefaultPodInitialBackoffDuration
LAST_BACKOFF_SECONDS = 10.0  # DefaultPodMaxBackoffDuration
# Events by which pods come to a part of the queue (framework/events.go)
FAILURE, ANY_EVENT = "ScheduleAttemptFailure", "WildCardEvent"
MAX_UNSCHEDULABLE_SECONDS = 300.0  # DefaultPodMaxInUnschedulablePodsDuration


class Waiting(msgspec.Struct):
    """A pod in the queue; `where` is active, backoff, unschedulable or taken."""

    pod: Pod
    since: float
    attempts: int = 0
    began: float = 0.0  # the last of them, in wire time
    where: str = "active"
    until: float = 0.0
    moved: bool = False  # something helpful happened while it was taken
    group: Hashable = None  # who waits for the same
    timer: int = 0  # the number of the one timer that ends this wait; others are of earlier ones


class PodQueue:
    """The pods that wait, each once, by uid. `lane_of` says of an active pod by whom it is taken;
    who takes without naming a lane has those of the one without a name."""

    def __init__(
        self,
        world: World,
        first_backoff: float = FIRST_BACKOFF_SECONDS,
        last_backoff: float = LAST_BACKOFF_SECONDS,
        lane_of: Callable[[Pod], str] = lambda _pod: "",
    ) -> None:
        self._world = world
        self._first_backoff = first_backoff
        self._last_backoff = last_backoff
        self._pods: dict[str, Waiting] = {}
        self._groups: dict[Hashable, dict[str, Waiting]] = {}
        self._taken: dict[str, Waiting] = {}
        self._lane_of = lane_of
        self._active: dict[str, list[tuple[int, float, int, str]]] = {}
        self._timers: list[tuple[float, int, str]] = []
        self._sequence = 0
        self._some: dict[str, asyncio.Event] = {}
        self._sooner = asyncio.Event()
        self.figures = Figures()

    def __len__(self) -> int:
        return len(self._pods)

    def pods(self, where: str) -> list[Pod]:
        """Returns the pods of one part of the queue."""
        return [found.pod for found in self._pods.values() if found.where == where]

    def knows(self, uid: str) -> bool:
        """Says whether a pod waits here."""
        return uid in self._pods

    def taken(self, uid: str) -> Pod | None:
        """Returns a taken pod as it is now, None where it waits no more."""
        found = self._taken.get(uid)
        return found.pod if found is not None else None

    def claim(self, uid: str) -> Pod | None:
        """Takes a certain pod wherever it waits; None where it does not, or is taken already."""
        found = self._pods.get(uid)
        if found is None or found.where == "taken":
            return None
        self._leave(found)
        self._hand_out(found)
        return found.pod

    def _hand_out(self, found: Waiting) -> None:
        found.where, found.moved = "taken", False
        found.attempts += 1
        found.began = self._world.monotonic()
        self._taken[found.pod.metadata.uid] = found

    def put(self, pod: Pod) -> None:
        """Adds a pod, or takes over its new state; a changed unschedulable pod is tried again."""
        found = self._pods.get(pod.metadata.uid)
        if found is None:
            found = self._pods[pod.metadata.uid] = Waiting(pod, self._world.now())
            self._activate(found, "PodAdd")
            return
        changed = found.pod.spec != pod.spec or _said(found.pod) != _said(pod)
        found.pod = pod
        if changed:
            self._wake(found, "PodUpdate")

    def waiting(self, uid: str) -> Waiting | None:
        """Returns what is known of a pod that waits."""
        return self._pods.get(uid)

    def placed(self, found: Waiting) -> None:
        """Counts a pod whose last attempt has ended with a node; it may have left already."""
        self._tried(found, SCHEDULED)
        self.figures.placed(found.attempts, self._world.now() - found.since)

    def _tried(self, found: Waiting, result: str) -> None:
        seconds = self._world.monotonic() - found.began
        self.figures.attempt(found.pod.spec.scheduler_name, result, seconds)

    def pending(self) -> Mapping[str, int]:
        """Returns how many pods are in which part."""
        return Counter(found.where for found in self._pods.values())

    def remove(self, uid: str) -> None:
        """Forgets a pod: it is bound, deleted or another scheduler's."""
        if (found := self._pods.pop(uid, None)) is not None:
            self._leave(found)

    async def take(self, lane: str = "") -> Pod:
        """Returns the next pod, the highest priority first, then the longest in the queue."""
        some = self._some.setdefault(lane, asyncio.Event())
        while (found := self._pop(lane)) is None:
            some.clear()
            await some.wait()
        return found

    async def some(self, lane: str) -> None:
        """Waits until a pod has come to a lane."""
        await self._some.setdefault(lane, asyncio.Event()).wait()

    def take_all(self, most: int, lane: str = "") -> list[Pod]:
        """Returns the pods that are to be had now, in the same order."""
        found: list[Pod] = []
        while len(found) < most and (pod := self._pop(lane)) is not None:
            found.append(pod)
        return found

    def _pop(self, lane: str) -> Pod | None:
        active = self._active.get(lane)
        while active:
            *_, uid = heapq.heappop(active)
            found = self._pods.get(uid)
            if found is not None and found.where == "active":
                self._hand_out(found)
                return found.pod
        return None

    def failed(self, uid: str, group: Hashable = None) -> None:
        """Puts a taken pod back because no node fits; it waits for what helps its group."""
        if (found := self._pods.get(uid)) is None:
            return
        self._ended(found, UNSCHEDULABLE, "unschedulable")
        self._leave(found)
        found.where, found.group = "unschedulable", group
        self._groups.setdefault(group, {})[uid] = found
        found.until = self._world.now() + self._backoff(found)
        if found.moved:
            self._wake(found, FAILURE)
        else:
            self._delay(found, self._world.now() + MAX_UNSCHEDULABLE_SECONDS)

    def retry(self, uid: str) -> None:
        """Puts a taken pod back because something went wrong; it comes again after back-off."""
        if (found := self._pods.get(uid)) is not None:
            self._ended(found, ERROR, "backoff")
            self._leave(found)
            found.where = "backoff"
            found.until = self._world.now() + self._backoff(found)
            self._delay(found, found.until)

    def _ended(self, found: Waiting, result: str, queue: str) -> None:
        """Counts an attempt that failed."""
        if found.where == "taken":
            self._tried(found, result)
            self.figures.came(FAILURE, queue)

    def activate(self, uid: str) -> None:
        """Tries a pod again now."""
        if (found := self._pods.get(uid)) is not None:
            self._wake(found, "ForceActivate")

    def helped(self, may_fit: Callable[[Hashable], bool], event: str = ANY_EVENT) -> None:
        """Tries again the groups which, after a change, might fit somewhere; `event` is what
        happened, as it is counted."""
        for found in self._taken.values():
            found.moved = True
        for group in list(self._groups):
            if may_fit(group):
                for found in list(self._groups.get(group, {}).values()):
                    self._wake(found, event)

    def _wake(self, found: Waiting, event: str) -> None:
        if found.where == "taken":
            found.moved = True
        elif found.where == "unschedulable":
            self._leave(found)
            if found.until > self._world.now():
                found.where = "backoff"
                self.figures.came(event, "backoff")
                self._delay(found, found.until)
            else:
                self._activate(found, event)

    def _leave(self, found: Waiting) -> None:
        """Takes a pod out of where it is filed."""
        uid, found.timer = found.pod.metadata.uid, 0
        self._taken.pop(uid, None)
        if (group := self._groups.get(found.group)) is not None:
            group.pop(uid, None)
            if not group:
                del self._groups[found.group]

    def _activate(self, found: Waiting, event: str) -> None:
        found.where = "active"
        self.figures.came(event, "active")
        self._sequence += 1
        key = (-found.pod.spec.priority, found.since, self._sequence)
        lane = self._lane_of(found.pod)
        heapq.heappush(self._active.setdefault(lane, []), (*key, found.pod.metadata.uid))
        self._some.setdefault(lane, asyncio.Event()).set()

    def _backoff(self, found: Waiting) -> float:
        power = min(found.attempts - 1, 10)  # beyond this the bound holds anyway
        return float(min(self._first_backoff * 2**power, self._last_backoff))

    def _delay(self, found: Waiting, due: float) -> None:
        self._sequence += 1
        found.timer = self._sequence
        heapq.heappush(self._timers, (due, self._sequence, found.pod.metadata.uid))
        self._sooner.set()

    async def keep_time(self) -> None:
        """Moves pods whose back-off has passed to the active ones, for ever."""
        while True:
            self._sooner.clear()
            wait = self._move()
            try:
                async with self._world.timeout(wait):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    def _move(self) -> float | None:
        now = self._world.now()
        while self._timers:
            due, number, uid = self._timers[0]
            if due > now:
                return due - now
            heapq.heappop(self._timers)
            found = self._pods.get(uid)
            if found is not None and found.timer == number:
                late = found.where == "unschedulable"
                self._leave(found)
                self._activate(found, "UnschedulableTimeout" if late else "BackoffComplete")
        return None


def _said(pod: Pod) -> tuple[object, object]:
    return pod.metadata.labels, pod.metadata.annotations
