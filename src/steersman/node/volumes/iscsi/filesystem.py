"""A file system on a block device: made where the device is empty, checked and mounted by the
machine's own programs.

Follows FormatAndMount of k8s.io/mount-utils. One rule: a device that has anything on it is never
formatted.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from steersman.node.objects import BadConfiguration
from steersman.node.programs import run_helper
from steersman.node.volumes import memory

DEFAULT: Final = "ext4"
# A device of some terabytes takes its time
_SECONDS: Final = 600.0
_EXT: Final = ("ext3", "ext4")
_NOTHING_FOUND: Final = 2  # blkid(8)
_ERRORS_LEFT: Final = 4  # fsck(8)
_FAILED: Final = "mount failed"
# Two pods that come at once must not both find a device empty
_turn = threading.Lock()
_TYPE: Final = re.compile(r"[a-z0-9]+")


def mount(
    device: Path, kind: str, options: Sequence[str], place: Path, *, readonly: bool = False
) -> None:
    """Mounts what is on a device at a place that is there; raises BadConfiguration."""
    kind = kind or DEFAULT
    if not _TYPE.fullmatch(kind):
        raise BadConfiguration(f"failed to mount the volume: {kind!r} is no file system")
    words = ",".join(["ro" if readonly else "rw", *options])
    with _turn:
        _make_ready(device, kind, readonly=readonly)
        _run(["mount", "-t", kind, "-o", words, str(device), str(place)])


def _make_ready(device: Path, kind: str, *, readonly: bool) -> None:
    """Makes a file system where there is nothing, else checks what is there."""
    found = probe(device)
    if not found and readonly:
        raise BadConfiguration(f"failed to mount unformatted volume {device} as read only")
    if not found:
        _run(render_format(kind, device))
    elif found != kind:
        text = f'failed to mount the volume as "{kind}", it already contains {found}'
        raise BadConfiguration(text)
    elif not readonly and not is_mounted(device):
        _check(device)


def render_format(kind: str, device: Path) -> list[str]:
    """Returns the command that makes a file system."""
    flags = ("-F", "-m0") if kind in _EXT else ("-f",) if kind == "xfs" else ()
    return [f"mkfs.{kind}", *flags, str(device)]


def probe(device: Path) -> str:
    """Returns the file system on a device, "unknown data, probably partitions" for a table of
    partitions, nothing for a device that is empty; raises BadConfiguration."""
    command = ["blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", str(device)]
    done = run_helper(command, _SECONDS, _FAILED)
    if done.returncode == _NOTHING_FOUND:
        return ""
    if done.returncode:
        raise _failed(command, done)
    pairs = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if pairs.get("PTTYPE"):
        return "unknown data, probably partitions"
    return pairs.get("TYPE", "")


def is_mounted(device: Path) -> bool:
    """Says whether the file system on a device is mounted anywhere, by another pod maybe."""
    number = os.stat(device).st_rdev
    return any(it.device == number for it in memory.mounts())


def _check(device: Path) -> None:
    """Has errors corrected; one that fails for another reason is left to the mount."""
    done = run_helper(["fsck", "-a", str(device)], _SECONDS, _FAILED)
    if done.returncode == _ERRORS_LEFT:
        text = f"'fsck' found errors on device {device} but could not correct them: {done.stdout}"
        raise BadConfiguration(text)


def _run(command: Sequence[str]) -> None:
    done = run_helper(command, _SECONDS, _FAILED)
    if done.returncode:
        raise _failed(command, done)


def _failed(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> BadConfiguration:
    text = f"{_FAILED}: exit status {done.returncode}\nMounting command: {command[0]}\n"
    return BadConfiguration(f"{text}Output: {done.stderr or done.stdout}")
