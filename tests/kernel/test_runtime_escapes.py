"""Known ways out of a container, each tried from inside and shown to fail."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import pathlib
import signal
import sys

import pytest
from test_runtime_rig import Rig, needs_root, run

from steersman.runtime.engine import EngineError
from steersman.runtime.kernel import capabilities, seccomp, seccomp_profile, syscalls
from steersman.runtime.kernel.syscall_table import numbers
from steersman.runtime.spec import MASKED_PATHS, bind_mount

pytestmark = needs_root


def _victim(rig: Rig) -> pathlib.Path:
    victim = pathlib.Path(rig.directory, "victim")
    victim.mkdir()
    (victim / "secret").write_text("of the host\n")
    return victim


@pytest.mark.parametrize("climb", ["", "../../../../../../../.."])
def test_a_symlink_in_the_image_cannot_lead_a_mount_to_the_host(climb: str) -> None:
    """CVE-2021-30465: a mount's target is a descriptor, not a path to be looked up again."""

    async def scenario(rig: Rig) -> None:
        victim = _victim(rig)
        os.symlink(f"{climb}{victim}", os.path.join(rig.layer, "data"))
        # Inside the container's root the same path exists, and that is where it may go.
        os.makedirs(rig.layer + str(victim))
        sandbox = await rig.sandbox()
        source = pathlib.Path(rig.directory, "source")
        source.mkdir()
        (source / "mine").write_text("")
        mount = {"destination": "/data/in", "type": "bind", "source": str(source), "options": []}
        text = await rig.shell(sandbox, f"ls /data/in; ls {victim}", mounts=[mount])
        assert text.splitlines() == ["mine", "in"]
        assert os.listdir(victim) == ["secret"]

    run(scenario)


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_kernel_file_system_is_not_mounted_through_a_symlink(name: str) -> None:
    async def scenario(rig: Rig) -> None:
        os.makedirs(os.path.join(rig.layer, "etc", "fake"))
        os.symlink("/etc/fake", os.path.join(rig.layer, name))
        sandbox = await rig.sandbox()
        with pytest.raises(EngineError):
            await rig.launch(sandbox, "true")

    run(scenario)


@pytest.mark.parametrize("place", ["/proc/self/attr", "/proc", "/", "/x/../proc/1", "/../etc"])
def test_a_mount_over_proc_or_the_root_is_refused(place: str) -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        mount = {"destination": place, "type": "bind", "source": "/etc", "options": []}
        with pytest.raises(EngineError) as caught:
            await rig.launch(sandbox, "true", mounts=[mount])
        assert caught.value.kind == "invalid"

    run(scenario)


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/panic",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/profiling",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/devices/devices.allow",
        "/sys/fs/cgroup/memory/cgroup.procs",
    ],
)
def test_a_kernel_setting_cannot_be_written(path: str) -> None:
    async def scenario(rig: Rig) -> None:
        if not os.path.exists(path):
            pytest.skip("this kernel does not have it (version 2 control groups, no SysRq)")
        sandbox = await rig.sandbox()
        text = await rig.shell(
            sandbox, f"test -e {path} && echo there; echo 1 > {path} && echo written"
        )
        assert text.splitlines()[0] == "there"
        assert "written" not in text
        assert "Read-only file system" in text

    run(scenario)


def test_masked_paths_are_empty() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        paths = [path for path in MASKED_PATHS if os.path.isfile(path)]
        assert "/proc/keys" in paths
        text = await rig.shell(sandbox, f"for f in {' '.join(paths)}; do wc -c < $f; done")
        assert text.split() == ["0"] * len(paths)
        assert await rig.shell(sandbox, "ls /sys/firmware") == ""

    run(scenario)


def test_the_runtimes_interpreter_cannot_be_written_even_by_root_of_the_host() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        executable = f"/proc/{sandbox.pid}/exe"
        descriptor = os.open(executable, os.O_RDONLY)
        seals = fcntl.fcntl(descriptor, 1034)  # F_GET_SEALS
        os.close(descriptor)
        assert seals & 0x8  # F_SEAL_WRITE
        with pytest.raises(OSError):
            os.write(os.open(executable, os.O_WRONLY), b"x")

    run(scenario)


