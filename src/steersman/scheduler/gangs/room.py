"""Room for groups: whether what a group asks for (minResources) is free at all, and whom it drives
away so that enough of its pods fit. Deciding alone; who is driven away is told by `placing`.

A group drives nobody away unless enough of its pods come of it. What its other pods fit on is kept
for them until the victims are gone, as for any pod that preempts: by nomination.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Protocol

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.scheduler.assignment import Assignment
from steersman.scheduler.decide import Unfit
from steersman.scheduler.extenders.word import Word
from steersman.scheduler.gangs.groups import Gang
from steersman.scheduler.memory import Ask
from steersman.scheduler.preemption import WAITING, Candidate
from steersman.scheduler.state.bits import places
from steersman.scheduler.state.demand import PODS
from steersman.scheduler.state.snapshot import Snapshot

Blocked = tuple[Ask, Unfit]


class Deciding(Protocol):
    """What is decided for single pods."""

    snapshot: Snapshot

    def consider(self, pod: Pod, word: Word | None) -> Assignment | Blocked:
        """Decides on a pod and counts it on its node, or returns why it fits nowhere."""

    def room(self, ask: Ask, unfit: Unfit, nominated: str) -> Candidate | str:
        """Returns whom a pod would drive away, and nominates it there; or why nobody."""


class Outcome(msgspec.Struct, frozen=True):
    """What an attempt came to: enough assignments or none, and of the others by uid: who fits
    nowhere why, whom each drives away, and for which node they are nominated."""

    done: tuple[Assignment, ...] = ()
    blocked: Mapping[str, Blocked] = {}
    victims: Mapping[str, Candidate] = {}
    nominated: Mapping[str, str] = {}


class Attempt:
    """One attempt to place a group, of which more and more is known."""

    def __init__(
        self, decide: Deciding, gang: Gang, members: Sequence[Pod], words: Mapping[str, Word | None]
    ) -> None:
        self._decide = decide
        self._gang = gang
        self._members = members
        self._words = words
        self._before = {
            it.metadata.uid: decide.snapshot.nominated(it.metadata.uid) for it in members
        }
        self.done: dict[str, Assignment] = {}
        self.blocked: dict[str, Blocked] = {}
        self._victims: dict[str, Candidate] = {}
        self._waiting: set[str] = set()  # their victims are going already

    @property
    def is_enough(self) -> bool:
        """Says whether the group can be bound."""
        return self._gang.bound + len(self.done) >= self._gang.least

    def fit(self) -> None:
        """Counts as many pods on nodes as fit; ends where these cannot be enough."""
        for pod in self._members:
            self._consider(pod)
            if not self._can_reach(len(self.blocked)):
                return

    def make_room(self) -> None:
        """Looks whom pods that fit nowhere could drive away, until these and those that fit would
        be enough, or cannot be."""
        own = {it.metadata.uid for it in self._gang.pods}
        hopeless = 0
        for pod in self._members:
            uid = pod.metadata.uid
            if uid not in self.done and uid not in self.blocked:
                self._consider(pod)
            if uid in self.blocked and not self._drive_away(uid, own):
                hopeless += 1
            if self._would_be_enough() or not self._can_reach(hopeless):
                break

    def outcome(self, withdraw: Callable[[Assignment], None]) -> Outcome:
        """Returns what it came to. Where the group is not bound, what was counted is counted out:
        kept by nomination where enough will come of it, and given up where not."""
        if self.is_enough:
            return Outcome(tuple(self.done.values()), self.blocked)
        for assignment in reversed(self.done.values()):
            withdraw(assignment)
        comes = self._would_be_enough()
        kept = {uid: it.node for uid, it in self.done.items()} if comes else {}
        kept |= {uid: it.node.name for uid, it in self._victims.items()} if comes else {}
        kept |= {uid: self._before[uid] for uid in self._waiting} if comes else {}
        for pod in self._members:
            self._decide.snapshot.nominate(pod, kept.get(pod.metadata.uid, ""))
        return Outcome((), self.blocked, self._victims if comes else {}, kept)

    def _consider(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        answer = self._decide.consider(pod, self._words.get(uid))
        if isinstance(answer, Assignment):
            self.done[uid] = answer
        else:
            self.blocked[uid] = answer

    def _drive_away(self, uid: str, own: Set[str]) -> bool:
        """Finds victims of a pod, none of them of its own group; says whether room will come."""
        found = self._decide.room(*self.blocked[uid], self._before[uid])
        if isinstance(found, Candidate):
            if own.isdisjoint(it.pod.metadata.uid for it in found.victims):
                self._victims[uid] = found
                return True
            self._decide.snapshot.nominate(self.blocked[uid][0].pod, "")
            return False
        if found == WAITING:
            self._waiting.add(uid)
        return found == WAITING

    def _would_be_enough(self) -> bool:
        coming = len(self.done) + len(self._victims) + len(self._waiting)
        return self._gang.bound + coming >= self._gang.least

    def _can_reach(self, lost: int) -> bool:
        return self._gang.bound + len(self._members) - lost >= self._gang.least


def gap(gang: Gang, snapshot: Snapshot) -> str:
    """Returns what the cluster lacks of what a group asks for (coscheduling PreFilter), empty where
    there is all of it. What the group's own pods have counts as free."""
    if not gang.resources:
        return ""
    lacking = {**gang.resources, PODS: gang.least}
    own = {it.metadata.uid for it in gang.pods}
    for place in places(snapshot.all):
        state = snapshot.at(place)
        given = [it.demand for it in snapshot.pods_on(state) if it.pod.metadata.uid in own]
        state = state.copy() if given else state
        for demand in given:
            state.add(demand, -1)
        left = {name: number - state.free(name) for name, number in lacking.items()}
        lacking = {name: number for name, number in left.items() if number > 0}
        if not lacking:
            return ""
    return "resource gap: " + ", ".join(f"{name}: {it}" for name, it in sorted(lacking.items()))
