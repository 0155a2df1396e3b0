"""Control groups by systemd: a real one of our own, in a corner of the tree of groups."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from test_runtime_command import MAIN
from test_runtime_rig import BUSYBOX, needs_root

MANAGER = "/lib/systemd/systemd"
pytestmark = [
    *needs_root,
    pytest.mark.skipif(not os.path.exists(MANAGER), reason="systemd is not installed here"),
    pytest.mark.skipif(
        not os.path.isdir("/sys/fs/cgroup/systemd"), reason="this kernel has groups of version 2"
    ),
]
SECONDS = 60
# A manager of a user's, since there is one of the machine's at most; it looks as if it were that
START = """
for hierarchy in systemd unified; do echo $$ > /sys/fs/cgroup/$hierarchy/{name}/cgroup.procs; done
mount -t tmpfs none /run && mkdir -p /run/systemd/system
ln -s {run}/systemd/private /run/systemd/
export XDG_RUNTIME_DIR={run}
{manager} --user > {run}/log 2>&1 &
export DBUS_SESSION_BUS_ADDRESS=unix:path={run}/systemd/private
# Who comes too early is not heard
until test -S {run}/systemd/private; do sleep 0.05; done
until timeout 1 systemctl --user --quiet is-active basic.target; do sleep 0.05; done
echo up; read line; kill $!; wait $!
"""


class Systemd:
    """A manager, and commands that see it in the place of the machine's."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.name = f"steer-test-{os.getpid()}"
        self.groups = [
            pathlib.Path("/sys/fs/cgroup", it, self.name) for it in ("systemd", "unified")
        ]
        for group in self.groups:
            group.mkdir()
        run = directory / "run"
        run.mkdir(mode=0o700)
        script = START.format(name=self.name, run=run, manager=MANAGER)
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "up\n"

    def __call__(self, *words: str, code: int = 0, **more: Any) -> str:
        """Runs a command where the manager is."""
        pid = str(self._process.pid)
        entered = ["nsenter", "--target", pid, "--mount", f"--wd={self.directory}", "--"]
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.directory / "run")}
        socket = self.directory / "run/systemd/private"
        environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={socket}"
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(
            [*entered, *words], cwd=self.directory, text=True, timeout=SECONDS, check=False,
            stdin=subprocess.DEVNULL, env=environment, **{**streams, **more},
        )  # fmt: skip
        assert done.returncode == code, done
        return done.stdout or ""

    def steer(self, *words: str, code: int = 0, **more: Any) -> str:
        main = [sys.executable, "-I", "-S", MAIN, "--root", str(self.directory / "state")]
        return self(*main, "--systemd-cgroup", *words, code=code, **more)

    def show(self, unit: str, name: str) -> str:
        return self("systemctl", "--user", "show", "--value", "-p", name, unit).strip()

    def write(self, *args: str, path: str, **resources: Any) -> None:
        """Writes config.json."""
        file = self.directory / "config.json"
        file.unlink(missing_ok=True)
        self.steer("spec")
        document = json.loads(file.read_text())
        document["process"] |= {"terminal": False, "args": list(args)}
        document["linux"] |= {"cgroupsPath": path}
        document["linux"]["resources"] |= resources
        file.write_text(json.dumps(document))

    def stop(self) -> None:
        """Ends it, and takes its groups away."""
        assert self._process.stdin is not None
        with self._process:
            self._process.stdin.write("end\n")
            self._process.stdin.close()
            self._process.wait(SECONDS)
        for group in self.groups:
            for path, _, _ in os.walk(group, topdown=False):
                os.rmdir(path)


@pytest.fixture
def manager() -> Iterator[Systemd]:
    directory = pathlib.Path(tempfile.mkdtemp(prefix="steer-systemd-"))
    (directory / "rootfs/bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, directory / "rootfs/bin/busybox")
    (directory / "rootfs/bin/sh").symlink_to("busybox")
    made = Systemd(directory)
    try:
        yield made
    finally:
        with contextlib.suppress(AssertionError):
            made.steer("delete", "--force", "c1")
        made.stop()
        shutil.rmtree(directory)


def test_a_container_is_a_scope_of_systemd_from_create_to_delete(manager: Systemd) -> None:
    limits = {"memory": {"limit": 64 << 20}, "cpu": {"shares": 512, "quota": 50_000}}
    manager.write("/bin/busybox", "sleep", "1000", path="app.slice:steer:one", **limits)
    nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    manager.steer("create", "c1", **nothing)
    unit = "steer-one.scope"
    group = f"/{manager.name}/app.slice/{unit}"
    assert manager.show(unit, "ControlGroup") == group
    assert manager.show(unit, "Delegate") == "yes"
    assert manager.show(unit, "MemoryLimit") == str(64 << 20)
    assert manager.show(unit, "CPUShares") == "512"
    assert manager.show(unit, "CPUQuotaPerSecUSec") == "500ms"
    pid = json.loads(manager.steer("state", "c1"))["pid"]
    lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    places = dict(it.split(":", 2)[1:] for it in lines)
    for hierarchy in ("", "name=systemd", "memory", "cpu", "pids", "freezer"):
        assert places[hierarchy] == group
    limit = pathlib.Path("/sys/fs/cgroup/memory" + group, "memory.limit_in_bytes")
    assert limit.read_text() == f"{64 << 20}\n"
    for hierarchy in ("systemd", "memory"):
        procs = pathlib.Path("/sys/fs/cgroup", hierarchy + group, "cgroup.procs")
        assert procs.read_text().split() == [str(pid)], "who made it has left"
    manager.steer("start", "c1")
    assert manager.steer("exec", "c1", "/bin/sh", "-c", "echo in").strip() == "in"
    manager.steer("update", "--memory", "67108865", "c1")
    manager.steer("update", "--memory", "83886080", "c1")
    assert manager.show(unit, "MemoryLimit") == "83886080"
    assert limit.read_text() == "83886080\n"
    manager.steer("delete", "--force", "c1")
    assert manager.show(unit, "ActiveState") == "inactive"
    assert not limit.exists()
    assert not pathlib.Path("/sys/fs/cgroup/systemd" + group).exists()


def test_a_run_ends_with_its_scope_and_a_path_of_another_form_is_refused(
    manager: Systemd,
) -> None:
    manager.write("/bin/sh", "-c", "exit 5", path="")
    manager.steer("run", "c1", code=5)
    assert manager.show("steer-runtime-c1.scope", "ActiveState") == "inactive"
    manager.write("/bin/sh", path="/a/b")
    said = manager.steer("run", "c1", code=1)
    text = 'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got '
    assert said == f'steer-runtime: {text}"/a/b" instead\n'
    assert os.listdir(manager.directory / "state") == []
