"""The process section of an OCI document: read as a value, and become that process.

Used for a container's first process and for exec alike. Rule: privilege goes down in one
direction only, and the order is runc's; nothing is opened after the filter is installed.
"""

from __future__ import annotations

import errno
import os
import stat

from .kernel import capabilities, mounts, syscalls, trampoline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .kernel.labels import Labels

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A passwd file beyond this is not one; it is read before the process has its user.
_MAX_ACCOUNTS_BYTES = 1 << 20
# (uid_t) -1 of setresuid(2)
_NO_ID = (1 << 32) - 1


class Process:
    """What a process is to be: program, user, limits, privileges."""

    __slots__ = (
        "affinity_final",
        "affinity_initial",
        "args",
        "capabilities",
        "console_size",
        "cwd",
        "env",
        "filter",
        "filter_flags",
        "gid",
        "groups",
        "image_groups",
        "io_priority",
        "keep_groups",
        "keyring",
        "labels",
        "no_new_privileges",
        "oom_score_adj",
        "personality",
        "preserved",
        "rlimits",
        "scheduler",
        "terminal",
        "trampoline",
        "uid",
        "umask",
        "username",
    )

    def __init__(self, section: Mapping[str, Any], held: int) -> None:
        """Reads a process section; `held` is the mask of capabilities that can be given."""
        self.args = [str(arg) for arg in section.get("args") or ()]
        self.env = parse_environment(section.get("env") or ())
        self.cwd = str(section.get("cwd", "/"))
        if not self.args or not self.cwd.startswith("/"):
            raise ValueError("process needs args, and an absolute cwd")
        user = section.get("user") or {}
        self.uid = parse_id(user.get("uid", 0))
        self.gid = parse_id(user.get("gid", 0))
        self.groups = [parse_id(group) for group in user.get("additionalGids") or ()]
        self.umask = int(user.get("umask", 0o022))
        self.username = str(user.get("username", ""))
        # Ours: whether a user is also in the groups of which the image's /etc/group says so
        self.image_groups = bool(user.get("imageGroups", True))
        self.capabilities = capabilities.parse(section.get("capabilities"), held)
        self.no_new_privileges = bool(section.get("noNewPrivileges"))
        self.rlimits = [_parse_rlimit(limit) for limit in section.get("rlimits") or ()]
        self.oom_score_adj: int | None = section.get("oomScoreAdj")
        self.terminal = _parse_terminal(section)
        size = section.get("consoleSize") or {}
        self.console_size = (int(size.get("width", 0)), int(size.get("height", 0)))
        self.scheduler = b""
        self.io_priority: int | None = None
        self.personality: int | None = None
        self.affinity_initial: set[int] = set()
        self.affinity_final: set[int] = set()
        self._read_scheduling(section)
        self.keyring = True
        self.labels = _parse_labels(section)
        # How many descriptors from 3 on are handed to the program
        self.preserved = 0
        # Where a user namespace denies a change, nobody can be given others
        self.keep_groups = False
        # Whether the program is run by a sealed stranger; else this interpreter must be sealed.
        self.trampoline = False
        self.filter = b""
        self.filter_flags = 0

    def _read_scheduling(self, section: Mapping[str, Any]) -> None:
        """Reads how the process is scheduled; nothing is imported where that is not said."""
        scheduler, io_priority = section.get("scheduler"), section.get("ioPriority")
        affinity = section.get("execCPUAffinity")
        if not scheduler and not io_priority and not affinity:
            return
        from .kernel import scheduling

        if scheduler:
            self.scheduler = scheduling.parse_scheduler(scheduler)
        if io_priority:
            self.io_priority = scheduling.parse_io_priority(io_priority)
        if affinity:
            self.affinity_initial = scheduling.parse_processors(str(affinity.get("initial") or ""))
            self.affinity_final = scheduling.parse_processors(str(affinity.get("final") or ""))


def parse_id(number: Any) -> int:
    """A user or group id. -1, as which 4294967295 counts too, asks setresuid(2) for no change and
    would leave root what was to become nobody in particular."""
    found = int(number)
    if not 0 <= found < _NO_ID:
        raise ValueError(f"{number} is no user or group")
    return found


def parse_environment(entries: Any) -> dict[str, str]:
    """NAME=value lines as a mapping; the last of a name counts."""
    environment = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not name or not equals or "\0" in entry:
            raise ValueError(f"process.env: {entry!r} is not NAME=value")
        environment[name] = value
    return environment


def _parse_terminal(section: Mapping[str, Any]) -> bool:
    """Whether a terminal is wanted; what opens one is imported now, while modules can be found."""
    if not section.get("terminal"):
        return False
    from .kernel import terminal  # noqa: F401

    return True


