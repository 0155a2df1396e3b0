"""What is on disk of a pod: its directory, the shim's socket, and state.json beside it.

The truth about a living pod is in its shim; the file serves those who clean up after a dead one.
Rule: it is replaced whole, so a reader never sees half of it.
"""

from __future__ import annotations

import itertools
import os

from . import documents
from .kernel import cgroups, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_FILE = "state.json"
_NEW_FILE = "state.json.new"
SOCKET = "shim.sock"
SHM = "shm"
CONTAINERS = "containers"
_DIRECTORY_MODE = 0o700
# Names become directories and cgroups.
_MAX_NAME_LENGTH = 200
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+")


def check_name(name: object) -> str:
    """A pod's or container's id as a file name; ValueError if it is none."""
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= _MAX_NAME_LENGTH
        or name.startswith(".")
        or not set(name) <= _NAME_CHARACTERS
    ):
        raise ValueError(f"{name!r} is not an id")
    return name


def pod_directory(state_directory: str, pod: str) -> str:
    """Where everything about one pod is."""
    return os.path.join(state_directory, "pods", check_name(pod))


def make_pod_directory(directory: str) -> None:
    """Makes the directory; FileExistsError if the pod has one."""
    os.makedirs(os.path.dirname(directory), _DIRECTORY_MODE, exist_ok=True)
    os.mkdir(directory, _DIRECTORY_MODE)
    os.mkdir(os.path.join(directory, CONTAINERS), _DIRECTORY_MODE)


def save(directory: str, document: dict[str, Any]) -> None:
    """Replaces state.json."""
    prepare(directory, document)
    publish(directory)


def prepare(directory: str, document: dict[str, Any]) -> None:
    """Writes what `publish` makes state.json."""
    path = os.path.join(directory, _NEW_FILE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, documents.dumps(document).encode())
    finally:
        os.close(descriptor)


def publish(directory: str) -> None:
    """Puts what is prepared in the place of state.json."""
    os.rename(os.path.join(directory, _NEW_FILE), os.path.join(directory, _FILE))


def load(directory: str) -> dict[str, Any]:
    """Reads state.json; an empty document if a shim died before it wrote one."""
    try:
        with open(os.path.join(directory, _FILE)) as file:
            document: dict[str, Any] = documents.loads(file.read())
    except FileNotFoundError:
        return {}
    return document


def remove_directory(path: str) -> None:
    """Removes a tree that nobody writes to any more; one that is gone is fine.

    What a container has nested deeper than a path can be long is brought up to the top first.
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _empty(top, top, 0, itertools.count())
    finally:
        os.close(top)
    os.rmdir(path)


# Each level holds a descriptor open and a frame of the interpreter.
_MAX_LEVELS = 64


def _empty(top: int, directory: int, level: int, moved: Iterator[int]) -> None:
    while names := os.listdir(directory):
        for name in names:
            try:
                os.unlink(name, dir_fd=directory)
            except IsADirectoryError:
                if level >= _MAX_LEVELS:
                    place = f".deep.{next(moved)}"
                    os.rename(name, place, src_dir_fd=directory, dst_dir_fd=top)
                else:
                    _remove(top, directory, name, level, moved)


def _remove(top: int, directory: int, name: str, level: int, moved: Iterator[int]) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    below = os.open(name, flags, dir_fd=directory)
    try:
        _empty(top, below, level + 1, moved)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=directory)


def unmount(path: str) -> None:
    """Takes a mount away if there is one."""
    try:
        syscalls.umount(path, syscalls.MNT_DETACH)
    except OSError as error:
        if error.errno not in (2, 22):  # ENOENT, EINVAL: nothing there, or nothing mounted
            raise


def unmount_below(path: str) -> None:
    """Takes away all mounts below a directory, which is about to be removed."""
    above = os.path.realpath(path) + "/"
    with open("/proc/self/mountinfo") as file:
        points = [_unescape(line.split(" ", 5)[4]) for line in file]
    for point in reversed(points):  # who is mounted on another is listed after it
        if point.startswith(above):
            unmount(point)


def _unescape(point: str) -> str:
    """A path as it is (proc(5), mountinfo)."""
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        point = point.replace(f"\\{code}", character)
    return point


def clean_up(directory: str) -> None:
    """Removes all traces of a pod whose shim is dead, from what is on disk alone. Repeatable."""
    document = load(directory)
    hierarchies = cgroups.find_hierarchies()
    opener = cgroups.opener(hierarchies)
    for path in document.get("cgroups") or ():
        group = opener(path)
        cgroups.kill(group)
        group.remove()
        group.prune()
        if document.get("runtime"):
            cgroups.remove_everywhere(hierarchies, path)
    unmount(os.path.join(directory, SHM))
    unmount_below(os.path.join(directory, CONTAINERS))
    remove_directory(directory)
