"""The cluster's clock, where it is virtual: what it reads, and how it is told to pass.

It stands at a path of its own, outside of resources, so that nobody but an administrator may use
it unless a rule for that path says so. An advance is answered line by line until it has ended; who
hangs up ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Final

import msgspec

from steersman.model.errors import BadRequest, MethodNotAllowed
from steersman.model.times import rfc3339
from steersman.wire.message import Request, Response, User
from steersman.world.clock import Clock
from steersman.world.interface import World

PATH: Final = "/steersman.dev/clock"
# How often who waits for an advance is told how far it is, in wire time
PROGRESS_SECONDS: Final = 1.0
# Beyond this no machine follows; a day passes in less than a tenth of a second
MOST_RATE: Final = 1_000_000.0
# Longer bodies say nothing that can be asked for
MOST_BYTES: Final = 1024

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=MOST_RATE)]


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a clock is told: one of its fields.

    rate is in seconds of the cluster for each of wire time.
    """

    advance_seconds: Seconds | None = None
    advance_to: datetime | None = None
    rate: Rate | None = None
    frozen: bool | None = None


class ClockPath:
    """Answers for one clock."""

    def __init__(self, clock: Clock, world: World) -> None:
        self._clock = clock
        self._world = world

    def handle(self, request: Request, _user: User) -> Response:
        """Returns what the clock reads (GET), or does what it is told (POST)."""
        if request.method in ("GET", "HEAD"):
            return Response(self._line())
        if request.method != "POST":
            raise MethodNotAllowed("the clock is read with GET and told with POST")
        wish = parse(request.body)
        if wish.advance_seconds is not None:
            return self._advance(self._clock.furthest() + wish.advance_seconds)
        if wish.advance_to is not None:
            return self._advance(wish.advance_to.timestamp())
        if wish.rate is not None:
            self._clock.set_rate(wish.rate)
        elif wish.frozen:
            self._clock.freeze()
        else:
            self._clock.resume()
        return Response(self._line())

    def _advance(self, goal: float) -> Response:
        try:
            self._clock.check(goal)
        except ValueError as error:
            now = rfc3339(self._clock.now())
            raise BadRequest(f"{error}: it reads {now}, {_written(goal)} was asked for") from None
        return Response(self._follow(goal))

    async def _follow(self, goal: float) -> AsyncIterator[bytes]:
        """Yields what the clock reads now and then, and when the advance has ended."""
        arrived = asyncio.Event()
        self._clock.advance(max(goal, self._clock.now()), arrived.set)
        try:
            while not arrived.is_set():
                yield self._line()
                try:
                    async with self._world.wire_timeout(PROGRESS_SECONDS):
                        await arrived.wait()
                except TimeoutError:
                    continue
        finally:  # who asked may have gone: then nobody wants it to go on
            self._clock.withdraw(arrived.set)
        yield self._line()

    def _line(self) -> bytes:
        return render(self._clock) + b"\n"


def render(clock: Clock) -> bytes:
    """Returns what there is to say of a clock, as JSON."""
    reading = clock.read()
    document = {
        "now": rfc3339(reading.now),
        "rate": reading.rate,
        "frozen": reading.rate == 0,
        **({} if reading.goal is None else {"advancesTo": rfc3339(reading.goal)}),
    }
    return msgspec.json.encode(document)


def parse(body: bytes) -> Wish:
    """Returns what a body asks for; raises BadRequest."""
    if len(body) > MOST_BYTES:
        raise BadRequest(f"a clock is told its wish in at most {MOST_BYTES} bytes")
    try:
        wish = msgspec.json.decode(body, type=Wish)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the clock cannot be told this: {error}") from None
    given = [name for name, value in msgspec.structs.asdict(wish).items() if value is not None]
    if len(given) != 1:
        raise BadRequest("a clock is told one of advanceSeconds, advanceTo, rate, frozen")
    if wish.advance_to is not None and wish.advance_to.tzinfo is None:
        raise BadRequest("advanceTo: the time has no zone, as the Z at its end would be")
    return wish


def _written(seconds: float) -> str:
    try:
        return rfc3339(seconds)
    except (ValueError, OverflowError, OSError):
        return "a later year"
