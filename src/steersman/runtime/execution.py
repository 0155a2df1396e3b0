"""A further process in a running container (exec): born beside the first, then moved inside.

Rule: until it is the container's program it cannot be traced or opened by what runs there; it
holds no descriptor of the host but the channel, and the shim's memory is not dumpable.
"""

from __future__ import annotations

import os

from .container import (
    die_with_parent,
    enter_pid_namespace,
    leave_pid_namespace,
    report,
    send_terminal,
)
from .entry.descriptors import Descriptors
from .kernel import cgroups, namespaces, syscalls, user_namespaces
from .kernel import terminal as terminals
from .process import (
    Process,
    become,
    give_streams,
    look_up,
    open_labels,
    raise_limits,
    set_oom_score,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    from .kernel.cgroups import Cgroup
    from .kernel.user_namespaces import Maps
    from .pod import Container
    from .reactor import Reactor
    from .supervised import Supervised

# Entered by the fork, and last of all
_ELSEWHERE = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUSER
_FAILED = 127


def inherit(first: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """The process section of an exec: what its container's first is, but for what it asks to have
    otherwise."""
    found = dict(first)
    for name in ("terminal", "consoleSize", "oomScoreAdj"):
        found.pop(name, None)
    env = found.get("env") or ()
    if section.get("terminal") and not any(text.startswith("TERM=") for text in env):
        found["env"] = [*env, "TERM=xterm"]  # as containerd does
    return {**found, **section}


def begin(
    reactor: Reactor,
    made: Container,
    section: Mapping[str, Any],
    on_terminal: Callable[[int], None],
    streams: Sequence[int],
) -> Supervised:
    """Starts an exec in a container of a shim, as its keeper's child; it runs once it is ready."""
    from .supervised import Supervised  # the command line has none

    plan = made.plan
    process = Process(inherit(made.bundle.get("process") or {}, section), plan.held)
    process.filter, process.filter_flags = plan.process.filter, plan.process.filter_flags
    extra = Supervised(reactor, on_terminal)
    channel, birth = extra.child_channel.fileno(), syscalls.CLONE_PARENT
    try:
        pid = start(made.first.pid, made.cgroup, process, channel, streams, plan.held, birth=birth)
    except BaseException:
        extra.close_channel()
        raise
    extra.follow(pid)
    extra.on_ready = extra.go
    return extra


def start(
    first: int,
    cgroup: Cgroup,
    process: Process,
    channel: int,
    streams: Sequence[int],
    held: int,
    *,
    alone: bool = False,
    birth: int = 0,
) -> int:
    """Forks a process that joins the container whose first process is `first`; gives its id.

    `held` is what capabilities there are inside. Unless `alone` it is killed when the process
    that forked it ends. `birth` is as in container.start.
    """
    affinity = os.sched_getaffinity(0) if process.affinity_initial else set()
    target = os.pidfd_open(first)
    try:
        flags = namespaces.differing(first)
        maps = None
        if flags & syscalls.CLONE_NEWUSER:
            maps = user_namespaces.of_process(first)
            process.keep_groups = user_namespaces.denies_groups(str(first))
        kept = Descriptors(channel, streams, preserved=process.preserved, birth=birth)
        wanted = Joining(first, target, flags & ~_ELSEWHERE, maps, process, held, alone=alone)
        _set_affinity(process.affinity_initial)
        if wanted.ushered:
            return _start_by_usher(wanted, cgroup, kept)
        return _start_beside(wanted, cgroup, kept)
    finally:
        _set_affinity(affinity)
        os.close(target)


class Joining:
    """A process that is to join a container; `target` is a descriptor of the container's first.

    `flags` are the namespaces that it joins once it is forked, `maps` those of the users' that
    it joins last. `ushered` says that it is in the user namespace already.
    """

    __slots__ = ("alone", "first", "flags", "held", "maps", "process", "target", "ushered")

    def __init__(
        self,
        first: int,
        target: int,
        flags: int,
        maps: Maps | None,
        process: Process,
        held: int,
        *,
        alone: bool,
    ) -> None:
        self.target = target
        self.flags = flags
        self.first = first
        self.maps = maps
        self.process = process
        self.held = held
        self.alone = alone
        self.ushered = maps is not None and os.geteuid() != 0


def _start_beside(wanted: Joining, cgroup: Cgroup, kept: Descriptors) -> int:
    outer = enter_pid_namespace(f"/proc/{wanted.first}/ns/pid")
    child = -1
    try:
        child, entered = cgroups.fork_into(cgroup, kept.birth)
    finally:
        if child != 0:
            leave_pid_namespace(outer)
    if child == 0:
        _initialise(wanted, None if entered else cgroup, kept)
    return child


def _start_by_usher(wanted: Joining, cgroup: Cgroup, kept: Descriptors) -> int:
    """The same for who is not root, and has privileges only once in the user namespace."""
    from .entry import users

    return users.start_exec(
        wanted.target, cgroup, kept, lambda target: _enter(target, wanted, kept)
    )


def _initialise(wanted: Joining, group: Cgroup | None, kept: Descriptors) -> NoReturn:
    """The life of the process; it enters `group` unless it was born there."""
    try:
        (target,) = kept.settle(wanted.target)
        if group is not None:
            group.enter()
        _enter(target, wanted, kept)
    except BaseException as error:  # noqa: BLE001  the last this process does is to say why
        report(kept.channel, error)
    os._exit(_FAILED)


def _enter(target: int, wanted: Joining, kept: Descriptors) -> None:
    """The same from its control group on; returns only by an error."""
    process, alone = wanted.process, wanted.alone
    if not alone:
        die_with_parent()
    if process.oom_score_adj is not None:
        set_oom_score(process.oom_score_adj)
    _set_affinity(process.affinity_final)
    own = open_labels(process)
    _join(target, wanted)
    look_up(process)
    slave = _open_terminal(process, kept.channel)
    os.write(kept.channel, b"R")
    if os.read(kept.channel, 1) != b"G":
        os._exit(0)
    if slave >= 0:
        terminals.adopt(slave, process.uid)
    become(process, wanted.held, kept.channel, own, alone=alone)


def _set_affinity(processors: set[int]) -> None:
    """Binds this process to processors; to none in particular where none are given."""
    if processors:
        os.sched_setaffinity(0, processors)


def _join(target: int, wanted: Joining) -> None:
    """Joins the namespaces of the process open as `target`; that of its users last."""
    if wanted.flags:
        syscalls.setns(target, wanted.flags)
    if wanted.maps is not None:
        if not wanted.ushered:
            raise_limits(wanted.process)
            give_streams(*wanted.maps.root())
            syscalls.setns(target, syscalls.CLONE_NEWUSER)
        user_namespaces.become_root(keep_groups=wanted.process.keep_groups)
    os.close(target)


def _open_terminal(process: Process, channel: int) -> int:
    if not process.terminal:
        return -1
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    master, slave = terminals.open_pair(root)
    os.close(root)
    width, height = process.console_size
    if width and height:
        terminals.resize(master, width, height)
    send_terminal(channel, master)
    return slave
