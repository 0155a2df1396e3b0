"""The way into a user namespace: what only the host can still do for a container is done first.

An usher, born beside the container, limits and mounts with the host's privileges, enters the
user namespace, and forks the container's first process there as its own sibling. Rule: nothing
of the host is opened by path after the entry but its devices and control groups.
"""

from __future__ import annotations

import os
import select
import struct

from .. import container
from ..kernel import cgroups, mounts, rootfs, syscalls
from ..process import give_streams, raise_limits, set_oom_score

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ..container import Plan
    from ..kernel.cgroups import Cgroup
    from .descriptors import Descriptors

# Copies of mounts are made at once; a file system that hangs does not hang who asked.
_TIMEOUT_SECONDS = 10.0
_FAILED = 127
_PID = struct.Struct("=i")


class Ground:
    """What is mounted before the entry, detached: the root, and bind mounts by their index."""

    __slots__ = ("root", "trees")

    def __init__(self, root: int, trees: dict[int, int]) -> None:
        self.root = root
        self.trees = trees


def start(plan: Plan, cgroup: Cgroup, kept: Descriptors, root: tuple[int, int]) -> int:
    """Forks the first process into its user namespace; gives its id. `root` is its 0 outside.

    Who is not root themselves has nothing to prepare: their container builds itself inside.

    Where that fails the id is the usher's, which has said why over the channel and ends.
    """

    def live(writer: int, entered: bool) -> NoReturn:
        _usher(plan, cgroup, kept, root, writer, entered=entered)

    return start_usher(lambda: cgroups.fork_into(cgroup, kept.birth), live, ours=not kept.birth)


def start_usher(
    fork: Callable[[], tuple[int, bool]], live: Callable[[int, bool], NoReturn], *, ours: bool
) -> int:
    """Forks an usher; gives the process that it forks, and says so into a pipe.

    `live` is the usher's life, given the pipe and what else the fork said; `ours` whether it is
    our child, not our sibling.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            usher, entered = fork()
            if usher == 0:
                live(writer, entered)
        finally:
            os.close(writer)
        return _await_child(reader, usher, ours=ours)
    finally:
        os.close(reader)


def tell_child(writer: int, child: int) -> None:
    """Says, as an usher, whom it has forked."""
    os.write(writer, _PID.pack(child))


def _await_child(reader: int, usher: int, *, ours: bool) -> int:
    """The process that the usher has forked; it is reaped here if it is our child."""
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    if not poller.poll(_TIMEOUT_SECONDS * 1000):
        os.kill(usher, syscalls.SIGKILL)
        return usher
    told = os.read(reader, _PID.size)
    if len(told) < _PID.size:
        return usher
    if ours:
        os.waitpid(usher, 0)
    (child,) = _PID.unpack(told)
    return int(child)


def _usher(
    plan: Plan,
    cgroup: Cgroup,
    kept: Descriptors,
    root: tuple[int, int],
    writer: int,
    *,
    entered: bool,
) -> NoReturn:
    try:
        (writer,) = kept.settle(writer)
        if kept.gate < 0:
            container.die_with_parent()
        if not entered:
            cgroup.enter()
        if plan.process.oom_score_adj is not None:
            set_oom_score(plan.process.oom_score_adj)
        processes = plan.namespaces.join.get(syscalls.CLONE_NEWPID)
        ground = None
        if os.geteuid() == 0:
            raise_limits(plan.process)
            give_streams(*root)
            container.enter_pid_namespace(processes)
            ground = _prepare(plan, kept, root)
        syscalls.setns(kept.owners[plan.owner], syscalls.CLONE_NEWUSER)
        if ground is None:  # who is not root has privileges only from here on
            container.enter_pid_namespace(processes)
        later = syscalls.CLONE_NEWCGROUP | syscalls.CLONE_NEWTIME
        child = syscalls.clone(plan.namespaces.new & ~later | syscalls.CLONE_PARENT)
        if child == 0:
            os.close(writer)
            container.build_and_run(plan, cgroup, kept, ground)
        tell_child(writer, child)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  the last this process does is to say why
        container.report(kept.channel, error)
    os._exit(_FAILED)


def start_exec(target: int, cgroup: Cgroup, kept: Descriptors, enter: Callable[[int], None]) -> int:
    """Forks a further process into the user and pid namespace of the one open as `target`.

    For who is not root. `enter` is the process's life from there on; what is given is as in
    `start`.
    """

    def live(writer: int, _entered: bool) -> NoReturn:
        _usher_exec(target, cgroup, kept, enter, writer)

    return start_usher(lambda: (syscalls.clone(0), False), live, ours=True)


def _usher_exec(
    target: int,
    cgroup: Cgroup,
    kept: Descriptors,
    enter: Callable[[int], None],
    writer: int,
) -> NoReturn:
    try:
        target, writer = kept.settle(target, writer)
        cgroup.enter()
        syscalls.setns(target, syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWPID)
        child = syscalls.clone(syscalls.CLONE_PARENT)
        if child == 0:
            os.close(writer)
            enter(target)
        tell_child(writer, child)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  the last this process does is to say why
        container.report(kept.channel, error)
    os._exit(_FAILED)


def _prepare(plan: Plan, kept: Descriptors, root: tuple[int, int]) -> Ground:
    """Mounts what the host's privileges are needed for, in a mount namespace that is left then."""
    container.join_all(plan)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    trees = {
        index: mounts.prepare(mount, kept.owner(mount.owner))
        for index, mount in enumerate(plan.mounts)
        if mount.bind
    }
    # What is mounted here for a moment must not be seen outside
    syscalls.set_propagation("/", syscalls.MS_REC | syscalls.MS_SLAVE)
    return Ground(_prepare_root(plan, kept, root), trees)


def _prepare_root(plan: Plan, kept: Descriptors, root: tuple[int, int]) -> int:
    if not plan.layers:
        return rootfs.open_directory(plan.root)
    target, upper, work = container.places(plan)
    rootfs.cover_mapped(plan.layers, kept.owners[plan.owner])
    os.chown(upper, *root)
    return rootfs.open_overlay(plan.layers, upper, work, target)
