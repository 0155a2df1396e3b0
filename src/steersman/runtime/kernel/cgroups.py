"""What a control group offers the runtime, and the choice of version 1 or 2 on this machine.

The versions themselves are in cgroups1 and cgroups2. Rule: nothing is written outside the
sub-tree that a path given by the caller names.
"""

from __future__ import annotations

import errno
import os
import time

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Protocol

    class Cgroup(Protocol):
        """One control group, in whichever hierarchies it lives."""

        path: str

        def create(self) -> None:
            """Makes the group and those above it; one that exists is kept."""

        def limit(self, resources: Mapping[str, Any]) -> None:
            """Applies a linux.resources section; what it does not mention stays."""

        def birthplace(self) -> int:
            """A descriptor for clone, or -1 where a process must enter by itself."""

        def delegate(self, user: int) -> None:
            """Gives a user of the host what of the group may be theirs; on version 1 nothing."""

        def enter(self) -> None:
            """Moves the calling thread, which must be the only one, into the group."""

        def processes(self) -> list[int]:
            """Ids of the processes in this group and those below it."""

        def freeze(self, frozen: bool) -> None:
            """Stops all processes of the group, or lets them go on; returns when it is done."""

        def is_frozen(self) -> bool:
            """Whether `freeze` holds the processes of the group."""

        def counters(self) -> dict[str, Any]:
            """What `events --stats` shows, in the form that runc's clients read."""

        def oom_kills(self) -> int:
            """How many processes of the group the kernel has killed for want of memory."""

        def statistics(self) -> dict[str, int]:
            """Counters: cpu_usage_nanoseconds, memory_*_bytes, pids_current, and cpu_periods and
            cpu_throttled_* where it has a quota."""

        def views(self) -> list[tuple[str, str]]:
            """What a container sees: (name below /sys/fs/cgroup or "", directory of the group)."""

        def remove(self) -> None:
            """Removes the group and those below it; one that is gone is fine."""

        def prune(self) -> None:
            """Removes the groups above that hold nothing any more."""


def fork_into(group: Cgroup, flags: int) -> tuple[int, bool]:
    """Forks with flags of clone(2); gives the child's id, 0 in the child, and whether it was
    born in the group. One that was not must enter it by itself (version 1)."""
    birthplace = group.birthplace()
    try:
        return syscalls.clone(flags, birthplace), birthplace >= 0
    finally:  # on both sides of the fork
        if birthplace >= 0:
            os.close(birthplace)


# A group whose last process has been reaped is free at once; one that is still being taken
# apart answers EBUSY, and the kernel offers nothing to wait on. Twenty tries make two seconds.
_REMOVE_TRIES = 20
_FIRST_PAUSE_SECONDS = 0.0005
_KILL_TIMEOUT_SECONDS = 10.0
NO_CGROUP = "this container has no control group: it was made without the privilege to make one"


class NoCgroup:
    """Stands in for the group of a container that has none: made by somebody who may not make one.

    What needs a group says so; what asks about it finds nothing, and no limit is passed over.
    """

    __slots__ = ()
    path = ""

    def create(self) -> None:
        """Nothing is made."""

    def limit(self, resources: Mapping[str, Any]) -> None:
        for name, value in resources.items():
            if value and name != "devices":
                raise PermissionError(
                    "rootless needs no limits + no cgrouppath when no permission is granted for "
                    f"cgroups: linux.resources.{name} is given"
                )

    def birthplace(self) -> int:
        return -1

    def delegate(self, user: int) -> None:
        """Nothing is given away."""

    def enter(self) -> None:
        """A process stays where it is."""

    def processes(self) -> list[int]:
        return []

    def freeze(self, frozen: bool) -> None:
        raise PermissionError(NO_CGROUP)

    def is_frozen(self) -> bool:
        return False

    def counters(self) -> dict[str, Any]:
        raise PermissionError(NO_CGROUP)

    def oom_kills(self) -> int:
        return 0

    def statistics(self) -> dict[str, int]:
        raise PermissionError(NO_CGROUP)

    def views(self) -> list[tuple[str, str]]:
        return []

    def remove(self) -> None:
        """Nothing is there."""

    def prune(self) -> None:
        """Nothing is there."""


class Hierarchies:
    """Where control groups are mounted: version 1 by controller, and version 2."""

    __slots__ = ("unified", "unified_controllers", "version1")

    def __init__(
        self, version1: dict[str, str], unified: str, unified_controllers: frozenset[str]
    ) -> None:
        self.version1 = version1
        self.unified = unified
        self.unified_controllers = unified_controllers


