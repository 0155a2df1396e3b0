"""`steer nodes simulate N` and `steer nodes remove-simulated`: they make and delete Node objects
with a label, as anybody may who may do that; the server brings such nodes to life.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steersman.cli import reach
from steersman.cli.failure import Failure, printable, why

if TYPE_CHECKING:
    from steersman.client.client import APIClient
    from steersman.client.interface import Change
    from steersman.model.kind import Document

READY_SECONDS = 60.0
# A node's name is this and a number
PREFIX = "simulated"
MOST = 10_000  # what one command may ask for; a mistyped number is no wish
EXAMPLE = """example:
  steer nodes simulate 100 --cpu 8 --memory 32Gi --label zone=a --taint gpu=yes:NoSchedule
  steer nodes remove-simulated
  steer nodes remove-simulated simulated-3 simulated-4"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer nodes`."""
    del name
    parser.epilog = EXAMPLE
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    simulate = actions.add_parser("simulate", help="make nodes whose pods run by themselves")
    simulate.add_argument("count", type=int, metavar="N", help="how many")
    for size, default in (("cpu", "32"), ("memory", "128Gi"), ("pods", "110")):
        simulate.add_argument(f"--{size}", default=default, help=f"of each (default: {default})")
    text = "a label, as often as you like"
    simulate.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help=text)
    text = "a taint, as often as you like"
    simulate.add_argument(
        "--taint", action="append", default=[], metavar="KEY=VALUE:EFFECT", help=text
    )
    text = "how its pods start, fail and end: see docs/simulated-nodes.md"
    simulate.add_argument("--behaviour", type=Path, metavar="FILE", help=text)
    reach.add_options(simulate)
    simulate.set_defaults(run=run_simulate)
    remove = actions.add_parser("remove-simulated", help="remove them, with their pods")
    remove.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    reach.add_options(remove)
    remove.set_defaults(run=run_remove)


def run_simulate(arguments: argparse.Namespace) -> int:
    """Makes nodes and waits until they are ready."""
    if not 0 < arguments.count <= MOST:
        raise Failure(f"N is a number from 1 to {MOST}")
    template = render(arguments)

    async def work(client: APIClient) -> list[str]:
        return await simulate(client, template, arguments.count)

    return _tell(arguments, asyncio.run(_with_client(arguments, work)), "ready")


def run_remove(arguments: argparse.Namespace) -> int:
    """Removes the nodes that are named, or all that are simulated."""

    async def work(client: APIClient) -> list[str]:
        return await remove(client, arguments.names)

    return _tell(arguments, asyncio.run(_with_client(arguments, work)), "removed")


def _tell(arguments: argparse.Namespace, names: list[str], state: str) -> int:
    if arguments.output == "json":
        print(json.dumps(names))
    else:
        for name in names:
            print(printable(f"node/{name} {state}"))
    return 0


def render(arguments: argparse.Namespace) -> Document:
    """Returns the Node of which each will be one but for its name; raises Failure."""
    from steersman.node.simulated.behaviour import Behaviour
    from steersman.node.simulated.reading import BEHAVIOUR
    from steersman.node.simulated.render import render_node

    size = Behaviour(cpu=arguments.cpu, memory=arguments.memory, pods=arguments.pods)
    document = render_node("", size)
    document["metadata"]["labels"].update(map(_label, arguments.label))
    if arguments.behaviour is not None:
        document["metadata"]["annotations"][BEHAVIOUR] = _behaviour(arguments.behaviour)
    document["spec"]["taints"] = [_taint(text) for text in arguments.taint]
    return document


def _behaviour(path: Path) -> str:
    """Returns what a file says, as a node carries it; raises Failure with file, line and reason."""
    from steersman.node.simulated.behaviour_file import BadFile, parse

    try:
        return json.dumps(parse(path.read_bytes()), separators=(",", ":"))
    except (OSError, BadFile) as error:
        raise Failure(f"--behaviour {path}: {why(error)}") from None


def _label(text: str) -> tuple[str, str]:
    key, is_given, value = text.partition("=")
    if not key or not is_given:
        raise Failure(f"--label {text}: it is written as in zone=a")
    return key, value


def _taint(text: str) -> Document:
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if not key or not effect:
        raise Failure(f"--taint {text}: it is written as in gpu=yes:NoSchedule")
    taint = {"key": key, "effect": effect}
    return {**taint, "value": value} if value else taint


async def _with_client(
    arguments: argparse.Namespace, work: Callable[[APIClient], Awaitable[list[str]]]
) -> list[str]:
    from steersman.client.client import APIClient
    from steersman.world.real import RealWorld

    async with reach.cluster(arguments) as transport:
        return await work(APIClient(transport, RealWorld()))


async def simulate(client: APIClient, template: Document, count: int) -> list[str]:
    """Makes nodes and returns their names once all of them are ready; raises Failure, APIError.

    The first is tried without being made, so that a label that cannot be leaves nothing behind.
    """
    from steersman.model.errors import AlreadyExists
    from steersman.model.kinds.node import NODE

    there = await client.list(NODE)
    taken = {node.metadata.name for node in there.items}
    names: list[str] = []
    for name in _names():
        if len(names) == count:
            break
        if name in taken:
            continue
        document = _named(template, name)
        try:
            if not names:
                await client.create(NODE, document, dry_run=True)
            await client.create(NODE, document)
        except AlreadyExists:  # somebody else was faster
            continue
        names.append(name)
    await _until_ready(client, names, there.revision)
    return names


def _names() -> Iterator[str]:
    number = 0
    while True:
        yield f"{PREFIX}-{number}"
        number += 1


def _named(template: Document, name: str) -> Document:
    from steersman.node.simulated.render import HOSTNAME

    metadata = template["metadata"]
    labels = {HOSTNAME: name, **metadata["labels"]}
    return {**template, "metadata": {**metadata, "name": name, "labels": labels}}


async def _until_ready(client: APIClient, names: Sequence[str], after: int) -> None:
    from steersman.model.kinds.node import NODE

    waited = set(names)
    try:
        async with asyncio.timeout(READY_SECONDS):
            async for changes in client.watch(NODE, after=after):
                waited -= {change.object.metadata.name for change in changes if _is_ready(change)}
                if not waited:
                    return
    except TimeoutError:
        raise Failure(
            f"{sorted(waited)[0]} is not ready after {READY_SECONDS:.0f} s: only a server of steer "
            "whose controllers run brings such nodes to life"
        ) from None


def _is_ready(change: Change) -> bool:
    from steersman.model.types.condition import condition

    if change.object is None:
        return False
    ready = condition(change.object.status.conditions, "Ready")
    return ready is not None and ready.status == "True"


async def remove(client: APIClient, names: Sequence[str]) -> list[str]:
    """Removes simulated nodes and returns which; raises Failure for one that is not simulated."""
    from steersman.model.kinds.node import NODE
    from steersman.node.simulated.render import SIMULATED

    found = await client.list(NODE, labels=f"{SIMULATED}=true")
    there = {node.metadata.name: node for node in found.items}
    if strange := [name for name in names if name not in there]:
        raise Failure(f"there is no simulated node {strange[0]}")
    gone = sorted(names or there)
    for name in gone:
        await client.delete(NODE.ref("", name), uid=there[name].metadata.uid)
    return gone