def _parse_rlimit(limit: Mapping[str, Any]) -> tuple[int, int, int]:
    import resource

    number = getattr(resource, str(limit.get("type", "")), None)
    if number is None or not str(limit["type"]).startswith("RLIMIT_"):
        raise ValueError(f"process.rlimits: {limit.get('type')!r} is not a limit")
    # resource takes -1 for infinity, which OCI writes as the largest unsigned number.
    soft, hard = (-1 if limit[key] >= 1 << 63 else int(limit[key]) for key in ("soft", "hard"))
    return number, soft, hard


def set_oom_score(score: int) -> None:
    """Sets how readily the kernel kills this process for memory.

    Lowering it needs CAP_SYS_RESOURCE; without that it stays as it is, as containerd has it.
    """
    # Not through a buffer, which would be written once more when the file is closed
    with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
        now = int(file.read())
        try:
            file.write(b"%d" % score)
        except PermissionError:
            if score > now:
                raise


def raise_limits(process: Process) -> None:
    """Makes room for the limits that are set later, where raising one is not allowed any more."""
    if not process.rlimits:
        return
    import resource

    for number, _, hard in process.rlimits:
        soft, now = resource.getrlimit(number)
        if now != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > now):
            resource.setrlimit(number, (soft, hard))


def _set_limits(process: Process) -> None:
    if process.rlimits:
        import resource

        for number, soft, hard in process.rlimits:
            resource.setrlimit(number, (soft, hard))


def _schedule(process: Process) -> None:
    wanted = (process.scheduler, process.io_priority, process.personality)
    if wanted != (b"", None, None):
        from .kernel import scheduling

        scheduling.apply(*wanted)


def give_streams(user: int, group: int = -1) -> None:
    """Gives pipes among the three streams to who will use them: /dev/stdout opens them by name.

    What cannot be given (EPERM: it belongs to nobody in this user namespace; EINVAL) stays, as
    runc has it: it can still be used by its number.
    """
    for descriptor in range(3):
        status = os.fstat(descriptor)
        if not stat.S_ISFIFO(status.st_mode) or status.st_uid == user:
            continue
        try:
            os.fchown(descriptor, user, group)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL):
                raise


def _parse_labels(section: Mapping[str, Any]) -> Labels | None:
    """The labels of a process section; None, and nothing imported, where it has none."""
    if not section.get("apparmorProfile") and not section.get("selinuxLabel"):
        return None
    from .kernel import labels

    return labels.parse(section)


def open_labels(process: Process) -> int:
    """Where the labels of a process are written: asked for while /proc is the host's, or -1."""
    if process.labels is None:
        return -1
    from .kernel import labels

    return labels.open_self()


def _apply_labels(process: Process, own: int) -> None:
    from .kernel import labels

    assert process.labels is not None
    labels.apply(process.labels, own)


def look_up(process: Process, root: int = -1) -> None:
    """Fills in user and groups from a user name, and HOME; reads the container's own files.

    Must run inside the container's root, or be given that. A name may be "user", "user:group" or
    numbers.
    """
    accounts = _read_accounts("/etc/passwd", root) if _needs_accounts(process) else []
    if process.username:
        _resolve_user(process, accounts, root)
    if "HOME" not in process.env:
        homes = [line[5] for line in accounts if len(line) > 5 and line[2] == str(process.uid)]
        process.env["HOME"] = homes[0] if homes and homes[0] else "/"


def ids_of(process: Process) -> list[int]:
    """User, group and all groups of a process once they are looked up; its own is one of them."""
    return [process.uid, process.gid, *dict.fromkeys((process.gid, *process.groups))]


def _needs_accounts(process: Process) -> bool:
    return bool(process.username) or "HOME" not in process.env


def _resolve_user(process: Process, accounts: list[list[str]], root: int) -> None:
    user, _, group = process.username.partition(":")
    # A number is an id and never a name: an account "1000" with the id 0 would be root where
    # runAsUser and runAsNonRoot promise that nobody is.
    column = 2 if user.isdigit() else 0
    known = [line for line in accounts if len(line) > 3 and user == line[column]]
    groups = _read_accounts("/etc/group", root)
    if known:
        process.uid, process.gid = parse_id(known[0][2]), parse_id(known[0][3])
        name = known[0][0]
        if process.image_groups:
            process.groups += [
                parse_id(line[2]) for line in groups if len(line) > 3 and name in line[3].split(",")
            ]
    elif user.isdigit():
        process.uid = parse_id(user)
    else:
        raise ValueError(f"unable to find user {user}: no matching entries in passwd file")
    if group:
        process.gid = _resolve_group(group, groups)


def _resolve_group(group: str, groups: list[list[str]]) -> int:
    if group.isdigit():
        return parse_id(group)
    for line in groups:
        if len(line) > 2 and group == line[0]:
            return parse_id(line[2])
    raise ValueError(f"unable to find group {group}: no matching entries in group file")