def parse_mountinfo(text: str) -> tuple[dict[str, str], str]:
    """Reads /proc/self/mountinfo: (controller to mount point of version 1, that of version 2)."""
    version1: dict[str, str] = {}
    unified = ""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, system = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(system) < 3:
            continue
        if system[0] == "cgroup":
            for controller in system[2].split(","):
                version1.setdefault(controller, fields[4])
        elif system[0] == "cgroup2" and not unified:
            unified = fields[4]
    for option in ("rw", "ro", "xattr", "clone_children", "noprefix"):
        version1.pop(option, None)
    return version1, unified


def find_hierarchies() -> Hierarchies:
    """Looks up where this machine has control groups mounted."""
    with open("/proc/self/mountinfo") as file:
        version1, unified = parse_mountinfo(file.read())
    controllers: frozenset[str] = frozenset()
    if unified:
        with open(os.path.join(unified, "cgroup.controllers")) as file:
            controllers = frozenset(file.read().split())
    return Hierarchies(version1, unified, controllers)


def has_controller(name: str) -> bool:
    """Whether groups of this machine can be limited by a controller."""
    hierarchies = find_hierarchies()
    if is_unified(hierarchies):
        return name in hierarchies.unified_controllers
    return name in hierarchies.version1


def counts_swap() -> bool:
    """Whether groups limit swap by itself: those of version 2, of a kernel that has swap."""
    hierarchies = find_hierarchies()
    if not is_unified(hierarchies):
        return False
    with open("/proc/self/cgroup") as file:
        own = next((it[3:].strip() for it in file if it.startswith("0::")), "/")
    # The root has no limits; the groups of pods are below it
    groups = (hierarchies.unified + own, *(it.path for it in os.scandir(hierarchies.unified)))
    return any(os.path.exists(f"{group}/memory.swap.max") for group in groups)


def is_unified(hierarchies: Hierarchies) -> bool:
    """Whether groups are of version 2."""
    return bool(hierarchies.unified) and "memory" in hierarchies.unified_controllers


def opener(hierarchies: Hierarchies) -> Callable[[str], Cgroup]:
    """The function that makes a Cgroup of a path, for version 2 if it has the controllers."""
    if is_unified(hierarchies):
        from . import cgroups2

        return lambda path: cgroups2.UnifiedCgroup(hierarchies.unified, check_path(path))
    from . import cgroups1

    return lambda path: cgroups1.LegacyCgroup(hierarchies.version1, check_path(path))


# Of linux.resources what no file of ours is for: passed over it would be a limit that is none.
_UNSUPPORTED = ("network", "rdma", "intelRdt")


def check_resources(resources: Mapping[str, Any]) -> None:
    """Raises ValueError for a section that cannot be applied."""
    for name in _UNSUPPORTED:
        if resources.get(name):
            raise ValueError(f"linux.resources.{name} is not supported")


def throttles(block: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """The bounds of single devices in a blockIO section: (key, "major:minor", rate)."""
    return [
        (key, f"{int(entry['major'])}:{int(entry['minor'])}", int(entry["rate"]))
        for key in THROTTLES
        for entry in block.get(key) or ()
    ]


# Key of a blockIO section: (file of version 1, word of version 2's io.max)
THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}


def check_path(path: str) -> str:
    """A cgroup path without trailing slash; ValueError for one that is the root or climbs."""
    parts = [part for part in path.split("/") if part]
    if not parts or not path.startswith("/") or any(part in (".", "..") for part in parts):
        raise ValueError(f"cgroup path {path!r} is not an absolute path below the root")
    return "/" + "/".join(parts)


def kill(cgroup: Cgroup) -> None:
    """Kills every process of a group and returns when all are gone; TimeoutError else."""
    deadline = time.monotonic() + _KILL_TIMEOUT_SECONDS
    while victims := cgroup.processes():
        for victim in victims:
            kill_and_wait(victim, deadline)


