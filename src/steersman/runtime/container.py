"""One container: its OCI document read as a plan, and the first process that carries it out.

The plan is pure and made by the parent, where a mistake is still an answer to the caller.
`initialise` runs in the new process. What only some documents ask for is imported as they are
read, never by the new process, whose root may be an image. Rule: it talks over one channel only:
U with who it is, R when all is set up, T with a terminal, H when the parent's hooks are due, E and
a reason if it cannot go on; it goes on when it reads G.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

from .entry.descriptors import Descriptors
from .kernel import (
    capabilities,
    cgroups,
    devices,
    mounts,
    namespaces,
    rootfs,
    syscalls,
)
from .process import Process, become, check_program, ids_of, look_up, open_labels, set_oom_score

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from .entry.hooks import Hook
    from .entry.users import Ground
    from .kernel.cgroups import Cgroup
    from .kernel.user_namespaces import Maps

# The key of a document under which our own additions stand: layers, log, seccomp, stdin.
EXTRA = "steersman"
_FAILED = 127
_DESCRIPTOR_BYTES = 4
# Of linux: what would be a lie if it were passed over
_UNSUPPORTED = ("intelRdt", "memoryPolicy", "mountLabel", "netDevices")
# A container's terminals are its own devpts' and never a node of the machine.
_OWN_DEVICES = ("/dev/ptmx", "/dev/console")
_filters: dict[int, bytes] = {}


class Plan:
    """What one container is to be; made from its document by `parse`."""

    __slots__ = (
        "cgroup_path",
        "devices",
        "directory",
        "domain_name",
        "held",
        "hooks",
        "hostname",
        "layers",
        "log",
        "maps",
        "masked",
        "mounts",
        "namespaces",
        "owner",
        "owners",
        "pivot",
        "process",
        "propagation",
        "readonly_paths",
        "readonly_root",
        "resources",
        "root",
        "state",
        "stdin",
        "stdin_once",
        "sysctls",
        "time_offsets",
    )

    def __init__(self, bundle: Mapping[str, Any], directory: str, held: int) -> None:
        """Reads a document; `directory` is the container's own, `held` what it may be given."""
        linux = bundle.get("linux") or {}
        root = bundle.get("root") or {}
        extra = bundle.get(EXTRA) or {}
        for name in _UNSUPPORTED:
            if linux.get(name):
                raise ValueError(f"linux.{name} is not supported")
        self.directory = directory
        self.namespaces = namespaces.parse(linux.get("namespaces") or ())
        self.owners: list[str | Maps] = []
        self.maps: Maps | None = None
        self.owner = self._add_user(namespaces.parse_maps(linux, "linux"))
        self.held = held if self.owner < 0 else capabilities.of_kernel()
        self.process = Process(bundle.get("process") or {}, self.held)
        self.layers = [str(layer) for layer in extra.get("layers") or ()]
        self.root = str(root.get("path", ""))
        if bool(self.layers) == bool(self.root):
            raise ValueError(f"a container needs either root.path or {EXTRA}.layers")
        self.readonly_root = bool(root.get("readonly"))
        self.mounts = [mounts.parse(entry) for entry in bundle.get("mounts") or ()]
        self.devices = linux.get("devices") or []
        self.masked = linux.get("maskedPaths") or []
        self.readonly_paths = linux.get("readonlyPaths") or []
        self.propagation = _parse_propagation(linux.get("rootfsPropagation") or "")
        self.hostname = str(bundle.get("hostname", ""))
        self.domain_name = str(bundle.get("domainname", ""))
        if linux.get("personality"):
            from .kernel import scheduling

            self.process.personality = scheduling.parse_personality(linux["personality"])
        self.time_offsets = namespaces.parse_time_offsets(linux.get("timeOffsets") or {})
        self.sysctls = linux.get("sysctl") or {}
        self.cgroup_path = str(linux.get("cgroupsPath", ""))
        self.resources = {"devices": [], **(linux.get("resources") or {})}
        self.log = str(extra.get("log", ""))
        self.stdin = bool(extra.get("stdin"))
        self.stdin_once = bool(extra.get("stdinOnce"))
        self.pivot = True
        self.hooks = parse_hooks(bundle.get("hooks"))
        # What hooks are told, but for status and pid; of who has a bundle
        self.state: dict[str, Any] = {}
        self._check()
        self._add_mount_owners()
        self._add_filter(linux.get("seccomp"), extra.get("seccomp", ""))

    def _add_user(self, maps: Maps | None) -> int:
        """Notes the user namespace, new or joined; gives where `owners` has it, or -1."""
        path = self.namespaces.join.pop(syscalls.CLONE_NEWUSER, "")
        new = self.namespaces.new & syscalls.CLONE_NEWUSER
        self.namespaces.new &= ~syscalls.CLONE_NEWUSER
        if not path and not new:
            if maps is not None:
                raise ValueError(
                    "user namespace mappings specified, but user namespace isn't enabled "
                    "in the config"
                )
            return -1
        if maps is not None:
            maps.root()
        elif not path:
            raise ValueError(
                "user namespaces enabled, but no namespace path to join nor mappings to apply "
                "specified"
            )
        self.maps = maps
        return self._add_owner(path or maps)

    def owns_cgroup(self) -> bool:
        """Whether its control group is to be its user's: runtime-spec, "Cgroup ownership"."""
        writable = any(
            mount.kind == "cgroup" and not mount.attributes() & syscalls.MOUNT_ATTR_RDONLY
            for mount in self.mounts
        )
        return writable and bool(self.namespaces.new & syscalls.CLONE_NEWCGROUP)

    def _add_owner(self, owner: Any) -> int:
        if owner not in self.owners:
            self.owners.append(owner)
        return self.owners.index(owner)

    def _add_mount_owners(self) -> None:
        for mount in self.mounts:
            if mount.maps is not None:
                mount.owner = self._add_owner(mount.maps)
            elif mount.mapped and self.owner >= 0:
                mount.owner = self.owner
            elif mount.mapped:
                raise ValueError(
                    f"mounts: {mount.target}: idmap needs mappings or a user namespace"
                )

    def _check(self) -> None:
        new = self.namespaces.new | sum(self.namespaces.join)
        if not self.namespaces.new & syscalls.CLONE_NEWNS:
            raise ValueError("linux.namespaces: a container needs a new mount namespace")
        if (self.hostname or self.domain_name) and not new & syscalls.CLONE_NEWUTS:
            raise ValueError("hostname and domainname need a uts namespace")
        if self.time_offsets and not self.namespaces.new & syscalls.CLONE_NEWTIME:
            raise ValueError("linux.timeOffsets needs a new time namespace")
        for name in self.sysctls:
            namespaces.check_sysctl(name)
            wanted = syscalls.CLONE_NEWNET if name.startswith("net.") else syscalls.CLONE_NEWIPC
            if not new & wanted:
                raise ValueError(f"linux.sysctl: {name!r} is not namespaced here")

    def _add_filter(self, section: Mapping[str, Any] | None, profile: str) -> None:
        if section is None and not profile:
            return
        from .kernel import seccomp

        if section is not None:
            self.process.filter = seccomp.compile_filter(section)
            self.process.filter_flags = seccomp.parse_flags(section)
        elif profile == "default":
            self.process.filter = default_filter(self.process.capabilities.bounding)
            self.process.filter_flags = seccomp.parse_flags({})
        else:
            raise ValueError(f"{EXTRA}.seccomp: {profile!r} is not known")


