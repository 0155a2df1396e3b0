"""Finds plugins of the node by the sockets in a folder, as the kubelet's plugin watcher does.

A socket that comes has its plugin registered, one that goes has it taken back. Nothing is polled,
and of gRPC nothing is loaded before there is a plugin.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from steersman.node.streams.inotify import CONTENT, IN_CREATE, DirectoryChanges
from steersman.world.interface import Tasks, World

MAX_SOCKETS: Final = 1024  # of a folder that root alone writes to
Identity = tuple[int, int]


class Plugin(msgspec.Struct, frozen=True):
    """A plugin that wants to be registered, and where it listens."""

    type: str
    name: str
    endpoint: Path
    versions: tuple[str, ...]


class Refused(Exception):
    """A plugin cannot be registered; the text says why, and the plugin is told."""


class Handler(Protocol):
    """Takes the plugins of one type."""

    async def register(self, plugin: Plugin) -> None:
        """Takes a plugin; raises Refused."""

    async def unregister(self, plugin: Plugin) -> None:
        """Gives a plugin up; raises the API's errors or Refused, and is called again then."""


class Socket:
    """A socket that is there, or has gone (None), and who is to be told of a change."""

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity
        self.changed = asyncio.Event()


class PluginFolder:
    """The folder of one node; handlers by the types of plugins are made when they are needed."""

    def __init__(
        self,
        directory: Path,
        handlers: Mapping[str, Callable[[], Handler]],
        world: World,
        tasks: Tasks,
    ) -> None:
        self._directory = directory
        self._handlers = handlers
        self._world = world
        self._tasks = tasks
        self._changes = DirectoryChanges(CONTENT | IN_CREATE)
        self._sockets: dict[Path, Socket] = {}

    async def run(self) -> None:
        """Works for ever."""
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        changed = asyncio.Event()
        with self._changes.watch(str(self._directory), changed.set):
            while True:
                self._compare(_find(self._directory))
                await changed.wait()
                changed.clear()

    def _compare(self, found: Mapping[Path, Identity]) -> None:
        for path in {*found, *self._sockets}:
            identity = found.get(path)
            if (known := self._sockets.get(path)) is None:
                made = self._sockets[path] = Socket(identity)
                self._tasks.start(self._serve(path, made), name=f"plugin {path.name}")
            elif known.identity != identity:
                known.identity = identity
                known.changed.set()

    async def _serve(self, path: Path, socket: Socket) -> None:
        from steersman.node.plugins.registering import Registering  # loaded with the first plugin

        await Registering(path, socket, self._handlers, self._world).run()
        del self._sockets[path]


def _find(directory: Path) -> dict[Path, Identity]:
    """Returns the sockets that are there; one that was made anew is another one."""
    found: dict[Path, Identity] = {}
    for path in sorted(directory.iterdir())[:MAX_SOCKETS]:
        try:
            status = path.stat()
        except OSError:
            continue  # it has gone, or leads nowhere
        if stat.S_ISSOCK(status.st_mode) and not path.name.startswith("."):
            found[path] = (status.st_ino, status.st_mtime_ns)
    return found
