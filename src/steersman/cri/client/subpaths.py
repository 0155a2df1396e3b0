"""The subPaths of mounts as directories or files that a runtime can mount: each bound to a place of
its own, from a descriptor that no link has led out of its volume (the kubelet's doBindSubPath).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from pathlib import Path

from steersman.model.types.container import VolumeMount
from steersman.node.acting.sub_paths import make_subpath
from steersman.node.engine.interface import Order
from steersman.node.observed import engine_name
from steersman.node.paths import Paths
from steersman.node.render.bundle import subpath_of
from steersman.runtime.kernel import mounts, syscalls

_MS_BIND = 4096


class SubPaths:
    """See the module. Their places are POD/volume-subpaths/RUN/NUMBER."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def prepare(self, order: Order, images: Collection[str] = ()) -> dict[str, str]:
        """Returns where each subPath is, by the path at which it is mounted, but for those of
        images; raises BadConfiguration, OSError."""
        found = {}
        run = engine_name(order.container.name, order.attempt)
        self.release(order.pod.metadata.uid, run)  # of a try that failed
        for number, mount in enumerate(order.container.volume_mounts):
            path = subpath_of(mount, order.variables)
            if path and mount.name in order.ground.volumes and mount.name not in images:
                found[mount.mount_path] = str(self._bind(order, number, mount, path))
        return found

    def _bind(self, order: Order, number: int, mount: VolumeMount, path: str) -> Path:
        volume = order.ground.volumes[mount.name]
        make_subpath(volume, path, mount, order.container.name)
        name = engine_name(order.container.name, order.attempt)
        place = self._folder(order.pod.metadata.uid) / name / str(number)
        root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            source = mounts.open_in_root(root, path, os.O_PATH)
        finally:
            os.close(root)
        try:
            _make_place(place, is_directory=stat.S_ISDIR(os.fstat(source).st_mode))
            bound = f"/proc/self/fd/{source}"
            syscalls.mount(bound, str(place), "", _MS_BIND | syscalls.MS_REC, "")
        finally:
            os.close(source)
        return place

    def _folder(self, uid: str) -> Path:
        return self._paths.subpaths(uid)

    def release(self, uid: str, run: str = "*") -> None:
        """Takes the subPaths of a run away, or of all of a pod's; nothing uses them any more."""
        for folder in self._folder(uid).glob(run):
            for place in folder.iterdir():
                _release(place)
            folder.rmdir()


def _release(place: Path) -> None:
    """Unmounts a place and removes it, never what is behind it: a mount cannot be removed."""
    try:
        while True:
            syscalls.umount(str(place), syscalls.MNT_DETACH)
    except OSError as error:
        if error.errno != errno.EINVAL:  # none is mounted there
            raise
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink()


def _make_place(place: Path, *, is_directory: bool) -> None:
    place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if is_directory:
        place.mkdir(mode=0o750, exist_ok=True)
    else:
        place.touch(mode=0o640)