def test_a_container_that_runs_proc_self_exe_gets_a_copy_it_cannot_write() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        interpreter = pathlib.Path(os.path.realpath("/proc/self/exe"))
        before = interpreter.read_bytes()
        os.symlink("/proc/self/exe", os.path.join(rig.layer, "bin", "trap"))
        # What the attack of CVE-2019-5736 does: hold the file, run something else, then write.
        attack = (
            "import os; fd = os.open('/proc/self/exe', os.O_RDONLY); os.set_inheritable(fd, True);"
            "print('holding', os.readlink('/proc/self/exe'), flush=True);"
            "os.execv('/bin/sh', ['sh', '-c', f'echo x > /proc/self/fd/{fd} && echo written;'"
            "f'echo x >> /proc/self/fd/{fd} && echo written'])"
        )
        libraries = [
            bind_mount(path, path, readonly=True)
            for path in ("/lib", "/lib64", "/usr/lib", sys.base_prefix)
            if os.path.isdir(path)
        ]
        _, text = await rig.output(
            sandbox,
            "/bin/trap",
            "-I",
            "-S",
            "-c",
            attack,
            mounts=libraries,
            env=["PATH=/bin", f"LD_LIBRARY_PATH={sys.base_prefix}/lib"],
            edit=lambda document: document["process"]["args"].__setitem__(0, "/proc/self/exe"),
        )
        assert "holding /memfd:steer-runtime" in text
        assert "written" not in text
        assert interpreter.read_bytes() == before

    run(scenario)


def test_a_process_being_executed_into_a_container_cannot_be_opened_by_it() -> None:
    """CVE-2016-9962: what enters a container cannot be traced before it is the program."""

    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "while true; do for p in /proc/[0-9]*; do readlink $p/exe; ls -l $p/fd; done; done"
        name = await rig.launch(sandbox, "/bin/sh", "-c", script + " 2>/dev/null")
        reader, writer = os.pipe()
        await rig.engine.attach("p", name, {"stdout": writer})
        os.close(writer)
        await asyncio.to_thread(os.read, reader, 1)  # it looks by now
        os.close(reader)
        for _ in range(20):
            made = await rig.engine.exec("p", name, {"args": ["true"]})
            await made.wait(60)
        await rig.engine.kill("p", name, signal.SIGKILL)
        await rig.engine.wait("p", name, 60)
        seen = rig.text(name)
        assert "/bin/busybox" in seen
        assert "python" not in seen
        assert "memfd" not in seen
        assert "socket:" not in seen

    run(scenario)


def test_no_descriptor_of_the_runtime_is_open_in_a_container_or_an_exec() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "for f in /proc/self/fd/*; do readlink $f; done"
        lines = (await rig.shell(sandbox, script)).splitlines()
        assert [line.split(":")[0] for line in lines] == ["/dev/null", "pipe", "pipe"]
        name = await rig.launch(sandbox, "sleep", "1000")
        reader, writer = os.pipe()
        made = await rig.engine.exec("p", name, {"args": ["sh", "-c", script]}, [reader, writer])
        await made.wait(60)
        os.close(writer)
        assert [line.split(":")[0] for line in os.read(reader, 4096).decode().splitlines()] == [
            "pipe",
            "pipe",
            "/dev/null",
        ]
        os.close(reader)

    run(scenario)


def test_a_working_directory_cannot_lead_out_through_a_descriptor() -> None:
    """CVE-2024-21626."""

    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        running = await rig.launch(sandbox, "sleep", "1000")
        for number in range(16):
            cwd = f"/proc/self/fd/{number}"
            with pytest.raises(EngineError):
                await rig.launch(sandbox, "true", cwd=cwd)
            with pytest.raises(EngineError):
                await rig.engine.exec("p", running, {"args": ["true"], "cwd": cwd})
        os.symlink("/proc/self/fd/7", os.path.join(rig.layer, "sneaky"))
        with pytest.raises(EngineError):
            await rig.launch(sandbox, "true", cwd="/sneaky")

    run(scenario)


