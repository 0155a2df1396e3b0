"""`steer clock`: reads a virtual clock and tells it how to go. It speaks to the API, with the
rights of its user, so it works from wherever kubectl does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from steersman.cli import reach
from steersman.cli.clock.reading import PATH
from steersman.cli.failure import Failure, Progress, printable
from steersman.model.duration import parse_duration

EXAMPLE = """example:
  steer clock advance 3d
  steer clock advance --to 2027-01-01T00:00:00Z
  steer clock rate 60"""
ACTIONS = ("show", "advance", "freeze", "resume", "rate")
NOT_VIRTUAL = (
    "this cluster's clock is real: one that can be told is had with steer up --clock virtual"
)


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer clock`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="show", help="default: show")
    parser.add_argument("amount", nargs="?", help="a duration (advance), or how many times faster")
    parser.add_argument("--to", metavar="TIME", help="advance: to a time, as 2027-01-01T00:00:00Z")
    reach.add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tells the clock, and says what it reads then."""
    found = asyncio.run(_ask(arguments, wanted(arguments)))
    print(json.dumps(found) if arguments.output == "json" else printable(show(found)))
    return 0


def wanted(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Returns what the clock is to be told, None for nothing; raises Failure."""
    action, amount = arguments.action, arguments.amount
    if arguments.to is not None and (action != "advance" or amount is not None):
        raise Failure("--to stands with `advance` alone, in the place of a duration")
    if action == "advance":
        if arguments.to is not None:
            return {"advanceTo": _time(arguments.to)}
        if amount is None:
            raise Failure("say how far, as in: steer clock advance 3d")
        return {"advanceSeconds": _seconds(amount)}
    if action == "rate":
        return {"rate": _rate(amount)}
    if amount is not None:
        raise Failure(f"`steer clock {action}` takes nothing more, {amount!r} was given")
    return {"freeze": {"frozen": True}, "resume": {"frozen": False}}.get(action)


def _seconds(text: str) -> float:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise Failure(str(error)) from None
    if not found:
        raise Failure(f"{text} is no time at all: the clock stays where it is")
    return found


def _time(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Failure(f"--to {text}: a time with its zone is written as 2027-01-01T00:00:00Z")
    return moment.isoformat()


def _rate(text: str | None) -> float:
    try:
        rate = float(text or "")
    except ValueError:
        raise Failure("say how many times faster, as in: steer clock rate 60") from None
    if not 0 < rate < float("inf"):
        raise Failure("a rate is a number greater than 0; to stop the clock: steer clock freeze")
    return rate


def show(found: dict[str, Any]) -> str:
    """Returns what a clock says of itself as text for people."""
    state = "frozen" if found["frozen"] else f"rate {found['rate']:g}"
    goal = f", on its way to {found['advancesTo']}" if "advancesTo" in found else ""
    return f"{found['now']} ({state}{goal})"


async def _ask(arguments: argparse.Namespace, wish: dict[str, Any] | None) -> dict[str, Any]:
    from steersman.wire.message import JSON, Request

    async with reach.cluster(arguments) as transport:
        if wish is None:
            request = Request("GET", PATH)
        else:
            headers = {"content-type": JSON}
            request = Request("POST", PATH, headers=headers, body=json.dumps(wish).encode())
        return await _last(await transport.send(request))


async def _last(response: Any) -> dict[str, Any]:
    """Returns the last line of an answer, and shows the others as progress."""
    from steersman.wire.status import from_body

    if response.status == 404:
        raise Failure(NOT_VIRTUAL)
    if response.status != 200:
        body = response.body if isinstance(response.body, bytes) else b""
        raise Failure(from_body(response.status, body).message)
    found: dict[str, Any] = {}
    with Progress() as progress:
        async for line in _lines(response.body):
            found = json.loads(line)
            progress.say(show(found))
    if not found:
        raise Failure("the server ended before the clock had arrived")
    return found


async def _lines(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting = b""
    async for piece in _pieces(body):
        *lines, waiting = (waiting + piece).split(b"\n")
        for line in lines:
            yield line


async def _pieces(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for piece in body:
        yield piece
