"""Hooks on the command line: when each kind runs, where, what it is told, what its failure does."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from test_runtime_command import MAIN, Bundle, bundle
from test_runtime_rig import needs_root

pytestmark = needs_root
__all__ = ["bundle"]

RUNTIME = ("prestart", "createRuntime", "poststart", "poststop")
CONTAINER = ("createContainer", "startContainer")


def hook(script: str, **fields: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **fields}


@pytest.fixture
def write(bundle: Bundle) -> Callable[..., None]:
    """Writes a bundle with hooks and a root that can be written to."""

    def edit(*args: str, hooks: dict[str, Any], users: bool = False) -> None:
        bundle.write(*args)
        path = bundle.directory / "config.json"
        document = json.loads(path.read_text())
        document["root"]["readonly"] = False
        document["annotations"] = {"a": "b"}
        document["hooks"] = hooks
        if users:
            maps = [{"containerID": 0, "hostID": 0, "size": 1000}]
            document["linux"].update(uidMappings=maps, gidMappings=maps)
            document["linux"]["namespaces"].append({"type": "user"})
        path.write_text(json.dumps(document))

    return edit


def create(bundle: Bundle, code: int = 0) -> str:
    """Creates c1, whose streams are nobody's; gives what was said of a failure."""
    command = [sys.executable, "-I", "-S", MAIN, "--root", str(bundle.root), "create"]
    command += ["--bundle", str(bundle.directory), "c1"]
    log = bundle.directory / "said"
    with open(log, "w") as file:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=file, timeout=60, check=False)  # fmt: skip
    assert done.returncode == code, log.read_text()
    return log.read_text()


@pytest.mark.parametrize("users", [False, True], ids=["", "in a user namespace"])
def test_each_kind_runs_at_its_time_and_is_told_the_state(
    bundle: Bundle, write: Callable[..., None], users: bool
) -> None:
    seen = bundle.directory / "seen"
    outside = {kind: [hook(f"(cat; echo) >> {seen}; echo {kind} >> {seen}")] for kind in RUNTIME}
    inside = hook(f"(cat; echo) >> {seen}; echo createContainer >> {seen}")
    within = hook("(cat; echo) >> /seen; echo startContainer >> /seen; echo $PPID >> /seen")
    hooks = {**outside, "createContainer": [inside], "startContainer": [within]}
    (bundle.directory / "rootfs/bin/cat").symlink_to("busybox")
    write("sleep", "1000", hooks=hooks, users=users)
    create(bundle)
    lines = seen.read_text().splitlines()
    assert lines[1::2] == ["prestart", "createRuntime", "createContainer"]
    told = [json.loads(line) for line in lines[::2]]
    pid = json.loads(bundle.run("state", "c1"))["pid"]
    expected = {
        "ociVersion": "1.0.2", "id": "c1", "status": "creating", "pid": pid,
        "bundle": str(bundle.directory), "annotations": {"a": "b"},
    }  # fmt: skip
    assert told == [expected, expected, {**expected, "pid": 1}]
    assert not (bundle.directory / "rootfs/seen").exists()
    bundle.run("start", "c1")
    within_lines = (bundle.directory / "rootfs/seen").read_text().splitlines()
    assert json.loads(within_lines[0]) == {**expected, "status": "created", "pid": 1}
    assert within_lines[1:] == ["startContainer", "1"]
    lines = seen.read_text().splitlines()
    assert (json.loads(lines[6]), lines[7]) == ({**expected, "status": "running"}, "poststart")
    bundle.run("delete", "--force", "c1")
    lines = seen.read_text().splitlines()
    assert (json.loads(lines[8]), lines[9]) == (
        {**expected, "status": "stopped", "pid": 0},
        "poststop",
    )


def test_hooks_run_in_the_namespaces_that_are_theirs(
    bundle: Bundle, write: Callable[..., None]
) -> None:
    (bundle.directory / "rootfs/bin/readlink").symlink_to("busybox")
    seen = bundle.directory / "seen"
    look = "(readlink /proc/self/ns/mnt; readlink /proc/self/ns/net)"
    there = f"readlink /proc/self/ns/net >> {seen}; ls -d rootfs bin >> {seen} 2>/dev/null; true"
    hooks = {
        "createRuntime": [hook(f"{there}; pwd >> {seen}")],
        "createContainer": [hook(there)],
        "startContainer": [hook(f"{look} > /seen; pwd >> /seen")],
    }
    write("true", hooks=hooks)
    bundle.run("run", "c1")
    here = os.readlink("/proc/self/ns/net")
    first, *rest = seen.read_text().splitlines()
    assert (first, rest[:2]) == (here, ["rootfs", str(bundle.directory)])
    assert rest[2] != here
    assert rest[3] == "bin"  # the container's root, before it is entered
    mounts, network, place = (bundle.directory / "rootfs/seen").read_text().splitlines()
    assert mounts != os.readlink("/proc/self/ns/mnt")
    assert (network, place) == (rest[2], "/")


