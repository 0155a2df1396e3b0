"""User namespaces: maps of ids as an OCI document has them, and namespaces that have such maps.

Not who lives in them (entry.users). Rule: a namespace is made by a process that does nothing else
and is gone before anybody enters, so what is entered is always a descriptor. Source:
user_namespaces(7).
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os

from . import namespaces, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, NoReturn

    # First id inside, first id outside, how many
    Range = tuple[int, int, int]

# user_namespaces(7): a map has 340 lines at most, since 4.15.
_MAX_RANGES = 340
# (uid_t) -1 is no id, so the last one is the one before.
_IDS = (1 << 32) - 1
# ioctl_ns(2)
_NS_GET_NSTYPE = 0xB703


class Maps:
    """How the ids of users and of groups inside a namespace are those outside."""

    __slots__ = ("gids", "uids")

    def __init__(self, uids: Sequence[Range], gids: Sequence[Range]) -> None:
        self.uids = tuple(uids)
        self.gids = tuple(gids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Maps) and (self.uids, self.gids) == (other.uids, other.gids)

    def __hash__(self) -> int:
        return hash((self.uids, self.gids))

    def root(self) -> tuple[int, int]:
        """The user and group outside that are 0 inside; ValueError if nobody is."""
        return find_outside(self.uids, 0), find_outside(self.gids, 0)


def parse_maps(section: Mapping[str, Any], where: str) -> Maps | None:
    """Reads uidMappings and gidMappings of a section; None where it has neither."""
    uids, gids = (
        _parse_ranges(section.get(name) or (), f"{where}.{name}")
        for name in ("uidMappings", "gidMappings")
    )
    if not uids and not gids:
        return None
    if not uids or not gids:
        raise ValueError(f"{where}: both uidMappings and gidMappings are needed, or neither")
    return Maps(uids, gids)


def _parse_ranges(entries: Iterable[Mapping[str, Any]], where: str) -> list[Range]:
    ranges = [
        (int(entry["containerID"]), int(entry["hostID"]), int(entry["size"])) for entry in entries
    ]
    if len(ranges) > _MAX_RANGES:
        raise ValueError(f"{where}: more than {_MAX_RANGES} ranges")
    for inside, outside, size in ranges:
        if size <= 0 or min(inside, outside) < 0 or max(inside, outside) + size > _IDS:
            raise ValueError(f"{where}: {inside} {outside} {size} is no range of ids")
    for column in (0, 1):
        _refuse_overlap(sorted((entry[column], entry[2]) for entry in ranges), where)
    return ranges


def _refuse_overlap(spans: Sequence[tuple[int, int]], where: str) -> None:
    for (first, size), (following, _) in itertools.pairwise(spans):
        if first + size > following:
            raise ValueError(f"{where}: id {following} is mapped twice")


def find_outside(ranges: Iterable[Range], number: int) -> int:
    """The id outside for one inside; ValueError if it has none."""
    for inside, outside, size in ranges:
        if inside <= number < inside + size:
            return outside + number - inside
    raise ValueError(f"container id {number} is not mapped to an id of the host")


def render(ranges: Iterable[Range]) -> str:
    """The lines of /proc/<pid>/uid_map."""
    return "".join(f"{inside} {outside} {size}\n" for inside, outside, size in ranges)


def open_owner(owner: str | Maps) -> int:
    """A descriptor of the user namespace at a path, or of a new one with these maps."""
    if isinstance(owner, Maps):
        return make(owner)
    descriptor = os.open(owner, os.O_RDONLY | os.O_CLOEXEC)
    if _kind_of(descriptor) == syscalls.CLONE_NEWUSER:
        return descriptor
    os.close(descriptor)
    raise ValueError(f"{owner} is no user namespace")


def _kind_of(descriptor: int) -> int:
    """The flag of the namespace that is open, 0 where none is."""
    try:
        return fcntl.ioctl(descriptor, _NS_GET_NSTYPE)
    except OSError as error:
        if error.errno == errno.ENOTTY:
            return 0
        raise


def read_maps(descriptor: int) -> Maps:
    """The maps of the user namespace open as `descriptor`, from a process that enters it."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = syscalls.clone(0)
    if child == 0:
        _tell_maps(descriptor, writer)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read()
    os.waitpid(child, 0)
    uids, _, gids = text.decode().partition("\n\n")
    if not uids:
        raise PermissionError(errno.EPERM, "the user namespace cannot be entered")
    return Maps(_read_ranges(uids), _read_ranges(gids))


