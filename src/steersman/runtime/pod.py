"""A pod in its shim: the sandbox, its containers, and the verbs that act on them.

Not the connections (shim). Rule: a verb either answers once or raises; what it made before it
failed it takes back.
"""

from __future__ import annotations

import os
import socket

from . import container, state
from .container import Plan
from .keeper import GONE
from .kernel import capabilities, cgroups, namespaces, syscalls, terminal, user_namespaces
from .logs import LogFile
from .streams import Streams, close_all, fill_streams
from .supervised import CREATED, RUNNING, STOPPED, Conflict, Failed, NotFound, Supervised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .external.life import External, First
    from .keeper import Keeper
    from .reactor import Reactor
    from .supervised import Answer

    Document = dict[str, Any]

# What the kubelet's CRI gives a pod as /dev/shm.
_DEFAULT_SHM_BYTES = 64 << 20
_HOST = "host"
_SHARED = "shared"
# The group of the process that containers share; they have a dot in their names
_FIRST = "first"
# Hooks that the container's own process runs; others would hold up the shim
_OWN_HOOKS = ("createContainer", "startContainer")
# The exit code that Kubernetes shows for a container whose program could not be started.
_START_ERROR_CODE = 128


class Container:
    """One container of the pod."""

    def __init__(self, name: str, plan: Plan, bundle: Document, cgroup: cgroups.Cgroup) -> None:
        self.name = name
        self.plan = plan
        self.bundle = bundle
        self.cgroup = cgroup
        self.log: LogFile
        self.first: Supervised
        self.streams: Streams
        self.on_exit: list[Callable[[], None]] = []
        self.execs: dict[int, Supervised] = {}

    @property
    def quiet(self) -> bool:
        """Whether nothing of it is under way."""
        waited = self.on_exit or self.execs
        return not waited and self.first.quiet and self.streams.quiet

    def freeze(self) -> Document:
        """What of it is to be known again."""
        return {
            "name": self.name,
            "bundle": self.bundle,
            "cgroup": self.cgroup.path,
            "log": self.log.freeze(),
            "first": self.first.freeze(),
            "streams": self.streams.freeze(),
        }

    def describe(self) -> Document:
        """The container's state as the agent sees it."""
        first = self.first
        return {
            "id": self.name,
            "status": first.status,
            "pid": first.pid if first.status != STOPPED else 0,
            "created_at": first.created_at,
            "started_at": first.started_at,
            "finished_at": first.finished_at,
            "exit": first.exit,
            "reason": first.reason,
            "log_lost_bytes": self.log.lost_bytes,
            "user": first.user,
        }


