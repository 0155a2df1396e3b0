"""Containers of the command line: no shim, no warm parent, what is to be remembered is on disk.

As with runc, `create` leaves a process that waits to be started, whose parent is whoever called,
and the exit code is theirs to collect. Rule: a container's directory is there from create to
delete, and its state.json is enough to act on it.
"""

from __future__ import annotations

import _socket
import os
import sys

from .. import container, documents, state
from ..container import Plan
from ..entry.descriptors import FIRST
from ..kernel import capabilities, cgroups, namespaces, syscalls, trampoline
from ..process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..entry.hooks import Hook
    from .systemd import Scope

    Document = dict[str, Any]

_GATE = "start.sock"
_NETWORK = "network"  # the note of `user_network`
_DEFAULT_CGROUP = "/steer-runtime"
_DESCRIPTOR_BYTES = 4
_MAX_REASON_BYTES = 1 << 16


class RuntimeFailure(Exception):
    """A verb cannot be carried out; the text says why."""


class Setting:
    """What the command line says of a new process: its console socket, a keyring of its own, how
    many descriptors it is handed, whether its root is pivoted into, whether systemd makes its
    control group, by whom an ordinary user's container is connected."""

    __slots__ = ("console", "keyring", "network", "pivot", "preserved", "systemd")

    def __init__(
        self,
        console: str = "",
        keyring: bool = True,
        preserved: int = 0,
        pivot: bool = True,
        systemd: bool = False,
        network: str = "",
    ) -> None:
        self.network = network
        self.systemd = systemd
        self.console = console
        self.keyring = keyring
        self.preserved = preserved
        self.pivot = pivot


class Made:
    """A container that is set up: its first process, and the channel to it."""

    __slots__ = ("channel", "group", "pid", "plan", "unit")

    def __init__(
        self, plan: Plan, group: cgroups.Cgroup, unit: str, pid: int, channel: _socket.socket
    ) -> None:
        self.plan = plan
        self.group = group
        self.unit = unit
        self.pid = pid
        self.channel = channel


def load_bundle(directory: str) -> Document:
    """The config.json of a bundle, with root.path made absolute."""
    with open(os.path.join(directory, "config.json")) as file:
        document: Document = documents.loads(file.read())
    root = document.setdefault("root", {})
    if root.get("path"):
        root["path"] = os.path.join(os.path.abspath(directory), root["path"])
    return document


def container_directory(root: str, name: str) -> str:
    """Where a container of this name is remembered."""
    return os.path.join(root, state.check_name(name))


def describe(root: str, name: str) -> Document:
    """The state of a container as the runtime-spec has it."""
    directory = container_directory(root, name)
    document = state.load(directory)
    if not document:
        raise RuntimeFailure(f"container {name!r} does not exist")
    alive = is_same_process(document["pid"], document["born"])
    waiting = os.path.exists(os.path.join(directory, _GATE))
    document["status"] = ("created" if waiting else "running") if alive else "stopped"
    if document["status"] == "running" and group_of(document).is_frozen():
        document["status"] = "paused"
    if not alive:
        document["pid"] = 0
    return document


def is_same_process(pid: int, born: str) -> bool:
    """Whether a process lives and is the one that was started then, not one with its id."""
    try:
        return birth_time(pid) == born
    except (FileNotFoundError, ProcessLookupError):
        return False