def test_a_device_node_of_the_hosts_disk_can_be_made_but_not_opened() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        status = os.stat(rig.directory)
        disk = f"b {os.major(status.st_dev)} {os.minor(status.st_dev)}"
        script = (
            f"mknod /disk {disk} && test -b /disk && echo made; head -c 1 /disk && echo open;"
            "mknod /mem c 1 1; head -c 1 /mem && echo open; head -c 1 /dev/zero | wc -c"
        )
        text = await rig.shell(sandbox, script)
        assert "made" in text
        assert "open\n" not in text
        assert text.count("Operation not permitted") == 2
        assert "1" in text.splitlines()

    run(scenario)


@pytest.mark.parametrize(
    "command",
    [
        "mount -t tmpfs none /mnt",
        "mount -o remount,rw /proc/sys",
        "mount -o bind / /mnt",
        "umount /proc/sys",
        "umount -l /sys/firmware",
        "unshare -U true",
        "unshare -r true",
        "unshare -m true",
        "unshare -n true",
        "hostname other",
        "ip link add x type dummy",
    ],
)
def test_what_needs_more_privilege_is_refused(command: str) -> None:
    async def scenario(rig: Rig) -> None:
        os.mkdir(os.path.join(rig.layer, "mnt"))
        sandbox = await rig.sandbox()
        text = await rig.shell(sandbox, f"{command} && echo done")
        assert "done" not in text
        assert "not permitted" in text.lower() or "denied" in text.lower(), text

    run(scenario)


def test_processes_of_the_host_are_neither_seen_nor_reached() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = f"ls -d /proc/[0-9]*; kill -0 {sandbox.pid} && echo reached; kill -0 {os.getpid()}"
        text = await rig.shell(sandbox, script)
        assert "reached" not in text
        assert {line for line in text.splitlines() if line[:5] == "/proc"} <= {
            "/proc/1",
            "/proc/2",
            "/proc/3",
        }

    run(scenario)


def test_nothing_of_the_runtimes_environment_is_passed_on() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        _, text = await rig.output(sandbox, "env", env=["PATH=/bin", "A=1"])
        assert sorted(text.splitlines()) == ["A=1", "HOME=/root", "PATH=/bin"]
        name = await rig.launch(sandbox, "sleep", "1000")
        pid = (await rig.engine.state("p", name)).pid
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert sorted(environment) == [b"", b"HOME=/root", b"PATH=/bin"]

    run(scenario)


@pytest.mark.parametrize(("strict", "gained"), [(True, False), (False, True)])
def test_a_setuid_program_gains_nothing_under_no_new_privileges(strict: bool, gained: bool) -> None:
    async def scenario(rig: Rig) -> None:
        os.chmod(os.path.join(rig.layer, "bin", "busybox"), 0o4755)
        pathlib.Path(rig.layer, "etc", "passwd").write_text("root::0:0::/:/bin/sh\n")
        sandbox = await rig.sandbox()
        text = await rig.shell(
            sandbox,
            "/bin/busybox su -c 'id -u' root",
            user={"uid": 101, "gid": 102},
            no_new_privileges=strict,
        )
        assert (text.strip().endswith("0")) == gained, text

    run(scenario)


def test_each_container_has_a_session_keyring_of_its_own() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        texts = [
            await rig.shell(sandbox, "grep ' _ses: ' /proc/keys", privileged=True) for _ in range(2)
        ]
        rings = [{line.split()[0] for line in text.splitlines()} for text in texts]
        assert all(rings)
        assert rings[0] != rings[1]

    run(scenario)


def test_capabilities_of_a_container_are_the_default_ones_and_no_more() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        text = await rig.shell(sandbox, "grep -E '^Cap|^Seccomp:|^NoNew' /proc/self/status")
        sets = dict(line.split() for line in text.splitlines())
        wanted = capabilities.parse_names(capabilities.DEFAULT) & capabilities.available()
        for name in ("CapPrm:", "CapEff:", "CapBnd:"):
            assert int(sets[name], 16) == wanted
        assert int(sets["CapInh:"], 16) == int(sets["CapAmb:"], 16) == 0
        assert sets["Seccomp:"] == "2"

    run(scenario)


