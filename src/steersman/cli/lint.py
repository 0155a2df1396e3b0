"""`steer debug lint`: the simulator's invariants on a live cluster. It only reads."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from steersman.cli import reach
from steersman.cli.failure import printable

if TYPE_CHECKING:
    from steersman.model.ref import Resource
    from steersman.testing.invariants.state import Violation

# What is wrong is looked at again after this: controllers that are at work may be about to mend it
SETTLE_SECONDS = 2.0
EXAMPLE = """example:
  steer debug lint
  steer debug lint -o json"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer debug`."""
    del name
    parser.epilog = EXAMPLE
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    lint = actions.add_parser("lint", help="say which invariants do not hold; exit 1 if any")
    reach.add_options(lint)
    lint.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints what does not hold; exits with 1 where something does not."""
    from msgspec.structs import asdict

    found, unread = asyncio.run(_lint(arguments))
    if arguments.output == "json":
        print(json.dumps([asdict(it) for it in found]))
    else:
        for it in found:
            print(printable(f"{it.path}: {it.rule}: {it.message}"))
        for why in unread.values():
            print(printable(f"not read: {why}"))
        if not found:
            print("everything holds" if not unread else "everything holds of what was read")
    return 1 if found else 0


async def _lint(arguments: argparse.Namespace) -> tuple[list[Violation], dict[Resource, str]]:
    """Returns what does not hold now and, where there is something, a moment later too."""
    from steersman.testing.invariants.reading import read_state
    from steersman.testing.invariants.state import check

    async with reach.cluster(arguments) as transport:
        state, unread = await read_state(transport)
        if not (found := check(state)):
            return [], unread
        await asyncio.sleep(SETTLE_SECONDS)
        state, unread = await read_state(transport)
        before = {(it.path, it.rule) for it in found}
        return [it for it in check(state) if (it.path, it.rule) in before], unread
