"""Directories of the node whose mounts are seen on both sides: by the machine, and by containers
that mount them with propagation Bidirectional or HostToContainer, as CSI drivers in pods do.

On most machines everything is shared (systemd makes it so); where it is not, a directory is made a
mount of its own that is. See mount_namespaces(7).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from steersman.node.volumes import memory
from steersman.runtime.kernel import syscalls

_MS_BIND: Final = 4096


def share(directory: Path) -> bool:
    """Makes mounts in a directory seen; says whether they are. Mounts that are there already would
    be hidden: then everything stays as it is until they are gone."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    if is_shared(directory):
        return True
    if any(it.place.is_relative_to(directory) for it in memory.mounts()):
        return False
    syscalls.mount(str(directory), str(directory), "", _MS_BIND, "")
    syscalls.set_propagation(str(directory), syscalls.MS_SHARED)
    return True


def is_shared(directory: Path) -> bool:
    """Says whether what is mounted in a directory is seen elsewhere."""
    around = [it for it in memory.mounts() if directory.is_relative_to(it.place)]
    deepest = max((len(it.place.parts) for it in around), default=0)
    return [it.shared for it in around if len(it.place.parts) == deepest][-1:] == [True]


def unshare(directory: Path) -> None:
    """Takes that back, with all that is mounted there."""
    memory.unmount_below(directory)
    if any(it.place == directory for it in memory.mounts()):
        memory.unmount(directory)
