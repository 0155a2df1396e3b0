"""Looks at the signals every ten seconds, and has pods go while the node is under pressure.

Sources: eviction_manager.go (synchronize). At most one pod goes at a time, so that it can help
before the next one must; a pod beyond a bound of its own goes in any case.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.node.observed import Observed
from steersman.node.pressure import ranking
from steersman.node.pressure.ranking import Use
from steersman.node.pressure.thresholds import (
    CONDITIONS,
    RESOURCES,
    Signals,
    Threshold,
    Watch,
)
from steersman.world.interface import World

LOOK_SECONDS = 10.0  # kubelet's monitoringInterval; disks and /proc tell nothing by themselves
HARD_GRACE_SECONDS = 1.0  # immediateEvictionGracePeriodSeconds
EVICTED = "Evicted"
# Of each condition: the events that tell that it came and that it went
EVENTS = {
    "MemoryPressure": ("NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
    "DiskPressure": ("NodeHasDiskPressure", "NodeHasNoDiskPressure"),
    "PIDPressure": ("NodeHasInsufficientPID", "NodeHasSufficientPID"),
}
log = logging.getLogger(__name__)


class Source(Protocol):
    """What is read of the machine; see `reading.SignalSource`."""

    def signals(self) -> Signals:
        """Looks at the whole machine."""

    async def groups(self) -> dict[str, Use]:
        """Returns memory and processes of pods by uid; raises OSError."""

    def volumes(self, uid: str) -> dict[str, int]:
        """Returns the sizes of a pod's volumes."""

    def disk(self, seen: Observed, volumes: int) -> Use:
        """Returns what a pod has on the disk."""


class Cared(Protocol):
    """A pod that the agent cares for."""

    pod: Pod
    seen: Observed

    def evict(self, reason: str, message: str, grace_seconds: float) -> None:
        """Gives the pod up."""


class Options(msgspec.Struct, frozen=True):
    """What the node was told: thresholds, and the longest grace of a soft one."""

    thresholds: tuple[Threshold, ...] = ()
    soft_grace_seconds: float = 0.0


class Monitor:
    """The pressure on one node.

    cared:   gives the pods that the agent cares for
    reclaim: frees what nobody needs of the disk, before pods must go
    say:     tells an event of the node: its kind, reason and note
    changed: is called when the conditions of the node have changed
    evicted: is called with the signal for which a pod was given up
    """

    def __init__(
        self,
        source: Source,
        options: Options,
        cared: Callable[[], Iterable[Cared]],
        reclaim: Callable[[], Awaitable[object]],
        say: Callable[[str, str, str], None],
        node: str,
        world: World,
    ) -> None:
        self.conditions: frozenset[str] = frozenset()
        self.changed: Callable[[], None] = lambda: None
        self.evicted: Callable[[str], None] = lambda _: None
        self._source = source
        self._options = options
        self._watch = Watch(options.thresholds)
        self._cared = cared
        self._reclaim = reclaim
        self._say = say
        self._node = node
        self._world = world

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            try:
                await self.look()
            except OSError as error:
                log.warning("the signals of the node cannot be read: %s", error)
            await self._world.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Looks once, and has at most one pod go for the node's sake."""
        if await self._end_exceeding():
            return
        signals = self._source.signals()
        due = self._watch.look(signals, self._world.now())
        self._take(self._watch.conditions(self._world.now()))
        if not due:
            return
        resource = RESOURCES[due[0].signal]
        self._say("Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        if CONDITIONS[due[0].signal] == "DiskPressure":
            await self._reclaim()
            signals = self._source.signals()
            if not due[0].is_met(signals, before=True):
                return
        await self._end_one(due[0], signals)

    def refusal(self, pod: Pod) -> tuple[str, str] | None:
        """Returns why a pod may not begin now, None where it may (Admit)."""
        if not self.conditions or ranking.is_critical(pod):
            return None
        if self.conditions == {"MemoryPressure"} and not _is_best_effort(pod):
            return None
        told = " ".join(sorted(self.conditions))
        return EVICTED, f"The node had condition: [{told}]. "

    def _take(self, conditions: frozenset[str]) -> None:
        if conditions == self.conditions:
            return
        for kind in sorted(conditions ^ self.conditions):
            reason = EVENTS[kind][kind not in conditions]
            self._say("Normal", reason, f"Node {self._node} status is now: {reason}")
        self.conditions = conditions
        self.changed()

    def _active(self) -> list[Cared]:
        ended = ("Succeeded", "Failed")
        return [
            it
            for it in self._cared()
            if it.seen.ended is None and not it.seen.gone and it.pod.status.phase not in ended
        ]

    async def _end_exceeding(self) -> bool:
        """Ends the pods that are beyond a bound of their own; says whether there were any."""
        found = False
        for cared in self._active():
            if not ranking.has_bounds(cared.pod) or ranking.is_critical(cared.pod):
                continue
            volumes, use = await asyncio.to_thread(self._measure, cared.seen)
            if text := ranking.exceeded(cared.pod, use, volumes):
                cared.evict(EVICTED, text, HARD_GRACE_SECONDS)
                self.evicted(ranking.bound_of(text))
                found = True
        return found

    def _measure(self, seen: Observed) -> tuple[dict[str, int], Use]:
        volumes = self._source.volumes(seen.uid)
        return volumes, self._source.disk(seen, sum(volumes.values()))

    async def _end_one(self, threshold: Threshold, signals: Signals) -> None:
        resource = RESOURCES[threshold.signal]
        cared = {it.seen.uid: it for it in self._active()}
        if CONDITIONS[threshold.signal] == "DiskPressure":
            uses = {
                uid: (await asyncio.to_thread(self._measure, it.seen))[1]
                for uid, it in cared.items()
            }
        else:
            uses = await self._source.groups()
        candidates = [
            (it.pod, uses.get(uid, Use()))
            for uid, it in cared.items()
            if not ranking.is_critical(it.pod)
        ]
        for pod, use in ranking.rank(resource, candidates)[:1]:
            text = ranking.message(threshold, signals[threshold.signal], pod, use)
            cared[pod.metadata.uid].evict(EVICTED, text, self._grace(threshold, pod))
            self.evicted(threshold.signal)

    def _grace(self, threshold: Threshold, pod: Pod) -> float:
        if threshold.hard:
            return HARD_GRACE_SECONDS
        own = float(pod.spec.termination_grace_period_seconds)
        return min(own, self._options.soft_grace_seconds)


def _is_best_effort(pod: Pod) -> bool:
    return pod.status.qos_class == "BestEffort"
