"""Unpacks a layer into a directory that overlayfs takes as a lower one, and makes layers back.

Nothing in a layer is trusted. One rule: every path is opened from the layer's root with
RESOLVE_IN_ROOT, and its last component is never followed. Heavy and synchronous: call in a thread.
Follows the OCI image specification, layer.md.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from steersman.images.compression import Plain
from steersman.images.errors import Corrupt, ImageError, Refused
from steersman.images.merged import OPAQUE, Merged, is_whiteout
from steersman.images.removal import remove_at
from steersman.images.rooted import open_in_root
from steersman.wire import tar

WHITEOUT_PREFIX = ".wh."
AUFS_PREFIX = ".wh..wh."  # aufs' own files; only the opaque marker has a meaning here
OPAQUE_MARKER = ".wh..wh..opq"
PATH_LIMIT = 4095  # PATH_MAX without its zero byte
NAME_LIMIT = 255  # NAME_MAX
ID_LIMIT = (1 << 32) - 2  # the last one means "unchanged" to chown
TAIL_LIMIT = 16 << 20  # bytes after the end of the archive; tar pads to 10 kB, or to what -b says
TIME_LIMIT = 1 << 40  # far beyond what any file system keeps
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class Limits(msgspec.Struct, frozen=True):
    """What one layer may use; more than the largest published images need."""

    total_bytes: int = 64 << 30
    entries: int = 2_000_000
    devices: int = 1024


LIMITS = Limits()


def unpack(
    blob: Path,
    directory: Path,
    *,
    diff_id: str,
    below: Sequence[Path] = (),
    limits: Limits = LIMITS,
) -> None:
    """Unpacks the layer in `blob` into the empty `directory` and verifies its diff ID.

    `below` are the unpacked layers under this one, lowest first: a directory that the layer names
    only as a parent gets the attributes it has there. Raises Corrupt or Refused, after which the
    directory holds a part of the layer and is to be removed by the caller.
    """
    try:
        with blob.open("rb", buffering=0) as file:
            source = Plain(file.read)
            _unpack_stream(source, directory, below, limits)
    except tar.TarError as error:
        raise Corrupt(f"layer {diff_id}: {error}") from None
    except ImageError as error:
        raise type(error)(f"layer {diff_id}: {error}") from None
    if source.digest != diff_id:
        raise Corrupt(f"layer {diff_id}: the content has the digest {source.digest}")


def extract(descriptor: int, directory: Path, *, limits: Limits = LIMITS) -> None:
    """Unpacks an archive, not a layer, into the empty `directory`; whiteouts in it are refused.

    Takes over `descriptor`, which is open at the archive's beginning. Raises Corrupt or Refused.
    """
    with open(descriptor, "rb", buffering=0) as file:
        try:
            _unpack_stream(Plain(file.read), directory, (), limits, is_layer=False)
        except tar.TarError as error:
            raise Corrupt(f"cannot unpack the archive: {error}") from None


def _unpack_stream(
    source: Plain,
    directory: Path,
    below: Sequence[Path],
    limits: Limits,
    *,
    is_layer: bool = True,
) -> None:
    reader = tar.Reader(source.read)
    unpacker = _Unpacker(directory, Merged(below), limits)
    try:
        for entry in reader:
            if not is_layer and f"/{WHITEOUT_PREFIX}" in "/" + entry.name:
                raise Refused(f"{entry.name!r}: such names mean deletion in layers")
            _add(unpacker, entry, reader.data())
        source.drain(TAIL_LIMIT)
        unpacker.set_directory_times()
    finally:
        unpacker.close()


def _add(unpacker: "_Unpacker", entry: tar.Entry, data: Iterator[bytes]) -> None:
    try:
        unpacker.add(entry, data)
    except OSError as error:
        raise Refused(f"cannot unpack {entry.name!r}: {error.strerror}") from None


class _Unpacker:
    """Puts entries into one directory; holds descriptors of its root and of the last parent."""

    def __init__(self, directory: Path, below: Merged, limits: Limits) -> None:
        self._root = os.open(directory, _DIRECTORY | os.O_CLOEXEC)
        self._holder = tempfile.mkdtemp(dir=directory.parent)
        self._below, self._limits = below, limits
        self._entries = self._bytes = self._devices = 0
        self._parent: tuple[str, int] | None = None
        self._times: dict[str, int] = {}
        self._make: Mapping[tar.Kind, Callable[[int, str, tar.Entry], None]] = {
            "symlink": self._symlink,
            "hardlink": self._hard_link,
            "character": self._device,
            "block": self._device,
            "fifo": self._fifo,
        }

    def add(self, entry: tar.Entry, data: Iterator[bytes]) -> None:
        self._count(entry)
        parts = clean(entry.name)
        if not parts:
            self._set_root(entry)
            return
        leaf = parts[-1]
        parent = self._open_parent(parts[:-1])
        if leaf.startswith(WHITEOUT_PREFIX):
            self._whiteout(parent, leaf)
        elif entry.kind == "directory":
            self._directory(parent, leaf, entry)
            self._times["/".join(parts)] = entry.mtime
        elif entry.kind == "file":
            self._remove(parent, leaf)
            _write_file(parent, leaf, entry, data)
        else:
            self._remove(parent, leaf)
            self._make[entry.kind](parent, leaf, entry)

    def set_directory_times(self) -> None:
        """Sets the times of directories, which adding files to them has changed."""
        for path, mtime in self._times.items():
            try:
                descriptor = open_in_root(self._root, path, _DIRECTORY | os.O_NOFOLLOW)
            except OSError:
                continue  # a later entry has put something else there
            with _closing(descriptor):
                os.utime(descriptor, (mtime, mtime))

    def close(self) -> None:
        self._forget_parent()
        os.close(self._root)
        os.rmdir(self._holder)

    def _count(self, entry: tar.Entry) -> None:
        self._entries += 1
        self._bytes += entry.size
        self._devices += entry.kind in ("character", "block")
        if self._entries > self._limits.entries:
            raise Refused(f"more than {self._limits.entries} files")
        if self._bytes > self._limits.total_bytes:
            raise Refused(f"more than {self._limits.total_bytes} bytes")
        if self._devices > self._limits.devices:
            raise Refused(f"more than {self._limits.devices} device nodes")
        _check_attributes(entry)

    def _set_root(self, entry: tar.Entry) -> None:
        if entry.kind != "directory":
            raise Refused(f"the root of the layer is a {entry.kind}")
        _set_attributes(self._root, entry)
        self._times[""] = entry.mtime

    def _open_parent(self, parts: Sequence[str]) -> int:
        path = "/".join(parts)
        if self._parent is None or self._parent[0] != path:
            self._forget_parent()
            self._parent = (path, self._open_or_make(parts))
        return self._parent[1]

    def _open_or_make(self, parts: Sequence[str]) -> int:
        path = "/".join(parts)
        try:
            return open_in_root(self._root, path, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            if not parts:
                raise
        with _closing(self._open_or_make(parts[:-1])) as parent:
            is_hidden = _unlink_whiteout(parent, parts[-1])
            os.mkdir(parts[-1], 0o755, dir_fd=parent)
            descriptor = os.open(parts[-1], _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        if is_hidden:
            os.setxattr(descriptor, OPAQUE, b"y")
        self._copy_attributes(path, descriptor)
        return descriptor

    def _copy_attributes(self, path: str, descriptor: int) -> None:
        found = self._below.follow(path)
        is_known = found is not None and found.is_directory
        status = found.stat if found is not None and is_known else None
        os.chown(descriptor, status.st_uid if status else 0, status.st_gid if status else 0)
        os.chmod(descriptor, stat.S_IMODE(status.st_mode) if status else 0o755)
        self._times[path] = int(status.st_mtime) if status else 0

    def _forget_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def _remove(self, parent: int, leaf: str) -> os.stat_result | None:
        """Removes what an earlier entry has put at this name, and says what it was."""
        status = _lstat(parent, leaf)
        if status is None:
            return None
        if stat.S_ISDIR(status.st_mode):
            remove_at(parent, leaf, self._holder)
        else:
            os.unlink(leaf, dir_fd=parent)
        return status

    def _directory(self, parent: int, leaf: str, entry: tar.Entry) -> None:
        old = _lstat(parent, leaf)
        if old is None or not stat.S_ISDIR(old.st_mode):
            self._remove(parent, leaf)
            os.mkdir(leaf, 0o700, dir_fd=parent)
        with _closing(os.open(leaf, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)) as descriptor:
            _set_attributes(descriptor, entry)
            if old is not None and is_whiteout(old):
                os.setxattr(descriptor, OPAQUE, b"y")

    def _whiteout(self, parent: int, leaf: str) -> None:
        if leaf == OPAQUE_MARKER:
            os.setxattr(parent, OPAQUE, b"y")
            return
        if leaf.startswith(AUFS_PREFIX):
            return
        name = leaf.removeprefix(WHITEOUT_PREFIX)
        if name in ("", ".", ".."):
            raise Refused(f"a whiteout of {name!r}")
        old = _lstat(parent, name)
        if old is None:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
        elif stat.S_ISDIR(old.st_mode):  # a whiteout speaks of the layers below only
            with _closing(os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)) as descriptor:
                os.setxattr(descriptor, OPAQUE, b"y")

    def _symlink(self, parent: int, leaf: str, entry: tar.Entry) -> None:
        if not entry.target or "\0" in entry.target or len(os.fsencode(entry.target)) > PATH_LIMIT:
            raise Refused(f"the symbolic link {entry.name!r} has no valid target")
        os.symlink(entry.target, leaf, dir_fd=parent)
        os.chown(leaf, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(leaf, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _hard_link(self, parent: int, leaf: str, entry: tar.Entry) -> None:
        parts = clean(entry.target)
        if not parts:
            raise Refused(f"the hard link {entry.name!r} leads to a directory")
        try:
            source = open_in_root(self._root, "/".join(parts[:-1]), _DIRECTORY)
        except FileNotFoundError:
            raise Refused(f"the hard link {entry.name!r} leads out of the layer") from None
        with _closing(source):
            try:
                os.link(
                    parts[-1], leaf, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                )
            except FileNotFoundError:
                raise Refused(f"the hard link {entry.name!r} leads out of the layer") from None

    def _device(self, parent: int, leaf: str, entry: tar.Entry) -> None:
        form = stat.S_IFCHR if entry.kind == "character" else stat.S_IFBLK
        os.mknod(leaf, form | 0o600, os.makedev(*entry.device), dir_fd=parent)
        _set_node_attributes(parent, leaf, entry)

    def _fifo(self, parent: int, leaf: str, entry: tar.Entry) -> None:
        os.mkfifo(leaf, 0o600, dir_fd=parent)
        _set_node_attributes(parent, leaf, entry)


def clean(name: str) -> list[str]:
    """The components of a name in a layer; a leading slash counts as the root of the layer.

    Raises Refused for a name that climbs or is too long.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"the name {name!r} climbs out of its directory")
    if "\0" in name or len(os.fsencode(name)) > PATH_LIMIT:
        raise Refused(f"the name {name[:80]!r} is too long or holds a zero byte")
    if any(len(os.fsencode(part)) > NAME_LIMIT + len(WHITEOUT_PREFIX) for part in parts):
        raise Refused(f"the name {name[:80]!r} has a component of over {NAME_LIMIT} bytes")
    return parts


