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
from .descriptors import Descriptors
from .kernel import labels, syscalls, user_namespaces
from .kernel import terminal as terminals
from .process import Process, become, give_streams, look_up, raise_limits, set_oom_score

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from .kernel.cgroups import Cgroup
    from .kernel.user_namespaces import Maps

_INSIDE = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWCGROUP
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)
_FAILED = 127


def start(
    first: int,
    cgroup: Cgroup,
    process: Process,
    channel: int,
    streams: Sequence[int],
    held: int,
    *,
    alone: bool = False,
) -> int:
    """Forks a process that joins the container whose first process is `first`; gives its id.

    `held` is what capabilities there are inside. Unless `alone` it is killed when the process
    that forked it ends.
    """
    target = os.pidfd_open(first)
    maps = user_namespaces.of_process(first)
    process.keep_groups = maps is not None and user_namespaces.denies_groups(str(first))
    outer = enter_pid_namespace(f"/proc/{first}/ns/pid")
    affinity = os.sched_getaffinity(0) if process.affinity_initial else set()
    _set_affinity(process.affinity_initial)
    birthplace = cgroup.birthplace()
    child = -1
    try:
        child = syscalls.clone(0, birthplace)
    finally:
        if child != 0:
            leave_pid_namespace(outer)
            _set_affinity(affinity)
            os.close(target)
            if birthplace >= 0:
                os.close(birthplace)
    if child == 0:
        kept = Descriptors(channel, streams, preserved=process.preserved)
        group = cgroup if birthplace < 0 else None
        _initialise(target, maps, group, process, kept, held, alone=alone)
    return child


def _initialise(
    target: int,
    maps: Maps | None,
    group: Cgroup | None,
    process: Process,
    kept: Descriptors,
    held: int,
    *,
    alone: bool,
) -> NoReturn:
    """The life of the process; it enters `group` unless it was born there."""
    try:
        (target,) = kept.settle(target)
        if not alone:
            die_with_parent()
        if group is not None:
            group.enter()
        if process.oom_score_adj is not None:
            set_oom_score(process.oom_score_adj)
        _set_affinity(process.affinity_final)
        own = labels.open_self() if process.labels else -1
        _join(target, process, maps)
        look_up(process)
        slave = _open_terminal(process, kept.channel)
        os.write(kept.channel, b"R")
        if os.read(kept.channel, 1) != b"G":
            os._exit(0)
        if slave >= 0:
            terminals.adopt(slave, process.uid)
        become(process, held, kept.channel, own, alone=alone)
    except BaseException as error:  # noqa: BLE001  the last this process does is to say why
        report(kept.channel, error)
    os._exit(_FAILED)


def _set_affinity(processors: set[int]) -> None:
    """Binds this process to processors; to none in particular where none are given."""
    if processors:
        os.sched_setaffinity(0, processors)


def _join(target: int, process: Process, maps: Maps | None) -> None:
    """Joins the namespaces of the process open as `target`, whose user namespace has `maps`."""
    flags = _INSIDE
    # A kernel may be built without time namespaces, and then refuses to be asked for one.
    if os.path.exists("/proc/self/ns/time"):
        flags |= syscalls.CLONE_NEWTIME
    if maps is not None:
        raise_limits(process)
        give_streams(*maps.root())
        flags |= syscalls.CLONE_NEWUSER
    syscalls.setns(target, flags)
    os.close(target)
    if maps is not None:
        user_namespaces.become_root(keep_groups=process.keep_groups)


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
