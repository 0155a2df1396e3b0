"""Makes layers: the entry of a file, and the tar of what a container has changed.

One rule: equal input gives equal bytes: sorted names, whole seconds, nothing of the machine. Heavy
and synchronous: call in a thread. Follows the OCI image specification, layer.md, and overlayfs.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from steersman.images.errors import Corrupt, Refused
from steersman.images.layers import OPAQUE_MARKER, WHITEOUT_PREFIX, kept_xattrs
from steersman.images.merged import DEPTH_LIMIT, Merged, is_opaque, is_whiteout
from steersman.images.rooted import open_in_root
from steersman.wire import tar

CHUNK_BYTES = 1 << 20
_KINDS: Mapping[int, tar.Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}
# What a runtime puts into a root file system to mount on; empty ones that it made are no change.
MOUNT_POINTS = frozenset(
    (
        *("dev", "dev/console", "dev/mqueue", "dev/pts", "dev/shm"),
        *("proc", "sys", "sys/fs", "sys/fs/cgroup"),
        *("etc/hostname", "etc/hosts", "etc/resolv.conf", ".dockerenv"),
    )
)


class Item(msgspec.Struct, frozen=True):
    """An entry and, for a regular file, the layer directory and path that hold its content."""

    entry: tar.Entry
    layer: Path | None = None
    path: str = ""


def entry_of(file: Path, name: str, status: os.stat_result) -> tar.Entry | None:
    """The entry that says what `file` is; nothing for a socket, which tar cannot hold."""
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    is_device = kind in ("character", "block")
    return tar.Entry(
        name=name,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind == "file" else 0,
        mtime=int(status.st_mtime),
        target=os.readlink(file) if kind == "symlink" else "",
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
        xattrs=_read_xattrs(file),
    )


def diff(upper: Path, below: Merged) -> list[Item]:
    """The items of the layer that the overlay's upper directory stands for, sorted, parents first.

    Raises Refused where the upper directory uses overlayfs features that a layer cannot say.
    """
    links: dict[tuple[int, int], str] = {}
    items = [item for path in _walk(upper, "") for item in _changes(upper, path, links)]
    unchanged = {item.entry.name for item in items if _is_mount_point(upper, item.entry, below)}
    kept = [item for item in items if item.entry.name not in unchanged]
    return _without_bare_parents(kept, unchanged, below)


def write(items: Collection[Item], clamp: int | None, out: Callable[[bytes], object]) -> None:
    """Writes the tar of a layer; with `clamp` (seconds) no time is later than that."""
    for item in items:
        out(tar.render(clamped(item.entry, clamp)))
        for chunk in content(item):
            out(chunk)
        out(tar.padding(item.entry.size))
    out(tar.END)


def clamped(entry: tar.Entry, clamp: int | None) -> tar.Entry:
    return entry if clamp is None or entry.mtime <= clamp else replace(entry, mtime=clamp)


def content(item: Item) -> Iterator[bytes]:
    """The content of a regular file, opened without following any link. Raises Corrupt."""
    if item.layer is None or item.entry.kind != "file":
        return
    left = item.entry.size
    with open(_open(item.layer, item.path), "rb", buffering=0) as file:
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
    if left:
        raise Corrupt(f"{item.layer / item.path} became shorter while it was read")


def _open(layer: Path, path: str) -> int:
    root = os.open(layer, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK, follow=False)
    finally:
        os.close(root)


def _walk(root: Path, path: str) -> Iterator[str]:
    """The paths under a directory, in the order of their components."""
    if path.count("/") >= DEPTH_LIMIT:
        raise Refused(f"directories are nested over {DEPTH_LIMIT} deep")
    for entry in sorted(os.scandir(root / path), key=lambda entry: entry.name):
        name = f"{path}/{entry.name}".lstrip("/")
        yield name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, name)


def _changes(upper: Path, path: str, links: dict[tuple[int, int], str]) -> Iterator[Item]:
    file = upper / path
    status = os.lstat(file)
    directory, _, leaf = path.rpartition("/")
    if leaf.startswith(WHITEOUT_PREFIX):
        raise Refused(f"/{path}: names that begin with {WHITEOUT_PREFIX} mean deletion in layers")
    if is_whiteout(status):
        yield Item(tar.Entry(f"{directory}/{WHITEOUT_PREFIX}{leaf}".lstrip("/"), "file"))
        return
    _check_overlay_attributes(file, path)
    entry = entry_of(file, path, status)
    if entry is None:
        return
    first = links.setdefault((status.st_dev, status.st_ino), path)
    if first != path:
        entry = replace(entry, kind="hardlink", size=0, target=first, xattrs={})
    yield Item(entry, upper, path)
    if entry.kind == "directory" and is_opaque(file):
        yield Item(tar.Entry(f"{path}/{OPAQUE_MARKER}", "file"))


def _check_overlay_attributes(file: Path, path: str) -> None:
    for name in ("trusted.overlay.redirect", "trusted.overlay.metacopy"):
        if name in _names(file):
            raise Refused(
                f"/{path}: overlayfs is mounted with a feature ({name}) that no layer has"
            )


def _is_mount_point(upper: Path, entry: tar.Entry, below: Merged) -> bool:
    if entry.name not in MOUNT_POINTS or below.find(entry.name) is not None:
        return False
    if entry.kind == "directory":
        names = os.listdir(upper / entry.name)
        return all(f"{entry.name}/{name}" in MOUNT_POINTS for name in names)
    return entry.size == 0


def _without_bare_parents(items: list[Item], dropped: Collection[str], below: Merged) -> list[Item]:
    """Leaves out directories that were made only to hold a mount point that is left out."""
    held = {name.rpartition("/")[0] for name in dropped} - {""}
    names = [item.entry.name for item in items]
    bare = {
        parent
        for parent in held
        if below.find(parent) is None and not any(name.startswith(parent + "/") for name in names)
    }
    return [item for item in items if item.entry.name not in bare]


def _read_xattrs(file: Path) -> dict[str, bytes]:
    return {
        name: os.getxattr(file, name, follow_symlinks=False)
        for name in kept_xattrs(dict.fromkeys(_names(file), b""))
    }


def _names(file: Path) -> list[str]:
    try:
        return os.listxattr(file, follow_symlinks=False)
    except OSError:
        return []  # a file system without attributes
