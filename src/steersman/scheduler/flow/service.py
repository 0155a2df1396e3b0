"""The shell of the scheduler `flow`: gathers what waits into a batch, plans it, has it bound.

Decides nothing by itself; pods that a batch leaves over, and those that are decided one by one, go
the way of all pods, so that conditions, preemption and claims are the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from steersman.client.interface import Views
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import Pod
from steersman.scheduler.budgets import Budgets
from steersman.scheduler.flow.classes import sort
from steersman.scheduler.flow.moves import movable, plan_moves
from steersman.scheduler.flow.plan import plan_batch
from steersman.scheduler.flow.solver import NotInstalled, load, solve
from steersman.scheduler.following import reshapes
from steersman.scheduler.memory import Ask
from steersman.scheduler.queue import PodQueue
from steersman.scheduler.state.snapshot import Snapshot
from steersman.world.interface import Tasks, World

log = logging.getLogger(__name__)

MOST_PODS: Final = 10_000  # of one batch, for whose planning everything else waits
# Pods of one kind are given all at once: comparing plans is for batches that are smaller
MOST_MIXED: Final = 1_000
MOVED: Final = "another node costs less by more than the move"
SETTLE_SECONDS: Final = 10.0  # after a change: what was ended comes up again, budgets are counted
GATHER_SECONDS: Final = 0.02  # after the first pod of a batch: pods come in crowds


class Placing(Protocol):
    """What the scheduler does for `flow`."""

    queue: PodQueue
    snapshot: Snapshot

    def question(self, pod: Pod) -> Ask | None:
        """Returns where a pod may go, None where that is to be asked for this pod alone."""

    async def write(self, group: Tasks, pod: Pod, node: str | None) -> None:
        """Begins to bind a pod, or without a node to decide on it, once there is room to write."""

    async def refuse(self, pod: Pod, text: str) -> None:
        """Says why a pod is not scheduled; it is tried again when it changes, or after minutes."""

    async def move(self, pod: Pod, text: str) -> None:
        """Ends a running pod."""


class Flow:
    """Runs beside the scheduler, for the pods of one lane of its queue."""

    def __init__(
        self, scheduler: Placing, views: Views, budgets: Budgets, world: World, lane: str
    ) -> None:
        self._scheduler = scheduler
        self._nodes = views.of(NODE)
        self._changed = asyncio.Event()  # a batch was placed, a node came or is another
        self._budgets = budgets
        self._world = world
        self._lane = lane
        self._told = False

    async def run(self, group: Tasks) -> None:
        """Places batch after batch, for ever."""
        queue = self._scheduler.queue
        group.start(self._improve(), name="scheduler flow moves")
        while True:
            pods = [await queue.take(self._lane)]
            await self._world.pause(GATHER_SECONDS)
            pods += queue.take_all(MOST_PODS - 1, self._lane)
            try:
                load()
            except NotInstalled as error:
                await self._missing(pods, str(error))
                continue
            await self._place(group, pods)
            self._changed.set()

    async def _missing(self, pods: list[Pod], text: str) -> None:
        if not self._told:
            log.error("%s", text)
            self._told = True
        for pod in pods:
            await self._scheduler.refuse(pod, text)

    async def _place(self, group: Tasks, pods: Sequence[Pod]) -> None:
        scheduler = self._scheduler
        batch = sort(pods, scheduler.snapshot, scheduler.question)
        if len(batch.classes) > 1 and len(pods) > MOST_MIXED:
            for start in range(0, len(pods), MOST_MIXED):
                await self._place(group, pods[start : start + MOST_MIXED])
            return
        for pod, why in batch.bad:
            await scheduler.refuse(pod, why)
        if batch.classes:
            plan = plan_batch(
                batch.classes, scheduler.snapshot, self._ask, solve, self._world.now()
            )
            for pod, node in plan.placed:
                await scheduler.write(group, pod, node)
            for pod in plan.left:
                await scheduler.write(group, pod, None)
        for pod in batch.single:
            await scheduler.write(group, pod, None)

    def _ask(self, pod: Pod) -> Ask:
        found = self._scheduler.question(pod)
        assert found is not None  # only pods of a class are asked about again
        return found

    async def _improve(self) -> None:
        """Ends pods that would cost less elsewhere, some time after each change; for ever."""

        def hear(old: Node | None, new: Node | None) -> None:
            if reshapes(old, new):
                self._changed.set()

        leave = self._nodes.listen(hear)
        try:
            while True:
                await self._changed.wait()
                await self._world.sleep(SETTLE_SECONDS)
                self._changed.clear()
                await self._move()
        finally:
            leave()

    async def _move(self) -> None:
        scheduler = self._scheduler
        for running in movable(scheduler.snapshot, self._lane):
            going = plan_moves(
                running, scheduler.snapshot, self._budgets.all(), scheduler.question, solve
            )
            for placed in going:
                await scheduler.move(placed.pod, MOVED)
