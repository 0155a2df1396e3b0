"""A warm parent, an image of busybox and an engine for the kernel tests; and that all of it goes.

The other test_runtime_ modules import `run`, which gives a test its rig and checks afterwards
that no process, mount, control group or directory is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from steersman.runtime.engine import Engine, ExitStatus, SandboxState, warm_command
from steersman.runtime.spec import container_document

BUSYBOX = "/usr/bin/busybox"
APPLETS = [
    "sh",
    "true",
    "false",
    "cat",
    "echo",
    "ls",
    "id",
    "env",
    "sleep",
    "mount",
    "umount",
    "mknod",
    "chroot",
    "unshare",
    "hostname",
    "stat",
    "ip",
    "ps",
    "kill",
    "touch",
    "test",
    "printf",
    "dd",
    "head",
    "tail",
    "wc",
    "chmod",
    "grep",
    "readlink",
    "ln",
    "mkdir",
    "tty",
    "stty",
    "pwd",
    "seq",
    "ulimit",
    "nice",
    "yes",
]
# Fifty pods on a machine with more to do
TIMEOUT_SECONDS = 180.0

needs_root = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="making namespaces needs root"),
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="busybox-static is not installed here"),
]
pytestmark = needs_root


class Rig:
    """What a test works with."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.layer = os.path.join(directory, "layer")
        self.cgroup = "/steer-test-" + os.path.basename(directory)
        self.socket = os.path.join(directory, "run", "warm.sock")
        self.state = os.path.join(directory, "state")
        self.engine = Engine(self.socket, self.state)
        self.warm: subprocess.Popen[bytes] | None = None
        self._count = 0

    def make_layer(self) -> None:
        """The image: busybox under all its names."""
        binaries = os.path.join(self.layer, "bin")
        os.makedirs(binaries)
        shutil.copy(BUSYBOX, os.path.join(binaries, "busybox"))
        for name in APPLETS:
            os.symlink("busybox", os.path.join(binaries, name))
        etc = os.path.join(self.layer, "etc")
        os.makedirs(etc)
        pathlib.Path(etc, "passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:101:102::/srv:\n")
        pathlib.Path(etc, "group").write_text("root:x:0:\nweb:x:102:\nlogs:x:103:web\n")

    def start_warm(self) -> None:
        """Starts the warm parent and waits until it listens."""
        command = warm_command(self.socket, self.state)
        self.warm = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.warm.stdout is not None
        assert self.warm.stdout.readline() == b"ready\n"

    def kill_warm(self, number: int = 9) -> None:
        """Ends the warm parent."""
        assert self.warm is not None
        assert self.warm.stdout is not None
        self.warm.send_signal(number)
        self.warm.wait(60)
        self.warm.stdout.close()

    async def sandbox(self, pod: str = "p", **spec: Any) -> SandboxState:
        """Starts a pod."""
        given = {"hostname": pod, "cgroup_parent": f"{self.cgroup}/{pod}", **spec}
        return await self.engine.start_sandbox(pod, given)

    def log(self, container: str) -> str:
        """The path of a container's log."""
        return os.path.join(self.directory, container + ".log")

    def bundle(self, sandbox: SandboxState, container: str, *args: str, **options: Any) -> Any:
        """The document of a container."""
        given = {"log": self.log(container), "shm": sandbox.shm, "env": ["PATH=/bin"], **options}
        return container_document(args=args, layers=[self.layer], sandbox_pid=sandbox.pid, **given)

    async def launch(self, sandbox: SandboxState, *args: str, **options: Any) -> str:
        """Creates and starts a container; gives its name."""
        self._count += 1
        name = f"c{self._count}"
        edit = options.pop("edit", None)
        document = self.bundle(sandbox, name, *args, **options)
        if edit is not None:
            edit(document)
        await self.engine.create(sandbox.pod, name, document)
        await self.engine.start(sandbox.pod, name)
        return name

    async def output(
        self, sandbox: SandboxState, *args: str, **options: Any
    ) -> tuple[ExitStatus, str]:
        """Runs a container to its end; gives how it ended, and what it wrote."""
        name = await self.launch(sandbox, *args, **options)
        status = await self.engine.wait(sandbox.pod, name, TIMEOUT_SECONDS)
        await self.engine.delete(sandbox.pod, name)
        return status, self.text(name)

    async def attached(self, name: str, data: bytes) -> bytes:
        """Gives a container of the pod `p` all of its input; returns what it writes to its end,
        which is a good one."""
        in_reader, in_writer = os.pipe()
        out_reader, out_writer = os.pipe()
        await self.engine.attach("p", name, {"stdin": in_reader, "stdout": out_writer})
        os.close(in_reader)
        os.close(out_writer)
        os.write(in_writer, data)
        os.close(in_writer)
        assert (await self.engine.wait("p", name, TIMEOUT_SECONDS)).code == 0
        with open(out_reader, "rb") as file:
            return file.read()

    async def shell(self, sandbox: SandboxState, script: str, **options: Any) -> str:
        """Runs a shell script in a container of its own; gives what it wrote."""
        _, text = await self.output(sandbox, "/bin/sh", "-c", script, **options)
        return text

    def text(self, container: str) -> str:
        """What a container wrote, without the log's framing."""
        lines = pathlib.Path(self.log(container)).read_text().splitlines()
        return "".join(
            line.split(" ", 3)[3] + ("\n" if line.split(" ", 3)[2] == "F" else "") for line in lines
        )

    def leftovers(self) -> list[str]:
        """What is still on the machine of this rig."""
        found = [
            line
            for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()
            if self.directory in line
        ]
        for path, directories, _ in os.walk("/sys/fs/cgroup"):
            found += [
                os.path.join(path, name) for name in directories if name == self.cgroup.strip("/")
            ]
            directories[:] = [] if path.count("/") > 4 else directories
        pods = os.path.join(self.state, "pods")
        found += os.listdir(pods) if os.path.isdir(pods) else []
        return found + self.processes()

    def await_forks(self) -> None:
        """Waits for forks that have answered and are ending; one that stays is found after."""
        for line in self.processes():
            with (
                contextlib.suppress(ProcessLookupError),
                open(os.pidfd_open(int(line.split()[0])), "rb") as handle,
            ):
                poller = select.poll()
                poller.register(handle, select.POLLIN)
                poller.poll(10_000)

    def processes(self) -> list[str]:
        """Processes forked from this rig's warm parent: they still have its command line."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                line = pathlib.Path("/proc", name, "cmdline").read_text()
                if self.socket in line:
                    found.append(f"{name} {line}")
        return found


def read_terminal(terminal: int) -> str:
    """Reads what is left in a terminal whose last user is gone. The kernel hands a terminal's
    output on in pieces as it was written, so one read may give a part of it."""
    text = b""
    while True:
        try:
            text += os.read(terminal, 10_000)
        except OSError as error:
            assert error.errno == errno.EIO  # how a terminal says that it has ended
            return text.decode()


def run(test: Callable[[Rig], Awaitable[None]]) -> None:
    """Runs one test with a rig of its own and checks that nothing of it is left."""
    directory = tempfile.mkdtemp(prefix="steer-rig-")
    rig = Rig(directory)
    try:
        rig.make_layer()
        rig.start_warm()
        asyncio.run(_run(rig, test))
        rig.kill_warm(15)
        rig.await_forks()
        assert rig.leftovers() == []
    finally:
        if rig.warm is not None and rig.warm.poll() is None:
            rig.kill_warm()
        shutil.rmtree(directory)


async def _run(rig: Rig, test: Callable[[Rig], Awaitable[None]]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        try:
            await test(rig)
        finally:
            for sandbox in await rig.engine.pods():
                await rig.engine.remove_sandbox(sandbox.pod)
            await rig.engine.close()


def test_a_rig_with_a_pod_and_containers_in_every_state_leaves_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        await rig.launch(sandbox, "sleep", "1000")
        await rig.launch(sandbox, "true")
        await rig.engine.create("p", "made", rig.bundle(sandbox, "made", "true"))
        assert rig.leftovers() != []

    run(scenario)