def _parse_propagation(word: str) -> int:
    """linux.rootfsPropagation as the kernel has it; 0 where it is not given."""
    if not word:
        return 0
    flag = mounts.PROPAGATIONS.get(word.removeprefix("r"))
    if flag is None:
        raise ValueError(f"linux.rootfsPropagation: {word!r} is not known")
    return flag | (syscalls.MS_REC if word.startswith("r") else 0)


def parse_hooks(section: Mapping[str, Any] | None) -> dict[str, list[Hook]]:
    """Reads hooks by kind; nothing is imported where there are none."""
    if not section:
        return {}
    from .entry import hooks

    return hooks.parse(section)


def default_filter(bounding: int) -> bytes:
    """The default profile compiled for a set of capabilities; the warm parent does it once."""
    if bounding not in _filters:
        from .kernel import seccomp, seccomp_profile

        section = seccomp_profile.default_section(capabilities.names_of(bounding))
        _filters[bounding] = seccomp.compile_filter(section)
    return _filters[bounding]


def start(
    plan: Plan,
    cgroup: Cgroup,
    channel: int,
    streams: Sequence[int],
    gate: int = -1,
    birth: int = 0,
) -> int:
    """Forks the container's first process; gives its id. The parent keeps its own end open.

    With a `gate`, a listening socket, the process outlives its parent: it leaves the channel
    when it is set up, and goes on by what the first to connect says. `birth` are further flags
    of its clone: CLONE_PARENT for a shim, whose containers are its keeper's.
    """
    kept = Descriptors(channel, streams, gate, plan.process.preserved, birth)
    try:
        if plan.owners:
            _open_owners(plan, kept.owners)
        if plan.owner < 0:
            return _start_beside(plan, cgroup, kept)
        from .entry import users
        from .kernel.user_namespaces import find_outside

        maps = find_maps(plan, kept.owners[plan.owner])
        if plan.owns_cgroup():
            cgroup.delegate(find_outside(maps.uids, plan.process.uid))
        return users.start(plan, cgroup, kept, maps.root())
    finally:
        kept.close_owners()


