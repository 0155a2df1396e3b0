"""What the command line does with a container that runs: pause, resume, update, ps, events."""

from __future__ import annotations

import json
import os
import pathlib
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest
from test_runtime_command import MAIN, Bundle, bundle
from test_runtime_rig import needs_root

__all__ = ["bundle"]
pytestmark = needs_root


def detach(bundle: Bundle, *words: str) -> None:
    """Runs a command whose process lives on: it holds no pipe of this test."""
    subprocess.run(
        [sys.executable, "-I", "-S", MAIN, "--root", str(bundle.root), *words],
        cwd=bundle.directory, check=True, timeout=60, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def status(bundle: Bundle) -> tuple[str, int]:
    """Status and process id as `state` gives them."""
    state = json.loads(bundle.run("state", "c1"))
    return state["status"], state["pid"]


@pytest.fixture
def running(bundle: Bundle) -> Iterator[Bundle]:
    bundle.write("sleep", "1000")
    detach(bundle, "run", "--detach", "c1")
    yield bundle


def test_a_paused_container_stands_still_until_it_is_resumed(running: Bundle) -> None:
    running.run("pause", "c1")
    assert status(running)[0] == "paused"
    assert "paused" in running.run("list").splitlines()[1]
    assert "cannot exec in a paused container" in running.run("exec", "c1", "true", code=255)
    assert "container c1 is paused" in running.run("pause", "c1", code=1)
    running.run("resume", "c1")
    assert status(running)[0] == "running"
    assert "container c1 is running" in running.run("resume", "c1", code=1)
    running.run("exec", "c1", "true")


def test_a_paused_container_can_be_killed_and_removed(running: Bundle) -> None:
    running.run("pause", "c1")
    assert "not stopped: paused" in running.run("delete", "c1", code=1)
    handle = os.pidfd_open(status(running)[1])
    running.run("kill", "c1", "KILL")
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    assert poller.poll(60_000)
    os.close(handle)
    running.run("delete", "c1")
    assert "does not exist" in running.run("state", "c1", code=1)


def test_limits_change_while_a_container_runs(running: Bundle, tmp_path: pathlib.Path) -> None:
    running.run("update", "--memory", "40m", "--pids-limit", "30", "--cpu-shares", "512", "c1")
    data = json.loads(running.run("events", "--stats", "c1"))["data"]
    assert (data["memory"]["usage"]["limit"], data["pids"]["limit"]) == (40 << 20, 30)
    assert data["pids"]["current"] == 1
    assert data["cpu"]["usage"]["total"] > 0
    wish = tmp_path / "wish.json"
    wish.write_text(json.dumps({"memory": {"limit": 50 << 20}, "cpu": None, "pids": {"limit": 0}}))
    running.run("update", "--resources", str(wish), "c1")
    data = json.loads(running.run("events", "--stats", "c1"))["data"]
    assert (data["memory"]["usage"]["limit"], data["pids"]["limit"]) == (50 << 20, 0)
    assert "'lots' is not an amount" in running.run("update", "--memory", "lots", "c1", code=1)
    wish.write_text("[]")
    assert "not an object" in running.run("update", "-r", str(wish), "c1", code=1)


def test_processes_of_a_container_are_shown_as_the_host_counts_them(running: Bundle) -> None:
    _, pid = status(running)
    assert json.loads(running.run("ps", "--format", "json", "c1")) == [pid]
    header, row = (line.split() for line in running.run("ps", "c1").splitlines())
    assert header == ["UID", "PID", "PPID", "CMD"]
    assert (row[:2], row[3:]) == (["0", str(pid)], ["sleep", "1000"])


def test_a_process_that_was_detached_outlives_the_command(running: Bundle) -> None:
    pid_file = running.directory / "exec-pid"
    detach(running, "exec", "--detach", "--pid-file", str(pid_file), "c1", "sleep", "500")
    pids = json.loads(running.run("ps", "--format", "json", "c1"))
    assert sorted(pids) == sorted([status(running)[1], int(pid_file.read_text())])


@pytest.mark.skipif(os.path.exists("/run/systemd/private"), reason="systemd: not installed here")
def test_groups_by_systemd_need_one(bundle: Bundle) -> None:
    bundle.write("true")
    file = bundle.directory / "config.json"
    document = json.loads(file.read_text())
    document["linux"]["cgroupsPath"] = ":steer:one"
    file.write_text(json.dumps(document))
    said = bundle.run("--systemd-cgroup", "create", "c1", code=1)
    assert "systemd cgroup flag passed, but systemd support for managing cgroups is not" in said


def test_a_failure_is_in_the_log_as_the_caller_reads_it(bundle: Bundle) -> None:
    log = bundle.directory / "log"
    bundle.run("--log", str(log), "--log-format", "json", "state", "none", code=1)
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", "container 'none' does not exist")
    bundle.run("--log", str(log), "state", "none", code=1)
    assert "level=error msg=" in log.read_text().splitlines()[1]


def test_a_program_that_is_not_there_is_told_by_create(bundle: Bundle) -> None:
    bundle.write("nope")
    assert 'exec: "nope": executable file not found in $PATH' in bundle.run("create", "c1", code=1)
    bundle.write("/etc")
    assert "no such file or directory" in bundle.run("create", "c1", code=1)
    assert not bundle.root.exists() or os.listdir(bundle.root) == []


def test_a_tmpfs_may_start_with_what_it_covers(bundle: Bundle) -> None:
    bundle.write("sh", "-c", "cd /seed && stat -c '%a %u %g' a a/file link && readlink link")
    seed = bundle.directory / "rootfs" / "seed"
    (seed / "a").mkdir(parents=True)
    (seed / "a" / "file").write_text("x")
    (seed / "a" / "file").chmod(0o640)
    (seed / "a").chmod(0o711)
    os.chown(seed / "a" / "file", 7, 8)
    os.chown(seed / "a", 9, 10)
    (seed / "link").symlink_to("/etc/shadow")
    os.chown(seed / "link", 11, 12, follow_symlinks=False)
    for name in ("stat", "readlink"):
        (bundle.directory / "rootfs" / "bin" / name).symlink_to("busybox")
    config = bundle.directory / "config.json"
    document = json.loads(config.read_text())
    document["mounts"].append(
        {"destination": "/seed", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    )
    config.write_text(json.dumps(document))
    assert bundle.run("run", "c1").splitlines() == [
        "711 9 10", "640 7 8", "777 11 12", "/etc/shadow",
    ]  # fmt: skip
    document["mounts"][-1]["type"] = "proc"
    config.write_text(json.dumps(document))
    assert "tmpcopyup of /seed needs a tmpfs" in bundle.run("run", "c1", code=1)


def test_features_name_what_there_is(bundle: Bundle) -> None:
    features = json.loads(bundle.run("features"))
    assert features["ociVersionMax"].startswith("1.2")
    assert {"pid", "mount", "cgroup"} <= set(features["linux"]["namespaces"])
    assert "SCMP_ACT_NOTIFY" not in features["linux"]["seccomp"]["actions"]
    assert features["linux"]["intelRdt"] == {"enabled": False}


def test_scheduler_priority_personality_and_domain_name_are_as_asked(bundle: Bundle) -> None:
    asked = "busybox cut -d' ' -f19 /proc/self/stat; busybox uname -m"
    asked += "; busybox cat /proc/sys/kernel/domainname"
    bundle.write("sh", "-c", f"{asked}; busybox ionice")
    config = bundle.directory / "config.json"
    document = json.loads(config.read_text())
    document["process"]["scheduler"] = {"policy": "SCHED_OTHER", "nice": 5}
    document["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    document["linux"]["personality"] = {"domain": "LINUX32"}
    document["domainname"] = "example.org"
    config.write_text(json.dumps(document))
    machine = "i686" if os.uname().machine == "x86_64" else "armv8l"
    assert bundle.run("run", "c1").splitlines() == [
        "5", machine, "example.org", "best-effort: prio 6",
    ]  # fmt: skip
    document["linux"]["namespaces"] = [{"type": "mount"}]
    config.write_text(json.dumps(document))
    assert "need a uts namespace" in bundle.run("run", "c1", code=1)


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/time"), reason="this kernel has no time ns")
def test_a_time_namespace_has_clocks_of_its_own_for_exec_too(bundle: Bundle) -> None:
    bundle.write("sleep", "1000")
    config = bundle.directory / "config.json"
    document = json.loads(config.read_text())
    document["linux"]["timeOffsets"] = {"boottime": {"secs": 90_000_000}}
    config.write_text(json.dumps(document))
    assert "needs a new time namespace" in bundle.run("run", "c1", code=1)
    document["linux"]["namespaces"].append({"type": "time"})
    config.write_text(json.dumps(document))
    detach(bundle, "run", "--detach", "c1")
    uptime = bundle.run("exec", "c1", "busybox", "cut", "-d.", "-f1", "/proc/uptime")
    assert int(uptime) > 90_000_000
    bundle.run("delete", "--force", "c1")
    document["linux"]["timeOffsets"] = {"realtime": {"secs": 1}}
    config.write_text(json.dumps(document))
    assert "'realtime' is not known" in bundle.run("run", "c1", code=1)
