"""Other people's tools on our runtime: containerd with its shim for runc, and buildah; and the
bundle that the verb `spec` writes."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from test_runtime_command import MAIN
from test_runtime_podman import CONTAINERFILE, need
from test_runtime_rig import BUSYBOX, needs_root

pytestmark = needs_root
SECONDS = 60
NAMESPACE = f"steer-test-{os.getpid()}"  # by which groups are called too
CONFIGURATION = """version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{0}/c.sock"
[ttrpc]
  address = "{0}/t.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{0}/opt"
"""


def write_launcher(directory: pathlib.Path) -> pathlib.Path:
    """Makes the command line a program of its own; not `-S` alone keeps the checkout out."""
    launcher = directory / "steer-runtime"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {MAIN} "$@"\n')
    launcher.chmod(0o755)
    return launcher


def make_root(directory: pathlib.Path) -> pathlib.Path:
    """A root file system of busybox."""
    root = directory / "rootfs"
    for name in ("bin", "proc", "dev", "sys", "run", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    return root


# containerd


class Containerd:
    """A containerd of our own, driven by ctr, with our runtime in the place of runc."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self._runtime = write_launcher(directory)
        self._root = make_root(directory)
        file = directory / "config.toml"
        file.write_text(CONFIGURATION.format(directory))
        log = (directory / "log").open("w")
        self._process = subprocess.Popen(["containerd", "-c", str(file)], stdout=log, stderr=log)
        log.close()
        self("version", within=SECONDS)

    def command(self, *words: str) -> list[str]:
        address = f"{self.directory}/c.sock"
        flags = ["--connect-timeout", "30s", "--address", address, "--namespace", NAMESPACE]
        return ["ctr", *flags, *words]

    def __call__(self, *words: str, code: int = 0, within: float = SECONDS) -> str:
        """Runs ctr; gives what it wrote."""
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=within, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, (done, (self.directory / "log").read_text()[-2000:])
        return done.stdout + done.stderr

    def run(self, name: str, *words: str, flags: tuple[str, ...] = ()) -> list[str]:
        """The words that run a container."""
        runtime = ("--runc-binary", str(self._runtime), "--runc-root", f"{self.directory}/runc")
        return ["run", *flags, *runtime, "--rootfs", str(self._root), name, *words]

    def stop(self) -> None:
        """Ends it; shims end with their containers."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(SECONDS) == 0


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    need("containerd")
    need("ctr")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="steer-ctr-"))  # a socket's path is short
    made = Containerd(directory)
    try:
        yield made
        assert made("containers", "ls", "-q") == ""
        left = directory / "runc" / NAMESPACE
        assert not left.exists() or os.listdir(left) == []
    finally:
        made.stop()
        for parent in pathlib.Path("/sys/fs/cgroup").glob(f"*/{NAMESPACE}"):
            parent.rmdir()
        shutil.rmtree(directory)


def test_containerd_runs_a_container_and_takes_its_exit_code(containerd: Containerd) -> None:
    words = containerd.run(
        "once", "/bin/sh", "-c", "echo $0 $A; exit 7", flags=("--rm", "--env", "A=b")
    )
    assert containerd(*words, code=7) == "/bin/sh b\n"
    words = containerd.run("none", "/nope", flags=("--rm",))
    said = containerd(*words, code=1)
    assert 'exec: "/nope": stat /nope: no such file or directory' in said
    script = "busybox grep -c ^Seccomp:.2 /proc/self/status"
    words = containerd.run("filter", "/bin/sh", "-c", script, flags=("--rm", "--seccomp"))
    assert containerd(*words) == "1\n"


def test_containerd_gives_a_terminal(containerd: Containerd) -> None:
    ours, theirs = pty.openpty()
    words = containerd.run("tty", "/bin/sh", "-c", "busybox tty; exit 5", flags=("--rm", "-t"))
    with subprocess.Popen(
        containerd.command(*words), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        try:
            assert process.wait(SECONDS) == 5
        finally:
            process.kill()
    said = b""
    with contextlib.suppress(OSError):  # EIO: nobody has it open any more
        while piece := os.read(ours, 4096):
            said += piece
    os.close(ours)
    assert b"/dev/pts/0" in said or b"/dev/console" in said


def test_containerd_enters_pauses_measures_and_kills(containerd: Containerd) -> None:
    flags = ("-d", "--memory-limit", "50003968")
    containerd(*containerd.run("long", "/bin/busybox", "sleep", "1000", flags=flags))
    inside = ("tasks", "exec", "--exec-id", "e", "long", "/bin/sh", "-c", "echo in; exit 4")
    assert containerd(*inside, code=4).startswith("in\n")
    containerd("tasks", "pause", "long")
    assert "PAUSED" in containerd("tasks", "ls")
    containerd("tasks", "resume", "long")
    assert "RUNNING" in containerd("tasks", "ls")
    assert "50003968" in containerd("tasks", "metrics", "long")
    assert len(containerd("tasks", "ps", "long").splitlines()) == 2
    containerd("tasks", "rm", "--force", "long", code=0)
    containerd("containers", "rm", "long")


# buildah


class Buildah:
    """buildah with storage of its own and our runtime."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self._runtime = write_launcher(directory)

    def __call__(self, *words: str, code: int = 0) -> str:
        """Runs a command; gives what it wrote, standard error in failure."""
        flags = [
            "--root",
            str(self.directory / "storage"),
            "--runroot",
            str(self.directory / "run"),
        ]
        done = subprocess.run(
            ["buildah", *flags, "--storage-driver", "vfs", *words],
            capture_output=True, text=True, timeout=2 * SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, done
        return done.stderr if code else done.stdout

    def isolated(self) -> tuple[str, ...]:
        return ("--runtime", str(self._runtime), "--isolation", "oci", "--network", "none")


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    need("buildah")
    made = Buildah(tmp_path_factory.mktemp("buildah"))
    yield made
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    for line in reversed([it for it in mounts if str(made.directory) in it]):
        # buildah keeps its storage mounted by itself as long as the machine runs
        subprocess.run(["umount", line.split()[1]], check=True)


def test_buildah_builds_and_runs_by_our_runtime(buildah: Buildah) -> None:
    context = buildah.directory / "context"
    context.mkdir()
    shutil.copy(BUSYBOX, context / "busybox")
    steps = "RUN /bin/busybox echo made > /made\n"
    steps += "RUN --mount=type=cache,target=/cache /bin/busybox touch /cache/x\n"
    steps += "USER 5\nRUN /bin/busybox id -u\n"
    (context / "Containerfile").write_text(CONTAINERFILE + steps)
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
    said = buildah("bud", *buildah.isolated(), *limits, "-t", "made", str(context))
    assert "\n5\n" in said
    name = buildah("from", "made").strip()

    def run(*words: str, flags: tuple[str, ...] = (), code: int = 0) -> str:
        return buildah("run", *buildah.isolated(), *flags, name, *words, code=code)

    assert run("/bin/busybox", "cat", "/made") == "made\n"
    run("/bin/sh", "-c", "exit 9", code=9)
    flags = ("--user", "7", "--cap-drop", "all")
    script = "/bin/busybox id -u; /bin/busybox grep CapEff /proc/self/status"
    assert run("/bin/sh", "-c", script, flags=flags).split() == ["7", "CapEff:", "0" * 16]
    assert "no such file or directory" in run("/nope", code=1)
    buildah("rm", name)
    buildah("rmi", "--all")


# The verb `spec`


def steer(*words: str, cwd: pathlib.Path, code: int = 0, **more: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", MAIN, "--root", str(cwd / "state"), *words], cwd=cwd,
        capture_output=True, text=True, timeout=SECONDS, check=False, **more,
    )  # fmt: skip
    assert done.returncode == code, done
    return done.stderr if code else done.stdout


@pytest.mark.parametrize("flags", [(), ("--rootless",)])
def test_a_bundle_begins_as_with_runc(tmp_path: pathlib.Path, flags: tuple[str, ...]) -> None:
    need("runc")
    subprocess.run(["runc", "spec", *flags], cwd=tmp_path, check=True)
    file = tmp_path / "config.json"
    theirs = json.loads(file.read_text())
    file.unlink()
    steer("spec", *flags, cwd=tmp_path)
    assert file.read_text().startswith('{\n\t"ociVersion": "1.2.1"')
    ours = json.loads(file.read_text())
    for document in (ours, theirs):
        document.pop("ociVersion")
        # Which runc gave up in 1.2: without inheritable ones there can be none
        document["process"]["capabilities"].pop("ambient", None)
    assert ours == theirs
    said = steer("spec", cwd=tmp_path, code=1)
    assert said == "steer-runtime: File config.json exists. Remove it first\n"


def test_a_bundle_that_was_begun_starts_as_it_is(tmp_path: pathlib.Path) -> None:
    bundle = tmp_path / "bundle"
    make_root(bundle)
    steer("spec", "--bundle", str(bundle), cwd=tmp_path)
    file = bundle / "config.json"
    file.write_text(file.read_text().replace('"terminal": true', '"terminal": false'))
    said = steer("run", "--bundle", str(bundle), "s", cwd=tmp_path, code=3, input="exit 3\n")
    assert said == ""