def _open_owners(plan: Plan, opened: list[int]) -> None:
    """Opens the user namespaces of a plan, of the container and of mounts.

    Each is in the list as soon as it is open, so that its owner can close those before one
    that cannot be had.
    """
    from .kernel import user_namespaces

    for owner in plan.owners:
        opened.append(user_namespaces.open_owner(owner))


def find_maps(plan: Plan, descriptor: int) -> Maps:
    """The maps of the user namespace; one that is joined may not have others than is said."""
    from .kernel import user_namespaces

    if plan.maps is not None and plan.owners[plan.owner] == plan.maps:
        return plan.maps
    maps = user_namespaces.read_maps(descriptor)
    if plan.maps is not None and plan.maps != maps:
        raise ValueError(
            "user namespaces enabled, but both namespace path and non-matching mapping specified "
            "-- you may only provide one"
        )
    return maps


def _start_beside(plan: Plan, cgroup: Cgroup, kept: Descriptors) -> int:
    """Forks the first process in the user namespace that this one is in."""
    flags = plan.namespaces.new & ~(syscalls.CLONE_NEWCGROUP | syscalls.CLONE_NEWTIME)
    outer = enter_pid_namespace(plan.namespaces.join.get(syscalls.CLONE_NEWPID))
    child = -1
    try:
        child, entered = cgroups.fork_into(cgroup, flags | kept.birth)
    finally:
        if child != 0:
            leave_pid_namespace(outer)
    if child == 0:
        initialise(plan, cgroup, kept, entered=entered)
    return child


def enter_pid_namespace(path: str | None) -> int:
    """Makes children be born in the pid namespace at `path`; gives the way back, or -1."""
    if path is None:
        return -1
    outer = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.join(path, syscalls.CLONE_NEWPID)
    return outer


def leave_pid_namespace(outer: int) -> None:
    """Undoes `enter_pid_namespace`: children are born in our own namespace again."""
    if outer >= 0:
        syscalls.setns(outer, syscalls.CLONE_NEWPID)
        os.close(outer)


def initialise(plan: Plan, cgroup: Cgroup, kept: Descriptors, *, entered: bool) -> NoReturn:
    """The life of the container's first process until it is the container's program."""
    try:
        kept.settle()
        if not entered:
            cgroup.enter()
        if plan.process.oom_score_adj is not None:
            set_oom_score(plan.process.oom_score_adj)
        build_and_run(plan, cgroup, kept, None)
    except BaseException as error:  # noqa: BLE001  the last this process does is to say why
        report(kept.channel, error)
    os._exit(_FAILED)


def build_and_run(plan: Plan, cgroup: Cgroup, kept: Descriptors, ground: Ground | None) -> None:
    """The same from its birth in the namespaces on; returns only by an error.

    `ground` is what was mounted for a process in a user namespace before it entered.
    """
    alone = kept.gate >= 0
    if not alone:
        die_with_parent()
    own = open_labels(plan.process)
    slave = _build(plan, kept, cgroup.views(), ground)
    if slave >= 0:
        from .kernel import terminal as terminals

        # Now: the streams of who made it are waited for to their end before anybody starts it
        terminals.adopt(slave, plan.process.uid)
    if alone:
        check_program(plan.process)
    ids = " ".join(map(str, ids_of(plan.process)))
    os.write(kept.channel, f"U{ids}\nR".encode())
    if alone:
        _pass_gate(kept)
    if os.read(kept.channel, 1) != b"G":
        os._exit(0)
    before = (lambda: _run_start_hooks(plan)) if "startContainer" in plan.hooks else None
    become(plan.process, plan.held, kept.channel, own, alone=alone, before=before)


