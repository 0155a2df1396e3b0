"""What callers of the command line rely on: files with ids, signals, lists, what exec changes."""

from __future__ import annotations

import array
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
from test_runtime_command import MAIN, Bundle, bundle
from test_runtime_control import detach, running, status
from test_runtime_rig import needs_root, read_terminal

__all__ = ["bundle", "running"]
pytestmark = needs_root


def change(bundle: Bundle, section: str, **fields: Any) -> None:
    """Changes a section of a bundle's document."""
    path = bundle.directory / "config.json"
    document = json.loads(path.read_text())
    document[section].update(fields)
    path.write_text(json.dumps(document))


def applets(bundle: Bundle, *names: str) -> None:
    """Puts further programs of busybox into the image."""
    for name in names:
        (bundle.directory / "rootfs/bin" / name).symlink_to("busybox")


def popen(bundle: Bundle, *words: str) -> subprocess.Popen[bytes]:
    """Starts a command that goes on."""
    command = [sys.executable, "-I", "-S", MAIN, "--root", str(bundle.root), *words]
    return subprocess.Popen(command, cwd=bundle.directory, stdout=subprocess.PIPE)


def await_end(pid: int) -> None:
    with open(os.pidfd_open(pid), "rb") as handle:
        assert select.select([handle], [], [], 60)[0]


def test_a_container_that_has_ended_has_no_process(running: Bundle) -> None:
    _, pid = status(running)
    os.kill(pid, signal.SIGKILL)
    await_end(pid)
    assert status(running) == ("stopped", 0)
    assert "container not running" in running.run("kill", "c1", "KILL", code=1)
    assert "container c1 is stopped" in running.run("ps", "c1", code=1)


def test_containers_are_listed_by_name(bundle: Bundle) -> None:
    bundle.write("true")
    assert bundle.run("list", "--quiet") == ""
    for name in ("b", "a"):
        bundle.run("run", "--keep", name)
    assert bundle.run("list", "--quiet") == "a\nb\n"
    header, *rows = bundle.run("list").splitlines()
    assert header.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    listed = json.loads(bundle.run("list", "-f", "json"))
    assert [row.split() for row in rows] == [
        [name, "0", "stopped", str(bundle.directory), entry["created"], "root"]
        for name, entry in zip("ab", listed, strict=True)
    ]
    assert "process" not in listed[0]  # its environment is nobody's business
    assert [(entry["id"], entry["status"]) for entry in listed] == [
        (name, "stopped") for name in "ab"
    ]


def test_to_remove_by_force_what_is_not_there_is_fine(running: Bundle) -> None:
    running.run("delete", "--force", "other")
    assert "does not exist" in running.run("delete", "other", code=1)
    running.run("delete", "--force", "c1")
    assert running.run("list", "--quiet") == ""


def test_a_signal_reaches_the_first_process_or_all(bundle: Bundle) -> None:
    bundle.write("sh", "-c", "trap : USR1; sleep 1000; sleep 1000")
    detach(bundle, "run", "--detach", "c1")
    first = status(bundle)[1]
    (sleeping,) = set(json.loads(bundle.run("ps", "--format", "json", "c1"))) - {first}
    with open(os.pidfd_open(sleeping), "rb") as handle:
        bundle.run("kill", "c1", "USR1")
        assert not select.select([handle], [], [], 0)[0]
        bundle.run("kill", "--all", "c1", "USR1")
        assert select.select([handle], [], [], 60)[0]
    assert status(bundle) == ("running", first)


