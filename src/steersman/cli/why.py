"""`steer why`: what holds an object, and what would help. Works on any cluster."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from steersman.cli import reach
from steersman.cli.failure import Failure, printable

if TYPE_CHECKING:
    from steersman.explain.objects import Objects
    from steersman.model.kind import Kind

EXAMPLE = """example:
  steer why pod/web-1
  steer why deployment web -n shop"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer why`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("object", nargs="+", metavar="KIND/NAME", help="or KIND NAME")
    parser.add_argument("-n", "--namespace", default="default", help="default: default")
    reach.add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answers; exits with 1 where there is no such object."""
    from steersman.explain.cause import render, to_document
    from steersman.explain.question import explain, kind_of

    word, name = split(arguments.object)
    kind = kind_of(word)
    if kind is None:
        raise Failure(f"{word!r} is no kind that Kubernetes has; try pod, deployment or pvc")
    objects = asyncio.run(_read(arguments, kind))
    if (refused := objects.unread.get(kind.resource)) is not None and not objects.knows(kind):
        raise Failure(refused)
    cause = explain(objects, kind, arguments.namespace, name)
    if arguments.output == "json":
        unread = {str(resource): why for resource, why in objects.unread.items()}
        print(json.dumps({**to_document(cause), "unread": unread}))
    else:
        print(printable(render(cause)))
        for why in objects.unread.values():
            print(printable(f"not read: {why}"))
    return 1 if objects.get(kind, arguments.namespace, name) is None else 0


def split(words: list[str]) -> tuple[str, str]:
    """Returns kind and name of `pod/web` or `pod web`; raises Failure."""
    kind, slash, name = words[0].partition("/")
    if len(words) == 1 and slash and name:
        return kind, name
    if len(words) == 2 and not slash:
        return words[0], words[1]
    raise Failure("name one object, as in: steer why pod/web-1")


async def _read(arguments: argparse.Namespace, kind: Kind) -> Objects:
    from steersman.cli.clock.reading import cluster_time
    from steersman.explain.question import NAMED, READ
    from steersman.explain.reading import read

    asked = () if kind in (*READ, *NAMED) else (kind,)
    async with reach.cluster(arguments) as transport:
        return await read(transport, (*READ, *asked), NAMED, now=await cluster_time(transport))