def birth_time(pid: int) -> str:
    """When a process was started, in the kernel's ticks; a zombie counts as gone."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        raise ProcessLookupError(pid)
    return fields[19]


def _birth_time_of_child(pid: int) -> str:
    """The same of one not waited for yet; of one that has failed, which it says by itself, none."""
    try:
        return birth_time(pid)
    except ProcessLookupError:
        return ""


def create(root: str, name: str, bundle: str, setting: Setting, *, gate: bool) -> Made:
    """Sets a container up; with a gate it outlives this process, see `start`."""
    directory = container_directory(root, name)
    document = load_bundle(bundle)
    held = capabilities.available()
    plan = Plan(document, directory, held)
    plan.process.keyring = setting.keyring
    plan.pivot = setting.pivot
    preserve(plan.process, setting.preserved)
    _check_terminal(plan.process, setting.console)
    _protect(plan)
    if plan.owner < 0 and os.geteuid() != 0:
        raise RuntimeFailure("rootless container requires user namespaces")
    scope = _scope_of(plan, name) if setting.systemd else None
    program = _network_of(plan, setting.network)
    path = plan.cgroup_path or f"{_DEFAULT_CGROUP}/{name}"
    try:
        os.makedirs(root, 0o700, exist_ok=True)
        os.mkdir(directory, 0o711)
    except FileExistsError:
        raise RuntimeFailure(f"container with given ID already exists: {name!r}") from None
    plan.state = {
        "ociVersion": document.get("ociVersion", ""),
        "id": name,
        "bundle": os.path.abspath(bundle),
        "annotations": document.get("annotations") or {},
    }
    group: cgroups.Cgroup = cgroups.NoCgroup()
    unit = "" if scope is None else scope.unit
    try:
        try:
            if scope is not None:
                path = scope.enter()
            group = _made(cgroups.opener(cgroups.find_hierarchies())(cgroups.check_path(path)))
            return _launch(plan, group, document, setting, gate, program, unit)
        finally:
            if scope is not None:
                scope.leave()
    except BaseException:
        _destroy(plan.state, plan.hooks, group, directory, unit)
        raise


def _network_of(plan: Plan, asked: str) -> str:
    """The program that is to connect a container, nothing where none was asked for."""
    if not asked:
        return ""
    from . import user_network

    if os.geteuid() == 0:
        raise RuntimeFailure("--network is for who is not root: root makes networks by itself")
    if not plan.namespaces.new & syscalls.CLONE_NEWNET:
        raise RuntimeFailure("--network needs a network namespace of the container's own")
    return user_network.choose(asked)


def _scope_of(plan: Plan, name: str) -> Scope:
    from . import systemd

    unified = not cgroups.find_hierarchies().version1
    properties = systemd.render_properties(plan.resources, unified=unified)
    return systemd.Scope(*systemd.parse_path(plan.cgroup_path, name), properties)


def _made(group: cgroups.Cgroup) -> cgroups.Cgroup:
    """The group, made; who is not root has none where none is delegated to them, as with runc."""
    try:
        group.create()
    except PermissionError:
        if os.geteuid() == 0:
            raise
        return cgroups.NoCgroup()
    return group


def _check_terminal(process: Process, console: str) -> None:
    """A terminal goes to a console socket, and a socket would wait for ever without one."""
    if process.terminal and not console:
        raise RuntimeFailure(
            "cannot allocate tty if runc will detach without setting console socket"
        )
    if console and not process.terminal:
        raise RuntimeFailure("cannot use console socket if runc will not detach or allocate tty")


def preserve(process: Process, count: int) -> None:
    """Hands descriptors on: those of socket activation (sd_listen_fds(3)), then `count` more."""
    activated = os.environ.get("LISTEN_FDS", "")
    ours = os.environ.get("LISTEN_PID", "") in ("", str(os.getpid()))
    listening = int(activated) if activated.isdecimal() and ours else 0
    process.preserved = listening + count
    for number in range(FIRST, FIRST + process.preserved):
        try:
            os.set_inheritable(number, True)
        except OSError as error:
            text = f"unable to preserve descriptor {number} (of {process.preserved})"
            raise RuntimeFailure(f"{text}: {error.strerror}") from None
    if listening:
        process.env |= {"LISTEN_FDS": str(listening), "LISTEN_PID": "1"}


def _destroy(
    told: Mapping[str, Any],
    known: Mapping[str, list[Hook]],
    group: cgroups.Cgroup,
    directory: str,
    unit: str,
) -> None:
    """Removes what there is of a container; a hook that fails then is only told of."""
    cgroups.kill(group)
    if unit and group.path:  # else systemd has refused it
        from . import systemd

        systemd.stop(unit)
    group.remove()
    group.prune()
    if os.path.exists(os.path.join(directory, _NETWORK)):
        from . import user_network

        user_network.stop(directory)
    state.remove_directory(directory)
    if "poststop" not in known:
        return
    from ..entry.hooks import HookFailed

    try:
        run_hooks("poststop", known, told, "stopped", 0)
    except HookFailed as error:
        sys.stderr.write(f"steer-runtime: warning: {error}\n")


def run_hooks(
    kind: str,
    known: Mapping[str, list[Hook]],
    told: Mapping[str, Any],
    status: str,
    pid: int,
) -> None:
    """Runs hooks of the runtime's own namespaces, in the bundle, as runc does."""
    if kind not in known:
        return
    from ..entry import hooks

    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(told["bundle"])
    try:
        hooks.run(kind, known[kind], {**told, "status": status, "pid": pid})
    finally:
        os.fchdir(here)
        os.close(here)


def _protect(plan: Plan) -> None:
    """Keeps the host's interpreter out of the container's hands (CVE-2019-5736).

    In a new pid namespace nobody sees this program before it is gone, and a trampoline is
    enough. Otherwise this command line is run again from a sealed copy.
    """
    plan.process.trampoline = bool(
        plan.namespaces.new & syscalls.CLONE_NEWPID
        and trampoline.is_known()
        and not plan.process.labels  # a label is for the program, and counts for the next exec
    )
    if not plan.process.trampoline:
        from .. import seal

        seal.run_sealed()


