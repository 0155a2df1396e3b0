"""runc's flags one by one, where they change what a process gets: descriptors, root, exec."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_runtime_command import MAIN, Bundle, bundle
from test_runtime_rig import needs_root

pytestmark = needs_root
__all__ = ["bundle"]


def run(
    bundle: Bundle, *words: str, fds: Sequence[int] = (), env: dict[str, str] | None = None
) -> str:
    """Runs a command with more descriptors, from 3 on, and a changed environment."""
    command = [sys.executable, "-I", "-S", MAIN, "--root", str(bundle.root), *words]
    moved = "".join(f" {3 + index}<&{descriptor}" for index, descriptor in enumerate(fds))
    closed = "".join(f" {descriptor}<&-" for descriptor in fds if descriptor >= 3 + len(fds))
    script = f'exec "$@"{moved}{closed}'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *command], cwd=bundle.directory, text=True, timeout=60,
        capture_output=True, check=False, pass_fds=fds, env={**os.environ, **(env or {})},
    )  # fmt: skip
    assert done.returncode == 0, done
    return done.stdout


def edit(bundle: Bundle, **changes: Any) -> None:
    """Changes the process section of a bundle."""
    path = bundle.directory / "config.json"
    document = json.loads(path.read_text())
    document["process"].update(changes)
    path.write_text(json.dumps(document))


def detach(bundle: Bundle, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-I", "-S", MAIN, "--root", str(bundle.root), *words],
        cwd=bundle.directory, check=True, timeout=60, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def running(bundle: Bundle) -> Iterator[Bundle]:
    for name in ("id", "cat", "grep", "ls"):
        (bundle.directory / "rootfs/bin" / name).symlink_to("busybox")
    bundle.write("sleep", "1000")
    edit(bundle, user={"uid": 7, "gid": 8, "additionalGids": [9]}, noNewPrivileges=False)
    detach(bundle, "run", "--detach", "c1")
    yield bundle


# A trampoline takes the last step in a pid namespace of one's own, a sealed interpreter without
@pytest.mark.parametrize("own_processes", [True, False])
def test_descriptors_are_handed_on_under_their_numbers_and_no_others(
    bundle: Bundle, own_processes: bool
) -> None:
    (bundle.directory / "rootfs/bin/ls").symlink_to("busybox")
    (bundle.directory / "rootfs/bin/cat").symlink_to("busybox")
    look = "ls /proc/self/fd" if own_processes else "true"
    bundle.write("sh", "-c", f"cat <&3; cat <&4; {look}")
    if not own_processes:
        path = bundle.directory / "config.json"
        document = json.loads(path.read_text())
        kinds = document["linux"]["namespaces"]
        document["linux"]["namespaces"] = [kind for kind in kinds if kind["type"] != "pid"]
        document["mounts"] = [it for it in document["mounts"] if it["destination"] != "/proc"]
        path.write_text(json.dumps(document))
    pipes = []
    for text in (b"three ", b"four\n"):
        reader, writer = os.pipe()
        os.write(writer, text)
        os.close(writer)
        pipes.append(reader)
    said = run(bundle, "run", "--preserve-fds", "2", "c1", fds=pipes)
    for reader in pipes:
        os.close(reader)
    assert said.startswith("three four\n")
    if own_processes:
        assert said.split()[2:] == ["0", "1", "2", "3", "4", "5"]  # 5 is ls reading


def test_sockets_of_an_activation_are_handed_on_with_their_variables(bundle: Bundle) -> None:
    bundle.write("sh", "-c", 'echo "$LISTEN_FDS $LISTEN_PID $$"; echo hello >&3')
    ours, theirs = socket.socketpair()
    said = run(bundle, "run", "c1", fds=[theirs.fileno()], env={"LISTEN_FDS": "1"})
    assert said == "1 1 1\n"
    assert ours.recv(100) == b"hello\n"
    ours.close()
    theirs.close()


def test_exec_hands_descriptors_on_too(running: Bundle) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"given")
    os.close(writer)
    words = ("exec", "--preserve-fds", "1", "c1", "sh", "-c", "cat <&3")
    assert run(running, *words, fds=[reader]) == "given"
    os.close(reader)


def test_a_descriptor_that_is_not_there_cannot_be_handed_on(bundle: Bundle) -> None:
    bundle.write("true")
    said = bundle.run("run", "--preserve-fds", "2", "c1", code=1)
    assert "unable to preserve descriptor 3 (of 2): Bad file descriptor" in said
    assert not bundle.root.exists() or os.listdir(bundle.root) == []


def test_a_root_that_is_not_pivoted_into_shows_nothing_of_the_host(bundle: Bundle) -> None:
    for name in ("ls", "grep", "cat"):
        (bundle.directory / "rootfs/bin" / name).symlink_to("busybox")
    bundle.write("sh", "-c", "ls -a /; grep -c . /proc/self/mountinfo; ls /..; echo $$")
    words = bundle.run("run", "--no-pivot", "c1").split()
    assert set(words[:6]) == {".", "..", "bin", "dev", "proc", "sys"}
    assert words[-5:] == ["bin", "dev", "proc", "sys", "1"]
    assert os.listdir(bundle.root) == []


def test_exec_adds_groups_and_keeps_the_user(running: Bundle) -> None:
    look = ("c1", "grep", "-E", "Uid|Gid|Groups", "/proc/self/status")
    lines = running.run("exec", "--additional-gids", "20", "-g", "21", *look).splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["7", "8"]
    assert lines[2].split() == ["Groups:", "9", "20", "21"]
    lines = running.run("exec", "-u", "1:2", "-g", "3", *look).splitlines()
    assert [line.split()[1] for line in lines] == ["1", "2", "3"]


def test_exec_adds_to_the_environment_and_keeps_the_group(running: Bundle) -> None:
    words = ("exec", "--env", "MORE=1", "--user", "6", "c1", "sh", "-c")
    assert running.run(*words, "echo $MORE $PATH; id -u; id -g").split() == ["1", "/bin", "6", "8"]
    assert running.run("exec", "--env", "PATH=/x", "c1", "/bin/sh", "-c", "echo $PATH") == "/x\n"
    assert "'web' is not UID[:GID]" in running.run("exec", "--user", "web", "c1", "id", code=255)


def test_exec_adds_capabilities_that_its_program_does_not_hand_on(running: Bundle) -> None:
    words = ("exec", "--user", "0", "--cap", "CAP_CHOWN", "-c", "CAP_KILL", "c1")
    lines = running.run(*words, "grep", "Cap", "/proc/self/status").splitlines()
    sets = {line.split()[0]: int(line.split()[1], 16) for line in lines}
    both = 1 << 0 | 1 << 5
    assert sets == {"CapInh:": 0, "CapPrm:": both, "CapEff:": both, "CapBnd:": both, "CapAmb:": 0}


def test_exec_may_give_up_new_privileges(running: Bundle) -> None:
    look = ("c1", "grep", "NoNewPrivs", "/proc/self/status")
    assert running.run("exec", *look).split()[1] == "0"
    assert running.run("exec", "--no-new-privs", *look).split()[1] == "1"


def test_exec_may_enter_a_control_group_below_the_containers(running: Bundle) -> None:
    said = running.run("exec", "--cgroup", "below", "c1", "true", code=255)
    assert "below" in said
    assert "No such file" in said
    made = list(Path("/sys/fs/cgroup").glob(f"*/steer-test-cold-{os.getpid()}/c"))
    assert made
    for group in made:
        (group / "below").mkdir()
    detach(running, "exec", "--detach", "--cgroup", "below", "c1", "sleep", "1000")
    for group in made:
        assert len((group / "below" / "cgroup.procs").read_text().split()) == 1, group


def test_exec_may_wait_in_a_paused_container(running: Bundle) -> None:
    running.run("pause", "c1")
    assert "cannot exec in a paused container" in running.run("exec", "c1", "true", code=255)
    command = [sys.executable, "-I", "-S", MAIN, "--root", str(running.root)]
    waiting = subprocess.Popen([*command, "exec", "--ignore-paused", "c1", "true"])
    running.run("resume", "c1")
    assert waiting.wait(60) == 0


def test_exec_runs_on_the_processors_that_the_document_names(running: Bundle) -> None:
    first = min(os.sched_getaffinity(0))
    process = {"args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "cwd": "/"}
    path = running.directory / "process.json"
    for affinity in ({"initial": str(first)}, {"final": str(first)}):
        path.write_text(json.dumps({**process, "execCPUAffinity": affinity}))
        said = running.run("exec", "--process", str(path), "c1")
        assert said.split()[1] == str(first)
    path.write_text(json.dumps({**process, "execCPUAffinity": {"initial": "x"}}))
    assert "not a list of processors" in running.run("exec", "--process", str(path), "c1", code=255)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"apparmorProfile": "p"}, "apparmor: config provided but apparmor not supported"),
        ({"selinuxLabel": "l"}, "selinux label is specified in config, but selinux is disabled"),
    ],
)
@pytest.mark.skipif(
    os.path.exists("/sys/module/apparmor/parameters/enabled") or os.path.exists("/sys/fs/selinux"),
    reason="this kernel has a security module",
)
def test_a_label_that_the_kernel_does_not_have_is_refused(
    bundle: Bundle, changes: dict[str, str], reason: str
) -> None:
    bundle.write("true")
    edit(bundle, **changes)
    assert reason in bundle.run("run", "c1", code=1)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("rprivate", ""),
        ("rslave", ""),
        ("rshared", "shared:"),
        ("runbindable", "unbindable"),
    ],
)
def test_the_root_propagates_as_the_document_says(bundle: Bundle, word: str, shown: str) -> None:
    (bundle.directory / "rootfs/bin/grep").symlink_to("busybox")
    bundle.write("grep", " / ro,", "/proc/self/mountinfo")
    path = bundle.directory / "config.json"
    document = json.loads(path.read_text())
    document["linux"]["rootfsPropagation"] = word
    path.write_text(json.dumps(document))
    line = bundle.run("run", "c1")
    assert shown in line
    assert ("shared:" in line) == (word == "rshared")


@pytest.mark.parametrize("verb", ["checkpoint", "restore"])
def test_a_verb_of_runc_that_there_is_not_is_refused_by_name(bundle: Bundle, verb: str) -> None:
    assert f"{verb} is not supported" in bundle.run(verb, "c1", code=1)


@pytest.mark.parametrize("section", ["intelRdt", "memoryPolicy", "netDevices", "mountLabel"])
def test_a_section_that_there_is_not_is_refused_by_name(bundle: Bundle, section: str) -> None:
    bundle.write("true")
    path = bundle.directory / "config.json"
    document = json.loads(path.read_text())
    document["linux"][section] = {"x": {}}
    path.write_text(json.dumps(document))
    assert f"linux.{section} is not supported" in bundle.run("run", "c1", code=1)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("create", "c1", "c2"), '"create" requires exactly 1 argument(s)'),
        (("create",), '"create" requires exactly 1 argument(s)'),
        (("kill", "c1", "TERM", "all"), '"kill" requires a maximum of 2 argument(s)'),
        (("ps",), '"ps" requires a minimum of 1 argument(s)'),
        (("list", "c1"), '"list" requires exactly 0 argument(s)'),
        (("list", "-f", "xml"), "invalid format option"),
        (("--log-format", "xml", "list"), "invalid log-format: xml"),
        (("create", "--pid-file", "/nope/pid", "c1"), "/nope/pid: No such file or directory"),
        (("run", "--console-socket", "/nope", "-d", "c1"), "cannot use console socket if runc"),
    ],
)
def test_a_command_line_that_makes_no_sense_leaves_nothing(
    bundle: Bundle, words: tuple[str, ...], reason: str
) -> None:
    bundle.write("sleep", "1000")
    assert reason in bundle.run(*words, code=1)
    assert bundle.run("list", "-q") == ""


def test_exec_that_fails_is_told_from_its_program(running: Bundle) -> None:
    assert "does not exist" in running.run("exec", "none", "true", code=255)
    assert "executable file not found" in running.run("exec", "c1", "nope", code=255)
    assert "without setting console socket" in running.run("exec", "-t", "c1", "id", code=255)
    running.run("exec", "c1", "sh", "-c", "exit 1", code=1)
