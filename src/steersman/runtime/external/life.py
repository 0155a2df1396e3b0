"""Containers and further processes that a program makes, with the words of our own.

The states are those of `supervised`, in which who asks finds no difference. Rule: the end of a
process is told once, after the program has heard of it and has deleted what it made.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from .. import container, documents, state
from ..execution import inherit
from ..kernel import capabilities, cgroups, mounts, rootfs
from ..process import ids_of, look_up
from ..supervised import CREATED, RUNNING, STOPPED, Supervised
from .console import Console
from .document import render
from .program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ..kernel.mounts import Mount
    from ..pod import Container
    from ..reactor import Reactor
    from .program import Call

    Ended = Callable[[int], None]
    Document = dict[str, Any]

_CONFIG = "config.json"
_LOWEST_OOM_SCORE = -1000
_STATES = "runtime"


class External:
    """The program as one pod uses it; `processes` is the pod's table of whose end is whose."""

    def __init__(
        self, path: str, directory: str, reactor: Reactor, processes: dict[int, Ended]
    ) -> None:
        self._reactor = reactor
        self._processes = processes
        self._starting = 0
        self._strays: dict[int, int] = {}
        self.program = Program(path, os.path.join(directory, _STATES), processes.__setitem__)

    @property
    def quiet(self) -> bool:
        """Whether the program is not at work."""
        return self.program.quiet

    def stray(self, process: int, status: int) -> None:
        """An orphan has ended. It may be what a program under way is about to tell of."""
        if self._starting:
            self._strays[process] = status

    def begin(self) -> None:
        """A program is about to leave a process behind."""
        self._starting += 1

    def end(self) -> None:
        """It has, or could not."""
        self._starting -= 1
        if not self._starting:
            self._strays.clear()

    def adopt(self, process: int, ended: Ended) -> None:
        """Tells of the end of a process that was left behind, be it over."""
        if process in self._strays:
            ended(self._strays.pop(process))
        else:
            self._processes[process] = ended

    def make_first(self, made: Container, ended: Ended) -> First:
        """The first process of a container, before there is one."""
        return First(self._reactor, made, self, ended)

    @staticmethod
    def prepare(made: Container) -> None:
        """Sets a container up for the program."""
        assert isinstance(made.first, First)
        made.first.prepare()

    def execute(
        self,
        made: Container,
        section: Mapping[str, Any],
        on_terminal: Callable[[int], None],
        streams: Sequence[int],
        ended: Ended,
    ) -> Supervised:
        """Has the program run a further process in a container (runc exec)."""
        extra = Extra(self._reactor, on_terminal, self, ended)
        extra.begin(made, inherit(_process_of(made), section), streams)
        return extra

    def update(
        self,
        made: Container,
        resources: Document,
        answer: Callable[[Document], None],
        fail: Callable[[str], None],
    ) -> None:
        """Has the program change limits."""
        path = os.path.join(made.plan.directory, f"update.{container.now()}.json")
        _write(path, resources)

        def done(reason: str) -> None:
            os.unlink(path)
            if reason:
                fail(reason)
            else:
                answer({})

        self.program.call(["update", "--resources", path, made.name], done)

    def close(self, group: str) -> None:
        """Ends what still runs of the program itself, and removes groups that only it makes."""
        self.program.close()
        cgroups.remove_everywhere(cgroups.find_hierarchies(), group)


class _Left(Supervised):
    """A process that a program leaves behind: there is no channel to it."""

    def __init__(
        self, reactor: Reactor, on_terminal: Callable[[int], None], external: External
    ) -> None:
        super().__init__(reactor, on_terminal)
        self.close_channel()
        self._external = external
        self._call: Call | None = None

    def _leave(
        self, words: list[str], made: Container, terminal: bool, streams: Sequence[int]
    ) -> None:
        """Runs the program, which says in files of the container's directory what it leaves."""
        name = f"{words[0]}.{container.now()}"  # execs may begin side by side
        pid_file = os.path.join(made.plan.directory, name)
        told = ["--pid-file", pid_file]
        console = Console(made.plan.directory, f"{name}.sock") if terminal else None
        if console is not None:
            told += ["--console-socket", console.path]
        self._external.begin()

        def done(reason: str) -> None:
            self._call = None
            try:
                self._took(reason or self._take(pid_file, console))
            finally:
                self._external.end()
                if console is not None:
                    console.close()

        self._call = self._external.program.call([*words, *told, made.name], done, streams)

    def _take(self, pid_file: str, console: Console | None) -> str:
        """Takes over process and terminal; gives why that cannot be."""
        try:
            with open(pid_file) as file:
                pid = int(file.read())
            os.unlink(pid_file)
            if console is not None:
                self._on_terminal(console.take())
        except (OSError, ValueError) as error:
            return str(error)
        self.take(pid)
        return ""

    def _took(self, reason: str) -> None:
        raise NotImplementedError