def _launch(
    plan: Plan,
    group: cgroups.Cgroup,
    document: Document,
    setting: Setting,
    gate: bool,
    program: str,
    unit: str,
) -> Made:
    container.make_directories(plan)
    group.limit(plan.resources)
    ours, theirs = _socket.socketpair()
    listener = _listen(plan.directory) if gate else None
    number = -1 if listener is None else listener.fileno()
    streams = [] if plan.process.terminal else [0, 1, 2]
    pid = container.start(plan, group, theirs.fileno(), streams, number)
    theirs.close()
    if listener is not None:
        listener.close()
    try:
        # While the process sets itself up
        state.prepare(plan.directory, _tell(plan, group, document, pid, unit))
        _await_ready(ours, setting.console, lambda: _run_first_hooks(plan, pid))
        state.publish(plan.directory)
        if program:
            from . import user_network

            user_network.start(program, pid, plan.directory)
    except BaseException:
        _kill_first(group, pid)
        raise
    return Made(plan, group, unit, pid, ours)


def _tell(plan: Plan, group: cgroups.Cgroup, document: Document, pid: int, unit: str) -> Document:
    """What is to be known of a container that is set up."""
    return {
        **plan.state,
        "status": "created",
        "pid": pid,
        "hooks": document.get("hooks") or {},
        "born": _birth_time_of_child(pid),
        "rootfs": document["root"].get("path", ""),
        "created": container.now(),
        "cgroups": [group.path] if group.path else [],
        "scope": unit,
        "process": document.get("process") or {},
        "linux": {"seccomp": (document.get("linux") or {}).get("seccomp")},
    }


def _kill_first(group: cgroups.Cgroup, pid: int) -> None:
    """Kills the first process of a container without a control group, and with it the others."""
    if not group.path and pid:
        cgroups.kill_and_wait(pid)


def _run_first_hooks(plan: Plan, pid: int) -> None:
    for kind in ("prestart", "createRuntime"):
        run_hooks(kind, plan.hooks, plan.state, "creating", pid)


def _listen(directory: str) -> _socket.socket:
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(directory)
    listener.bind(_GATE)
    os.fchdir(here)
    os.close(here)
    listener.listen(1)
    return listener


def _await_ready(
    channel: _socket.socket, console: str, on_hooks: Callable[[], None] | None = None
) -> None:
    """Reads the channel until the process is set up; hands a terminal on to who asked for it."""
    while True:
        space = _socket.CMSG_SPACE(_DESCRIPTOR_BYTES)
        data, ancillary, _, _ = channel.recvmsg(4096, space, _socket.MSG_CMSG_CLOEXEC)
        for _level, _kind, payload in ancillary:
            _send_console(console, int.from_bytes(payload[:_DESCRIPTOR_BYTES], sys.byteorder))
        words = data.removeprefix(b"T")
        if words[:1] == b"U":  # who it is, which nobody asks here
            words = words.partition(b"\n")[2]
        if words == b"H" and on_hooks is not None:
            on_hooks()
            channel.send(b"G")
        elif words == b"R":
            return
        elif words or not data:
            raise RuntimeFailure(_read_reason(channel, words) or "setup ended without a word")


def _read_reason(channel: _socket.socket, data: bytes) -> str:
    while len(data) < _MAX_REASON_BYTES and (more := channel.recv(4096)):
        data += more
    if len(data) == trampoline.REPORT_BYTES and data[:1] != b"E":
        return "exec: " + os.strerror(-int.from_bytes(data, "little", signed=True))
    return data.removeprefix(b"E").decode("utf-8", "replace")


def _send_console(path: str, master: int) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(path)
        socket.send_fds(peer, [b"/dev/ptmx"], [master])
    os.close(master)


def release(channel: _socket.socket) -> None:
    """Lets a process that is set up run its program; RuntimeFailure if that cannot be run."""
    channel.send(b"G")
    reason = _read_reason(channel, b"")
    if reason:
        raise RuntimeFailure(reason)


def start(root: str, name: str) -> None:
    """Runs the program of a created container."""
    if describe(root, name)["status"] != "created":
        raise RuntimeFailure("cannot start a container that is not created")
    directory = container_directory(root, name)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(directory)
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        channel.connect(_GATE)
        os.unlink(_GATE)
        os.fchdir(here)
        release(channel)
    finally:
        channel.close()
    follow_start(root, name)


