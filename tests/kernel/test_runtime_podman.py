"""Others' tools on our runtime: podman runs, enters, stops and removes containers by it, and
builds with it; a bundle that `runc spec` wrote starts as it is."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from test_runtime_command import MAIN
from test_runtime_rig import BUSYBOX, needs_root

pytestmark = needs_root

# What a tool asks for by itself may be above what this machine's root may give
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
CONTAINERFILE = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n"


def need(tool: str) -> None:
    """Skips a test whose tool is absent."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed here")


class Podman:
    """podman with storage of its own and our runtime."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        launcher = directory / "steer-runtime"
        launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {MAIN} "$@"\n')
        launcher.chmod(0o755)
        self._flags = [
            *("--root", str(directory / "storage"), "--runroot", str(directory / "run")),
            *("--tmpdir", str(directory / "tmp"), "--cgroup-manager", "cgroupfs"),
            *("--storage-driver", "vfs", "--events-backend", "none"),
        ]
        self._runtime = ["--runtime", str(launcher)]
        context = directory / "context"
        context.mkdir()
        shutil.copy(BUSYBOX, context / "busybox")
        (context / "Containerfile").write_text(CONTAINERFILE)
        self("build", "-q", "-t", "box", str(context))

    def __call__(self, *words: str, code: int = 0) -> str:
        """Runs a command; gives what it wrote, standard error in failure."""
        done = subprocess.run(
            ["podman", *self._flags, *self._runtime, *words],
            capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, done
        return done.stderr if code else done.stdout

    def run(self, *words: str, flags: tuple[str, ...] = (), code: int = 0) -> str:
        """Runs a container to its end."""
        network = () if "--network" in flags else ("--network", "none")
        return self("run", "--rm", *LIMITS, *network, *flags, "box", *words, code=code)


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    need("podman")
    made = Podman(tmp_path_factory.mktemp("podman"))
    yield made
    made("rm", "--all", "--force", "--time", "0")
    assert made("ps", "--all", "--quiet") == ""
    for parent in pathlib.Path("/sys/fs/cgroup").glob("*/libpod_parent"):
        for path, _, _ in os.walk(parent, topdown=False):
            with contextlib.suppress(OSError):  # EBUSY: somebody else's podman is at work
                os.rmdir(path)
    left = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    for line in reversed([line for line in left if str(made.directory) in line]):
        # podman keeps its storage mounted by itself as long as the machine runs
        subprocess.run(["umount", line.split()[1]], check=True)


def test_podman_runs_a_container_and_takes_its_exit_code(podman: Podman) -> None:
    assert podman.run("/bin/busybox", "id") == "uid=0 gid=0\n"
    podman.run("/bin/sh", "-c", "exit 7", code=7)
    host = podman.run("/bin/busybox", "hostname", flags=("--network", "host"))
    assert host.strip() == os.uname().nodename


def test_podman_is_told_of_a_program_that_is_not_there(podman: Podman) -> None:
    assert "no such file or directory" in podman.run("/nope", code=127)
    assert "permission denied" in podman.run("/etc", code=126)


def test_podmans_limits_mounts_and_privileges_hold(podman: Podman) -> None:
    script = "; ".join(
        [
            "/bin/busybox hostname",
            "/bin/busybox grep CapEff /proc/self/status",
            "/bin/busybox cat /run/.containerenv >/dev/null",
            "/bin/busybox touch /made || echo read-only",
            "/bin/busybox touch /scratch/made && echo writable",
            "/bin/busybox ls /volume",
        ]
    )
    (podman.directory / "volume").mkdir()
    (podman.directory / "volume" / "there").touch()
    volume = f"{podman.directory}/volume:/volume:ro"
    flags = ("--memory", "50m", "--pids-limit", "20", "--read-only", "--tmpfs", "/scratch")
    flags += ("--volume", volume, "--cap-drop", "all", "--hostname", "box")
    flags += (
        "--sysctl",
        "net.ipv4.ip_default_ttl=77",
    )
    words = podman.run("/bin/sh", "-c", script, flags=flags).split()
    assert words == ["box", "CapEff:", "0" * 16, "read-only", "writable", "there"]
    assert podman.run("/bin/busybox", "id", flags=("--privileged",)) == "uid=0 gid=0\n"


def test_podman_enters_pauses_limits_kills_and_removes(podman: Podman) -> None:
    podman("run", "-d", "--name", "long", *LIMITS, "--network", "none", "box",
           "/bin/busybox", "sleep", "1000")  # fmt: skip
    inside = "cd /bin; sleep 0.2; /bin/busybox id -u; echo $A"
    assert podman("exec", "-u", "5:6", "-e", "A=b", "long", "/bin/sh", "-c", inside) == "5\nb\n"
    podman("exec", "long", "/bin/sh", "-c", "exit 9", code=9)
    assert podman("inspect", "--format", "{{.State.Status}}", "long") == "running\n"
    podman("pause", "long")
    assert podman("inspect", "--format", "{{.State.Status}}", "long") == "paused\n"
    podman("unpause", "long")
    assert "/bin/busybox sleep 1000" in podman("top", "long", "args")
    podman("kill", "--signal", "KILL", "long")
    assert podman("wait", "long") == "137\n"
    podman("rm", "long")


def test_podman_builds_the_steps_of_a_containerfile(podman: Podman) -> None:
    recipe = podman.directory / "context" / "Steps"
    recipe.write_text(CONTAINERFILE + 'RUN /bin/busybox echo "made by $0" >/made\n')
    podman(
        "build", "-q", "-t", "made", "--network", "none", "--ulimit", "nofile=1024:1024",
        "--ulimit", "nproc=1000:1000", "-f", str(recipe), str(podman.directory / "context"),
    )  # fmt: skip
    out = podman(
        "run", "--rm", *LIMITS, "--network", "none", "made", "/bin/busybox", "cat", "/made"
    )
    assert out.startswith("made by")


def test_a_bundle_of_runc_spec_starts_as_it_is(tmp_path: pathlib.Path) -> None:
    need("runc")
    (tmp_path / "rootfs" / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, tmp_path / "rootfs" / "bin" / "sh")
    subprocess.run(["runc", "spec"], cwd=tmp_path, check=True)
    config = tmp_path / "config.json"
    document = json.loads(config.read_text())
    document["process"]["terminal"] = False
    config.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-I", "-S", MAIN, "--root", str(tmp_path / "state"), "run", "spec"],
        cwd=tmp_path, input="hostname; exit 3\n", capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "runc\n"), done
