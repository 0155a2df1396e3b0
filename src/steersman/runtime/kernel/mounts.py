"""Mounts of a container: read from the OCI list as values, then attached below its root.

Not the root itself (rootfs). Rule: a target is only ever reached through openat2 with
RESOLVE_IN_ROOT, and a mount is attached to the descriptor found, so that no symlink of an image
or a volume can lead outside.
"""

from __future__ import annotations

import errno
import os
import stat

from . import syscalls as sc
from .namespaces import parse_maps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .user_namespaces import Maps

# Option: (attributes to set, attributes to clear). "r" in front makes the bind ones recursive.
_ATTRIBUTES = {
    "ro": (sc.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, sc.MOUNT_ATTR_RDONLY),
    "nosuid": (sc.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, sc.MOUNT_ATTR_NOSUID),
    "nodev": (sc.MOUNT_ATTR_NODEV, 0),
    "dev": (0, sc.MOUNT_ATTR_NODEV),
    "noexec": (sc.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, sc.MOUNT_ATTR_NOEXEC),
    "noatime": (sc.MOUNT_ATTR_NOATIME, sc.MOUNT_ATTR__ATIME),
    "relatime": (0, sc.MOUNT_ATTR__ATIME),
    "strictatime": (sc.MOUNT_ATTR_STRICTATIME, sc.MOUNT_ATTR__ATIME),
    "nodiratime": (sc.MOUNT_ATTR_NODIRATIME, 0),
    "nosymfollow": (sc.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, sc.MOUNT_ATTR_NOSYMFOLLOW),
    "diratime": (0, sc.MOUNT_ATTR_NODIRATIME),
    "atime": (0, sc.MOUNT_ATTR__ATIME),
    "norelatime": (0, sc.MOUNT_ATTR__ATIME),
    "nostrictatime": (0, sc.MOUNT_ATTR__ATIME),
}
PROPAGATIONS = {
    "private": sc.MS_PRIVATE,
    "slave": sc.MS_SLAVE,
    "shared": sc.MS_SHARED,
    "unbindable": sc.MS_UNBINDABLE,
}
_IGNORED = frozenset(
    ("defaults", "async", "nomand", "loud", "silent", "acl", "noacl", "iversion", "noiversion")
)
# Of a file system as a whole: mount(2) passes them over where it is there already.
_SUPERBLOCK = frozenset(("sync", "dirsync", "lazytime", "nolazytime", "mand"))
# Owners are shown as a user namespace has them; "r" in front: those of mounts below too
_MAPPED = ("idmap", "ridmap")
_KERNEL_KINDS = frozenset(("proc", "sysfs", "mqueue"))
_IN_ROOT = sc.RESOLVE_IN_ROOT | sc.RESOLVE_NO_MAGICLINKS
# Deeper than any path that Linux takes in one call (PATH_MAX 4096, two bytes each).
_MAX_DEPTH = 2048


def option_names() -> list[str]:
    """Every option that is not handed to a file system as its own."""
    recursive = ["r" + name for name in (*_ATTRIBUTES, *PROPAGATIONS)]
    named = {*_ATTRIBUTES, *PROPAGATIONS, *_IGNORED, *_SUPERBLOCK, *recursive, *_MAPPED}
    named |= {"bind", "rbind", "tmpcopyup"}
    return sorted(named)


class Mount:
    """One mount as a value. `subpath` is resolved beneath `source` without leaving it.

    With `mapped` ("idmap", "ridmap") owners are shown through `maps`, or where that is None
    through the container's own; `owner` is where Plan.owners has them, or -1.
    """

    __slots__ = (
        "add",
        "bind",
        "clear",
        "copy_up",
        "data",
        "kind",
        "mapped",
        "maps",
        "owner",
        "propagation",
        "recursive",
        "recursive_add",
        "recursive_clear",
        "source",
        "subpath",
        "target",
    )

    def __init__(self, source: str, target: str, kind: str) -> None:
        self.source = source
        self.target = target
        self.kind = kind
        self.subpath = ""
        self.bind = kind == "bind"
        self.copy_up = False
        self.recursive = False
        self.mapped = ""
        self.maps: Maps | None = None
        self.owner = -1
        self.add = 0
        self.clear = 0
        self.recursive_add = 0
        self.recursive_clear = 0
        self.propagation = sc.MS_PRIVATE
        self.data: list[tuple[str, str | None]] = []

    def attributes(self) -> int:
        """What a new mount is given, below which nothing is: the recursive ones count last."""
        return self.add & ~self.recursive_clear | self.recursive_add


