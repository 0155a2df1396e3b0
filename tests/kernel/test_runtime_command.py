"""The command line, as a person or containerd uses it: bundles on disk, exit codes, state."""

from __future__ import annotations

import array
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from test_runtime_rig import BUSYBOX, needs_root, read_terminal

from steersman.runtime import spec

pytestmark = needs_root

MAIN = os.path.join(os.path.dirname(spec.__file__), "__main__.py")


class Bundle:
    """A bundle with busybox, and a root directory for the runtime."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.root = directory / "state"
        binaries = directory / "rootfs" / "bin"
        binaries.mkdir(parents=True)
        shutil.copy(BUSYBOX, binaries / "busybox")
        for name in ("sh", "sleep", "true", "hostname", "tty", "ip"):
            (binaries / name).symlink_to("busybox")

    def write(self, *args: str, terminal: bool = False) -> None:
        """Writes config.json as `runc spec` would."""
        kinds = ("mount", "pid", "network", "ipc", "uts", "cgroup")
        document: dict[str, Any] = {
            "ociVersion": "1.0.2",
            "process": {
                "args": list(args),
                "env": ["PATH=/bin"],
                "cwd": "/",
                "terminal": terminal,
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs", "readonly": True},
            "hostname": "cold",
            "mounts": spec.default_mounts(),
            "linux": {
                "namespaces": [{"type": kind} for kind in kinds],
                "cgroupsPath": f"/steer-test-cold-{os.getpid()}/c",
                "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                "maskedPaths": list(spec.MASKED_PATHS),
                "readonlyPaths": list(spec.READONLY_PATHS),
            },
        }
        for name in ("proc", "dev", "sys"):
            (self.directory / "rootfs" / name).mkdir(exist_ok=True)
        (self.directory / "config.json").write_text(json.dumps(document))

    def run(self, *words: str, code: int = 0) -> str:
        """Runs a command; gives what it wrote, standard error in failure."""
        command = [sys.executable, "-I", "-S", MAIN, "--root", str(self.root), *words]
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done
        return done.stderr if code else done.stdout


@pytest.fixture
def bundle(tmp_path: pathlib.Path) -> Iterator[Bundle]:
    made = Bundle(tmp_path)
    yield made
    for name in os.listdir(made.root) if made.root.exists() else []:
        made.run("delete", "--force", name)
    assert not any(
        f"steer-test-cold-{os.getpid()}" in os.listdir(f"/sys/fs/cgroup/{name}")
        for name in os.listdir("/sys/fs/cgroup")
        if os.path.isdir(f"/sys/fs/cgroup/{name}")
    )


def test_run_gives_output_and_exit_code_and_leaves_nothing(bundle: Bundle) -> None:
    bundle.write("sh", "-c", "hostname; echo $$; ip -o link; exit 0")
    lines = bundle.run("run", "c1").splitlines()
    assert lines[:2] == ["cold", "1"]
    assert all("lo:" in line for line in lines[2:] if "link/" in line)
    assert os.listdir(bundle.root) == []
    bundle.write("sh", "-c", "exit 7")
    bundle.run("run", "--keep", "c1", code=7)
    assert json.loads(bundle.run("state", "c1"))["status"] == "stopped"


def test_run_ends_what_its_first_process_has_left(bundle: Bundle) -> None:
    bundle.write("sh", "-c", "sleep 1000 & exit 5")
    document = json.loads((bundle.directory / "config.json").read_text())
    document["linux"]["namespaces"].remove({"type": "pid"})
    (bundle.directory / "config.json").write_text(json.dumps(document))
    bundle.run("run", "c1", code=5)
    assert os.listdir(bundle.root) == []


def test_create_start_state_exec_kill_delete(bundle: Bundle) -> None:
    bundle.write("sleep", "1000")
    subprocess.run(
        [sys.executable, "-I", "-S", MAIN, "--root", str(bundle.root), "create",
         "--bundle", str(bundle.directory), "--pid-file", str(bundle.directory / "pid"), "c1"],
        check=True, timeout=60, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    state = json.loads(bundle.run("state", "c1"))
    assert (state["status"], state["id"], state["ociVersion"]) == ("created", "c1", "1.0.2")
    assert state["pid"] == int((bundle.directory / "pid").read_text())
    assert "already exists" in bundle.run("create", "c1", code=1)
    bundle.run("start", "c1")
    assert json.loads(bundle.run("state", "c1"))["status"] == "running"
    assert "not created" in bundle.run("start", "c1", code=1)
    assert bundle.run("exec", "-e", "X=5", "c1", "sh", "-c", "echo $X; hostname").split() == [
        "5",
        "cold",
    ]
    bundle.run("exec", "c1", "sh", "-c", "exit 9", code=9)
    assert "not stopped" in bundle.run("delete", "c1", code=1)
    assert bundle.run("list", "-q") == "c1\n"
    assert "running" in bundle.run("list").splitlines()[1]
    handle = os.pidfd_open(state["pid"])
    bundle.run("kill", "c1", "KILL")
    with open(handle, "rb") as file:
        import select

        poller = select.poll()
        poller.register(file, select.POLLIN)
        assert poller.poll(60_000)
    bundle.run("delete", "c1")
    assert "does not exist" in bundle.run("state", "c1", code=1)


def test_a_program_that_is_not_there_fails_and_leaves_nothing(bundle: Bundle) -> None:
    bundle.write("nope")
    assert 'exec: "nope": executable file not found in $PATH' in bundle.run("run", "c1", code=1)
    assert os.listdir(bundle.root) == []


def test_a_terminal_is_sent_to_the_console_socket(bundle: Bundle) -> None:
    bundle.write("tty", terminal=True)
    path = str(bundle.directory / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        assert "tty" in bundle.run("run", "c1", code=1)
        bundle.run("run", "--console-socket", path, "c1")
        peer, _ = listener.accept()
        with peer:
            _, ancillary, _, _ = peer.recvmsg(100, socket.CMSG_SPACE(4))
    numbers = array.array("i")
    numbers.frombytes(ancillary[0][2][:4])
    assert read_terminal(numbers[0]) == "/dev/pts/0\r\n"
    os.close(numbers[0])


def test_a_cold_run_loads_nothing_that_takes_long_to_make(bundle: Bundle) -> None:
    bundle.write("true")
    python = [sys.executable, "-I", "-S", "-X", "importtime", MAIN]
    command = [*python, "--root", str(bundle.root), "run", "light"]
    done = subprocess.run(
        command, cwd=bundle.directory, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "steersman.runtime.command.cold" in loaded
    assert not loaded & {"enum", "functools", "json", "re", "signal", "socket", "subprocess"}
    assert not loaded & {"ctypes", "resource", "select", "types"}
    named = {name.rpartition(".")[2] for name in loaded if name.startswith("steersman.")}
    assert not named & {"scheduling", "seccomp", "terminal"}


def test_a_second_cold_run_finds_its_modules_in_one_file(
    bundle: Bundle, tmp_path: pathlib.Path
) -> None:
    bundle.write("true")
    package = pathlib.Path(MAIN).parent.parent
    copy = tmp_path / "lib" / "steersman"
    shutil.copytree(package / "runtime", copy / "runtime", ignore=lambda *_: {"__pycache__"})
    shutil.copy(package / "__init__.py", copy)
    python = [sys.executable, "-I", "-S", "-v", str(copy / "runtime" / "__main__.py")]
    command = [*python, "--root", str(bundle.root), "run", "twice"]
    said = [
        subprocess.run(
            command, cwd=bundle.directory, capture_output=True, text=True, timeout=60, check=True
        ).stderr
        for _ in range(2)
    ]
    found = "import 'steersman.runtime.command.cold' # <steersman.runtime.image.Finder"
    assert [found in text for text in said] == [False, True]
