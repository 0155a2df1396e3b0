"""Reading OCI documents: mounts, process, namespaces, devices, capabilities; building them."""

from __future__ import annotations

import os
import pathlib
import resource
import stat
import subprocess
import tempfile
from typing import Any

import pytest

from steersman.runtime import container, spec, state
from steersman.runtime.kernel import capabilities, devices, mounts, namespaces, rootfs, syscalls
from steersman.runtime.process import Process, find_program, parse_environment

ALL = (1 << 41) - 1
IDS = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]


def mount(**fields: Any) -> mounts.Mount:
    return mounts.parse({"destination": "/m", "type": "bind", "source": "/s", **fields})


def test_mount_options_become_attributes() -> None:
    parsed = mount(options=["rbind", "ro", "nosuid", "nodev", "noexec", "rslave", "noatime"])
    assert (parsed.bind, parsed.recursive) == (True, True)
    assert parsed.add == 0x01 | 0x02 | 0x04 | 0x08 | 0x10
    assert parsed.clear == 0x70
    assert parsed.propagation == syscalls.MS_SLAVE
    assert mount(options=["bind"]).recursive is False
    assert mount(options=[]).propagation == syscalls.MS_PRIVATE
    assert mount(options=["rshared"]).propagation == syscalls.MS_SHARED


def test_the_last_of_contradicting_options_counts() -> None:
    assert (mount(options=["ro", "rw"]).add, mount(options=["ro", "rw"]).clear) == (0, 1)
    assert (mount(options=["rw", "ro"]).add, mount(options=["rw", "ro"]).clear) == (1, 0)


def test_options_that_take_another_back_and_those_of_a_whole_file_system() -> None:
    assert mount(options=["noatime", "atime"]).add == 0
    assert mount(options=["nosymfollow", "symfollow"]).add == 0
    assert mount(options=["nodiratime", "diratime"]).add == 0
    assert mount(options=["runbindable"]).propagation == syscalls.MS_UNBINDABLE
    # mount(2) passes over these where the file system is there already
    assert mount(options=["rbind", "sync", "lazytime", "iversion"]).data == []
    made = mount(type="tmpfs", source="tmpfs", options=["sync", "noacl", "silent"])
    assert made.data == [("sync", None)]


def test_a_mount_may_name_a_path_below_its_source_and_be_filled_with_what_it_covers() -> None:
    assert mount(subPath="a/b").subpath == "a/b"
    assert (mount().subpath, mount().copy_up) == ("", False)
    assert mount(type="tmpfs", source="tmpfs", options=["tmpcopyup"]).copy_up


def test_recursive_options_and_data() -> None:
    assert mount(options=["rbind", "rro"]).recursive_add == 1
    cleared = mount(options=["rbind", "rro", "rrw", "rsuid", "rdev", "rexec"])
    assert (cleared.recursive_add, cleared.recursive_clear) == (0, 0x01 | 0x02 | 0x04 | 0x08)
    alone = mount(type="tmpfs", source="tmpfs", options=["ro", "nodev", "rrw", "rnosuid"])
    assert alone.attributes() == 0x02 | 0x04
    tmpfs = mount(type="tmpfs", source="tmpfs", options=["nosuid", "mode=755", "newinstance"])
    assert (tmpfs.bind, tmpfs.data) == (False, [("mode", "755"), ("newinstance", None)])


@pytest.mark.parametrize(
    "fields",
    [
        {"destination": "/"},
        {"destination": "/a/../b"},
        {"destination": "/a\0b"},
        {"destination": "/proc"},
        {"destination": "/proc/sys"},
        {"destination": "//proc/./self"},
        {"destination": "/proc/self", "type": "proc"},
        {"source": "relative"},
        {"source": ""},
        {"options": ["size=1"]},
        {"options": ["tmpcopyup"]},
    ],
)
def test_a_mount_that_makes_no_sense_or_harm_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mounts:"):
        mount(**fields)


def test_proc_itself_may_be_mounted_and_a_relative_destination_is_below_the_root() -> None:
    assert mount(destination="/proc", type="proc", source="proc").target == "/proc"
    assert mount(destination="data/x/").target == "/data/x"


def test_paths_in_overlay_options_are_escaped() -> None:
    assert rootfs.render_overlay_options(["a:b", "c,d", "e\\f"]) == "lowerdir=a\\:b:c\\,d:e\\\\f"


def test_more_layers_than_the_kernel_takes_options_for_are_refused() -> None:
    here = os.getcwd()
    lower = [f"/nowhere/{number:0>100}" for number in range(50)]
    with pytest.raises(FileNotFoundError):
        rootfs.mount_overlay(lower, "/upper", "/work", "/nowhere/target")
    lower = [f"/tmp/{number:0>100}" for number in range(50)]
    with pytest.raises(ValueError, match="overlay: 50 layers need"):
        rootfs.mount_overlay(lower, "/upper", "/work", "/nowhere/target")
    assert os.getcwd() == here