def parse(entry: Mapping[str, Any]) -> Mount:
    """Reads one entry of the OCI list; ValueError says what in it cannot be done."""
    target = entry.get("destination", "")
    if not target.startswith("/"):
        target = "/" + target  # runtime-spec: a relative destination is one below the root
    if ".." in target.split("/") or "\0" in target:
        raise ValueError(f"mounts: destination {target!r} is not a plain path")
    # normpath alone keeps two slashes at the start, and //proc must be /proc for the checks.
    target = "/" + os.path.normpath(target).lstrip("/")
    mount = Mount(entry.get("source", ""), target, entry.get("type") or "bind")
    for option in entry.get("options") or ():
        _parse_option(mount, option)
    if mount.bind:
        mount.data = [option for option in mount.data if option[0] not in _SUPERBLOCK]
    mount.subpath = entry.get("subPath", "")
    mount.maps = parse_maps(entry, f"mounts: {target}")
    if mount.maps is not None and not mount.mapped:
        mount.mapped = "idmap"
    _check(mount)
    return mount


def _parse_option(mount: Mount, option: str) -> None:
    name = option[1:] if option.startswith("r") and option not in _ATTRIBUTES else option
    if option in ("bind", "rbind"):
        mount.bind = True
        mount.recursive = option == "rbind"
    elif option == "tmpcopyup":
        mount.copy_up = True
    elif option in _MAPPED:
        mount.mapped = option
    elif option in _ATTRIBUTES:
        mount.add, mount.clear = _combine(mount.add, mount.clear, option)
    elif name in PROPAGATIONS:
        mount.propagation = PROPAGATIONS[name]
    elif name in _ATTRIBUTES and option.startswith("r"):
        mount.recursive_add, mount.recursive_clear = _combine(
            mount.recursive_add, mount.recursive_clear, name
        )
    elif option not in _IGNORED:
        key, equals, value = option.partition("=")
        mount.data.append((key, value if equals else None))


def _combine(add: int, clear: int, option: str) -> tuple[int, int]:
    """Attributes to set and to clear after one more option; the last of a kind counts."""
    adds, clears = _ATTRIBUTES[option]
    return add & ~clears | adds, clear & ~adds | clears


def _check(mount: Mount) -> None:
    if mount.bind and not mount.source.startswith("/"):
        raise ValueError(f"mounts: source {mount.source!r} of {mount.target} is not absolute")
    if mount.copy_up and mount.kind != "tmpfs":
        raise ValueError(f"mounts: tmpcopyup of {mount.target} needs a tmpfs")
    if mount.mapped and not mount.bind:
        raise ValueError(f"mounts: {mount.target}: only bind mounts can be id-mapped")
    if mount.bind and mount.data:
        raise ValueError(f"mounts: option {mount.data[0][0]!r} of {mount.target} is not known")
    # A mount over a file of /proc could fake what the runtime itself reads there, or undo a mask.
    inside_proc = mount.target.startswith("/proc/")
    if mount.target == "/" or inside_proc or (mount.target == "/proc" and mount.kind != "proc"):
        raise ValueError(f"mounts: {mount.target!r} is no place to mount {mount.kind}")


def open_in_root(root: int, path: str, flags: int = os.O_PATH, *, symlinks: bool = True) -> int:
    """Opens `path` as a process whose root is the directory `root` would see it."""
    resolve = _IN_ROOT if symlinks else _IN_ROOT | sc.RESOLVE_NO_SYMLINKS
    return sc.openat2(root, path.lstrip("/") or ".", flags, resolve)


