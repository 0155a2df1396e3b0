"""The root of a container: overlay or plain directory, then pivot_root into it.

Not the mounts inside (mounts). Rule: after `enter` nothing of the host's tree is reachable, not
by path, not by working directory; descriptors are the caller's to close.
"""

from __future__ import annotations

import os

from . import mounts
from . import syscalls as sc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_MOUNT_DATA = 4095  # mount(2) reads one page of options


def detach_from_host() -> None:
    """Makes this mount namespace a follower of the host's: it sees new mounts, gives none back."""
    sc.set_propagation("/", sc.MS_REC | sc.MS_SLAVE)


def mount_overlay(lower: Sequence[str], upper: str, work: str, target: str) -> None:
    """Mounts an overlay at `target`; the first of `lower` is the top layer.

    "volatile" leaves out syncing of the upper directory, which does not outlive the container.
    Layers are named relative to their common directory, so that many fit in one page.
    """
    shared = os.path.commonpath(lower) if len(lower) > 1 else os.path.dirname(lower[0])
    here = os.getcwd()
    os.chdir(shared)
    try:
        data = render_overlay_options([os.path.relpath(path, shared) for path in lower])
        data += f",upperdir={escape(upper)},workdir={escape(work)},volatile"
        if len(data) > _MAX_MOUNT_DATA:
            raise ValueError(f"overlay: {len(lower)} layers need {len(data)} bytes of options")
        sc.mount("overlay", target, "overlay", 0, data)
    finally:
        os.chdir(here)


def cover_mapped(layers: Sequence[str], owners: int) -> None:
    """Covers each layer with a copy of itself whose owners are id-mapped.

    For an overlay to be made of them (5.19), which is not id-mapped itself; to be called in a
    mount namespace that is about to be left.
    """
    for layer in layers:
        tree = sc.open_tree(sc.AT_FDCWD, layer, sc.OPEN_TREE_CLONE)
        mounts.map_owners(tree, layer, owners)
        cover(tree, layer)
        os.close(tree)


def open_overlay(layers: Sequence[str], upper: str, work: str, target: str) -> int:
    """An overlay as a detached mount; at `target` it is only passing."""
    mount_overlay(layers, upper, work, target)
    tree = sc.open_tree(sc.AT_FDCWD, target, sc.OPEN_TREE_CLONE)
    sc.umount(target, sc.MNT_DETACH)
    return tree


def render_overlay_options(lower: Sequence[str]) -> str:
    """The lowerdir option of the overlay file system, special characters escaped."""
    return "lowerdir=" + ":".join(escape(path) for path in lower)


def escape(path: str) -> str:
    """A path as overlay's options take it: backslash, colon and comma are escaped."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def open_directory(source: str) -> int:
    """The directory `source`, with what is mounted below it, as a detached mount."""
    tree = sc.open_tree(sc.AT_FDCWD, source, sc.OPEN_TREE_CLONE | sc.AT_RECURSIVE)
    sc.mount_setattr(tree, propagation=sc.MS_PRIVATE, recursive=True)
    return tree


def cover(tree: int, target: str) -> None:
    """Attaches a detached mount over a directory of the host; `tree` is then its root."""
    place = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sc.move_mount(tree, place)
    finally:
        os.close(place)


def set_readonly(root: int) -> None:
    """Makes the mount open as `root` read-only; mounts inside keep their own flag."""
    path = sc.open_tree(root, "", sc.AT_EMPTY_PATH)
    try:
        sc.mount_setattr(path, add=sc.MOUNT_ATTR_RDONLY)
    finally:
        os.close(path)


def enter_without_pivot(root: int) -> None:
    """Moves the mount open as `root` over the old root, for a root that cannot be pivoted from.

    As on an initial RAM disk. The host's proc and sysfs are taken away first, or covered: who may
    mount could otherwise have them whole again. Source: runc's msMoveRoot.
    """
    for point in _kernel_mounts():
        try:
            sc.umount(point, sc.MNT_DETACH)
        except OSError:  # in use by a mount that may not go: nothing is to be seen of it then
            sc.mount("tmpfs", point, "tmpfs", 0, "size=0")
    os.fchdir(root)
    sc.mount(".", "/", "", sc.MS_MOVE, "")
    os.chroot(".")
    os.chdir("/")


def _kernel_mounts() -> list[str]:
    """Where this mount namespace shows proc and sysfs of the host; deepest first."""
    with open("/proc/self/mountinfo") as file:
        lines = [line.split(" - ") for line in file]
    points = [left.split()[4] for left, right in lines if right.split()[0] in ("proc", "sysfs")]
    return sorted(points, reverse=True)


def enter(root: int) -> None:
    """Makes the mount open as `root` the root directory and lets go of the old one.

    pivot_root(2), "pivot_root(".", ".")": the old root lands on top of the new and is unmounted;
    it follows the host's since `detach_from_host`, so that the host loses nothing by that. "." is
    the new root here: mounts in it that are shared with the host stay so.
    """
    os.fchdir(root)
    sc.pivot_root(".", ".")
    sc.umount(".", sc.MNT_DETACH)
    os.chdir("/")
