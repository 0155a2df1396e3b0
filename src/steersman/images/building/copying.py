"""COPY and ADD: decides which entries a layer gets.

One rule: sources are looked up in a `Merged` view, so no `..` and no symbolic link leads out of the
context or stage they come from. Follows the COPY section of docs.docker.com's Dockerfile reference.
"""

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Iterator

import msgspec
from msgspec.structs import replace

from steersman.images.building.ignore import NOTHING_IGNORED, Ignore, expression
from steersman.images.compression import Plain, read_up_to
from steersman.images.diff import Item, clamped, content, entry_of
from steersman.images.errors import Corrupt, Refused
from steersman.images.layers import WHITEOUT_PREFIX, clean
from steersman.images.merged import Found, Merged
from steersman.wire import tar

ENTRY_LIMIT = 1_000_000  # files in one COPY
_MAGIC = slice(257, 262)  # of a tar header
_UNSUPPORTED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class Copy(msgspec.Struct, frozen=True):
    """What a COPY or ADD says, with variables and names resolved.

    `extract` unpacks a tar archive somewhere and shows it; without it archives are copied as files.
    """

    sources: tuple[str, ...]
    target: str  # absolute
    owner: tuple[int, int] | None = None  # None: root, and for an archive what it says
    mode: int | None = None
    ignore: Ignore = NOTHING_IGNORED
    extract: Callable[[Found], Merged] | None = None


def plan(copy: Copy, origin: Merged, rootfs: Merged) -> list[Item]:
    """The entries of the layer that `copy` makes on top of `rootfs`, parents first.

    Raises Refused when a source is missing or the target does not fit.
    """
    return _Plan(copy, origin, rootfs).items()


def plan_directory(path: str, rootfs: Merged) -> list[Item]:
    """The entries that make a directory and its parents on top of `rootfs`."""
    return _Plan(Copy((), path), rootfs, rootfs).directory()


def content_key(items: Iterable[Item], clamp: int | None) -> str:
    """A digest of what the items say and hold; times count only where they are clamped."""
    total = hashlib.sha256()
    for item in items:
        entry = replace(item.entry, mtime=0) if clamp is None else clamped(item.entry, clamp)
        total.update(tar.render(entry))
        for chunk in content(item):
            total.update(chunk)
    return total.hexdigest()