def die_with_parent() -> None:
    """Asks the kernel to kill this process when the one that forked it ends."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, syscalls.SIGKILL)


def _pass_gate(kept: Descriptors) -> None:
    """Waits for whoever starts the container; that connection becomes the channel."""
    listener = _socket.socket(fileno=kept.gate)
    connection, _ = listener._accept()  # type: ignore[attr-defined]
    os.dup2(connection, kept.channel, inheritable=False)
    os.close(connection)
    listener.close()


def report(channel: int, error: BaseException) -> None:
    """Sends the reason for giving up to the parent."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    filename = getattr(error, "filename", None)
    if filename:
        text = f"{filename}: {text}"
    os.write(channel, b"E" + f"{text}".encode("utf-8", "replace"))


def _build(
    plan: Plan, kept: Descriptors, views: Sequence[tuple[str, str]], ground: Ground | None
) -> int:
    """Namespaces, root and everything below it; gives the slave of a terminal, or -1."""
    if ground is None:
        join_all(plan)
    new = plan.namespaces.new
    if new & syscalls.CLONE_NEWCGROUP:
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    if new & syscalls.CLONE_NEWTIME:
        namespaces.enter_new_time(plan.time_offsets)
    if plan.owner >= 0:
        from .kernel import user_namespaces

        plan.process.keep_groups = user_namespaces.denies_groups()
        user_namespaces.become_root(keep_groups=plan.process.keep_groups)
    if new & syscalls.CLONE_NEWNET:
        namespaces.bring_loopback_up()
    if plan.hostname:
        _socket.sethostname(plan.hostname)
    if plan.domain_name:
        syscalls.set_domain_name(plan.domain_name)
    namespaces.write_sysctls(plan.sysctls)
    # Copies of shared mounts are taken while this namespace is still their peer.
    early = _prepare_shared(plan, kept) if ground is None else ground.trees
    rootfs.detach_from_host()
    return _build_root(plan, kept, views, _mount_root(plan, ground), early)


def join_all(plan: Plan) -> None:
    """Enters the namespaces given by path, but for that of processes, which is for children."""
    for flag, path in plan.namespaces.join.items():
        if flag != syscalls.CLONE_NEWPID:
            namespaces.join(path, flag)


def _prepare_shared(plan: Plan, kept: Descriptors) -> dict[int, int]:
    return {
        index: mounts.prepare(mount, kept.owner(mount.owner))
        for index, mount in enumerate(plan.mounts)
        if mount.propagation == syscalls.MS_SHARED and mount.bind
    }


def _mount_root(plan: Plan, ground: Ground | None) -> int:
    """A descriptor of the container's root, mounted somewhere below or over our own."""
    if ground is not None:
        # No other directory of the host can be relied on to be open to who has entered.
        rootfs.cover(ground.root, "/")
        return ground.root
    target, upper, work = places(plan)
    if plan.layers:
        rootfs.mount_overlay(plan.layers, upper, work, target)
    else:
        tree = rootfs.open_directory(plan.root)
        rootfs.cover(tree, target)
        os.close(tree)
    return os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _build_root(
    plan: Plan,
    kept: Descriptors,
    views: Sequence[tuple[str, str]],
    root: int,
    early: Mapping[int, int],
) -> int:
    for index, mount in enumerate(plan.mounts):
        if mount.kind == "cgroup":
            mounts.attach_cgroups(root, mount, views)
        elif index in early:
            mounts.attach(root, mount, early[index])
        else:
            mounts.attach(root, mount, mounts.prepare(mount, kept.owner(mount.owner)))
    _make_devices(root, plan.devices)
    slave = _open_terminal(plan, root, kept.channel)
    if plan.hooks:
        _run_hooks(plan, root, kept.channel)
    mounts.mask(root, plan.masked)
    mounts.make_readonly(root, plan.readonly_paths)
    os.close(mounts.open_or_make(root, plan.process.cwd, directory=True))
    if plan.readonly_root:
        rootfs.set_readonly(root)
    if plan.pivot:
        rootfs.enter(root)
    else:
        rootfs.enter_without_pivot(root)
    if plan.propagation:
        syscalls.set_propagation("/", plan.propagation)
    os.close(root)
    look_up(plan.process)
    return slave