def signal_all(cgroup: Cgroup, number: int) -> None:
    """Sends a signal to every process of a group; one that has ended meanwhile is passed over."""
    for process in cgroup.processes():
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def kill_and_wait(victim: int, deadline: float = 0.0) -> None:
    """Kills a process and returns when it is gone; TimeoutError else."""
    import select

    deadline = deadline or time.monotonic() + _KILL_TIMEOUT_SECONDS
    try:
        handle = os.pidfd_open(victim)
    except ProcessLookupError:
        return
    try:
        os.kill(victim, 9)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(max(0, deadline - time.monotonic()) * 1000):
            raise TimeoutError(f"process {victim} does not die")
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def await_state(reached: Callable[[], bool], what: str) -> None:
    """Returns once the kernel has done what it was asked; it offers nothing to wait on."""
    pause = _FIRST_PAUSE_SECONDS
    for _ in range(_REMOVE_TRIES):
        if reached():
            return
        time.sleep(pause)
        pause = min(pause * 2, 0.2)
    raise TimeoutError(f"{what} takes too long")


def remove_empty(cgroup: Cgroup) -> bool:
    """Removes a group in which no process and no group is left; False where there is one."""
    for _, directory in cgroup.views():
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            return False
    return True


def remove_tree(directory: str) -> None:
    """Removes a cgroup directory and those below it; one that is not there is fine."""
    try:
        os.rmdir(directory)
        return
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
    for path in [entry.path for entry in os.scandir(directory) if entry.is_dir()]:
        remove_tree(path)
    pause = _FIRST_PAUSE_SECONDS
    for attempt in range(_REMOVE_TRIES):
        try:
            os.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == _REMOVE_TRIES - 1:
                raise
        time.sleep(pause)
        pause = min(pause * 2, 0.2)


def remove_everywhere(hierarchies: Hierarchies, path: str) -> None:
    """Removes a group, and those above that hold nothing any more, from every hierarchy, also from
    those in which only other runtimes make some (runc: name=systemd, and version 2 beside 1)."""
    mounts = {*hierarchies.version1.values(), hierarchies.unified}
    for mount in sorted(mounts - {""}):
        remove_tree(mount + check_path(path))
        prune_parents(mount, path)


def prune_parents(mount: str, path: str) -> None:
    """Removes the groups above `path` that hold neither groups nor processes any more."""
    parent = os.path.dirname(path)
    while parent != "/":
        try:
            os.rmdir(mount + parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            return
        parent = os.path.dirname(parent)


def make_directories(mount: str, path: str) -> None:
    """Makes the groups of `path` one by one; tolerates another process removing empty ones."""
    for _ in range(_REMOVE_TRIES):
        try:
            os.mkdir(mount + path)
            return
        except FileExistsError:
            return
        except FileNotFoundError:
            pass
        try:
            os.makedirs(mount + os.path.dirname(path), exist_ok=True)
        except FileNotFoundError:  # a sibling's prune_parents took a parent made here
            continue
    raise FileNotFoundError(errno.ENOENT, "control group keeps vanishing", mount + path)


def write(directory: str, name: str, value: str) -> None:
    """Writes one control file; the error names file and value."""
    write_lines(directory, name, (value,))


def write_lines(directory: str, name: str, values: Iterable[str]) -> None:
    """Writes several values to one control file, each by a call of its own."""
    path = f"{directory}/{name}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    value = ""
    try:
        for value in values:
            os.write(descriptor, value.encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} (writing {value!r})", path) from None
    finally:
        os.close(descriptor)


def read(directory: str, name: str) -> str:
    """The text of one control file."""
    with open(f"{directory}/{name}") as file:
        return file.read()


def read_fields(directory: str, name: str) -> dict[str, int]:
    """A control file of "name number" lines as a mapping; empty if the group is gone."""
    try:
        text = read(directory, name)
    except FileNotFoundError:
        return {}
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def count_throttling(fields: Mapping[str, int], name: str, nanoseconds: int) -> dict[str, int]:
    """How often its quota has held a group back, and for how long, which `name` says in units of
    so many nanoseconds; nothing where no period has begun, as without a quota."""
    if not fields.get("nr_periods"):
        return {}
    return {
        "cpu_periods": fields["nr_periods"],
        "cpu_throttled_periods": fields.get("nr_throttled", 0),
        "cpu_throttled_nanoseconds": fields.get(name, 0) * nanoseconds,
    }


def list_processes(directories: Iterable[str], name: str) -> list[int]:
    """The ids in `name` of each directory and all below; those that are gone are empty."""
    found: list[int] = []
    for directory in directories:
        for path, _, _ in os.walk(directory):
            try:
                found += [int(word) for word in read(path, name).split()]
            except FileNotFoundError:
                continue
    return sorted(set(found) - {0})
