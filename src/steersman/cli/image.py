"""`steer build`, `images`, `load`, `pull`: the images that the node of a cluster uses."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from datetime import datetime
from pathlib import Path

from steersman.cli.directory import Directory, default_path
from steersman.cli.failure import Failure, Progress, printable
from steersman.images import references
from steersman.images.errors import ImageError
from steersman.images.store import Image, Store

EXAMPLES = {
    "build": "example:\n  steer build -t web:1 .",
    "images": "example:\n  steer images -o json",
    "load": "example:\n  docker save nginx:1.14.2 | steer load",
    "pull": "example:\n  steer pull busybox:1.36",
}
SHORT_ID = 12


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of one of the commands."""
    parser.epilog = EXAMPLES[name]
    parser.add_argument("--data-dir", type=Path, default=default_path(), help="which cluster")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    if name == "build":
        _add_build(parser)
    elif name == "load":
        parser.add_argument("-i", "--input", type=Path, help="archive; default: standard input")
    elif name == "pull":
        parser.add_argument("image", help="name of the image")
        parser.add_argument("--insecure", action="store_true", help="speak HTTP with the registry")
    runs = {"build": build, "images": images, "load": load, "pull": pull}
    parser.set_defaults(run=runs[name])


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--tag", action="append", default=[], metavar="NAME[:TAG]")
    parser.add_argument("-f", "--file", type=Path, help="default: Containerfile or Dockerfile")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--target", default="", help="stop at this stage")
    parser.add_argument("context", type=Path, metavar="DIR", help="what COPY and ADD see")


def open_store(arguments: argparse.Namespace) -> Store:
    """Returns the image store of the cluster; building does not need a cluster to be there."""
    directory = Directory(arguments.data_dir)
    directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Store(directory.images)


def build(arguments: argparse.Namespace) -> int:
    """Builds an image and names it."""
    from steersman.cli.run_step import run_step
    from steersman.images.building.build import Request
    from steersman.images.building.build import build as build_image

    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        request = Request(
            context=arguments.context,
            tags=tuple(references.parse(tag) for tag in arguments.tag),
            now=time.time(),
            epoch=int(epoch) if epoch else None,
            file=arguments.file,
            target=arguments.target,
            args=dict(_split(pair) for pair in arguments.build_arg),
        )
        report = (lambda line: None) if arguments.output == "json" else _say
        image = build_image(open_store(arguments), request, run_step=run_step, report=report)
    except ImageError as error:
        raise Failure(str(error)) from error
    _show(arguments, [image])
    return 0


def _say(line: str) -> None:
    print(printable(line), flush=True)


def _split(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not name:
        raise Failure(f"--build-arg {pair}: a name is missing")
    return name, value if equals else os.environ.get(name, "")


def _show(arguments: argparse.Namespace, found: list[Image]) -> None:
    if arguments.output == "json":
        print(json.dumps([_document(image) for image in found]))
        return
    for image in found:
        names = ", ".join(each.familiar for each in image.references) or "<none>"
        print(printable(f"{names} {image.id}"))


def _document(image: Image) -> dict[str, object]:
    return {
        "id": image.id,
        "names": [str(each) for each in image.references],
        "size": image.size_bytes,
        "created": image.created,
    }


def images(arguments: argparse.Namespace) -> int:
    """Lists images, a line for each name."""
    from steersman.images import listing

    found = open_store(arguments).images()
    if arguments.output == "json":
        print(json.dumps([_document(image) for image in found]))
        return 0
    rows = [("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE")]
    for row in listing.rows(found):
        short = row.id.removeprefix("sha256:")[:SHORT_ID]
        created, size = _ago(row.created), _human(row.size_bytes)
        rows.append((row.repository, row.tag, short, created, size))
    widths = [max(len(line[column]) for line in rows) for column in range(5)]
    for cells_of in rows:
        cells = (text.ljust(width) for text, width in zip(cells_of, widths, strict=True))
        print(printable("   ".join(cells).rstrip()))
    return 0


def _ago(created: str) -> str:
    """Returns how long ago a time was, in its largest unit; nothing for an unknown time."""
    try:
        seconds = time.time() - datetime.fromisoformat(created).timestamp()
    except ValueError:
        return ""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _human(size: int) -> str:
    number = float(size)
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}GB"


def load(arguments: argparse.Namespace) -> int:
    """Loads a docker or OCI archive."""
    import sys

    from steersman.images import archive

    store = open_store(arguments)
    try:
        if arguments.input is None:
            found = archive.load(store, sys.stdin.buffer)
        else:
            with open(arguments.input, "rb") as file:
                found = archive.load(store, file)
    except (ImageError, OSError) as error:
        raise Failure(str(error)) from error
    _show(arguments, found)
    return 0


def pull(arguments: argparse.Namespace) -> int:
    """Pulls an image from its registry, anonymously."""
    from steersman.images.http import StreamHttp
    from steersman.images.pull import Puller

    async def run() -> Image:
        reference = references.parse(arguments.image)
        insecure = {reference.domain} if arguments.insecure else set()
        puller = Puller(open_store(arguments), StreamHttp(), insecure)
        image = await puller.ensure(arguments.image, "Always")
        await puller.rootfs(image)
        return image

    try:
        with Progress() as progress:
            progress.say(f"pulling {arguments.image}")
            image = asyncio.run(run())
    except ImageError as error:
        raise Failure(str(error)) from error
    _show(arguments, [image])
    return 0