def open_or_make(root: int, path: str, *, directory: bool) -> int:
    """Opens a mount target below `root`; makes it, and the directories above it, if need be.

    What is made belongs to root with mode 0755; a symlink that leads nowhere is refused.
    """
    try:
        return open_in_root(root, path)
    except FileNotFoundError:
        parent_path, name = os.path.split(path.rstrip("/"))
        if not name or path.count("/") > _MAX_DEPTH:
            raise
    parent = open_or_make(root, parent_path or "/", directory=True)
    try:
        return _make_entry(parent, name, directory)
    finally:
        os.close(parent)


def _make_entry(parent: int, name: str, directory: bool) -> int:
    if directory:
        os.mkdir(name, 0o755, dir_fd=parent)
    else:
        os.mknod(name, stat.S_IFREG | 0o644, dir_fd=parent)
    flags = os.O_PATH | os.O_NOFOLLOW
    return sc.openat2(parent, name, flags, sc.RESOLVE_BENEATH | sc.RESOLVE_NO_SYMLINKS)


def attach(root: int, mount: Mount, tree: int) -> None:
    """Attaches the detached mount `tree` at the target of `mount` below `root`; closes `tree`."""
    try:
        directory = stat.S_ISDIR(os.fstat(tree).st_mode)
        if mount.kind in _KERNEL_KINDS:
            target = _open_plain_directory(root, mount.target)
        else:
            target = open_or_make(root, mount.target, directory=directory)
        try:
            if mount.copy_up:
                _copy_up(target, tree)
            sc.move_mount(tree, target)
        finally:
            os.close(target)
    except OSError as error:
        raise OSError(error.errno, f"mount {mount.target}: {error.strerror}") from None
    finally:
        os.close(tree)


def _copy_up(covered: int, tree: int) -> None:
    """Gives the new file system what the directory that it covers holds, as runc does."""
    from . import copy_up

    source = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=covered)
    target = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree)
    try:
        copy_up.copy(source, target)
    finally:
        os.close(source)
        os.close(target)


def _open_plain_directory(root: int, path: str) -> int:
    """The target of a kernel file system: made if missing, refused if a symlink is on the way."""
    os.close(open_or_make(root, path, directory=True))
    return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY, symlinks=False)


def prepare(mount: Mount, owners: int = -1) -> int:
    """A detached mount, with its flags and propagation set, ready to be attached.

    `owners` is the user namespace for one that is to be id-mapped.
    """
    try:
        return _clone_bind(mount, owners) if mount.bind else _create(mount)
    except OSError as error:
        what = mount.source if mount.bind else mount.kind
        message = f"mount {what} at {mount.target}: {error.strerror}"
        raise OSError(error.errno, message) from None


def _create(mount: Mount) -> int:
    context = sc.fsopen(mount.kind)
    try:
        if mount.source:
            sc.fsconfig(context, "source", mount.source)
        for key, value in mount.data:
            sc.fsconfig(context, key, value)
        tree = sc.fsmount(context, mount.attributes())
    finally:
        os.close(context)
    return tree


def _clone_bind(mount: Mount, owners: int) -> int:
    flags = sc.OPEN_TREE_CLONE | (sc.AT_RECURSIVE if mount.recursive else 0)
    if mount.subpath:
        tree = _clone_subpath(mount, flags)
    else:
        tree = sc.open_tree(sc.AT_FDCWD, mount.source, flags)
    try:
        if mount.mapped:
            map_owners(tree, mount.source, owners, recursive=mount.mapped == "ridmap")
        if mount.propagation != sc.MS_SHARED:
            sc.mount_setattr(tree, propagation=mount.propagation, recursive=True)
        if mount.add or mount.clear:
            sc.mount_setattr(tree, add=mount.add, clear=mount.clear)
        if mount.recursive_add or mount.recursive_clear:
            add, clear = mount.recursive_add, mount.recursive_clear
            sc.mount_setattr(tree, add=add, clear=clear, recursive=True)
    except OSError:
        os.close(tree)
        raise
    return tree


