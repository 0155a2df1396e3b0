"""The command line for who is not root: what works with one's own id, with subordinate ids, and
what is said of the rest."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from test_runtime_command import MAIN
from test_runtime_rig import BUSYBOX, needs_root

from steersman.runtime import spec

pytestmark = needs_root

# Nobody's on an ordinary machine, nor another's who runs these tests at the same time
USER = 40_000 + os.getpid() % 20_000
SUBORDINATE = 3_000_000
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# A machine with one interface and a server, and a device that everybody may open, as on most
MACHINE = """
ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v1 up
ip addr add 10.9.9.1/24 dev v0 && ip addr add 10.9.9.2/24 dev v0 && ip link set v0 up
ip route add default via 10.9.9.254 dev v0
mknod {0}/tun c 10 200 && chmod 666 {0}/tun && mount --bind {0}/tun /dev/net/tun
{0}/rootfs/bin/busybox httpd -f -p 10.9.9.2:8099 -h {0}/rootfs/tmp &
echo up; read line; kill $!
"""


def usable_python() -> str:
    """An interpreter that who is not root may run; empty if there is none."""
    for path in (sys.executable, "/usr/bin/python3"):
        command = [path, "-I", "-S", MAIN, "--version"]
        try:
            done = subprocess.run(
                command, user=USER, group=USER, extra_groups=[], check=False, capture_output=True,
                cwd="/",
            )  # fmt: skip
        except OSError:
            continue
        if done.returncode == 0:
            return path
    return ""


class Rootless:
    """A bundle and a directory of a user's own, and the command line run as that user."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.python = usable_python()
        binaries = directory / "rootfs/bin"
        binaries.mkdir(parents=True)
        shutil.copy(BUSYBOX, binaries / "busybox")
        for name in ("sh", "id", "cat", "touch", "sleep", "stat", "true", "hostname"):
            (binaries / name).symlink_to("busybox")
        for name in ("proc", "dev", "sys", "tmp"):
            (directory / "rootfs" / name).mkdir()
        self.give()

    def give(self) -> None:
        """Gives everything to the user."""
        for path, directories, files in os.walk(self.directory):
            for name in (".", *directories, *files):
                os.chown(os.path.join(path, name), USER, USER, follow_symlinks=False)

    def write(
        self, *args: str, size: int = 1, hooks: dict[str, Any] | None = None, **linux: Any
    ) -> None:
        """Writes config.json as `runc spec --rootless` would; `size` with subordinate ids."""
        own = [{"containerID": 0, "hostID": USER, "size": 1}]
        if size > 1:
            own.append({"containerID": 1, "hostID": SUBORDINATE, "size": size - 1})
        mounts = [it for it in spec.default_mounts() if it["type"] not in ("sysfs", "devpts")]
        system = {"destination": "/sys", "type": "none", "source": "/sys"}
        mounts.insert(0, {**system, "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]})
        terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
        mounts.append({"destination": "/dev/pts", "type": "devpts", "options": terminals})
        kinds = ("mount", "pid", "ipc", "uts", "user")
        document = {
            "ociVersion": "1.2.0",
            "process": {"args": list(args), "env": ["PATH=/bin"], "cwd": "/",
                        "noNewPrivileges": True},
            "root": {"path": "rootfs"},
            "hostname": "mine",
            "mounts": mounts,
            "hooks": hooks or {},
            "linux": {
                "uidMappings": own,
                "gidMappings": own,
                "namespaces": [{"type": kind} for kind in kinds],
                "maskedPaths": list(spec.MASKED_PATHS),
                "readonlyPaths": list(spec.READONLY_PATHS),
                **linux,
            },
        }  # fmt: skip
        (self.directory / "config.json").write_text(json.dumps(document))

    def run(self, *words: str, code: int = 0, detached: bool = False, where: int = 0) -> str:
        """Runs a command as the user; gives what it wrote, standard error in failure. `where` is
        a process in whose network and mounts it runs."""
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        streams["stdout"] = subprocess.DEVNULL if detached else subprocess.PIPE
        if detached:
            streams["stderr"] = subprocess.DEVNULL
        command = [self.python, "-I", "-S", MAIN, *words]
        who: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []}
        if where:
            ids = ("--reuid", str(USER), "--regid", str(USER), "--clear-groups")
            entered = ("nsenter", "--target", str(where), "--net", "--mount")
            command = [*entered, f"--wd={self.directory}", "setpriv", *ids, *command]
            who = {}
        done = subprocess.run(
            command, cwd=self.directory, text=True, timeout=60, check=False, **who,
            env={"XDG_RUNTIME_DIR": str(self.directory), "PATH": PATH}, **streams,
        )  # fmt: skip
        assert done.returncode == code, done
        return (done.stderr if code else done.stdout) or ""

    def state(self) -> pathlib.Path:
        return self.directory / "steer-runtime"


@pytest.fixture
def rootless() -> Iterator[Rootless]:
    if not usable_python():
        pytest.skip("no interpreter here can be run by who is not root")
    # pytest's own directories are closed to others
    directory = pathlib.Path(tempfile.mkdtemp(prefix="steer-rootless-", dir="/tmp"))
    made = Rootless(directory)
    try:
        yield made
        if made.state().exists():
            for name in os.listdir(made.state()):
                made.run("delete", "--force", name)
            assert os.listdir(made.state()) == []
        mounts = pathlib.Path("/proc/self/mounts").read_text()
        assert str(directory) not in mounts
    finally:
        shutil.rmtree(directory)


def test_a_user_runs_a_container_as_its_root(rootless: Rootless) -> None:
    script = (
        "id -u; cat /proc/self/uid_map; hostname; touch /made; echo lost > /dev/null;"
        "stat -c %u /bin; cat /proc/self/setgroups; echo $$; exit 3"
    )
    rootless.write("sh", "-c", script)
    done = subprocess.run(
        [rootless.python, "-I", "-S", MAIN, "run", "c1"], cwd=rootless.directory, user=USER,
        group=USER, extra_groups=[], text=True, timeout=60, check=False, capture_output=True,
        env={"XDG_RUNTIME_DIR": str(rootless.directory)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 3, done
    assert done.stdout.split() == ["0", "0", str(USER), "1", "mine", "0", "deny", "1"]
    assert (rootless.directory / "rootfs/made").stat().st_uid == USER
    assert os.listdir(rootless.state()) == []


def test_a_users_container_lives_through_its_verbs(rootless: Rootless) -> None:
    rootless.write("sleep", "1000")
    rootless.run("create", "c1", detached=True)
    assert json.loads(rootless.run("state", "c1"))["status"] == "created"
    rootless.run("start", "c1")
    state = json.loads(rootless.run("state", "c1"))
    assert state["status"] == "running"
    assert os.stat(f"/proc/{state['pid']}").st_uid == USER
    said = rootless.run("exec", "c1", "sh", "-c", "id -u; hostname; cat /proc/1/comm")
    assert said.split() == ["0", "mine", "sleep"]
    rootless.run("exec", "c1", "sh", "-c", "exit 4", code=4)
    assert rootless.run("list", "-q") == "c1\n"
    rootless.run("kill", "--all", "c1", "KILL")
    rootless.run("delete", "--force", "c1")
    assert "does not exist" in rootless.run("state", "c1", code=1)


def test_a_created_container_that_never_starts_is_removed(rootless: Rootless) -> None:
    rootless.write("sleep", "1000")
    rootless.run("create", "c1", detached=True)
    handle = os.pidfd_open(json.loads(rootless.run("state", "c1"))["pid"])
    rootless.run("delete", "c1")
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    assert poller.poll(0)  # it has ended, whoever is to reap it
    os.close(handle)


def test_a_hook_that_fails_after_the_start_ends_a_users_container(rootless: Rootless) -> None:
    hooks = {"poststart": [{"path": "/bin/false"}]}
    rootless.write("sleep", "1000", hooks=hooks)
    rootless.run("create", "c1", detached=True)
    handle = os.pidfd_open(json.loads(rootless.run("state", "c1"))["pid"])
    try:
        assert "error running poststart hook #0" in rootless.run("start", "c1", code=1)
        assert select.select([handle], [], [], 10.0)[0]
    finally:
        os.close(handle)


def test_what_needs_a_control_group_says_so(rootless: Rootless) -> None:
    rootless.write("sleep", "1000")
    rootless.run("run", "--detach", "c1", detached=True)
    reason = "this container has no control group: it was made without the privilege to make one"
    for words in (("pause", "c1"), ("ps", "c1"), ("events", "--stats", "c1")):
        assert reason in rootless.run(*words, code=1), words
    assert reason in rootless.run("kill", "--all", "c1", "TERM", code=1)
    assert "rootless needs no limits" in rootless.run("update", "--memory", "9m", "c1", code=1)
    rootless.write("true", resources={"memory": {"limit": 1 << 24}})
    reason = "no permission is granted for cgroups: linux.resources.memory is given"
    assert reason in rootless.run("run", "c2", code=1)
    assert os.listdir(rootless.state()) == ["c1"]


def test_what_a_user_may_not_do_is_told(rootless: Rootless) -> None:
    rootless.write(
        "true", namespaces=[{"type": "mount"}, {"type": "uts"}], uidMappings=[], gidMappings=[]
    )
    assert "rootless container requires user namespaces" in rootless.run("run", "c1", code=1)
    document_with = {"additionalGids": [5]}
    rootless.write("true")
    path = rootless.directory / "config.json"
    document = json.loads(path.read_text())
    document["process"]["user"] = document_with
    path.write_text(json.dumps(document))
    assert "cannot set any additional groups" in rootless.run("run", "c1", code=1)
    rootless.write("true")
    document = json.loads(path.read_text())
    mount = {"destination": "/m", "type": "bind", "source": "/usr", "options": ["bind", "idmap"]}
    document["mounts"].append(mount)
    path.write_text(json.dumps(document))
    assert "failed to set MOUNT_ATTR_IDMAP on /usr" in rootless.run("run", "c1", code=1)
    done = subprocess.run(
        [rootless.python, "-I", "-S", MAIN, "list"], user=USER, group=USER, extra_groups=[],
        text=True, check=False, capture_output=True, env={}, cwd="/",
    )  # fmt: skip
    assert (done.returncode, "XDG_RUNTIME_DIR is not set: say --root" in done.stderr) == (1, True)


@pytest.mark.skipif(shutil.which("newuidmap") is not None, reason="newuidmap is installed")
def test_more_than_ones_own_id_needs_the_helpers(rootless: Rootless) -> None:
    rootless.write("true", size=10)
    assert "newuidmap is not installed: without it only your own" in rootless.run(
        "run", "c1", code=1
    )


@pytest.fixture
def subordinate() -> Iterator[None]:
    """A user with subordinate ids, for as long as the test lasts; one at a time."""
    if shutil.which("newuidmap") is None or shutil.which("useradd") is None:
        pytest.skip("newuidmap (package uidmap) is not installed")
    with open("/etc/passwd") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield from with_subordinate(f"steer-test-{os.getpid()}")


def with_subordinate(name: str) -> Iterator[None]:
    files = [pathlib.Path("/etc") / it for it in ("subuid", "subgid")]
    before = {path: path.read_text() if path.exists() else None for path in files}
    there = set(os.listdir("/etc"))
    made = ["useradd", "--no-create-home", "--no-log-init", "--uid", str(USER), name]
    subprocess.run(made, check=True, timeout=60, capture_output=True)
    try:
        for path in files:
            path.write_text(f"{name}:{SUBORDINATE}:65536\n")
        yield
    finally:
        subprocess.run(["userdel", "--force", name], check=True, timeout=60, capture_output=True)
        for path, text in before.items():
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        for left in set(os.listdir("/etc")) - there:  # what the tools keep of files they change
            os.unlink(f"/etc/{left}")


def test_a_user_with_subordinate_ids_has_many(rootless: Rootless, subordinate: None) -> None:
    script = "cat /proc/self/uid_map /proc/self/setgroups; id -u; id -G"
    rootless.write("sh", "-c", script, size=1000)
    path = rootless.directory / "config.json"
    document = json.loads(path.read_text())
    document["process"]["user"] = {"uid": 7, "gid": 8, "additionalGids": [9]}
    path.write_text(json.dumps(document))
    assert rootless.run("run", "c1").split() == [
        "0", str(USER), "1", "1", str(SUBORDINATE), "999", "allow", "7", "8", "9",
    ]  # fmt: skip


def test_ids_that_are_not_ones_own_are_refused_by_the_helper(
    rootless: Rootless, subordinate: None
) -> None:
    rootless.write("true", size=70_000)
    assert "newuidmap: uid range" in rootless.run("run", "c1", code=1)
    assert os.listdir(rootless.state()) == []


@pytest.fixture
def machine(rootless: Rootless) -> Iterator[int]:
    """A process in a network of its own; gives its id."""
    (rootless.directory / "rootfs/tmp/page").write_text("from the machine\n")
    script = MACHINE.format(rootless.directory)
    words = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()
    (rootless.directory / "tun").unlink()


@pytest.mark.parametrize("program", ["pasta", "slirp4netns"])
def test_a_users_container_is_connected_by_a_program_of_theirs(
    rootless: Rootless, machine: int, program: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed here")
    kinds = [{"type": it} for it in ("mount", "pid", "ipc", "uts", "user", "network")]
    ask = "/bin/busybox wget -q -O - http://10.9.9.2:8099/page"
    rootless.write("sh", "-c", f"{ask}; exec sleep 1000", namespaces=kinds)
    words = ("create", "--network", program, "c1")
    rootless.run(*words, detached=True, where=machine)
    pid = int((rootless.state() / "c1/network").read_text().split()[0])
    helper = os.pidfd_open(pid)
    try:
        rootless.run("start", "c1", where=machine)
        assert rootless.run("exec", "c1", "sh", "-c", ask, where=machine) == "from the machine\n"
        assert not select.select([helper], [], [], 0)[0]
        rootless.run("delete", "--force", "c1", where=machine)
        assert select.select([helper], [], [], 10)[0], "it ends with its container"
    finally:
        os.close(helper)
    rootless.write("sh", "-c", ask, namespaces=kinds)
    said = rootless.run("run", "--network", "user", "c2", where=machine)
    assert said == "from the machine\n"


def test_a_network_that_cannot_be_is_told(rootless: Rootless) -> None:
    rootless.write("true")
    said = rootless.run("run", "--network", "user", "c1", code=1)
    assert "--network needs a network namespace of the container's own" in said
    rootless.write("true", namespaces=[{"type": it} for it in ("mount", "uts", "user", "network")])
    said = rootless.run("run", "--network", "bridge", "c1", code=1)
    assert "--network: 'bridge' is none of user, pasta, slirp4netns" in said
    assert not rootless.state().exists() or os.listdir(rootless.state()) == []