def follow_start(root: str, name: str) -> None:
    """Runs what is to follow the start of a program; one that fails ends the container."""
    document = state.load(container_directory(root, name))
    if not document.get("hooks"):
        return
    from ..entry.hooks import HookFailed

    try:
        run_hooks("poststart", *_hooks_of(document), "running", document["pid"])
    except (HookFailed, OSError):
        group = group_of(document)
        cgroups.kill(group)
        _kill_first(group, document["pid"])
        raise


def _hooks_of(document: Mapping[str, Any]) -> tuple[dict[str, list[Hook]], Document]:
    """The hooks of a container that is remembered, and what they are told."""
    told = {name: document[name] for name in ("ociVersion", "id", "bundle", "annotations")}
    return container.parse_hooks(document.get("hooks")), told


def kill(root: str, name: str, number: int, *, everyone: bool) -> None:
    """Sends a signal to a container's first process, or to all of its processes."""
    document = describe(root, name)
    if everyone and document["cgroups"]:
        cgroups.signal_all(group_of(document), number)
    elif everyone and number != syscalls.SIGKILL:
        raise RuntimeFailure(cgroups.NO_CGROUP)
    elif document["status"] == "stopped":
        raise RuntimeFailure("container not running")
    else:
        os.kill(document["pid"], number)
    if number == syscalls.SIGKILL and document["status"] == "paused":
        group_of(document).freeze(False)


def group_of(document: Mapping[str, Any]) -> cgroups.Cgroup:
    """The control group of a container that is remembered."""
    if not document["cgroups"]:
        return cgroups.NoCgroup()
    return cgroups.opener(cgroups.find_hierarchies())(document["cgroups"][0])


def delete(root: str, name: str, *, force: bool) -> None:
    """Removes a container that has ended or was never started; with `force` any."""
    document = describe(root, name)
    status = document["status"]
    if status in ("running", "paused") and not force:
        raise RuntimeFailure(f"cannot delete container {name} that is not stopped: {status}")
    group = group_of(document)
    if status == "paused":
        cgroups.signal_all(group, syscalls.SIGKILL)
        group.freeze(False)
    _kill_first(group, document["pid"])
    known, told = _hooks_of(document)
    unit = document.get("scope", "")
    _destroy(told, known, group, container_directory(root, name), unit)


def discard(root: str, name: str, made: Made) -> None:
    """Removes a container whose first process has been waited for."""
    if made.unit or not cgroups.remove_empty(made.group):
        delete(root, name, force=True)
        return
    made.group.prune()
    _destroy(made.plan.state, made.plan.hooks, cgroups.NoCgroup(), made.plan.directory, "")


def execute(
    root: str,
    name: str,
    wanted: Callable[[Document], Document],
    setting: Setting,
    *,
    alone: bool = False,
    paused: bool = False,
    group: str = "",
) -> int:
    """Starts a further process in a running container; gives its id.

    `wanted` makes its section from the container's. Unless `alone` it dies with this one. With
    `paused` it may wait in a paused container; `group` is a control group below the container's.
    """
    document = describe(root, name)
    if document["status"] not in ("running", *(["paused"] if paused else [])):
        raise RuntimeFailure(f"cannot exec in a {document['status']} container")
    from .. import execution

    mapped = namespaces.differing(document["pid"]) & syscalls.CLONE_NEWUSER
    held = capabilities.of_kernel() if mapped else capabilities.available()
    inherited = {**document["process"], "terminal": False}
    process = Process({**inherited, **wanted(inherited)}, held)
    _check_terminal(process, setting.console)
    preserve(process, setting.preserved)
    filter_section = document["linux"]["seccomp"]
    if filter_section is not None:
        from ..kernel import seccomp

        process.filter = seccomp.compile_filter(filter_section)
        process.filter_flags = seccomp.parse_flags(filter_section)
    ours, theirs = _socket.socketpair()
    streams = [] if process.terminal else [0, 1, 2]
    entered = group_of(document)
    if group:
        opener = cgroups.opener(cgroups.find_hierarchies())
        entered = opener(f"{entered.path}/{cgroups.check_path('/' + group.lstrip('/'))}")
    pid = execution.start(
        document["pid"], entered, process, theirs.fileno(), streams, held, alone=alone
    )
    theirs.close()
    _await_ready(ours, setting.console)
    release(ours)
    return pid


def wait(pid: int) -> int:
    """Waits for a child, handing on the signals that this process gets; gives the exit code."""
    # Without the enumerations of `signal`, which take longer to make than a short container runs
    import _signal  # type: ignore[import-not-found]

    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
        _signal.signal(number, lambda got, _frame: os.kill(pid, got))
    _, status = os.waitpid(pid, 0)
    return container.decode_status(status)[0]


def names(root: str) -> list[str]:
    """The containers that are remembered."""
    return sorted(os.listdir(root)) if os.path.isdir(root) else []