@pytest.mark.parametrize(
    ("closed", "cases"),
    [
        (
            False,
            (
                (["rbind", "ro"], "kept /data\n"),
                (["rbind", "rro"], "kept /data\nkept /data/below\n"),
                (["rbind", "rro", "rrw"], ""),
            ),
        ),
        (True, ((["rbind", "rw"], "kept /data/below\n"), (["rbind", "ro", "rrw"], ""))),
    ],
)
def test_a_recursive_flag_reaches_what_is_mounted_below(
    closed: bool, cases: tuple[tuple[list[str], str], ...]
) -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        source = os.path.join(rig.directory, "source")
        below = os.path.join(source, "below")
        os.makedirs(below)
        syscalls.mount("tmpfs", below, "tmpfs", 0, "size=64k")
        try:
            if closed:
                mounted = os.open(below, os.O_PATH)
                syscalls.mount_setattr(mounted, add=syscalls.MOUNT_ATTR_RDONLY)
                os.close(mounted)
            for options, wanted in cases:
                mount = {"destination": "/data", "type": "bind", "source": source}
                script = "for it in /data /data/below; do touch $it/x || echo kept $it; done"
                script = f"({script}) 2>/dev/null"
                text = await rig.shell(sandbox, script, mounts=[{**mount, "options": options}])
                assert (options, text) == (options, wanted)
        finally:
            syscalls.umount(below, syscalls.MNT_DETACH)

    run(scenario)


def test_what_is_executed_in_a_container_may_no_more_than_it() -> None:
    command = ["grep", "-E", "^Cap|^Seccomp:|^NoNew", "/proc/self/status"]

    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        _, own = await rig.output(sandbox, *command)
        assert "Seccomp:\t2" in own
        name = await rig.launch(sandbox, "sleep", "1000")
        reader, writer = os.pipe()
        made = await rig.engine.exec("p", name, {"args": command}, [reader, writer, writer])
        os.close(writer)
        assert (await made.wait(60)).code == 0
        with os.fdopen(reader) as text:
            assert text.read() == own

    run(scenario)


def test_a_container_leaves_the_images_layers_as_they_were() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        before = sorted(os.listdir(rig.layer + "/bin"))
        await rig.shell(sandbox, "rm -rf /bin/cat /etc; echo x > /bin/busybox; mkdir /new")
        assert sorted(os.listdir(rig.layer + "/bin")) == before
        assert os.path.getsize(rig.layer + "/bin/busybox") > 1000
        assert sorted(os.listdir(rig.layer)) == ["bin", "etc"]

    run(scenario)


def test_a_read_only_root_cannot_be_written_but_dev_can() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "touch /x && echo written; touch /dev/shm/x && echo shared; echo > /dev/null"
        text = await rig.shell(sandbox, script, readonly_root=True)
        assert "written" not in text
        assert "shared" in text

    run(scenario)


@pytest.mark.parametrize("name", ["../x", "", ".", "..", "a/b", "x" * 300, "a\0b"])
def test_an_id_cannot_be_a_path(name: str) -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        with pytest.raises(EngineError) as caught:
            await rig.engine.create("p", name, rig.bundle(sandbox, "x", "true"))
        assert caught.value.kind == "invalid"

    run(scenario)


@pytest.mark.parametrize("path", ["relative", "/", "/../x", ""])
def test_a_pods_cgroup_cannot_be_the_root_or_climb(path: str) -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(EngineError) as caught:
            await rig.sandbox("q", cgroup_parent=path)
        assert caught.value.kind == "invalid"

    run(scenario)


@pytest.mark.parametrize(
    "call",
    [
        "keyctl",
        "add_key",
        "request_key",
        "bpf",
        "userfaultfd",
        "io_uring_setup",
        "unshare",
        "mount",
        "ptrace",
    ],
)
def test_the_default_profile_answers_eperm_from_the_kernel(call: str) -> None:
    program = seccomp.compile_filter(seccomp_profile.default_section(capabilities.DEFAULT))
    machine = "aarch64" if syscalls.MACHINE == "aarch64" else "x86_64"
    number = numbers(machine)[call]
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.seccomp(program)
        result = libc.syscall(number, *([ctypes.c_long(-1)] * 6))
        os._exit(ctypes.get_errno() if result < 0 else 0)
    _, status = os.waitpid(child, 0)
    errno = os.waitstatus_to_exitcode(status)
    # ptrace is allowed since Linux 4.8, among the container's own processes.
    assert (errno == 1) == (call != "ptrace")