class Pod:
    """The sandbox and its containers."""

    def __init__(self, name: str, directory: str, spec: Mapping[str, Any], keeper: Keeper) -> None:
        self.name = name
        self._keeper = keeper
        self.directory = directory
        self.cgroup_path = cgroups.check_path(spec.get("cgroup_parent", ""))
        self._spec = spec
        self._open_cgroup = cgroups.opener(cgroups.find_hierarchies())
        self._held = capabilities.available()
        self._maps = user_namespaces.parse_maps(spec, "sandbox")
        self._user = -1
        # Of a pod whose containers share their processes: the first of these, their namespace
        self._first = 0
        self._shared = -1
        self._created_at = container.now()
        self._reactor: Reactor
        self._publish: Callable[[Document], None]
        self.containers: dict[str, Container] = {}
        self._processes: dict[int, Callable[[int], None]] = {}
        self._external: External | None = None
        self._last_exec = 0
        self._save_error = ""

    def connect(self, reactor: Reactor, publish: Callable[[Document], None]) -> None:
        """Gives the pod its loop and a way to tell events; before the first container."""
        self._reactor = reactor
        self._publish = publish
        if path := self._spec.get("runtime"):
            from .external.life import External  # of few nodes

            self._external = External(path, self.directory, reactor, self._processes)

    @property
    def quiet(self) -> bool:
        """Whether nothing of it is under way."""
        at_work = self._external is not None and not self._external.quiet
        return not at_work and all(made.quiet for made in self.containers.values())

    def freeze(self) -> Document:
        """What the next shim is to know."""
        return {
            "name": self.name,
            "directory": self.directory,
            "spec": self._spec,
            "created_at": self._created_at,
            "last_exec": self._last_exec,
            "save_error": self._save_error,
            "user": self._user,
            "first": self._first,
            "shared": self._shared,
            "containers": [made.freeze() for made in self.containers.values()],
        }

    def thaw(self, kept: Document) -> None:
        """Takes up what the shim before has left; the loop must be connected."""
        self._created_at, self._last_exec = kept["created_at"], kept["last_exec"]
        self._save_error, self._user = kept["save_error"], kept["user"]
        self._follow_first(kept["first"], kept["shared"])
        for entry in kept["containers"]:
            self._thaw_container(entry)

    def _thaw_container(self, kept: Document) -> None:
        name, bundle = kept["name"], kept["bundle"]
        directory = os.path.join(self.directory, state.CONTAINERS, name)
        plan = Plan(bundle, directory, self._held)
        made = Container(name, plan, bundle, self._open_cgroup(kept["cgroup"]))
        made.log = LogFile(plan.log, opened=False)
        made.log.thaw(kept["log"])
        made.log.on_aside = lambda: self._publish({"kind": "aside", "container": name})
        made.streams = self._streams(made, opened=False)
        made.streams.thaw(kept["streams"], is_terminal=plan.process.terminal)
        reaped = self._make_first(made)
        made.first.thaw(kept["first"])
        self.containers[name] = made
        if made.first.status != STOPPED:
            self._processes[made.first.pid] = reaped

    def _make_first(self, made: Container) -> Callable[[int], None]:
        """Makes room for the first process of a container; gives who is to hear of its end."""

        def ended(status: int) -> None:
            self._ended(made, status)

        if self._external is None:
            made.first = Supervised(self._reactor, made.streams.use_terminal)
            return ended
        first: First = self._external.make_first(made, ended)
        made.first = first
        return first.reaped

    def build(self) -> None:
        """Makes the sandbox: namespaces, cgroup, shared memory; takes all back if one fails."""
        state.make_pod_directory(self.directory)
        try:
            self.save()
            self._make_cgroup()
            self._make_namespaces()
            self._mount_shm()
            self._share_processes()
            self._keeper.await_join()
        except BaseException:
            self._take_back()
            raise

    def _make_cgroup(self) -> None:
        group = self._open_cgroup(self.cgroup_path)
        group.create()
        resources = self._spec.get("resources")
        if resources:
            group.limit(resources)

    def _make_namespaces(self) -> None:
        kinds = [] if self._spec.get("network") == _HOST else ["network", "uts"]
        if self._spec.get("ipc") != _HOST:
            kinds.append("ipc")
        flags = sum(namespaces.KINDS[kind][0] for kind in kinds)
        if self._maps is None:
            syscalls.unshare(flags)
        else:
            self._enter_owned(self._maps, kinds)
        self._keeper.ask_to_join(flags)
        if flags & syscalls.CLONE_NEWNET:
            namespaces.bring_loopback_up()
        if flags & syscalls.CLONE_NEWUTS and self._spec.get("hostname"):
            socket.sethostname(self._spec["hostname"])
        sysctls = self._spec.get("sysctls") or {}
        for name in sysctls:
            kind = syscalls.CLONE_NEWNET if name.startswith("net.") else syscalls.CLONE_NEWIPC
            if not flags & kind:
                raise ValueError(f"sysctl {name!r} would change the host")
        namespaces.write_sysctls(sysctls)

    def _enter_owned(self, maps: user_namespaces.Maps, kinds: list[str]) -> None:
        """Enters new namespaces that belong to the pod's users; they themselves are kept open."""
        self._user, *others = user_namespaces.make_owning(maps, *kinds)
        for kind, descriptor in zip(kinds, others, strict=True):
            syscalls.setns(descriptor, namespaces.KINDS[kind][0])
            os.close(descriptor)

    def _share_processes(self) -> None:
        """Makes the pid namespace of all containers, where they are to have one."""
        if self._spec.get("pid") != _SHARED:
            return
        from .entry import reaper

        group = self._open_cgroup(f"{self.cgroup_path}/{_FIRST}")
        group.create()
        first = reaper.start(group, self._user)
        shared = os.open(f"/proc/{first}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._follow_first(first, shared)

    def _follow_first(self, first: int, shared: int) -> None:
        self._first, self._shared = first, shared
        if first:  # nobody can be born among its processes any more, so the pod ends with it
            self._processes[first] = lambda _status: os._exit(GONE)

    def _mount_shm(self) -> None:
        if self._spec.get("ipc") == _HOST:
            return
        path = os.path.join(self.directory, state.SHM)
        os.mkdir(path)
        size = int(self._spec.get("shm_bytes", _DEFAULT_SHM_BYTES))
        flags = 0x2 | 0x4 | 0x8  # MS_NOSUID, MS_NODEV, MS_NOEXEC
        user, group = (0, 0) if self._maps is None else self._maps.root()
        options = f"mode=1777,size={size},uid={user},gid={group}"
        syscalls.mount("shm", path, "tmpfs", flags, options)

    def _take_back(self) -> None:
        self._processes.pop(self._first, None)
        state.unmount(os.path.join(self.directory, state.SHM))
        group = self._open_cgroup(self.cgroup_path)
        cgroups.kill(group)
        group.remove()
        group.prune()
        if self._external is not None:
            self._external.close(self.cgroup_path)
        state.remove_directory(self.directory)

    def describe(self) -> Document:
        """The sandbox and its containers as the agent sees them."""
        pid = self._keeper.pid
        shm = "/dev/shm" if self._spec.get("ipc") == _HOST else f"{self.directory}/{state.SHM}"
        return {
            "pod": self.name,
            "pid": pid,
            "netns": f"/proc/{pid}/ns/net",
            "ipcns": f"/proc/{pid}/ns/ipc",
            "utsns": f"/proc/{pid}/ns/uts",
            "userns": f"/proc/{pid}/fd/{self._user}" if self._user >= 0 else "",
            "pidns": f"/proc/{pid}/fd/{self._shared}" if self._shared >= 0 else "",
            "shm": shm,
            "cgroup": self.cgroup_path,
            "runtime": self._spec.get("runtime", ""),
            "created_at": self._created_at,
            "save_error": self._save_error,
            "containers": [known.describe() for known in self.containers.values()],
        }

    def save(self) -> None:
        """Writes state.json: what to remove, should this process not live to do it.

        On a full disk the pod goes on with the older file; its state says so.
        """
        groups = [known.cgroup.path for known in self.containers.values()]
        document = {**self.describe(), "cgroups": [*groups, self.cgroup_path]}
        try:
            state.save(self.directory, document)
            self._save_error = ""
        except OSError as error:
            self._save_error = str(error)

    def exited(self, process: int, status: int) -> None:
        """A child has ended; orphans that fell to this process are only reaped."""
        callback = self._processes.pop(process, None)
        if callback is not None:
            callback(status)
        elif self._external is not None:
            self._external.stray(process, status)

    def find(self, name: str) -> Container:
        """The container of that name; NotFound if there is none."""
        if name not in self.containers:
            raise NotFound(f"container {name!r} is not there")
        return self.containers[name]

    def create(self, request: Document, answer: Answer, fail: Callable[[Exception], None]) -> None:
        """Sets a container up to the point where only its program is missing."""
        name = state.check_name(request.get("container"))
        if name in self.containers:
            raise Conflict(f"container {name!r} exists")
        bundle = request["bundle"]
        directory = os.path.join(self.directory, state.CONTAINERS, name)
        plan = Plan(bundle, directory, self._held)
        if others := [kind for kind in plan.hooks if kind not in _OWN_HOOKS]:
            raise ValueError(f"hooks of the kind {others[0]} are run by the command line alone")
        group = self._open_cgroup(plan.cgroup_path or f"{self.cgroup_path}/{name}")
        made = Container(name, plan, bundle, group)
        self.containers[name] = made
        try:
            self._launch(made)
        except BaseException:
            self._dispose(made)
            raise
        made.first.on_ready = lambda: self._created(made, answer)
        made.on_exit.append(lambda: self._never_ready(made, fail))
        made.first.listen()

    def _launch(self, made: Container) -> None:
        plan = made.plan
        made.log = LogFile(plan.log)
        made.log.on_aside = lambda: self._publish({"kind": "aside", "container": made.name})
        made.streams = self._streams(made, opened=True)
        reaped = self._make_first(made)
        container.make_directories(plan)
        if self._external is not None:
            self._external.prepare(made)
            return
        if plan.hooks:
            container.present(plan, f"{self.name}.{made.name}", made.bundle)
        made.cgroup.create()
        made.cgroup.limit(plan.resources)
        channel = made.first.child_channel.fileno()
        birth = syscalls.CLONE_PARENT
        pid = container.start(plan, made.cgroup, channel, made.streams.child, birth=birth)
        made.streams.close_child_ends()
        made.first.follow(pid)
        self._processes[pid] = reaped

    def _streams(self, made: Container, *, opened: bool) -> Streams:
        return Streams(
            self._reactor,
            made.log,
            stdin=made.plan.stdin,
            once=made.plan.stdin_once,
            terminal=made.plan.process.terminal,
            opened=opened,
        )

    def _created(self, made: Container, answer: Answer) -> None:
        made.on_exit.clear()
        answer(made.describe())
        self.save()

    def _never_ready(self, made: Container, fail: Callable[[Exception], None]) -> None:
        assert made.first.exit is not None
        reason = made.first.reason or f"setup ended with code {made.first.exit['code']}"
        try:
            self._dispose(made)
        finally:  # whatever is left: who waits for an answer must have one
            fail(Failed(reason))

    def _ended(self, made: Container, status: int) -> None:
        made.first.ended(status, made.cgroup.oom_kills() > 0)
        made.streams.drain()
        if not made.plan.namespaces.new & syscalls.CLONE_NEWPID:
            cgroups.kill(made.cgroup)
        if made.first.reason and made.first.exit is not None:
            made.first.exit["code"] = _START_ERROR_CODE
        callbacks, made.on_exit = made.on_exit, []
        try:
            for callback in callbacks:
                callback()
        finally:  # nobody asks: an end that is not told is waited for for ever
            if made.name in self.containers:
                self._publish({"kind": "exit", "container": made.name, "exit": made.first.exit})
                self.save()

    def start(self, request: Document, answer: Answer, fail: Callable[[Exception], None]) -> None:
        """Runs the program of a created container; answers when it runs, or why it does not."""
        made = self.find(request["container"])
        if made.first.status != CREATED:
            raise Conflict(f"container {made.name!r} is {made.first.status}")

        def started() -> None:
            made.on_exit.remove(ended)
            answer(made.describe())

        def ended() -> None:
            fail(Failed(made.first.reason or "it was killed before it started"))

        made.on_exit.append(ended)
        made.first.on_started = started
        made.first.go()

    def kill(self, request: Document) -> Document:
        """Sends a signal to the first process, or with "all" to every process; or to an exec."""
        made = self.find(request["container"])
        number = int(request.get("signal", 15))
        if "exec" in request:
            self._find_exec(made, request).kill(number)
        elif request.get("all"):
            cgroups.signal_all(made.cgroup, number)
        elif made.first.status == STOPPED:
            raise Conflict(f"container {made.name!r} is stopped")
        else:
            made.first.kill(number)
        return {}

    def wait(self, request: Document, answer: Answer) -> None:
        """Answers with how the container, or the exec, ended; at once if it has."""
        made = self.find(request["container"])
        if "exec" in request:
            watched = self._find_exec(made, request)
            key = request["exec"]
        else:
            watched, key = made.first, None

        def finished() -> None:
            if key is not None:
                made.execs.pop(key, None)
            answer({"exit": watched.exit})

        if watched.status == STOPPED:
            finished()
        elif key is None:
            made.on_exit.append(finished)
        else:
            watched.on_exit.append(finished)

    def delete(self, request: Document, answer: Answer, fail: Callable[[Exception], None]) -> None:
        """Removes a container that has ended; with "force" kills it first."""
        made = self.find(request["container"])
        if made.first.status == STOPPED:
            self._dispose(made)
            answer({})
        elif made.first.status == CREATED or request.get("force"):

            def removed() -> None:
                try:
                    self._dispose(made)
                except OSError as error:
                    fail(error)
                else:
                    answer({})

            made.on_exit.append(removed)
            made.first.kill(9)
        else:
            raise Conflict(f"container {made.name!r} is {made.first.status}")

    def _dispose(self, made: Container) -> None:
        """Removes a container. What is on disk may name it until it is written next: to remove
        what is gone already is fine."""
        self.containers.pop(made.name, None)
        if hasattr(made, "first"):
            made.first.close_channel()
            made.streams.close()
        made.cgroup.remove()
        if self._external is not None:
            state.unmount_below(made.plan.directory)
        state.remove_directory(made.plan.directory)

    def execute(
        self,
        request: Document,
        descriptors: list[int],
        answer: Callable[[Document, list[int]], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Runs a further process in a running container."""
        made = self.find(request["container"])
        if made.first.status != RUNNING:
            raise Conflict(f"container {made.name!r} is {made.first.status}")
        masters: list[int] = []
        self._last_exec += 1
        number = self._last_exec

        def ended(status: int) -> None:
            extra.ended(status, False)
            if not extra.started_at:
                made.execs.pop(number, None)
                close_all(masters)
                fail(Failed(extra.reason or "it was killed before it started"))
            for callback in extra.on_exit:
                callback()

        section = request.get("process") or {}
        extra = self._start_exec(made, section, masters, descriptors, ended)
        made.execs[number] = extra
        extra.on_started = lambda: answer({"exec": number, "pid": extra.pid}, masters)

    def _start_exec(
        self,
        made: Container,
        section: Mapping[str, Any],
        masters: list[int],
        descriptors: list[int],
        ended: Callable[[int], None],
    ) -> Supervised:
        from .execution import begin

        if not section.get("terminal"):
            fill_streams(descriptors)
        if self._external is not None:
            return self._external.execute(made, section, masters.append, descriptors, ended)
        extra = begin(self._reactor, made, section, masters.append, descriptors)
        self._processes[extra.pid] = ended
        return extra

    def _find_exec(self, made: Container, request: Document) -> Supervised:
        if request["exec"] not in made.execs:
            raise NotFound(f"exec {request['exec']!r} of {made.name!r} is not there")
        return made.execs[request["exec"]]

    def forget_exec(self, name: str, number: int) -> None:
        """Nobody will ask for this exec any more."""
        made = self.containers.get(name)
        if made is not None and number in made.execs:
            made.execs.pop(number).close_handle()

    def attach(self, request: Document, descriptors: list[int]) -> Document:
        """Connects somebody's descriptors, named in "streams", to a container's streams."""
        made = self.find(request["container"])
        made.streams.attach(dict(zip(request["streams"], descriptors, strict=True)))
        return {}

    def resize(self, request: Document) -> Document:
        """Tells a container's terminal its size."""
        made = self.find(request["container"])
        if made.streams.terminal < 0:
            raise Conflict(f"container {made.name!r} has no terminal")
        terminal.resize(made.streams.terminal, int(request["width"]), int(request["height"]))
        return {}

    def update(self, request: Document, answer: Answer, fail: Callable[[Exception], None]) -> None:
        """Changes limits of a container, or without one of the pod."""
        resources = {k: v for k, v in request["resources"].items() if k != "devices"}
        if not request.get("container"):
            self._open_cgroup(self.cgroup_path).limit(resources)
            answer({})
            return
        made = self.find(request["container"])
        if self._external is not None:
            self._external.update(made, resources, answer, lambda why: fail(Failed(why)))
        else:
            made.cgroup.limit(resources)
            answer({})

    def stats(self, request: Document) -> Document:
        """Counters of a container, or without one of the pod."""
        if request.get("container"):
            return self.find(request["container"]).cgroup.statistics()
        return self._open_cgroup(self.cgroup_path).statistics()

    def reopen_log(self, request: Document) -> Document:
        """Opens a container's log anew after rotation."""
        self.find(request["container"]).log.reopen()
        return {}

    def remove(self, done: Callable[[], None]) -> None:
        """Kills and removes everything; `done` is called when nothing is left but this process."""
        alive = [made for made in self.containers.values() if made.first.status != STOPPED]
        if alive:
            alive[0].on_exit.append(lambda: self.remove(done))
            for made in alive:
                made.first.kill(9)
            return
        for made in list(self.containers.values()):
            self._dispose(made)
        self._take_back()
        done()
