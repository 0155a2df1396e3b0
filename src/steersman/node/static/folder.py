"""The folder of manifests: read when something in it changes, never by the clock.

A file that is no pod is told once and its pod ends, as the kubelet's does; the others go on.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from steersman.model.times import rfc3339_micro
from steersman.node.static.manifests import MAX_BYTES, BadManifest, Static, parse_manifest
from steersman.node.streams.inotify import CONTENT, IN_CREATE, DirectoryChanges
from steersman.world.interface import World

# A file is often made, written and moved at once; what is half there is not told as broken
SETTLE_SECONDS = 0.1
RETRY_SECONDS = 20.0  # kubelet's fileCheckFrequency, here only while there can be no folder
MAX_FILES = 1000  # more pods than any node runs


class Folder:
    """The static pods of a folder by uid; `tell` gets what is wrong, in one line."""

    def __init__(
        self, directory: Path, node: str, world: World, tell: Callable[[str], None]
    ) -> None:
        self.pods: Mapping[str, Static] = {}
        self._directory = directory
        self._node = node
        self._world = world
        self._tell = tell
        self._told: frozenset[str] = frozenset()
        self._listeners: list[Callable[[], None]] = []
        self._changes = DirectoryChanges(CONTENT | IN_CREATE)
        self._read = asyncio.Event()

    async def synced(self) -> None:
        """Waits until the folder has been read once, or cannot be."""
        await self._read.wait()

    def listen(self, hear: Callable[[], None]) -> None:
        """Calls `hear` whenever `pods` has changed."""
        self._listeners.append(hear)

    async def run(self) -> None:
        """Follows the folder for ever; one that is taken away is made anew, empty."""
        while True:
            try:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                await self._follow()
            except OSError as error:
                self._take({}, [f"{error.filename or self._directory}: {error.strerror}"])
                await self._world.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        """Follows until the path is another folder or none."""
        changed = asyncio.Event()
        with self._changes.watch(str(self._directory), changed.set):
            followed = self._identity()
            while self._identity() == followed:
                self._take(*await asyncio.to_thread(self._read_all))
                await changed.wait()
                await self._world.sleep(SETTLE_SECONDS)
                changed.clear()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._directory.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _take(self, pods: Mapping[str, Static], wrong: list[str]) -> None:
        for text in wrong:
            if text not in self._told:
                self._tell(text)
        self._told = frozenset(wrong)
        changed = pods.keys() != self.pods.keys()
        self.pods = pods
        self._read.set()
        if changed:
            for hear in self._listeners:
                hear()

    def _read_all(self) -> tuple[dict[str, Static], list[str]]:
        """Returns the pods of all files, and what is wrong with the others."""
        pods: dict[str, Static] = {}
        wrong: list[str] = []
        names: dict[tuple[str, str], Path] = {}
        visible = sorted(it for it in os.listdir(self._directory) if not it.startswith("."))
        for path in (self._directory / name for name in visible[:MAX_FILES]):
            try:
                found = self._parse(path)
                if (other := names.setdefault(found.key, path)) != path:
                    raise BadManifest(f"{path}: the pod of {other} has the same name")
                pods[found.pod.metadata.uid] = found
            except BadManifest as error:
                wrong.append(str(error))
            except OSError as error:
                wrong.append(f"{path}: {error.strerror}")
        return pods, wrong

    def _parse(self, path: Path) -> Static:
        with open(path, "rb", opener=_open) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadManifest(f"{path}: it is no file")
            data = file.read(MAX_BYTES + 1)
        seen = rfc3339_micro(self._world.now())
        found = parse_manifest(data, path, self._node, seen)
        # Of what is the same the first sight counts
        return self.pods.get(found.pod.metadata.uid, found)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe nobody writes to holds nothing up