def _write_file(parent: int, leaf: str, entry: tar.Entry, data: Iterable[bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with _closing(os.open(leaf, flags, 0o600, dir_fd=parent)) as descriptor:
        for chunk in data:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        _set_attributes(descriptor, entry)
        os.utime(descriptor, (entry.mtime, entry.mtime))


def _check_attributes(entry: tar.Entry) -> None:
    if not (0 <= entry.uid <= ID_LIMIT and 0 <= entry.gid <= ID_LIMIT):
        raise Refused(f"{entry.name!r} has the owner {entry.uid}:{entry.gid}")
    if abs(entry.mtime) > TIME_LIMIT:
        raise Refused(f"{entry.name!r} has the time {entry.mtime}")
    if any(name.startswith("trusted.") for name in entry.xattrs):
        raise Refused(f"{entry.name!r} sets a trusted extended attribute")


def _set_attributes(descriptor: int, entry: tar.Entry) -> None:
    """Owner first: chown takes away setuid and capabilities."""
    os.chown(descriptor, entry.uid, entry.gid)
    os.chmod(descriptor, entry.mode)
    for name, value in kept_xattrs(entry.xattrs).items():
        _set_xattr(descriptor, name, value)


def kept_xattrs(xattrs: Mapping[str, bytes]) -> dict[str, bytes]:
    """The attributes that mean the same on every machine; labels and overlayfs' own do not."""
    return {
        name: value
        for name, value in xattrs.items()
        if name in ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
        or (name.startswith("user.") and not name.startswith("user.overlay."))
    }


def _set_xattr(descriptor: int, name: str, value: bytes) -> None:
    try:
        os.setxattr(descriptor, name, value)
    except OSError as error:
        if error.errno != errno.ENOTSUP or name == "security.capability":
            raise  # only what the file system has no place for may be left out


def _set_node_attributes(parent: int, leaf: str, entry: tar.Entry) -> None:
    os.chown(leaf, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
    os.chmod(leaf, entry.mode, dir_fd=parent)  # made a moment ago in a directory that is ours
    os.utime(leaf, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)


def _lstat(parent: int, leaf: str) -> os.stat_result | None:
    try:
        return os.stat(leaf, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _unlink_whiteout(parent: int, leaf: str) -> bool:
    """Takes away what an earlier entry of this layer says of the layers below."""
    status = _lstat(parent, leaf)
    if status is None or not is_whiteout(status):
        return False
    os.unlink(leaf, dir_fd=parent)
    return True


class _closing:
    """Closes a descriptor at the end of a block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