def map_owners(tree: int, source: str, owners: int, *, recursive: bool = False) -> None:
    """Id-maps the detached mount `tree` of `source`; a failure is told as runc tells it."""
    try:
        sc.map_owners(tree, owners, recursive=recursive)
    except OSError as error:
        text = f"failed to set MOUNT_ATTR_IDMAP on {source}: {error.strerror}"
        if error.errno == errno.EINVAL:
            text += " (maybe the filesystem used doesn't support idmap mounts on this kernel?)"
        raise OSError(error.errno, text) from None


def show_subpath(mount: Mount, place: str) -> None:
    """Mounts the part of a volume that is wanted at a path, which is made."""
    tree = _clone_subpath(mount, sc.OPEN_TREE_CLONE | sc.AT_RECURSIVE)
    try:
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
        target = os.open(place, os.O_PATH | os.O_CLOEXEC)
        try:
            sc.move_mount(tree, target)
        finally:
            os.close(target)
    finally:
        os.close(tree)


def _open_subpath(mount: Mount) -> int:
    """A subpath may pass symlinks that stay in the volume; one that leaves it is EXDEV."""
    volume = os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolve = sc.RESOLVE_BENEATH | sc.RESOLVE_NO_MAGICLINKS
        return sc.openat2(volume, mount.subpath, os.O_PATH, resolve)
    finally:
        os.close(volume)


def _clone_subpath(mount: Mount, flags: int) -> int:
    found = _open_subpath(mount)
    try:
        return sc.open_tree(found, "", flags | sc.AT_EMPTY_PATH)
    finally:
        os.close(found)


def attach_cgroups(root: int, mount: Mount, views: Iterable[tuple[str, str]]) -> None:
    """Shows a container its own control groups, read-only unless the mount says "rw".

    One view without a name is mounted itself; several are put into a small directory tree.
    """
    views = list(views)
    sealed = sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV | sc.MOUNT_ATTR_NOEXEC
    flags = mount.attributes() | sealed
    if any(name for name, _ in views):
        holder = Mount("tmpfs", mount.target, "tmpfs")
        holder.data = [("mode", "755"), ("size", "64k")]
        holder.add = flags & ~sc.MOUNT_ATTR_RDONLY
        attach(root, holder, prepare(holder))
    for name, directory in views:
        view = Mount(directory, os.path.join(mount.target, name).rstrip("/"), "bind")
        view.add = flags
        attach(root, view, prepare(view))
    if flags & sc.MOUNT_ATTR_RDONLY:
        make_readonly(root, (mount.target,))


def mask(root: int, paths: Iterable[str]) -> None:
    """Hides what is at each path: a file behind /dev/null, a directory behind an empty one."""
    empty = Mount("tmpfs", "", "tmpfs")
    empty.add = sc.MOUNT_ATTR_RDONLY
    empty.data = [("size", "0")]
    for path in paths:
        target = _open_existing(root, path)
        if target < 0:
            continue
        if stat.S_ISDIR(os.fstat(target).st_mode):
            tree = _create(empty)
        else:
            tree = sc.open_tree(sc.AT_FDCWD, "/dev/null", sc.OPEN_TREE_CLONE)
        _move_and_close(tree, target)


def make_readonly(root: int, paths: Iterable[str]) -> None:
    """Puts a read-only copy of each path over itself."""
    for path in paths:
        target = _open_existing(root, path)
        if target < 0:
            continue
        flags = sc.OPEN_TREE_CLONE | sc.AT_RECURSIVE | sc.AT_EMPTY_PATH
        tree = sc.open_tree(target, "", flags)
        sc.mount_setattr(tree, add=sc.MOUNT_ATTR_RDONLY, recursive=True)
        _move_and_close(tree, target)


def _open_existing(root: int, path: str) -> int:
    """A descriptor, or -1 where this kernel has nothing at `path`."""
    try:
        return open_in_root(root, path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return -1


def _move_and_close(tree: int, target: int) -> None:
    try:
        sc.move_mount(tree, target)
    finally:
        os.close(tree)
        os.close(target)
