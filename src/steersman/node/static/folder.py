"""The folder of manifests: read when something in it changes, never by the clock.

A file that is no pod is told once and its pod ends, as the kubelet's does; the others go on. What
cannot be read, file or folder, ends no pod: it is tried again.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from steersman.model.times import rfc3339_micro
from steersman.node.static.manifests import MAX_BYTES, BadManifest, Static, parse_manifest
from steersman.node.static.source import Kept
from steersman.node.streams.inotify import CONTENT, IN_CREATE, DirectoryChanges
from steersman.world.interface import World

# A file is often made, written and moved at once; what is half there is not told as broken
SETTLE_SECONDS = 0.1
RETRY_SECONDS = 20.0  # kubelet's fileCheckFrequency, here only while something cannot be read
MAX_FILES = 1000  # more pods than any node runs


class _Reading(NamedTuple):
    """What stands in the folder: pods by file, what is wrong, whether to try again."""

    found: dict[Path, Static]
    wrong: list[str]
    again: bool


class Folder(Kept):
    """The static pods of a folder by uid; `tell` gets what is wrong, in one line."""

    def __init__(
        self, directory: Path, node: str, world: World, tell: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._directory = directory
        self._node = node
        self._world = world
        self._tell = tell
        self._told: frozenset[str] = frozenset()
        self._found: Mapping[Path, Static] = {}
        self._changes = DirectoryChanges(CONTENT | IN_CREATE)

    async def run(self) -> None:
        """Follows the folder for ever; one that is taken away is made anew, empty."""
        while True:
            try:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                await self._follow()
            except OSError as error:
                self._tell_new([f"{error.filename or self._directory}: {error.strerror}"])
                self._tried.set()
                await self._world.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        """Follows until the path is another folder or none."""
        changed = asyncio.Event()
        with self._changes.watch(str(self._directory), changed.set):
            followed = self._identity()
            while self._identity() == followed:
                reading = await asyncio.to_thread(self._read_all)
                self._take(reading)
                await self._until(changed, RETRY_SECONDS if reading.again else None)
                await self._world.sleep(SETTLE_SECONDS)
                changed.clear()

    async def _until(self, changed: asyncio.Event, seconds: float | None) -> None:
        try:
            async with self._world.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            pass  # time to try again

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._directory.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _tell_new(self, wrong: list[str]) -> None:
        for text in wrong:
            if text not in self._told:
                self._tell(text)
        self._told = frozenset(wrong)

    def _take(self, reading: _Reading) -> None:
        self._tell_new(reading.wrong)
        self._found = reading.found
        self._keep(reading.found.values())

    def _read_all(self) -> _Reading:
        """Returns the pods of all files, and what is wrong with the others."""
        reading = _Reading({}, [], False)
        names: dict[tuple[str, str], Path] = {}
        visible = sorted(it for it in os.listdir(self._directory) if not it.startswith("."))
        for path in (self._directory / name for name in visible[:MAX_FILES]):
            try:
                found = self._parse(path)
            except BadManifest as error:
                reading.wrong.append(str(error))
                continue
            except FileNotFoundError:
                continue  # it has gone in between
            except OSError as error:
                reading.wrong.append(f"{path}: {error.strerror}")
                reading = reading._replace(again=True)
                if (kept := self._found.get(path)) is None:
                    continue
                found = kept
            if (other := names.setdefault(found.key, path)) != path:
                reading.wrong.append(f"{path}: the pod of {other} has the same name")
            else:
                reading.found[path] = found
        return reading

    def _parse(self, path: Path) -> Static:
        try:
            with open(path, "rb", opener=_open) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise BadManifest(f"{path}: it is no file")
                data = file.read(MAX_BYTES + 1)
        except IsADirectoryError as error:
            raise BadManifest(f"{path}: {error.strerror}") from None
        seen = rfc3339_micro(self._world.now())
        return self._first_seen(parse_manifest(data, path, self._node, seen))


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe nobody writes to holds nothing up
