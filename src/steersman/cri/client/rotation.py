"""Moves the logs of containers aside when they are full, and has the runtime go on in a new file.

Follows the kubelet's logs/container_log_manager.go: a runtime writes for ever where nobody looks.
Our own engine does it while it writes (`runtime.logs`), whose bounds these are.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import shutil
from pathlib import Path
from typing import Final, Protocol

from steersman.runtime.engine import EngineError
from steersman.runtime.logs import MAX_FILE_BYTES, MAX_FILES, render_moment
from steersman.world.interface import World

LOOK_SECONDS: Final = 10.0  # kubelet's containerLogMonitorInterval
NANO: Final = 10**9
_PACKED: Final = ".gz"
_PARTIAL: Final = ".tmp"
log = logging.getLogger(__name__)


class Logging(Protocol):
    """Whose logs they are."""

    def logs(self) -> list[tuple[tuple[str, str], str]]:
        """Returns the runs that go on with the paths of their logs."""

    async def reopen_log(self, pod: str, container: str) -> None:
        """Has the runtime write to a new file at the path of a log; raises EngineError."""


class Rotation:
    """See the module."""

    def __init__(self, engine: Logging, world: World, most_bytes: int = MAX_FILE_BYTES) -> None:
        self._engine = engine
        self._world = world
        self._most_bytes = most_bytes

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self._world.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Looks once at every log."""
        for place, path in self._engine.logs():
            try:
                await self._look(place, Path(path))
            except (OSError, EngineError) as error:
                log.warning("the log %s cannot be moved aside: %s", path, error)

    async def _look(self, place: tuple[str, str], path: Path) -> None:
        try:
            size = path.stat().st_size
        except FileNotFoundError:  # moved aside by one who came to no more than that
            if path.parent.is_dir():
                await self._engine.reopen_log(*place)
            return
        if size < self._most_bytes:
            return
        await asyncio.to_thread(tidy, path)
        moved = path.with_name(f"{path.name}.{render_moment(int(self._world.now() * NANO))}")
        path.rename(moved)
        try:
            await self._engine.reopen_log(*place)
        except BaseException:  # the agent may end meanwhile too
            if not path.exists():  # the runtime writes to it still
                moved.rename(path)
            raise


def tidy(path: Path) -> None:
    """Packs what was moved aside before, and removes what is too much once one more is there: the
    log itself counts, and so does the one that is about to be moved."""
    for half in path.parent.glob(f"{path.name}.*{_PARTIAL}"):
        half.unlink()  # of an agent that ended while it packed
    found = sorted(path.parent.glob(f"{path.name}.*"))
    kept = max(0, MAX_FILES - 2)
    for old in found[: max(0, len(found) - kept)]:
        old.unlink()
    for one in found[len(found) - kept :] if kept else ():
        if one.exists() and one.suffix != _PACKED:
            _pack(one)


def _pack(path: Path) -> None:
    packed = path.with_name(path.name + _PACKED)
    partial = path.with_name(f"{path.name}{_PACKED}{_PARTIAL}")
    try:
        with path.open("rb") as source, gzip.open(partial, "wb") as sink:
            shutil.copyfileobj(source, sink)
        os.rename(partial, packed)
        path.unlink()
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
