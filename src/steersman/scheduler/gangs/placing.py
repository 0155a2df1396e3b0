"""Places groups of pods: as many as fit are counted on nodes, and bound where they are enough.

What is too little is counted out again before anybody else decides, so that two groups never hold
half of what the other one needs; where room can be made for enough of them, it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from steersman.client.errors import Unreachable
from steersman.client.interface import Views
from steersman.model.errors import APIError
from steersman.model.kinds.pod import Pod
from steersman.scheduler.assignment import Assigner, Assignment
from steersman.scheduler.decide import Unfit
from steersman.scheduler.extenders.failure import Failed
from steersman.scheduler.extenders.word import Word
from steersman.scheduler.gangs.groups import (
    PLUGIN,
    REJECTED,
    Gang,
    Groups,
    rejected,
    too_few,
    waiting,
)
from steersman.scheduler.gangs.room import Attempt, Deciding, Outcome, gap
from steersman.scheduler.hints import Waits, helped_by_group
from steersman.scheduler.memory import Ask
from steersman.scheduler.message import fit_error
from steersman.scheduler.preemption import WAITING, Candidate
from steersman.scheduler.queue import PodQueue
from steersman.world.interface import Tasks, World


class Placing(Deciding, Protocol):
    """What the scheduler does for groups."""

    queue: PodQueue
    assigner: Assigner

    async def word(self, pod: Pod) -> Word | None:
        """Returns what extenders say of a pod, None where it concerns none; raises Failed."""

    def waits(self, ask: Ask, unfit: Unfit, *, nominated: bool = False) -> Waits:
        """Returns what a pod waits for that fits nowhere."""

    def shape(self, pod: Pod) -> Ask:
        """Returns what is asked for a pod, not decided on."""

    async def drive_away(self, ask: Ask, unfit: Unfit, found: Candidate) -> None:
        """Says that a pod preempts, and makes its victims leave; what cannot be done now comes
        with the next attempt."""

    async def act(self, group: Tasks, assignment: Assignment) -> None:
        """Begins to bind a pod once there is room to write."""

    async def say(self, pod: Pod, text: str, nominated: str | None) -> None:
        """Says why a pod is not scheduled."""

    async def fail(self, pod: Pod, text: str) -> None:
        """Says that an attempt went wrong; it is made again after back-off."""


class Gangs:
    """The groups of one scheduler."""

    def __init__(self, scheduler: Placing, views: Views) -> None:
        self._scheduler = scheduler
        self._groups = Groups(views)
        self._groups.listen(
            lambda changed: scheduler.queue.helped(lambda who: helped_by_group(who, changed))
        )

    async def begin_to_heed(self, world: World) -> None:
        """Heeds groups from now on; returns once it is known which there are."""
        self._groups.begin()
        await self._groups.ready(world)

    def of(self, pod: Pod) -> Gang | str | None:
        """Returns the group with which a pod is bound or not at all, or why it waits; None where
        it is one by itself."""
        placed = self._scheduler.snapshot.placed
        found = self._groups.of(pod, lambda uid: placed(uid) is not None)
        if not isinstance(found, Gang):
            return found
        if found.complete:
            return None
        number = len(found.pods)
        return found if number >= found.least else too_few(found, pod, number)

    async def hold_back(self, pod: Pod, text: str) -> None:
        """Says that a pod waits for its group, of which it is heard."""
        self._scheduler.queue.failed(pod.metadata.uid, waiting(pod))
        await self._scheduler.say(pod, fit_error(self._early(text)), None)

    def _early(self, text: str) -> Unfit:
        return Unfit(self._scheduler.snapshot.all.bit_count(), early=text, plugin=PLUGIN)

    def begin(self, group: Tasks, gang: Gang, pod: Pod) -> None:
        """Begins to place a group, of which one pod was taken: takes the others that wait."""
        claimed = (self._scheduler.queue.claim(it.metadata.uid) for it in gang.pods)
        members = [pod, *(it for it in claimed if it is not None)]
        name = f"schedule {gang.key[0]}/{gang.key[1]}"
        group.start(self._place(group, gang, members), name=name)

    async def _place(self, group: Tasks, gang: Gang, members: Sequence[Pod]) -> None:
        words = await self._words(members)
        if words is None:
            return
        taken = self._scheduler.queue.taken  # as they are now, without those that wait no more
        members = [it for pod in members if (it := taken(pod.metadata.uid)) is not None]
        found = self._consider(gang, members, words)
        assigned = {it.pod.metadata.uid for it in found.done}
        left = [it for it in members if it.metadata.uid not in assigned]
        self._put_back(left, found)
        if left:
            self._again(members, left[0])
        for assignment in found.done:
            await self._scheduler.act(group, assignment)
        for pod in left:
            await self._tell(gang, pod, len(members), found)

    async def _tell(self, gang: Gang, pod: Pod, number: int, found: Outcome) -> None:
        """Says of a pod that it was not placed with its group, and drives away whom it must."""
        uid = pod.metadata.uid
        if uid in found.victims:
            await self._scheduler.drive_away(*found.blocked[uid], found.victims[uid])
        else:
            text = self._why(gang, pod, number, found)
            await self._scheduler.say(pod, text, found.nominated.get(uid, ""))

    async def _words(self, members: Sequence[Pod]) -> Mapping[str, Word | None] | None:
        """Returns what extenders say of each pod; None where one failed and all were put back."""
        try:
            return {pod.metadata.uid: await self._scheduler.word(pod) for pod in members}
        except (Failed, APIError, Unreachable) as error:
            for pod in members:  # all of them before any is told
                self._scheduler.queue.retry(pod.metadata.uid)
            for pod in members:
                await self._scheduler.fail(pod, str(error))
            return None

    def _consider(
        self, gang: Gang, members: Sequence[Pod], words: Mapping[str, Word | None]
    ) -> Outcome:
        """Decides on a group: who is counted on which node, who is driven away."""
        if lacking := gap(gang, self._scheduler.snapshot):
            unfit = self._early(lacking)
            for pod in members:
                self._scheduler.snapshot.nominate(pod, "")
            return Outcome(
                blocked={it.metadata.uid: (self._scheduler.shape(it), unfit) for it in members}
            )
        attempt = Attempt(self._scheduler, gang, members, words)
        attempt.fit()
        if not attempt.is_enough:
            attempt.make_room()
        return attempt.outcome(self._scheduler.assigner.withdraw)

    def _put_back(self, left: Sequence[Pod], found: Outcome) -> None:
        """Puts pods back into the queue, all before any is told: who is taken cannot be claimed.
        Who fits nowhere waits for room, and brings the others with it."""
        for pod in left:
            uid = pod.metadata.uid
            if uid in found.blocked:
                coming = bool(found.nominated.get(uid))
                waits = self._scheduler.waits(*found.blocked[uid], nominated=coming)
                self._scheduler.queue.failed(uid, waits)
            else:
                self._scheduler.queue.failed(uid, waiting(pod))

    def _again(self, members: Sequence[Pod], left: Pod) -> None:
        """Tries a group again to which a pod has come meanwhile, by one that found no place."""
        tried, queue = {it.metadata.uid for it in members}, self._scheduler.queue
        found = self.of(members[0])
        uids = [it.metadata.uid for it in found.pods] if isinstance(found, Gang) else []
        if any(queue.knows(uid) for uid in uids if uid not in tried):
            queue.activate(left.metadata.uid)

    def _why(self, gang: Gang, pod: Pod, number: int, found: Outcome) -> str:
        """Returns what is said of a pod that was not placed with its group."""
        if not found.blocked:
            return fit_error(self._early(too_few(gang, pod, gang.bound + number)))
        held = found.blocked.get(pod.metadata.uid)
        if held is None:
            return REJECTED
        going = WAITING if pod.metadata.uid in found.nominated else ""
        text = fit_error(held[1], going)
        waits = found.done or found.nominated or held[1].plugin == PLUGIN
        return text if waits else f"{text} {rejected(gang, pod)}"
