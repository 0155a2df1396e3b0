"""One typed function per system call that Python does not offer by itself.

Not a place for policy: arguments go to the kernel as they are, failures come back as OSError.
Numbers above 423 are the same on every architecture; the others are looked up by machine. What
`ctypes` is made of is used without that package, whose own types cost a cold start a millisecond.
"""

from __future__ import annotations

import _ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CLONE_NEWTIME = 0x00000080
CLONE_FILES = 0x00000400
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

MS_MOVE = 0x2000
MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

SECCOMP_SET_MODE_FILTER = 1
KEYCTL_JOIN_SESSION_KEYRING = 1
CLOSE_RANGE_CLOEXEC = 4
SIGKILL, SIGCHLD = 9, 17
_SIG_SETMASK, _SIGNALS = 2, 64
BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8

MACHINE = os.uname().machine
_OLD_NUMBERS = {  # name: (x86_64, aarch64)
    "pivot_root": (155, 41),
    "seccomp": (317, 277),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "personality": (135, 92),
}


def _kind(code: str) -> Any:
    return type(code, (_ctypes._SimpleCData,), {"_type_": code})


_int, _uint, _long, _ulong = (_kind(code) for code in "iIlL")
_byte, _text, _pointer = (_kind(code) for code in "czP")
_size = _ulong  # of the same width on every Linux


