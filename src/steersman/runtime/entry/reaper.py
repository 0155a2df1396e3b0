"""The first process of a pod whose containers share their processes: it reaps, and that is all.

Rule: containers see it, and those with CAP_SYS_PTRACE reach into it; so it has nothing that they
do not have: no file of the host, an empty root, no capability, nobody's user, the default filter.
Source: KEP-495, pid_namespaces(7).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import os

from .. import container
from ..kernel import capabilities, cgroups, rootfs, syscalls, trampoline, user_namespaces
from . import users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# What Kubernetes' own pause image runs as
_NOBODY = 65535
_NAME = "steer-init"
_MAX_REASON_BYTES = 4096
_FAILED = 127


def start(group: cgroups.Cgroup, owner: int) -> int:
    """Forks it as a sibling of this process, into a new pid namespace; gives its id once it has
    nothing any more. `owner` is a descriptor of the user namespace to be in, or -1."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            first = _start(group, owner, writer)
        finally:
            os.close(writer)
        said = b""
        while part := os.read(reader, _MAX_REASON_BYTES):  # to the end: it rests then
            said += part
    finally:
        os.close(reader)
    if said != b"R":
        why = said.partition(b"E")[2].decode("utf-8", "replace") or "no word"
        raise OSError(errno.ECHILD, f"the pod's first process: {why}")
    return first


def _start(group: cgroups.Cgroup, owner: int, channel: int) -> int:
    def usher(writer: int, entered: bool) -> NoReturn:
        _usher(None if entered else group, owner, channel, writer)

    birth = syscalls.CLONE_PARENT
    return users.start_usher(lambda: cgroups.fork_into(group, birth), usher, ours=False)


def _usher(group: cgroups.Cgroup | None, owner: int, channel: int, writer: int) -> NoReturn:
    """Enters what only the host may, and forks the first process there."""
    try:
        syscalls.set_name(_NAME)  # which is not one's own in a user namespace
        if group is not None:
            group.enter()
        if owner >= 0:
            syscalls.setns(owner, syscalls.CLONE_NEWUSER)
            user_namespaces.become_root(keep_groups=False)
        child = syscalls.clone(syscalls.CLONE_NEWPID | syscalls.CLONE_PARENT)
        if child == 0:
            _live(channel)
        users.tell_child(writer, child)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  the last this process does is to say why
        container.report(channel, error)
    os._exit(_FAILED)


def _live(channel: int) -> NoReturn:
    try:
        rest = trampoline.prepare_rest(_NAME) if trampoline.is_known() else -1
        channel, rest = _keep(channel, rest)
        _signal.set_wakeup_fd(-1)
        os.setsid()
        _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # the kernel reaps for us
        held = capabilities.available()
        program = container.default_filter(capabilities.parse_names(capabilities.DEFAULT) & held)
        _leave_the_host()
        _give_up_privileges(held, program)
        container.die_with_parent()  # not before: a change of user clears it
        os.write(channel, b"R")
        if rest >= 0:
            os.execve(rest, [_NAME], {})
        os.close(channel)
        while True:
            _signal.pause()
    except BaseException as error:  # noqa: BLE001  the last this process does is to say why
        container.report(channel, error)
    os._exit(_FAILED)


def _keep(channel: int, rest: int) -> tuple[int, int]:
    """Closes all descriptors but these two, which both end with a program; gives their numbers."""
    high = [fcntl.fcntl(it, fcntl.F_DUPFD_CLOEXEC, 2) for it in (channel, rest) if it >= 0]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number, inheritable=False)
    syscalls.close_range(len(high))
    return 0, 1 if rest >= 0 else -1


def _leave_the_host() -> None:
    """Changes to an empty root that nobody can write to."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    rootfs.detach_from_host()
    maker = syscalls.fsopen("tmpfs")
    root = syscalls.fsmount(maker, syscalls.MOUNT_ATTR_RDONLY)
    os.close(maker)
    rootfs.cover(root, "/proc")  # wherever, as long as it is there
    rootfs.enter(root)
    os.close(root)


def _give_up_privileges(held: int, program: bytes) -> None:
    capabilities.drop_bounding(0, held)
    os.setgroups(())
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    syscalls.capset(0, 0, 0)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.seccomp(program)
