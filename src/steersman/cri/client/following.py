"""What happens in a runtime: told by it (GetContainerEvents, KEP-3386), or, where it does not have
that, found by listing everything once a second while there is a pod, as the kubelet does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final

from steersman.cri.client.calls import Calls
from steersman.cri.client.known import Known, Listing, Run, exit_of, is_ready
from steersman.cri.messages import containers as c
from steersman.cri.messages.containers import EXITED
from steersman.cri.messages.runtime import (
    CONTAINER_DELETED,
    CONTAINER_STOPPED,
    ContainerEventResponse,
    GetEventsRequest,
)
from steersman.cri.messages.sandboxes import NOT_READY
from steersman.runtime.engine import EngineError, Event, ExitStatus
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.world.interface import World

RELIST_SECONDS: Final = 1.0  # kubelet's genericPlegRelistPeriod
SURE_SECONDS: Final = 300.0  # the same beside events (eventedPlegRelistPeriod)
RETRY_SECONDS: Final = 1.0  # between tries of a stream that broke off
# Of ends that nobody has taken note of yet; the agent takes each at once
MAX_EVENTS: Final = 10_000
# A run of which the runtime knows nothing any more (containerd's unknownExitCode)
UNKNOWN_EXIT: Final = 255
NANO: Final = 10**9
log = logging.getLogger(__name__)


class Following:
    """See the module; `list_all` lists what is ours."""

    def __init__(
        self, calls: Calls, known: Known, list_all: Callable[[], Awaitable[Listing]], world: World
    ) -> None:
        self._calls = calls
        self._known = known
        self._list_all = list_all
        self._world = world
        self._events: asyncio.Queue[Event] = asyncio.Queue(MAX_EVENTS)
        self._begun = asyncio.Event()
        self._stale = asyncio.Event()

    def begin(self) -> None:
        """Says that there is a pod to be looked at."""
        self._begun.set()

    def look(self) -> None:
        """Says that something may have happened of which no event was taken note of."""
        self._stale.set()

    async def events(self) -> AsyncIterator[Event]:
        """Yields what happens; for one reader."""
        while True:
            yield await self._events.get()

    async def run(self) -> None:
        """Follows for ever."""
        while (why := await self._listen()) is None or why.code != grpc.UNIMPLEMENTED:
            log.warning("events of the runtime have ended: %s", why or "it has closed them")
            await self._world.sleep(RETRY_SECONDS)
        log.warning("the runtime tells no events: what ends is looked for every second")
        while True:
            if not self._known.sandboxes:
                self._begun.clear()
                await self._begun.wait()
            await self._world.sleep(RELIST_SECONDS)
            await self._relist()

    async def _listen(self) -> Failed | None:
        """Takes what the runtime tells until it breaks off, and returns why; what it has not told
        is found."""
        asked = GetEventsRequest()
        events = self._calls.follow("GetContainerEvents", asked, ContainerEventResponse)
        async with self._world.tasks() as tasks:
            tasks.start(self._make_sure(), name="lists beside events")
            try:
                async for event in events:
                    await self._take(event)
            except Failed as failed:
                return failed
            finally:
                tasks.stop()
        return None

    async def _make_sure(self) -> None:
        while True:
            self._stale.clear()  # what is said from here on may be too late for this list
            if self._known.sandboxes:
                await self._relist()
            with suppress(TimeoutError):
                async with self._world.timeout(SURE_SECONDS):
                    await self._stale.wait()

    async def _take(self, event: ContainerEventResponse) -> None:
        """Takes note of one event; what cannot be asked at that time is found by the next list."""
        id = event.container_id
        place = self._known.place_of(id)
        goes_on = place is not None and self._known.runs[place].exit is None
        if event.container_event_type == CONTAINER_DELETED and goes_on:
            self.look()  # others have removed it
        if event.container_event_type != CONTAINER_STOPPED:
            return
        if place is not None:
            told = (it for it in event.containers_statuses if it.id == id)
            await self._end(place, id, next(told, None))
            return
        uid = next((uid for uid, it in self._known.sandboxes.items() if it == id), "")
        sandbox = event.pod_sandbox_status
        if uid and (sandbox is None or sandbox.state == NOT_READY):
            self._lose(uid)

    async def _relist(self) -> None:
        """Finds what has ended since; a runtime that does not answer is asked again."""
        before = dict(self._known.sandboxes), dict(self._known.runs)
        try:
            listing = await self._list_all()
            await self._compare(listing, *before)
        except EngineError as error:
            log.warning("the runtime cannot be listed: %s", error)

    async def _compare(
        self, listing: Listing, sandboxes: dict[str, str], runs: dict[tuple[str, str], Run]
    ) -> None:
        """Tells what is not as it was; what came or went while it was listed is left alone."""
        now = listing.runs()
        for place, run in runs.items():
            found = now.get(place)
            if self._known.runs.get(place) is not run or run.exit is not None:
                continue
            if found is None:
                self.tell_exit(place, _unseen(run, self._world.now()))
            elif found.state == EXITED:
                await self._end(place, run.id)
        ready = {it.id for it in listing.sandboxes if is_ready(it)}
        for uid, id in sandboxes.items():
            if self._known.sandboxes.get(uid) == id and id not in ready:
                self._lose(uid)

    async def _end(
        self, place: tuple[str, str], id: str, status: c.ContainerStatus | None = None
    ) -> None:
        if status is None or status.state != EXITED:
            asked = c.ContainerStatusRequest(id)
            try:
                answer = await self._calls.runtime(
                    "ContainerStatus", asked, c.ContainerStatusResponse
                )
            except EngineError as error:
                if error.kind != "not-found":  # else the one who removed it knows how it ended
                    log.warning("how %s ended is not known yet: %s", place[1], error)
                return
            status = answer.status
        if status is not None and status.state == EXITED:
            self.tell_exit(place, exit_of(status))

    def tell_exit(self, place: tuple[str, str], exit: ExitStatus) -> None:
        """Tells how a run ended, once."""
        if self._known.ended(place, exit):
            self._put(Event("exit", *place, exit))

    def _lose(self, uid: str) -> None:
        """Tells that a sandbox is lost, once."""
        self._known.sandboxes.pop(uid, None)
        self._put(Event("lost", uid, "", None))

    def _put(self, event: Event) -> None:
        if self._events.full():  # the agent lists everything anew
            while not self._events.empty():
                self._events.get_nowait()
            event = Event("overflow", "", "", None)
        self._events.put_nowait(event)


def _unseen(run: Run, now: float) -> ExitStatus:
    return ExitStatus(UNKNOWN_EXIT, 0, run.started_at, int(now * NANO), False)
