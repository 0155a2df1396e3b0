"""Reads files of configuration again when they change, as upstream does: a file that cannot be used
changes nothing, and says so in the log.

The kernel tells of changes (inotify); nothing polls. Directories are watched, since files are
replaced, and since what a ConfigMap mounts changes by a link beside them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from steersman.api.published.reloads import Reloads
from steersman.world.interface import World

# A file is written in several steps; what follows within this time is read with it
SETTLE_SECONDS: Final = 0.1

log = logging.getLogger(__name__)


class Reload(msgspec.Struct, frozen=True):
    """One file that is read again.

    what: its name in logs and metrics
    read: returns what the file says; raises ValueError with one line
    """

    what: str
    path: Path
    read: Callable[[], Any]


async def follow(
    reloads: Sequence[Reload], use: Callable[[str, Any], None], counts: Reloads, world: World
) -> None:
    """Has `use` take what each file says after each change, for ever."""
    from steersman.node.streams.inotify import DirectoryChanges  # where there is such a file

    changes, changed = DirectoryChanges(), asyncio.Event()
    known = {one.path: _content(one.path) for one in reloads}
    with ExitStack() as watches:
        for directory in {str(one.path.parent) for one in reloads}:
            watches.enter_context(changes.watch(directory, changed.set))
        while True:
            await changed.wait()
            await world.wire_sleep(SETTLE_SECONDS)
            changed.clear()
            for one in reloads:
                content = _content(one.path)
                if content is not None and content != known[one.path]:
                    known[one.path] = content
                    _load(one, use, counts, world)


def _load(one: Reload, use: Callable[[str, Any], None], counts: Reloads, world: World) -> None:
    try:
        use(one.what, one.read())
    except ValueError as error:
        log.error("failed to reload %s config: %s", one.what, error)
        counts.count(one.what, world.wire_now(), used=False)
    else:
        log.info("reloaded %s config", one.what)
        counts.count(one.what, world.wire_now(), used=True)


def _content(path: Path) -> bytes | None:
    """Returns what a file holds, None where it cannot be read at the moment."""
    try:
        return path.read_bytes()
    except OSError:
        return None