class First(_Left):
    """The first process of a container."""

    def __init__(self, reactor: Reactor, made: Container, external: External, ended: Ended) -> None:
        super().__init__(reactor, made.streams.use_terminal, external)
        self._made = made
        self._ended = ended
        self._status: int | None = None
        self._doomed = False
        self._oom = False
        self._parts: list[str] = []

    def prepare(self) -> None:
        """Mounts the root and writes the document."""
        made, plan = self._made, self._made.plan
        root, upper, work = container.places(plan)
        if plan.owners:
            raise ValueError("user namespaces are for our own runtime alone")
        rootfs.mount_overlay(plan.layers, upper, work, root)
        place = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            look_up(plan.process, place)
        finally:
            os.close(place)
        self.user = ids_of(plan.process)
        sources = {
            index: self._show(mount, f"{plan.directory}/part.{index}")
            for index, mount in enumerate(plan.mounts)
            if mount.subpath
        }
        lowest = _lowest_oom_score(plan.held)
        document = render(made.bundle, plan, root, made.cgroup.path, self.user, sources, lowest)
        _write(os.path.join(plan.directory, _CONFIG), document)
        self.status = CREATED

    def _show(self, mount: Mount, place: str) -> str:
        """Shows a part of a volume at a path of ours: no symlink in it can lead elsewhere then,
        and the program, in a mount namespace of its own, may take it from there."""
        mounts.show_subpath(mount, place)
        self._parts.append(place)
        return place

    def listen(self) -> None:
        """There is nothing to wait for before the start."""
        if self.status == CREATED and self.on_ready is not None:
            ready, self.on_ready = self.on_ready, None
            ready()

    def go(self) -> None:
        """Has the program make the container, then start it (runc create, runc start)."""
        self._released = True
        made = self._made
        words = ["create", "--bundle", made.plan.directory]
        self._leave(words, made, made.plan.process.terminal, made.streams.child)
        made.streams.close_child_ends()

    def _took(self, reason: str) -> None:
        while self._parts:
            state.unmount(self._parts.pop())
        if self.pid:
            self._external.adopt(self.pid, self.reaped)
        if reason or self._doomed:
            self.reason = reason or "it was killed before it started"
            self._finish()
            return
        words = ["start", self._made.name]
        self._call = self._external.program.call(words, self._start_answered)

    def _start_answered(self, reason: str) -> None:
        self._call = None
        if reason:
            self.reason = reason
            self._finish()
            return
        self.status, self.started_at = RUNNING, container.now()
        if self.on_started is not None:
            self.on_started()
        if self._status is not None:
            self._finish()
        elif self._doomed:
            self.kill(_signal.SIGKILL)

    def reaped(self, status: int) -> None:
        """The process has ended."""
        self._status = status
        if self._call is None:
            self._finish()

    def _finish(self) -> None:
        """Has the program delete the container, then tells of its end."""
        self.finished_at = container.now()
        self._oom = self._made.cgroup.oom_kills() > 0
        words = ["delete", "--force", self._made.name]
        self._call = self._external.program.call(words, self._deleted)

    def _deleted(self, reason: str) -> None:
        self._call = None
        self._ended(self._status or 0)
        if reason and self.started_at:
            raise OSError(reason)  # for the pod's shim.log: what it left goes with the container

    def ended(self, status: int, oom_killed: bool) -> None:
        """As of our own, but that control group and time are those from before the deletion."""
        finished = self.finished_at
        super().ended(status, oom_killed or self._oom)
        if finished and self.exit is not None:
            self.finished_at = self.exit["finished_at"] = finished

    def kill(self, number: int) -> None:
        """Sends a signal; what has not begun does not begin any more."""
        if number == _signal.SIGKILL and self.status != STOPPED:
            self._doomed = True
            if self._call is not None:
                self._call.end_if_hung()
            elif self.status == CREATED:
                self._status = number
                self._finish()
                return
        super().kill(number)


class Extra(_Left):
    """A further process in a container."""

    def __init__(
        self,
        reactor: Reactor,
        on_terminal: Callable[[int], None],
        external: External,
        ended: Ended,
    ) -> None:
        super().__init__(reactor, on_terminal, external)
        self._ended = ended
        self._file = ""

    def begin(self, made: Container, section: Mapping[str, Any], streams: Sequence[int]) -> None:
        """Has the program run it."""
        self._file = os.path.join(made.plan.directory, f"exec.{container.now()}.json")
        _write(self._file, section)
        words = ["exec", "--detach", "--process", self._file]
        self._leave(words, made, bool(section.get("terminal")), streams)

    def _took(self, reason: str) -> None:
        os.unlink(self._file)
        if reason:
            self.reason = reason
            self._ended(0)
            return
        self.status, self.started_at = RUNNING, container.now()
        if self.on_started is not None:
            self.on_started()
        self._external.adopt(self.pid, self._ended)


def _lowest_oom_score(held: int) -> int:
    """Without CAP_SYS_RESOURCE nobody gets one below ours; others fail where our own goes on with
    that, as containerd does (restrict_oom_score_adj)."""
    if held & capabilities.parse_names(("CAP_SYS_RESOURCE",)):
        return _LOWEST_OOM_SCORE
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())


def _process_of(made: Container) -> Document:
    """The process section that the program was given, with the user as it was found."""
    with open(os.path.join(made.plan.directory, _CONFIG)) as file:
        section: Document = documents.loads(file.read())["process"]
    return section


def _write(path: str, document: Mapping[str, Any]) -> None:
    with open(path, "w") as file:
        file.write(documents.dumps(document))