def _run_hooks(plan: Plan, root: int, channel: int) -> None:
    """Has the parent run its hooks, then runs those that belong into this mount namespace."""
    from .entry import hooks

    os.write(channel, b"H")
    if os.read(channel, 1) != b"G":
        os._exit(0)
    os.fchdir(root)
    state = {**plan.state, "status": "creating", "pid": os.getpid()}
    hooks.run("createContainer", plan.hooks.get("createContainer", ()), state)


def _run_start_hooks(plan: Plan) -> None:
    from .entry import hooks

    process = plan.process
    late = process.filter and process.no_new_privileges
    confined = hooks.Confinement(process.filter, process.filter_flags) if late else None
    state = {**plan.state, "status": "created", "pid": os.getpid()}
    hooks.run("startContainer", plan.hooks["startContainer"], state, confined)


def _make_devices(root: int, extra: Sequence[Mapping[str, Any]]) -> None:
    umask = os.umask(0)
    dev = mounts.open_or_make(root, "/dev", directory=True)
    os.close(dev)
    dev = mounts.open_in_root(root, "/dev", os.O_RDONLY | os.O_DIRECTORY, symlinks=False)
    devices.make_defaults(dev)
    os.close(dev)
    for device in extra:
        if os.path.normpath(device["path"]) in _OWN_DEVICES:
            continue
        parent, name = os.path.split(os.path.normpath(device["path"]))
        os.close(mounts.open_or_make(root, parent, directory=True))
        directory = mounts.open_in_root(root, parent, os.O_RDONLY | os.O_DIRECTORY)
        devices.make(directory, name, device)
        os.close(directory)
    os.umask(umask)


def _open_terminal(plan: Plan, root: int, channel: int) -> int:
    if not plan.process.terminal:
        return -1
    from .kernel import terminal as terminals

    master, slave = terminals.open_pair(root)
    width, height = plan.process.console_size
    if width and height:
        terminals.resize(master, width, height)
    terminals.mount_console(root, slave)
    send_terminal(channel, master)
    return slave


def send_terminal(channel: int, master: int) -> None:
    """Hands the master of a terminal to the parent.

    It may be the container's root that is the root here, where no module is to be found.
    """
    connection = _socket.socket(fileno=os.dup(channel))
    rights = master.to_bytes(_DESCRIPTOR_BYTES, sys.byteorder)
    try:
        connection.sendmsg([b"T"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    finally:
        connection.close()
    os.close(master)


def places(plan: Plan) -> tuple[str, str, str]:
    """Where the root is mounted, the layer that is written to, and where overlay works on it.

    A root that is a directory is mounted over the container's own: a directory for it alone would
    cost a cold start what the kernel takes to let go of a mount point.
    """
    names = ("rootfs", "upper", "work")
    root, upper, work = (os.path.join(plan.directory, name) for name in names)
    return root if plan.layers else plan.directory, upper, work


def make_directories(plan: Plan) -> None:
    """The directories of a container: where its root is mounted, and the layer it writes to."""
    os.makedirs(plan.directory, 0o700, exist_ok=True)
    for path in places(plan) if plan.layers else ():
        os.mkdir(path, 0o755)


def present(plan: Plan, name: str, document: Mapping[str, Any]) -> None:
    """Gives hooks of a container that has no bundle what they look for: a state, and a directory
    with a document in which the root has a path."""
    from . import documents

    plan.state = {
        "ociVersion": document.get("ociVersion", ""),
        "id": name,
        "bundle": plan.directory,
        "annotations": document.get("annotations") or {},
    }
    shown = {key: value for key, value in document.items() if key != EXTRA}
    shown["root"] = {**(document.get("root") or {}), "path": places(plan)[0]}
    with open(os.path.join(plan.directory, "config.json"), "w") as file:
        file.write(documents.dumps(shown))


def decode_status(status: int) -> tuple[int, int]:
    """Exit code and signal of a wait status; a signal gives 128 + its number as the code."""
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status), os.WTERMSIG(status)
    return os.WEXITSTATUS(status), 0


def now() -> int:
    """The time of day in nanoseconds since 1970."""
    return time.time_ns()