def _read_accounts(path: str, root: int) -> list[list[str]]:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags) if root < 0 else mounts.open_in_root(root, path, flags)
    except FileNotFoundError:
        return []
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        text = os.read(descriptor, _MAX_ACCOUNTS_BYTES).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    return [line.split(":") for line in text.splitlines() if line and line[0] != "#"]


def become(
    process: Process,
    held: int,
    channel: int,
    own: int,
    *,
    alone: bool = False,
    before: Callable[[], None] | None = None,
) -> None:
    """Takes on limits, user and privileges, and runs the program; returns only by an error.

    Unless `alone` it is killed when the process that forked it ends. `before` is called when
    the program is all that is missing. `own` is where labels are written, or -1.
    """
    give_streams(process.uid)
    last_step = _prepare_last_step(process, channel)
    _set_limits(process)
    os.umask(process.umask)
    if process.keyring:
        syscalls.join_new_session_keyring()
    syscalls.reset_signals()
    _schedule(process)
    if process.filter and not process.no_new_privileges:
        syscalls.seccomp(process.filter, process.filter_flags)
    _change_user(process, held)
    if own >= 0:
        _apply_labels(process, own)
        os.close(own)
    # Descriptors of the host must be gone before the working directory is chosen: a cwd of
    # /proc/self/fd/N would lead out (CVE-2024-21626). What is left closes with exec.
    syscalls.close_range(3 + process.preserved, flags=syscalls.CLOSE_RANGE_CLOEXEC)
    _change_directory(process.cwd)
    if process.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    if not alone:
        # A change of user has cleared it, so it is asked for again.
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, syscalls.SIGKILL)
    if before is not None:
        before()
    candidates = find_program(process.args[0], process.env.get("PATH", DEFAULT_PATH), process.cwd)
    if last_step >= 0:
        path = _choose(process, candidates)
        trampoline.run(last_step, channel, path, process.args, process.env)
    if process.filter and process.no_new_privileges:
        syscalls.seccomp(process.filter, process.filter_flags)
    _execute(process, candidates)


def _prepare_last_step(process: Process, channel: int) -> int:
    """The trampoline, which installs the filter itself where that may be the last thing."""
    if not process.trampoline:
        return -1
    late = process.filter if process.no_new_privileges else b""
    return trampoline.prepare(late, process.filter_flags, channel)


def _change_user(process: Process, held: int) -> None:
    sets = process.capabilities
    capabilities.drop_bounding(sets.bounding, held)
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    _change_groups(process)
    os.setresgid(process.gid, process.gid, process.gid)
    os.setresuid(process.uid, process.uid, process.uid)
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 0)
    capabilities.apply(sets)


def _change_groups(process: Process) -> None:
    if not process.keep_groups:
        os.setgroups(process.groups)
    elif process.groups:
        raise PermissionError(errno.EPERM, "cannot set any additional groups in this container")


def _change_directory(cwd: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        raise OSError(error.errno, f"chdir to cwd ({cwd!r}): {error.strerror}") from None
    if not os.getcwd().startswith("/"):
        raise OSError(errno.EPERM, f"cwd {cwd!r} lies outside the container's root")


def find_program(name: str, path: str, cwd: str) -> list[str]:
    """The files to try for a program name, as execvp(3) does it."""
    if "/" in name:
        return [name]
    return [os.path.join(directory or cwd, name) for directory in path.split(":")]


def check_program(process: Process) -> None:
    """Raises what `become` would for a program that is not there, while a caller still waits."""
    path = process.env.get("PATH", DEFAULT_PATH)
    candidates = find_program(process.args[0], path, process.cwd)
    _choose(process, [os.path.join(process.cwd, candidate) for candidate in candidates])


def _choose(process: Process, candidates: list[str]) -> str:
    """The first candidate that is a file which this process may run."""
    denied = None
    for candidate in candidates:
        try:
            status = os.stat(candidate)
        except PermissionError as error:
            denied = error
            continue
        except OSError:
            continue
        runs = os.access(candidate, os.X_OK, effective_ids=True)
        if stat.S_ISREG(status.st_mode) and runs:
            return candidate
        denied = PermissionError()
    raise _failure(process.args[0], denied)


def _execute(process: Process, candidates: list[str]) -> None:
    """Runs the first candidate that is there; messages are those of runc."""
    name, denied = process.args[0], None
    for candidate in candidates:
        try:
            os.execve(candidate, process.args, process.env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            denied = error
        except OSError as error:
            raise OSError(error.errno, f'exec "{name}": {error.strerror}') from None
    raise _failure(name, denied)


def _failure(name: str, denied: PermissionError | None) -> OSError:
    """Why none of a program's candidates could be run."""
    if denied is not None:
        return PermissionError(errno.EACCES, f'exec: "{name}": permission denied')
    where = f"stat {name}: no such file or directory" if "/" in name else ""
    missing = where or "executable file not found in $PATH"
    return FileNotFoundError(errno.ENOENT, f'exec: "{name}": {missing}')