def test_namespaces_are_new_or_joined() -> None:
    parsed = namespaces.parse([{"type": "pid"}, {"type": "mount"}, {"type": "ipc", "path": "/x"}])
    assert parsed.new == syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS
    assert parsed.join == {syscalls.CLONE_NEWIPC: "/x"}


@pytest.mark.parametrize("entries", [[{"type": "users"}], [{"type": "pid"}, {"type": "pid"}], [{}]])
def test_unknown_and_doubled_namespaces_are_refused(entries: list[dict[str, str]]) -> None:
    with pytest.raises(ValueError, match="not supported or is given twice"):
        namespaces.parse(entries)


@pytest.mark.parametrize(
    "name",
    ["kernel.panic", "vm.overcommit_memory", "fs.file-max", "net..x", "net.a/b", "kernel.sem.x"],
)
def test_a_sysctl_of_the_machine_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not namespaced"):
        namespaces.check_sysctl(name)


@pytest.mark.parametrize("name", ["net.core.somaxconn", "kernel.shmmax", "fs.mqueue.msg_max"])
def test_a_sysctl_of_a_namespace_passes(name: str) -> None:
    namespaces.check_sysctl(name)


def test_capability_names_and_masks() -> None:
    assert capabilities.parse_names(["CAP_CHOWN", "CAP_SYS_ADMIN"]) == 1 | 1 << 21
    assert capabilities.names_of(1 << 40 | 1 << 12) == ["CAP_NET_ADMIN", "CAP_CHECKPOINT_RESTORE"]
    assert capabilities.parse_names(capabilities.DEFAULT) == 0xA80425FB
    with pytest.raises(ValueError, match="CAP_FLY"):
        capabilities.parse_names(["CAP_FLY"])


def test_the_five_sets_hold_only_what_can_be_given() -> None:
    section = {"bounding": ["CAP_CHOWN", "CAP_KILL"], "ambient": ["CAP_KILL"], "permitted": None}
    sets = capabilities.parse(section, 1 << 5)
    assert (sets.bounding, sets.ambient, sets.permitted, sets.effective) == (32, 32, 0, 0)
    assert capabilities.parse(None, ALL).bounding == 0


def process(**fields: Any) -> Process:
    return Process({"args": ["x"], "cwd": "/", **fields}, ALL)


def test_a_process_section_is_read() -> None:
    user = {"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o077}
    limits = [{"type": "RLIMIT_CORE", "soft": 1, "hard": (1 << 64) - 1}]
    read = process(
        user=user, rlimits=limits, noNewPrivileges=True, oomScoreAdj=-5, env=["A=1", "A=2", "B="]
    )
    assert (read.uid, read.gid, read.groups, read.umask) == (5, 6, [7, 8], 0o077)
    assert read.rlimits == [(resource.RLIMIT_CORE, 1, resource.RLIM_INFINITY)]
    assert (read.no_new_privileges, read.oom_score_adj) == (True, -5)
    assert read.env == {"A": "2", "B": ""}
    assert (process().umask, process().no_new_privileges) == (0o022, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"args": []},
        {"cwd": "relative"},
        {"rlimits": [{"type": "RLIMIT_FUN", "soft": 1, "hard": 1}]},
        {"rlimits": [{"type": "getrlimit", "soft": 1, "hard": 1}]},
        {"apparmorProfile": "x"},
        {"selinuxLabel": "x"},
        {"env": ["novalue"]},
        {"env": ["=x"]},
        {"capabilities": {"bounding": ["CAP_X"]}},
    ],
)
def test_a_process_section_that_cannot_be_done_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        process(**fields)


def test_an_environment_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NAME=value"):
        parse_environment(["A=\0"])


def test_programs_are_looked_up_as_execvp_does() -> None:
    assert find_program("ls", "/bin:/usr/bin", "/w") == ["/bin/ls", "/usr/bin/ls"]
    assert find_program("ls", ":/bin", "/w") == ["/w/ls", "/bin/ls"]
    assert find_program("./ls", "/bin", "/w") == ["./ls"]


def plan(edit: Any = None, **options: Any) -> container.Plan:
    document = spec.container_document(args=["x"], layers=["/l"], sandbox_pid=1, **options)
    if edit is not None:
        edit(document)
    return container.Plan(document, "/d", ALL)


def test_a_built_document_is_a_plan() -> None:
    made = plan(log="/log", stdin=True, resources={"pids": {"limit": 3}})
    assert made.layers == ["/l"]
    assert made.resources == {"pids": {"limit": 3}, "devices": []}
    assert (made.log, made.stdin, made.stdin_once, made.readonly_root) == (
        "/log",
        True,
        False,
        False,
    )
    assert made.masked == list(spec.MASKED_PATHS)
    assert made.readonly_paths == list(spec.READONLY_PATHS)
    assert made.process.capabilities.bounding == 0xA80425FB
    assert made.process.capabilities.inheritable == made.process.capabilities.ambient == 0
    assert len(made.process.filter) > 1000
    assert made.namespaces.join == {
        syscalls.CLONE_NEWNET: "/proc/1/ns/net",
        syscalls.CLONE_NEWIPC: "/proc/1/ns/ipc",
        syscalls.CLONE_NEWUTS: "/proc/1/ns/uts",
    }
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWCGROUP
    assert made.namespaces.new == flags


