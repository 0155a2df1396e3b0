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
    settle,
)
from .kernel import syscalls
from .kernel import terminal as terminals
from .process import Process, become, look_up, set_oom_score

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from .kernel.cgroups import Cgroup

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

    Unless `alone` it is killed when the process that forked it ends.
    """
    target = os.pidfd_open(first)
    outer = enter_pid_namespace(f"/proc/{first}/ns/pid")
    birthplace = cgroup.birthplace()
    child = -1
    try:
        child = syscalls.clone(0, birthplace)
    finally:
        if child != 0:
            leave_pid_namespace(outer)
            os.close(target)
            if birthplace >= 0:
                os.close(birthplace)
    if child == 0:
        entered = birthplace >= 0
        _initialise(target, cgroup, process, channel, streams, held, entered=entered, alone=alone)
    return child


def _initialise(
    target: int,
    cgroup: Cgroup,
    process: Process,
    channel: int,
    streams: Sequence[int],
    held: int,
    *,
    entered: bool,
    alone: bool,
) -> NoReturn:
    try:
        settle(streams, channel, target)
        channel = 3
        if not alone:
            die_with_parent()
        if not entered:
            cgroup.enter()
        if process.oom_score_adj is not None:
            set_oom_score(process.oom_score_adj)
        # A kernel may be built without time namespaces, and then refuses to be asked for one.
        timed = os.path.exists("/proc/self/ns/time")
        syscalls.setns(4, _INSIDE | (syscalls.CLONE_NEWTIME if timed else 0))
        os.close(4)
        look_up(process)
        slave = _open_terminal(process, channel)
        os.write(channel, b"R")
        if os.read(channel, 1) != b"G":
            os._exit(0)
        if slave >= 0:
            terminals.adopt(slave, process.uid)
        become(process, held, alone=alone)
    except BaseException as error:  # noqa: BLE001  the last this process does is to say why
        report(channel, error)
    os._exit(_FAILED)


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