class _Function(_ctypes.CFuncPtr):
    """A function of the C library, which sets errno."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _int


class _LockedFunction(_ctypes.CFuncPtr):
    """The same, called without letting go of the interpreter lock."""

    _flags_ = _Function._flags_ | _ctypes.FUNCFLAG_PYTHONAPI
    _restype_ = _int


class _Program:
    """This program and what it is linked to, as a place to look up functions in."""

    _handle = _ctypes.dlopen(None, os.RTLD_NOW)  # type: ignore[arg-type]


_program: Any = _Program


def _old(name: str) -> int:
    return _OLD_NUMBERS[name][MACHINE == "aarch64"]


def _raise(subject: object = None) -> None:
    error = _ctypes.get_errno()
    raise OSError(error, os.strerror(error), *(() if subject is None else (str(subject),)))


def _system_call(number: int, *types: type) -> Callable[..., int]:
    function = _Function(("syscall", _program))
    function.argtypes = (_long, *types)
    function.restype = _long

    def call(*arguments: object) -> int:
        result: int = function(number, *arguments)
        if result < 0:
            _raise()
        return result

    return call


def _library_call(name: str, *types: type) -> Callable[..., int]:
    function = _Function((name, _program))
    function.argtypes = types

    def call(*arguments: object) -> int:
        result: int = function(*arguments)
        if result < 0:
            _raise()
        return result

    return call


_open_tree = _system_call(428, _int, _text, _uint)
_move_mount = _system_call(429, _int, _text, _int, _text, _uint)
_fsopen = _system_call(430, _text, _uint)
_fsconfig = _system_call(431, _int, _uint, _text, _text, _int)
_fsmount = _system_call(432, _int, _uint, _uint)
_openat2 = _system_call(437, _int, _text, _text, _size)
_mount_setattr = _system_call(442, _int, _text, _uint, _text, _size)
_close_range = _system_call(436, _uint, _uint, _uint)
_pivot_root = _system_call(_old("pivot_root"), _text, _text)
_seccomp = _system_call(_old("seccomp"), _uint, _uint, _text)
_keyctl = _system_call(_old("keyctl"), _int, _text)
_bpf = _system_call(_old("bpf"), _int, _pointer, _uint)
_sched_setattr = _system_call(_old("sched_setattr"), _int, _text, _uint)
_ioprio_set = _system_call(_old("ioprio_set"), _int, _int, _int)
_personality = _system_call(_old("personality"), _ulong)
_mount = _library_call("mount", _text, _text, _text, _ulong, _text)
_setdomainname = _library_call("setdomainname", _text, _size)
_umount2 = _library_call("umount2", _text, _int)
_unshare = _library_call("unshare", _int)
_capset = _library_call("capset", _text, _text)
_set_action = _Function(("signal", _program))
_set_action.argtypes = (_int, _pointer)
_set_action.restype = _pointer
_set_mask = _library_call("pthread_sigmask", _int, _text, _pointer)
# What a keeper calls has neither a wrapper nor types, all of which it would have a copy of: whole
# numbers go as a C int, which is what these take or is widened, bytes as their address. clone3
# returns twice: the child must still hold the interpreter lock, so these keep it.
_clone3, _prctl, _setns = (
    _LockedFunction((name, _program)) for name in ("syscall", "prctl", "setns")
)
_before_fork, _after_fork_child, _after_fork_parent = (
    _LockedFunction((f"PyOS_{name}", _program))
    for name in ("BeforeFork", "AfterFork_Child", "AfterFork_Parent")
)


def clone(flags: int, cgroup: int = -1) -> int:
    """Forks this process into the namespaces that `flags` name; 0 in the child, else its id.

    `cgroup` is a descriptor of a version 2 cgroup that the child is born in (5.7). The process
    must have one thread. With CLONE_PARENT the child is a sibling, and tells of its end as this
    process does. Source: clone3(2); the interpreter is told as os.fork() tells it.
    """
    into = 0 if cgroup < 0 else cgroup
    flags |= CLONE_INTO_CGROUP if cgroup >= 0 else 0
    ending = 0 if flags & CLONE_PARENT else SIGCHLD
    arguments = struct.pack("=11Q", flags, 0, 0, 0, ending, 0, 0, 0, 0, 0, into)
    _before_fork()
    child: int = _clone3(435, arguments, len(arguments))
    if child == 0:
        _after_fork_child()
        return 0
    _after_fork_parent()
    if child < 0:
        _raise("clone3")
    return child


def _copy(data: bytes) -> Any:
    """A copy in memory that stays in its place, for a structure that holds its address."""
    buffer = (_byte * len(data))()
    buffer.raw = data
    return buffer


def unshare(flags: int) -> None:
    """Moves this process into new namespaces; see unshare(2)."""
    _unshare(flags)


def setns(descriptor: int, kinds: int) -> None:
    """Moves this process into existing namespaces; see setns(2)."""
    if _setns(descriptor, kinds) < 0:
        _raise()


def mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    """The classic mount(2), for what the new calls cannot say on older kernels."""
    _mount(source.encode(), target.encode(), kind.encode(), flags, data.encode())


def set_propagation(target: str, flags: int) -> None:
    """Changes how mounts propagate at `target`: MS_SLAVE, MS_PRIVATE, MS_SHARED, with MS_REC."""
    _mount(None, target.encode(), None, flags, None)


def umount(target: str, flags: int = 0) -> None:
    """Takes a mount away; see umount2(2)."""
    _umount2(target.encode(), flags)


def pivot_root(new_root: str, put_old: str) -> None:
    """Makes `new_root` the root of this mount namespace; see pivot_root(2)."""
    _pivot_root(new_root.encode(), put_old.encode())


def open_tree(directory: int, path: str, flags: int) -> int:
    """A descriptor of a mount, or with OPEN_TREE_CLONE of a detached copy of it (5.2)."""
    try:
        return _open_tree(directory, path.encode(), flags | OPEN_TREE_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path or f"descriptor {directory}") from None


def move_mount(source: int, target: int) -> None:
    """Attaches the detached mount `source` at the file or directory `target`, both descriptors."""
    _move_mount(source, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def mount_setattr(
    descriptor: int, *, add: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Changes flags and propagation of a mount given by descriptor (5.12)."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _mount_setattr(descriptor, b"", flags, struct.pack("=4Q", add, clear, propagation, 0), 32)


def map_owners(descriptor: int, user_namespace: int, *, recursive: bool = False) -> None:
    """Shows the owners of a detached mount as a user namespace maps them (5.12).

    EINVAL where the file system does not offer it; see mount_setattr(2), MOUNT_ATTR_IDMAP.
    """
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    attributes = struct.pack("=4Q", MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
    _mount_setattr(descriptor, b"", flags, attributes, len(attributes))


def fsopen(kind: str) -> int:
    """A descriptor to configure a new file system of `kind` with; see fsopen(2)."""
    return _fsopen(kind.encode(), FSOPEN_CLOEXEC)


def fsconfig(descriptor: int, key: str, value: str | None) -> None:
    """Sets one option of a file system being configured; without value it is a flag."""
    if value is None:
        _fsconfig(descriptor, FSCONFIG_SET_FLAG, key.encode(), None, 0)
    else:
        _fsconfig(descriptor, FSCONFIG_SET_STRING, key.encode(), value.encode(), 0)


def fsmount(descriptor: int, attributes: int) -> int:
    """Creates the configured file system and gives a descriptor of it as a detached mount."""
    _fsconfig(descriptor, FSCONFIG_CMD_CREATE, None, None, 0)
    return _fsmount(descriptor, FSMOUNT_CLOEXEC, attributes)


def openat2(directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """Opens `path` below `directory` under the rules of `resolve`; see openat2(2)."""
    how = struct.pack("=3Q", flags | os.O_CLOEXEC, mode, resolve)
    try:
        return _openat2(directory, path.encode(), how, len(how))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Closes, or with CLOSE_RANGE_CLOEXEC marks, all descriptors from `first` to `last` (5.9)."""
    _close_range(first, last, flags)


