"""The root of a container: overlay or plain directory, then pivot_root into it.

Not the mounts inside (mounts). Rule: after `enter` nothing of the host's tree is reachable, not
by path, not by working directory; descriptors are the caller's to close.
"""

from __future__ import annotations

import os

from . import syscalls as sc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_MOUNT_DATA = 4095  # mount(2) reads one page of options


def detach_from_host(*, shared: bool = False) -> None:
    """Makes this mount namespace a follower of the host's: it sees new mounts, gives none back."""
    sc.set_propagation("/", sc.MS_REC | (sc.MS_SHARED if shared else sc.MS_SLAVE))


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


def render_overlay_options(lower: Sequence[str]) -> str:
    """The lowerdir option of the overlay file system, special characters escaped."""
    return "lowerdir=" + ":".join(escape(path) for path in lower)


def escape(path: str) -> str:
    """A path as overlay's options take it: backslash, colon and comma are escaped."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def bind_directory(source: str, target: str) -> None:
    """Mounts the directory `source`, with what is mounted below it, at `target`."""
    tree = sc.open_tree(sc.AT_FDCWD, source, sc.OPEN_TREE_CLONE | sc.AT_RECURSIVE)
    try:
        sc.mount_setattr(tree, propagation=sc.MS_PRIVATE, recursive=True)
        place = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sc.move_mount(tree, place)
        finally:
            os.close(place)
    finally:
        os.close(tree)


def set_readonly(root: int) -> None:
    """Makes the mount open as `root` read-only; mounts inside keep their own flag."""
    path = sc.open_tree(root, "", sc.AT_EMPTY_PATH)
    try:
        sc.mount_setattr(path, add=sc.MOUNT_ATTR_RDONLY)
    finally:
        os.close(path)


def enter(root: int) -> None:
    """Makes the mount open as `root` the root directory and lets go of the old one.

    pivot_root(2), "pivot_root(".", ".")": the old root lands on top of the new and is unmounted.
    """
    os.fchdir(root)
    sc.pivot_root(".", ".")
    sc.set_propagation(".", sc.MS_REC | sc.MS_SLAVE)
    sc.umount(".", sc.MNT_DETACH)
    os.chdir("/")