def test_a_privileged_container_is_neither_masked_nor_filtered() -> None:
    made = plan(privileged=True)
    assert (made.masked, made.readonly_paths, made.process.filter) == ([], [], b"")
    assert made.process.capabilities.effective == ALL
    assert made.resources["devices"] == [{"allow": True, "access": "rwm"}]
    options = [entry["options"] for entry in spec.default_mounts(privileged=True)]
    assert not any("ro" in given for given in options)


def test_the_hosts_processes_are_shared_only_when_asked() -> None:
    assert not plan(host_pid=True).namespaces.new & syscalls.CLONE_NEWPID


def test_the_kernel_file_systems_of_a_container() -> None:
    by_place = {entry["destination"]: entry for entry in spec.default_mounts("/shm")}
    assert list(by_place) == [
        "/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/dev/shm",
    ]  # fmt: skip
    assert "ro" in by_place["/sys"]["options"]
    assert "ro" in by_place["/sys/fs/cgroup"]["options"]
    assert by_place["/dev/shm"]["source"] == "/shm"
    for place in ("/proc", "/sys", "/dev/mqueue"):
        assert {"nosuid", "noexec", "nodev"} <= set(by_place[place]["options"])


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda d: d.update(root={"path": "/r"}), "either"),
        (lambda d: d["steersman"].update(layers=[]), "either"),
        (lambda d: d.update(hooks={"prestart": [{"path": "x"}]}), "not absolute"),
        (lambda d: d.update(hooks={"never": []}), "'never' is not known"),
        (lambda d: d["linux"].update(uidMappings=IDS, gidMappings=IDS), "isn't enabled"),
        (lambda d: d["linux"]["namespaces"].append({"type": "user"}), "nor mappings"),
        (lambda d: d["linux"].update(uidMappings=IDS), "both uidMappings and gidMappings"),
        (
            lambda d: d["mounts"].append(
                {"destination": "/m", "source": "/s", "options": ["bind", "idmap"]}
            ),
            "idmap needs mappings",
        ),
        (lambda d: d["linux"].update(namespaces=[{"type": "pid"}]), "mount namespace"),
        (
            lambda d: d["linux"].update(namespaces=[{"type": "mount"}]) or d.update(hostname="h"),
            "uts",
        ),
        (lambda d: d["linux"].update(sysctl={"kernel.panic": "1"}), "not namespaced"),
        (
            lambda d: d["linux"].update(
                namespaces=[{"type": "mount"}], sysctl={"net.core.somaxconn": "1"}
            ),
            "not namespaced here",
        ),
        (lambda d: d["steersman"].update(seccomp="mine"), "mine"),
    ],
)
def test_a_document_that_cannot_be_done_is_refused(edit: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        plan(edit)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "a/b", "a b", "a\n", "é", "x" * 201, 5, None]
)
def test_what_is_no_id(name: object) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        state.check_name(name)


def test_what_is_an_id() -> None:
    for name in ("a", "pod-1_x.y", "0" * 200):
        assert state.check_name(name) == name


def test_a_tree_deeper_than_a_path_can_be_is_removed() -> None:
    directory = tempfile.mkdtemp(prefix="steer-deep-")
    top = os.path.join(directory, "top")
    here = os.open(".", os.O_PATH)
    try:
        os.mkdir(top)
        os.chdir(top)
        os.symlink("/etc", "link")
        for _ in range(3000):
            os.mkdir("d" * 20)
            os.chdir("d" * 20)
        pathlib.Path("file").touch()
        os.fchdir(here)
        state.remove_directory(top)
        assert os.listdir(directory) == []
        assert os.path.exists("/etc/passwd")
        state.remove_directory(top)
    finally:
        os.fchdir(here)
        os.close(here)
        subprocess.run(["rm", "-rf", directory], check=True)  # rmtree gives up on what this makes


def test_state_is_replaced_whole(tmp_path: Any) -> None:
    assert state.load(str(tmp_path)) == {}
    state.save(str(tmp_path), {"a": 1})
    state.save(str(tmp_path), {"b": 2})
    assert state.load(str(tmp_path)) == {"b": 2}
    assert os.listdir(tmp_path) == ["state.json"]
    assert stat.S_IMODE(os.stat(tmp_path / "state.json").st_mode) == 0o600


def test_exit_codes_of_signals_are_128_and_more() -> None:
    assert container.decode_status(9) == (137, 9)
    assert container.decode_status(3 << 8) == (3, 0)


def test_host_devices_are_described() -> None:
    by_path = {entry["path"]: entry for entry in devices.host_devices()}
    null = by_path["/dev/null"]
    assert (null["type"], null["major"], null["minor"]) == ("c", 1, 3)
    assert not any(path.startswith(("/dev/pts", "/dev/shm")) for path in by_path)
    assert "/dev/console" not in by_path