def _tell_maps(descriptor: int, writer: int) -> NoReturn:
    try:
        syscalls.setns(descriptor, syscalls.CLONE_NEWUSER)
        os.write(writer, "\n".join(_read_map_texts()).encode())
    finally:
        os._exit(0)


def _read_map_texts(pid: str = "self") -> list[str]:
    """The two maps of the user namespace that a process is in, as this one sees them."""
    texts = []
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}") as file:
            texts.append(file.read())
    return texts


def _read_ranges(text: str) -> list[Range]:
    rows = (line.split() for line in text.splitlines() if line.strip())
    return [(int(row[0]), int(row[1]), int(row[2])) for row in rows]


def of_process(pid: int) -> Maps:
    """The maps of the user namespace that a process is in."""
    return Maps(*(_read_ranges(text) for text in _read_map_texts(str(pid))))


def make(maps: Maps) -> int:
    """A descriptor of a new user namespace with these maps."""
    (descriptor,) = make_owning(maps)
    return descriptor


def make_owning(maps: Maps, *kinds: str) -> list[int]:
    """Descriptors of a new user namespace and of further new ones that belong to it.

    `kinds` are names of the OCI document, as in namespaces.KINDS.
    """
    known = [namespaces.KINDS[kind] for kind in ("user", *kinds)]
    child, opener = _fork_holder(sum(flag for flag, _ in known))
    try:
        _write_maps(child, maps)
        return _open_all([f"/proc/{child}/ns/{name}" for _, name in known])
    finally:
        os.close(opener)
        os.waitpid(child, 0)


def _fork_holder(flags: int) -> tuple[int, int]:
    """A process in new namespaces, and the descriptor with which it ends."""
    gate, opener = os.pipe2(os.O_CLOEXEC)
    try:
        child = syscalls.clone(flags)
        if child == 0:
            os.close(opener)
            _linger(gate)
    except OSError:
        os.close(opener)
        raise
    finally:
        os.close(gate)
    return child, opener


def _open_all(paths: Iterable[str]) -> list[int]:
    """Opens all of these files or none."""
    opened: list[int] = []
    try:
        for path in paths:
            opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return opened


def _linger(gate: int) -> NoReturn:
    """Keeps a namespace until its maker has it open."""
    try:
        os.read(gate, 1)
    finally:
        os._exit(0)


def _write_maps(child: int, maps: Maps) -> None:
    if os.geteuid() == 0:
        _write_whole(child, maps)
    elif maps == own_maps():
        # Who maps only themselves may not change groups: setgroups could drop one that denies
        _write(child, "setgroups", "deny")
        _write_whole(child, maps)
    else:
        from . import newuidmap

        newuidmap.write_maps(child, maps)


def own_maps() -> Maps:
    """Root inside is who we are outside: what anybody may map."""
    return Maps([(0, os.geteuid(), 1)], [(0, os.getegid(), 1)])


def _write_whole(child: int, maps: Maps) -> None:
    for name, ranges in (("uid_map", maps.uids), ("gid_map", maps.gids)):
        _write(child, name, render(ranges))


def _write(child: int, name: str, text: str) -> None:
    """Writes a file of a new process's user namespace; the kernel takes it in one call."""
    descriptor = os.open(f"/proc/{child}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        reason = f"{name} of a user namespace: {error.strerror}"
        raise OSError(error.errno, reason) from None
    finally:
        os.close(descriptor)


def denies_groups(pid: str = "self") -> bool:
    """Whether the user namespace of a process keeps it from changing its groups."""
    with open(f"/proc/{pid}/setgroups") as file:
        return file.read().strip() == "deny"


def become_root(*, keep_groups: bool) -> None:
    """Makes this process user and group 0 of the user namespace it has entered.

    What it makes from here on belongs to them.
    """
    if not keep_groups:
        os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
