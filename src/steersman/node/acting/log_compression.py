"""Compresses the files of a container's log that were moved aside, as the kubelet does: all but the
latest, which people may still be reading.

Who writes the log says when it has moved a file aside; this is done beside it, one file at a time
on a node, so that no container waits for it. Source: kubelet's logs/container_log_manager.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SUFFIX: Final = ".gz"
_PIECE_BYTES: Final = 1 << 18
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


def choose(names: Iterable[str], log: str) -> list[str]:
    """Returns the files beside a log that are to be compressed, the oldest first."""
    aside = sorted(it for it in names if it.startswith(f"{log}."))
    plain = [it for it in aside if not it.endswith(SUFFIX)]
    return [it for it in plain[:-1] if f"{it}{SUFFIX}" not in aside]


class LogCompressor:
    """Compresses what was moved aside, one file at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def compress(self, log: Path) -> None:
        """Compresses the files beside a log that are due; raises OSError, as where there is no
        room, and leaves them as they were then."""
        async with self._turn:
            for name in choose(await asyncio.to_thread(_list, log.parent), log.name):
                await asyncio.to_thread(_compress, log.with_name(name))


def _list(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []  # its pod has gone


def _compress(path: Path) -> None:
    """Puts a compressed file into the place of one; what took its place meanwhile stays."""
    partial = path.with_name(f".{path.name}{SUFFIX}")
    try:
        _write(path, partial)
        shutil.copystat(path, partial)
        partial.rename(path.with_name(f"{path.name}{SUFFIX}"))
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        return  # the oldest file goes when there are too many, or all with their pod
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()


def _write(source: Path, target: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    packer = zlib.compressobj(wbits=_GZIP_WINDOW)
    with open(source, "rb") as plain, open(os.open(target, flags, 0o640), "wb") as packed:
        while piece := plain.read(_PIECE_BYTES):
            packed.write(packer.compress(piece))
        packed.write(packer.flush())
