"""The way of a request through its priority level: served now, later, or turned away.

What is answered at once occupies no seat. What waits occupies its seats from when it begins until
it is answered, or until its client has taken a long answer.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, Protocol

from steersman.api.access.authorization import Attributes
from steersman.api.fairness.estimate import Estimate
from steersman.api.fairness.seats.level import Level
from steersman.api.fairness.seats.lingering import Lingering
from steersman.api.fairness.seats.pace import Pace
from steersman.api.fairness.seats.queues import Flow, Occupant
from steersman.wire.message import Request, Response, Upgrade, User
from steersman.world.interface import Tasks, World

# A fourth of a request's time (--request-timeout: a minute) may pass before it begins
WAIT_SECONDS: Final = 15.0
TOO_MANY: Final = b"Too many requests, please try again later.\n"
PLAIN_TEXT: Final = "text/plain; charset=utf-8"
# What a connection writes in one piece; for a longer answer its client is waited for
SHORT_BYTES: Final = 128 * 1024


class Rules(Protocol):
    """What decides which requests are one flow, and how much they take."""

    def flow(self, user: User, asked: Attributes) -> Flow | None:
        """Returns the flow of a request, None where nothing limits it."""

    def estimate(self, flow: Flow, request: Request, asked: Attributes) -> Estimate:
        """Returns how many seats a request takes."""

    def refuse(self, level: Level) -> int:
        """Counts one who is turned away; returns after how many seconds they may come again."""

    def ended(self, level: Level) -> None:
        """Hears that a level that is no longer wanted has served its last request."""


class Serving:
    """See the module."""

    def __init__(self, rules: Rules, world: World, pace: Pace | None = None) -> None:
        self.flow = rules.flow
        self._rules = rules
        self._world = world
        self._lingering = Lingering(world)
        self._pace = pace

    def run(self, tasks: Tasks) -> None:
        """Starts what frees seats that are held for a moment after an answer."""
        tasks.start(self._lingering.run(), name="seats after answers")

    def fits(self, flow: Flow, request: Request, asked: Attributes, now: float) -> bool:
        """Says whether a request can be served at once. One seat is enough for what is no list."""
        level = flow.level
        if not level.open or self._is_late(level, now):
            return False
        if asked.verb != "list":
            return True
        return level.fits(self._rules.estimate(flow, request, asked).seats)

    def _is_late(self, level: Level, now: float) -> bool:
        """Says whether others are to have their turn first."""
        pace = self._pace
        return pace is not None and level.queuing.queues > 0 and pace.is_late(now)

    def served(
        self,
        flow: Flow,
        response: Response,
        request: Request,
        user: User,
        asked: Attributes,
        seconds: float,
    ) -> None:
        """Notes that a request was answered at once. A long answer occupies seats until its
        client has taken it."""
        own = response.headers
        response.headers = flow.headers if own is None else {**flow.headers, **own}
        body = response.body
        if (type(body) is bytes and len(body) <= SHORT_BYTES) or not _is_long(request, response):
            figures = flow.figures
            figures.dispatched += 1
            figures.regular.observe(seconds)
            return
        now = self._world.monotonic()
        one = Occupant(flow, self._rules.estimate(flow, request, asked), user, asked, now)
        flow.level.enter(one, now)
        request.finished = partial(self._leave, one)

    def begin(
        self, flow: Flow, request: Request, user: User, asked: Attributes, now: float
    ) -> Occupant:
        """Has a request begin where there are seats for it, else wait for `turn`."""
        one = Occupant(flow, self._rules.estimate(flow, request, asked), user, asked, now)
        level = flow.level
        if level.fits(one.seats) and not self._is_late(level, now):
            level.enter(one, now)
        else:
            level.queue(one, now)
        return one

    async def turn(self, one: Occupant) -> bool:
        """Waits until a request may begin; says if it may."""
        if one.started >= 0:
            return True
        if one.queue is None:  # it was turned away
            return False
        came = asyncio.Event()
        one.wake = came.set
        late = False
        try:
            async with self._world.wire_timeout(WAIT_SECONDS):
                await came.wait()
        except TimeoutError:
            late = True
        finally:
            if one.started < 0:
                one.flow.level.withdraw(one, self._world.monotonic(), late=late)
        return one.started >= 0

    def end(self, one: Occupant, request: Request, response: Response | None, now: float) -> None:
        """Notes that a request has been dealt with; a long answer keeps its seats until its client
        has taken it."""
        if response is not None:
            own = response.headers
            headers = one.flow.headers
            response.headers = headers if own is None else {**headers, **own}
            if _is_long(request, response):
                request.finished = partial(self._leave, one)
                return
        level = one.flow.level
        level.finish(one, now)
        if one.estimate.seconds or level.quiescing:
            self._linger(one)

    def refused(self, flow: Flow) -> Response:
        """Returns the answer of who is turned away."""
        headers = {
            **flow.headers,
            "Retry-After": str(self._rules.refuse(flow.level)),
            "X-Content-Type-Options": "nosniff",
        }
        return Response(TOO_MANY, 429, PLAIN_TEXT, headers)

    def _leave(self, one: Occupant) -> None:
        one.flow.level.finish(one, self._world.monotonic())
        self._linger(one)

    def _linger(self, one: Occupant) -> None:
        if seconds := one.estimate.seconds:
            self._lingering.add(seconds, partial(self._release, one))
        if (level := one.flow.level).quiescing and level.idle:
            self._rules.ended(level)

    def _release(self, one: Occupant) -> None:
        one.flow.level.release(one, self._world.monotonic())


def _is_long(request: Request, response: Response) -> bool:
    """Says whether an answer takes as long as its client takes for it. Only a connection can tell
    when that is; a stream that is pushed, or told within a WebSocket, has begun when it is handed
    over."""
    body = response.body
    if request.peer is None or callable(body) or isinstance(body, Upgrade):
        return False
    return not isinstance(body, bytes) or len(body) > SHORT_BYTES