def prctl(option: int, value: int | bytes = 0, number: int = 0) -> None:
    """Changes an attribute of this process; see prctl(2)."""
    if _prctl(option, value, number, 0, 0) < 0:
        _raise()


def sched_setattr(attributes: bytes) -> None:
    """Sets policy and parameters by which this process is scheduled; see sched_setattr(2)."""
    _sched_setattr(0, attributes, 0)


def ioprio_set(priority: int) -> None:
    """Sets the I/O priority of this process; see ioprio_set(2)."""
    _ioprio_set(1, 0, priority)


def set_personality(domain: int) -> None:
    """Sets which system this process takes the kernel for; see personality(2)."""
    _personality(domain)


def set_domain_name(name: str) -> None:
    """Sets the NIS domain name of this uts namespace; see setdomainname(2)."""
    _setdomainname(name.encode(), len(name.encode()))


def reset_signals() -> None:
    """Gives every signal its default action and blocks none; what is ignored outlives exec.

    Not by the signal module, whose enumerations cost a cold start three milliseconds.
    """
    for number in range(1, _SIGNALS + 1):
        _set_action(number, None)  # SIGKILL and SIGSTOP refuse, and need none
    _set_mask(_SIG_SETMASK, bytes(128), None)


def set_name(name: str) -> None:
    """Names this process as ps shows it; 15 bytes count."""
    prctl(PR_SET_NAME, name.encode())


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Sets three capability sets of this process, each a mask of 64 bits; see capset(2)."""
    low = [mask & 0xFFFFFFFF for mask in (effective, permitted, inheritable)]
    high = [mask >> 32 for mask in (effective, permitted, inheritable)]
    _capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *low, *high))


def seccomp(program: bytes, flags: int = 0) -> None:
    """Installs a BPF program as a filter of this process's system calls; see seccomp(2)."""
    buffer = _copy(program)
    header = struct.pack("@HP", len(program) // 8, _ctypes.addressof(buffer))
    _seccomp(SECCOMP_SET_MODE_FILTER, flags, header)


def join_new_session_keyring() -> None:
    """Gives this process an empty session keyring of its own; see keyctl(2)."""
    _keyctl(KEYCTL_JOIN_SESSION_KEYRING, None)


def bpf_load(kind: int, program: bytes) -> int:
    """Loads an eBPF program and gives its descriptor; see bpf(2)."""
    code, licence = _copy(program), _copy(b"Apache-2.0\0")
    attributes = struct.pack(
        "=IIQQ", kind, len(program) // 8, _ctypes.addressof(code), _ctypes.addressof(licence)
    )
    return _bpf_call(BPF_PROG_LOAD, attributes.ljust(72, b"\0"))


def bpf_attach(target: int, program: int, kind: int, flags: int) -> None:
    """Attaches a loaded eBPF program to the cgroup open as `target`."""
    _bpf_call(BPF_PROG_ATTACH, struct.pack("=4I", target, program, kind, flags).ljust(32, b"\0"))


def _bpf_call(command: int, attributes: bytes) -> int:
    buffer = _copy(attributes)
    return _bpf(command, _ctypes.addressof(buffer), len(attributes))