def test_who_waits_for_a_container_hands_signals_on(bundle: Bundle) -> None:
    bundle.write("sh", "-c", "trap 'exit 5' TERM; echo ready; sleep 1000 & wait")
    pid_file = bundle.directory / "pid"
    with popen(bundle, "run", "--pid-file", str(pid_file), "c1") as command:
        assert command.stdout is not None and command.stdout.readline() == b"ready\n"
        assert int(pid_file.read_text()) == status(bundle)[1]
        while not catches(command.pid, signal.SIGTERM):
            os.sched_yield()
        command.terminate()
        assert command.wait(60) == 5
    assert os.listdir(bundle.root) == []


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    (mask,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(mask & 1 << number - 1)


def test_what_cannot_start_detached_is_removed(bundle: Bundle) -> None:
    bundle.write("sleep", "1000")
    nowhere = str(bundle.directory / "not" / "there")
    said = bundle.run("run", "--detach", "--pid-file", nowhere, "c1", code=1)
    assert f"{nowhere}: No such file or directory" in said
    assert os.listdir(bundle.root) == []


def test_what_a_container_uses_is_told_until_it_ends(running: Bundle) -> None:
    assert "--interval: '0' is not a number of seconds" in running.run(
        "events", "--interval", "0s", "c1", code=1
    )
    with popen(running, "events", "--interval", "1s", "c1") as command:
        assert command.stdout is not None
        event = json.loads(command.stdout.readline())
        assert (event["type"], event["id"], event["data"]["pids"]["current"]) == ("stats", "c1", 1)
        running.run("kill", "c1", "KILL")
        assert command.wait(60) == 0


def test_what_a_process_calls_itself_does_nothing_to_a_terminal(running: Bundle) -> None:
    detach(running, "exec", "--detach", "c1", "sh", "-c", "sleep 500; : \x1b[2J")
    assert any("sh -c sleep 500; : ?[2J" in line for line in running.run("ps", "c1").splitlines())


def test_exec_works_elsewhere_and_as_somebody_else(running: Bundle) -> None:
    applets(running, "id", "pwd", "cat")
    pid_file = running.directory / "exec-pid"
    words = ("--cwd", "/bin", "--user", "7:8", "--pid-file", str(pid_file))
    script = "pwd; id -u; id -g; cat /proc/self/oom_score_adj"
    assert running.run("exec", *words, "c1", "sh", "-c", script).split() == ["/bin", "7", "8", "0"]
    assert int(pid_file.read_text()) > 1
    section = running.directory / "process.json"
    asked = {"args": ["cat", "/proc/self/oom_score_adj"], "cwd": "/", "oomScoreAdj": 321}
    section.write_text(json.dumps({**asked, "env": ["PATH=/bin"]}))
    assert running.run("exec", "--process", str(section), "c1") == "321\n"


def test_what_is_asked_of_a_container_is_so_in_it(bundle: Bundle) -> None:
    applets(bundle, "cat", "grep", "stat", "ls", "wc", "pwd")
    shown = "cat /proc/self/oom_score_adj; stat -c '%a %u %g %t:%T' /dev/below/own; pwd; umask"
    shown += "; stat -c '%a %u' /new /dev/null; ls /plain/pts | wc -l; ls /whole/pts | wc -l"
    bundle.write("sh", "-c", f"{shown}; grep ' /small ' /proc/self/mounts")
    device = {"path": "/dev/below/own", "type": "c", "major": 1, "minor": 3}
    devices = [{**device, "fileMode": 0o622, "uid": 7, "gid": 8}]
    change(bundle, "linux", devices=devices)
    change(bundle, "root", readonly=False)
    change(bundle, "process", oomScoreAdj=123, cwd="/new")
    path = bundle.directory / "config.json"
    document = json.loads(path.read_text())
    document["mounts"] += [
        {"destination": "/plain", "source": "/dev", "options": ["bind", "ro"]},
        {"destination": "/whole", "source": "/dev", "options": ["rbind", "ro"]},
        {"destination": "/small", "source": "here", "type": "tmpfs", "options": ["size=64k"]},
    ]
    path.write_text(json.dumps(document))
    *lines, small = bundle.run("run", "c1").splitlines()
    assert lines[:4] == ["123", "622 7 8 1:3", "/new", "0022"]
    assert lines[4:7] == ["755 0", "666 0", "0"]
    assert int(lines[7]) > 0, "what is mounted below is shown too"
    assert small.startswith("here /small tmpfs ") and "size=64k" in small


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_terminal_has_its_size_and_belongs_to_its_user(bundle: Bundle, verb: str) -> None:
    applets(bundle, "stat", "stty", "sort")
    script = "stty size; stat -c %u $(tty); echo there > /dev/tty"
    asked = {"user": {"uid": 7, "gid": 8}, "consoleSize": {"width": 100, "height": 30}}
    bundle.write("sh", "-c", script, terminal=True)
    change(bundle, "process", **asked)
    words = ["run", "c1"]
    if verb == "exec":
        section = json.loads((bundle.directory / "config.json").read_text())["process"]
        (bundle.directory / "process.json").write_text(json.dumps(section))
        bundle.write("sleep", "1000")
        detach(bundle, "run", "--detach", "c1")
        words = ["exec", "--process", str(bundle.directory / "process.json"), "c1"]
    path = str(bundle.directory / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        bundle.run(words[0], "--console-socket", path, *words[1:])
        peer, _ = listener.accept()
        with peer:
            _, ancillary, _, _ = peer.recvmsg(100, socket.CMSG_SPACE(4))
    numbers = array.array("i")
    numbers.frombytes(ancillary[0][2][:4])
    assert read_terminal(numbers[0]).split() == ["30", "100", "7", "there"]
    os.close(numbers[0])