def test_a_hook_has_the_environment_and_arguments_that_it_is_given_and_nothing_else(
    bundle: Bundle, write: Callable[..., None]
) -> None:
    seen = bundle.directory / "seen"
    script = f'env > {seen}; echo "$0 $1" >> {seen}; ls /proc/self/fd >> {seen}'
    path = {"path": "/bin/sh", "args": ["name", "-c", script, "zero", "one"]}
    write("true", hooks={"createRuntime": [{**path, "env": ["X=1", "Y=2"]}]})
    bundle.run("run", "c1")
    lines = seen.read_text().splitlines()
    assert {"X=1", "Y=2"} <= set(lines)
    assert not any(line.startswith(("HOME=", "PATH=", "USER=", "LANG=")) for line in lines)
    assert "zero one" in lines
    assert lines[lines.index("zero one") + 1 :] == ["0", "1", "2", "3"]  # 3 is ls reading


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_hook_that_fails_while_a_container_is_made_leaves_nothing_of_it(
    bundle: Bundle, write: Callable[..., None], kind: str
) -> None:
    seen = bundle.directory / "seen"
    failing = hook("echo out; echo bad >&2; exit 3")
    hooks = {
        kind: [hook(f"echo first >> {seen}"), failing, hook(f"echo third >> {seen}")],
        "poststop": [hook(f"echo poststop >> {seen}")],
    }
    write("true", hooks=hooks)
    said = create(bundle, code=1)
    reason = "error running hook: exit status 3, stdout: out\n, stderr: bad\n"
    assert f"error running {kind} hook #1: {reason}" in said
    assert seen.read_text().split() == ["first", "poststop"]
    assert os.listdir(bundle.root) == []


def test_a_hook_that_fails_before_the_program_keeps_it_from_running(
    bundle: Bundle, write: Callable[..., None]
) -> None:
    (bundle.directory / "rootfs/bin/touch").symlink_to("busybox")
    write("touch", "/ran", hooks={"startContainer": [hook("exit 1")]})
    assert "error running startContainer hook #0" in bundle.run("run", "c1", code=1)
    create(bundle)
    assert "error running startContainer hook #0" in bundle.run("start", "c1", code=1)
    assert not (bundle.directory / "rootfs/ran").exists()
    assert json.loads(bundle.run("state", "c1"))["status"] == "stopped"


def test_a_hook_that_fails_after_the_start_ends_the_container(
    bundle: Bundle, write: Callable[..., None]
) -> None:
    write("sleep", "1000", hooks={"poststart": [hook("exit 1")]})
    create(bundle)
    assert "error running poststart hook #0" in bundle.run("start", "c1", code=1)
    assert json.loads(bundle.run("state", "c1"))["status"] == "stopped"


def test_a_hook_that_fails_after_the_end_is_told_of_and_stops_nothing(
    bundle: Bundle, write: Callable[..., None]
) -> None:
    seen = bundle.directory / "seen"
    write("true", hooks={"poststop": [hook("exit 1"), hook(f"echo never > {seen}")]})
    create(bundle)
    command = [sys.executable, "-I", "-S", MAIN, "--root", str(bundle.root), "delete", "c1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "warning: error running poststop hook #0" in done.stderr) == (0, True)
    assert os.listdir(bundle.root) == []


def test_a_hook_that_hangs_is_ended_at_its_timeout_and_what_it_leaves_is_not_waited_for(
    bundle: Bundle, write: Callable[..., None]
) -> None:
    write("true", hooks={"createRuntime": [hook("exec sleep 1000", timeout=1)]})
    assert "hook ran past specified timeout of 1.0s" in create(bundle, code=1)
    assert os.listdir(bundle.root) == []
    pid = bundle.directory / "left"
    write("true", hooks={"createRuntime": [hook(f"sleep 1000 & echo $! > {pid}", timeout=30)]})
    bundle.run("run", "c1")
    os.kill(int(pid.read_text()), 9)


def test_a_container_in_the_making_ends_with_the_command_that_makes_it(
    bundle: Bundle, write: Callable[..., None]
) -> None:
    begun = bundle.directory / "begun"
    os.mkfifo(begun)
    write("true", hooks={"createContainer": [hook(f"cat > {begun}; sleep 1000")]})
    command = [sys.executable, "-I", "-S", MAIN, "--root", str(bundle.root), "run", "c1"]
    with subprocess.Popen(command, cwd=bundle.directory, stdin=subprocess.DEVNULL) as running:
        try:
            begun.read_text()
            (first,) = children(running.pid)
            handle = os.pidfd_open(first)
        finally:
            running.kill()
    try:
        assert select.select([handle], [], [], 60)[0], "it goes on without whoever made it"
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
    # What nobody was left to remove
    shutil.rmtree(bundle.root)
    for name in ("c", ""):
        for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/steer-test-cold-{os.getpid()}/{name}"):
            path.rmdir()


def children(pid: int) -> list[int]:
    """The children of a process."""
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"path": "/nowhere/hook"}, "fork/exec /nowhere/hook: No such file or directory"),
        ({"path": "relative"}, "path 'relative' is not absolute"),
        ({"path": "/bin/true", "timeout": 0}, "timeout of /bin/true is not above 0"),
        ({"path": "/bin/true", "env": ["X"]}, "'X' is not NAME=value"),
    ],
)
def test_a_hook_that_cannot_be_run_is_told(
    bundle: Bundle, write: Callable[..., None], entry: dict[str, Any], reason: str
) -> None:
    write("true", hooks={"createRuntime": [entry]})
    assert reason in create(bundle, code=1)
    assert not bundle.root.exists() or os.listdir(bundle.root) == []


def test_a_hook_inside_is_confined_as_the_program_is(
    bundle: Bundle, write: Callable[..., None]
) -> None:
    (bundle.directory / "rootfs/bin/mkdir").symlink_to("busybox")
    write("true", hooks={"startContainer": [hook("mkdir /made || echo no > /seen; exit 0")]})
    path = bundle.directory / "config.json"
    document = json.loads(path.read_text())
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    document["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    path.write_text(json.dumps(document))
    bundle.run("run", "c1")
    root = pathlib.Path(bundle.directory, "rootfs")
    assert (root / "seen").read_text() == "no\n"
    assert not (root / "made").exists()
