"""Tells the API how a pod is, whenever that has changed."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from steersman.client.errors import Unreachable
from steersman.model.errors import APIError, Conflict, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.node.acting import counting
from steersman.node.observed import Observed
from steersman.node.status import render_status, same
from steersman.node.tools import Tools

# A pod on its way up has several states in a blink; telling each would slow down the next
SETTLE_SECONDS: Final = 0.15
RETRY_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


class Subject(Protocol):
    """The pod that is told of; see `worker.Worker`."""

    seen: Observed

    @property
    def granted(self) -> Pod:
        """The pod with the resources that the node has granted it."""

    @property
    def shown(self) -> Pod | None:
        """What shows the pod in the API; None where nothing does."""

    def take(self, answer: Pod) -> None:
        """The API has answered a status with what shows the pod from now on."""


class Teller:
    """Writes the status of one pod."""

    def __init__(self, tools: Tools, subject: Subject) -> None:
        self._tools = tools
        self._subject = subject
        self._stale = asyncio.Event()
        self._settled = asyncio.Event()
        self._told: Document | None = None

    def hear(self, *, settled: bool = False) -> None:
        """Something has changed; what is settled is told at once from then on."""
        self._stale.set()
        if settled:
            self._settled.set()

    def forget(self) -> None:
        """What was told is not there any more."""
        self._told = None

    async def run(self) -> None:
        """Writes the status whenever it has changed, for ever."""
        while True:
            await self._stale.wait()
            try:
                async with self._tools.world.timeout(SETTLE_SECONDS):
                    await self._settled.wait()
            except TimeoutError:
                pass  # it takes its time: people want to see why
            self._stale.clear()
            try:
                await self.write()
            except (APIError, Unreachable) as error:
                # A conflict may be lost to other writers; where the object is gone or another pod
                # bears the name, the view soon says so, and nothing is told any more
                if not isinstance(error, (NotFound, Conflict, Unreachable)):
                    name = self._subject.seen.name
                    log.warning("the status of pod %s is refused: %s", name, error)
                await self._tools.world.sleep(RETRY_SECONDS)
                self._stale.set()

    async def write(self) -> None:
        """Writes the status where another was told last; raises APIError, Unreachable."""
        subject, tools = self._subject, self._tools
        if (shown := subject.shown) is None:
            return
        pod, seen = subject.granted, subject.seen
        status = render_status(pod, seen, tools.place.address, tools.world.now(), tools.health)
        if same(self._told, status):
            return
        ref = POD.ref(seen.namespace, seen.name)
        answer = await tools.client.patch(
            ref, {"status": status}, how="strategic", subresource="status", uid=shown.metadata.uid
        )
        if self._told is None or self._told["phase"] != status["phase"]:
            counting.count_start(tools.counts, pod, seen, status, tools.world.now())
        self._told = status
        if answer.metadata.revision > shown.metadata.revision:
            subject.take(answer)
