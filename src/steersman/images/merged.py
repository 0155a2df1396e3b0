"""A read-only view of directories stacked as overlayfs stacks them, without mounting anything.

Pure look-ups: symbolic links are followed as if the view were `/`, whiteouts and opaque directories
hide what is below. The builder reads its context (one directory) and root file systems (many) so.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from steersman.images.errors import Refused
from steersman.images.rooted import open_in_root

OPAQUE = "trusted.overlay.opaque"
DEPTH_LIMIT = 128  # far beyond real trees; who walks the view recurses this deep
LINK_LIMIT = 40  # as the kernel's


class Found(msgspec.Struct, frozen=True):
    """A file of the view: its canonical path (no leading slash), layer and lstat."""

    path: str
    layer: Path
    stat: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.stat.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.stat.st_mode)

    @property
    def file(self) -> Path:
        return self.layer / self.path

    def open(self) -> int:
        """A descriptor for reading; no link is followed, whatever has changed since the look-up."""
        root = os.open(self.layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_in_root(root, self.path, os.O_RDONLY | os.O_NONBLOCK, follow=False)
        finally:
            os.close(root)


class Merged:
    """Layer directories, lowest first, seen as one root file system."""

    def __init__(self, layers: Sequence[Path]) -> None:
        self._layers = tuple(layers)

    def find(self, path: str) -> Found | None:
        """The file at `path`; links are followed in all components but the last."""
        head, _, leaf = path.strip("/").rpartition("/")
        parent = self.resolve(head)
        return self.at(f"{parent}/{leaf}".strip("/") if leaf not in (".", "..") else parent)

    def follow(self, path: str) -> Found | None:
        """The file at `path`; links are followed in all components."""
        return self.at(self.resolve(path))

    def resolve(self, path: str) -> str:
        """The canonical form of `path`; components that do not exist stay as they are."""
        pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                del done[-1:]
                continue
            found = self.at("/".join([*done, part]))
            if found is None or not found.is_link:
                done.append(part)
                continue
            links += 1
            if links > LINK_LIMIT:
                raise Refused(f"{path}: too many symbolic links")
            target = os.readlink(found.file)
            done = [] if target.startswith("/") else done
            pending += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        return "/".join(done)

    def names(self, path: str) -> list[str]:
        """The sorted names in the directory at the canonical `path`. Raises Refused."""
        if path.count("/") >= DEPTH_LIMIT:
            raise Refused(f"directories are nested over {DEPTH_LIMIT} deep")
        shown: set[str] = set()
        hidden: set[str] = set()
        for found in self._versions(path):
            if not found.is_directory:
                break
            for entry in os.scandir(found.file):
                if is_whiteout(entry.stat(follow_symlinks=False)):
                    hidden.add(entry.name)
                elif entry.name not in hidden:
                    shown.add(entry.name)
            hidden |= shown
        return sorted(shown)

    def at(self, path: str) -> Found | None:
        """The file at the canonical `path`; no link is followed."""
        return next(self._versions(path), None)

    def _versions(self, path: str) -> Iterator[Found]:
        """The file at the canonical `path` in each layer that shows it, highest first."""
        for layer in reversed(self._layers):
            found, below = _in_layer(layer, path)
            if found is not None:
                yield found
            if not below:
                return


def is_whiteout(status: os.stat_result) -> bool:
    """Whether a file in a layer directory hides the one of its name below."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: Path | str) -> bool:
    """Whether a directory of a layer hides what is below it."""
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False  # no such attribute, or a file system that has none


def _in_layer(layer: Path, path: str) -> tuple[Found | None, bool]:
    """What one layer has at `path`, and whether the layers below count too."""
    below = True
    current = ""
    status = os.lstat(layer)
    for part in path.split("/") if path else ():
        if not stat.S_ISDIR(status.st_mode):
            return None, False
        current = f"{current}/{part}" if current else part
        try:
            status = os.lstat(layer / current)
        except FileNotFoundError:
            return None, below
        if is_whiteout(status):
            return None, False
        below = below and stat.S_ISDIR(status.st_mode) and not is_opaque(layer / current)
    return Found(path, layer, status), below