class _Plan:
    """Collects the items of one COPY by their path, so that later sources replace earlier ones."""

    def __init__(self, copy: Copy, origin: Merged, rootfs: Merged) -> None:
        self._copy, self._origin, self._rootfs = copy, origin, rootfs
        self._found: dict[str, Item] = {}
        self._resolved: dict[str, str] = {}

    def items(self) -> list[Item]:
        matches = [match for source in self._copy.sources for match in self._matches(source)]
        into = self._goes_into_directory(len(matches))
        for name, match in matches:
            self._add_source(name, match, into)
        return [self._found[path] for path in sorted(self._found, key=lambda path: path.split("/"))]

    def directory(self) -> list[Item]:
        self._parents(posixpath.join(self._copy.target, "child"))
        return list(self._found.values())

    def _matches(self, source: str) -> list[tuple[str, Found]]:
        """The files that a source names, with their names; a wildcard may name several."""
        paths = [""]
        for part in clean(posixpath.normpath("/" + source)):
            paths = [path for directory in paths for path in self._step(directory, part)]
        found = ((path, self._origin.follow(path)) for path in paths)
        matches = [
            (posixpath.basename(path), match)
            for path, match in found
            if match is not None and not (self._ignores(path, match) or self._ignores("", match))
        ]
        if not matches:
            raise Refused(f"{source}: no such file in the build context")
        return matches

    def _step(self, directory: str, part: str) -> Iterator[str]:
        directory = self._origin.resolve(directory)
        if not any(character in part for character in "*?["):
            yield f"{directory}/{part}".lstrip("/")
            return
        found = self._origin.find(directory)
        pattern = expression(part.replace("**", "*"))
        for name in self._origin.names(directory) if found and found.is_directory else ():
            if pattern.fullmatch(name):
                yield f"{directory}/{name}".lstrip("/")

    def _ignores(self, path: str, found: Found) -> bool:
        """Whether .dockerignore leaves out a file and, where it is a directory, all in it."""
        path = path or found.path
        if not self._copy.ignore.ignores(path):
            return False
        return not (found.is_directory and self._copy.ignore.takes_back and self._holds_any(path))

    def _holds_any(self, path: str) -> bool:
        inner = (self._origin.at(f"{path}/{name}") for name in self._origin.names(path))
        return any(not self._ignores(each.path, each) for each in inner if each is not None)

    def _goes_into_directory(self, count: int) -> bool:
        if self._copy.target.endswith("/"):
            return True
        if count > 1:
            raise Refused(
                "with more than one source file the destination must be a directory and end with /"
            )
        existing = self._rootfs.follow(self._copy.target)
        return existing is not None and existing.is_directory

    def _add_source(self, name: str, match: Found, into: bool) -> None:
        target = self._copy.target
        if match.is_directory:
            self._parents(posixpath.join(target, "child"))
            self._tree(self._origin, match.path, target, is_archive=False)
        elif self._copy.extract is not None and is_archive(match):
            self._parents(posixpath.join(target, "child"))
            self._tree(self._copy.extract(match), "", target, is_archive=True)
        else:
            self._file(match, posixpath.join(target, name) if into else target, is_archive=False)

    def _tree(self, origin: Merged, source: str, target: str, *, is_archive: bool) -> None:
        for name in origin.names(source):
            path, place = f"{source}/{name}".lstrip("/"), posixpath.join(target, name)
            found = origin.at(path)
            if found is None or (not is_archive and self._ignores(path, found)):
                continue
            if is_archive or not self._copy.ignore.ignores(path):
                self._file(found, place, is_archive=is_archive)
            if found.is_directory:
                self._tree(origin, path, place, is_archive=is_archive)

    def _file(self, found: Found, target: str, *, is_archive: bool) -> None:
        path = self._parents(target)
        entry = entry_of(found.file, path, found.stat)
        if entry is None:
            return  # a socket
        owner = self._copy.owner
        if owner is None and not is_archive:
            owner = (0, 0)
        if owner is not None:
            entry = replace(entry, uid=owner[0], gid=owner[1])
        if self._copy.mode is not None and not found.is_link:
            entry = replace(entry, mode=self._copy.mode)
        self._put(path, Item(entry, found.layer, found.path))

    def _parents(self, target: str) -> str:
        """Adds the directories above `target`; returns its path without links."""
        directory, _, leaf = target.strip("/").rpartition("/")
        if directory not in self._resolved:
            self._resolved[directory] = self._rootfs.resolve(directory)
            self._directories(self._resolved[directory])
        return f"{self._resolved[directory]}/{leaf}".lstrip("/")

    def _directories(self, path: str) -> None:
        parts = path.split("/") if path else []
        for end in range(1, len(parts) + 1):
            prefix = "/".join(parts[:end])
            if prefix not in self._found:
                self._put(prefix, Item(self._directory(prefix)))

    def _directory(self, path: str) -> tar.Entry:
        existing = self._rootfs.find(path)
        if existing is None:
            uid, gid = self._copy.owner or (0, 0)
            return tar.Entry(name=path, kind="directory", mode=0o755, uid=uid, gid=gid)
        entry = entry_of(existing.file, path, existing.stat)
        if entry is None or entry.kind != "directory":
            raise Refused(f"/{path} in the image is not a directory")
        return entry

    def _put(self, path: str, item: Item) -> None:
        if posixpath.basename(path).startswith(WHITEOUT_PREFIX):
            raise Refused(
                f"/{path}: names that begin with {WHITEOUT_PREFIX} mean deletion in layers"
            )
        if len(self._found) >= ENTRY_LIMIT:
            raise Refused(f"more than {ENTRY_LIMIT} files")
        self._found[path] = item


def is_archive(found: Found) -> bool:
    """Whether ADD unpacks the file: a tar, plain or compressed. Raises Refused for bzip2 and xz."""
    if not found.is_file:
        return False
    with open(found.open(), "rb") as file:
        head = file.read(tar.BLOCK_BYTES)
        for magic, name in _UNSUPPORTED.items():
            if head.startswith(magic):
                raise Refused(f"{found.path}: ADD of an archive in {name} is not supported yet")
        file.seek(0)
        try:
            return b"ustar" in read_up_to(Plain(file.read).read, tar.BLOCK_BYTES)[_MAGIC]
        except Corrupt:
            return False  # it only begins like a gzip file
