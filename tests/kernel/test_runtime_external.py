"""Containers of a pod that runc, crun or our own command line makes in the place of our runtime."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import stat
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest
from oci_programs import OTHERS, PROGRAMS, find_program, write_program
from process_ends import until_ended
from test_runtime_rest import open_descriptors, rest
from test_runtime_rig import TIMEOUT_SECONDS, Rig, needs_root, read_terminal
from test_runtime_rig import run as run_rig

from steersman.runtime import state
from steersman.runtime.engine import Engine, EngineError, Event, SandboxState
from steersman.runtime.kernel import syscalls
from steersman.runtime.spec import bind_mount

pytestmark = needs_root

MS_BIND = 4096

Scenario = Callable[[Rig, SandboxState], Awaitable[None]]


class Run(Protocol):
    """Runs a test with a pod whose containers a program makes."""

    def __call__(self, scenario: Scenario, **spec: Any) -> None:
        """Runs it; the fields are the sandbox's."""


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """The path of a runtime."""
    return str(find_program(request.param, tmp_path))


@pytest.fixture
def run(program: str) -> Run:
    """Runs a test."""

    def run_test(scenario: Scenario, **spec: Any) -> None:
        run_with(program, scenario, **spec)

    return run_test


def run_with(program: str | pathlib.Path, scenario: Scenario, **spec: Any) -> None:
    """Runs a test with a pod whose containers a program makes."""

    async def with_rig(rig: Rig) -> None:
        await scenario(rig, await rig.sandbox(runtime=str(program), **spec))

    run_rig(with_rig)


def states(rig: Rig) -> list[str]:
    """The containers that the program knows."""
    folder = pathlib.Path(rig.state, "pods", "p", "runtime", "states")
    return sorted(it.name for it in folder.iterdir() if it.is_dir())


def test_a_container_runs_and_its_exit_code_and_log_are_kept(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        status, text = await rig.output(sandbox, "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
        assert (status.code, status.signal, status.oom_killed) == (3, 0, False)
        assert 0 < status.started_at <= status.finished_at
        assert sorted(text.splitlines()) == ["err", "out"]
        assert " stderr F err\n" in pathlib.Path(rig.log("c1")).read_text()

    run(scenario)


def test_the_program_makes_it_and_deletes_it_once_it_has_ended(run: Run, program: str) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        assert sandbox.runtime == program
        name = await rig.launch(sandbox, "sleep", "1000")
        assert states(rig) == [name]
        await rig.engine.kill("p", name, signal.SIGKILL)
        ended = await rig.engine.wait("p", name, TIMEOUT_SECONDS)
        assert (ended.code, ended.signal) == (137, signal.SIGKILL)
        assert states(rig) == []
        folder = pathlib.Path(rig.state, "pods", "p", "runtime")
        assert [it.name for it in folder.iterdir()] == ["states"]  # no log of a call stays

    run(scenario)


def test_a_program_that_ends_at_once_is_seen_to_have_run(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        for _ in range(5):
            status, _ = await rig.output(sandbox, "/bin/true")
            assert (status.code, status.started_at > 0) == (0, True)

    run(scenario)


def test_containers_are_in_the_namespaces_of_their_pod(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        script = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; hostname; echo $$"
        wanted = [os.readlink(sandbox.netns), os.readlink(sandbox.ipcns), "p", "1"]
        assert (await rig.shell(sandbox, script)).split() == wanted
        await rig.shell(sandbox, "echo there > /dev/shm/note")
        assert await rig.shell(sandbox, "cat /dev/shm/note") == "there\n"

    run(scenario)


def test_a_pod_may_have_the_namespaces_of_the_host(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        script = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; sleep 1000 & exit 4"
        status, text = await rig.output(
            sandbox, "/bin/sh", "-c", script, host_pid=True, pidns="", shm=sandbox.shm
        )
        assert text.split() == [os.readlink(f"/proc/self/ns/{it}") for it in ("net", "ipc")]
        assert status.code == 4
        left = pathlib.Path("/sys/fs/cgroup").glob(f"*{rig.cgroup}/**/cgroup.procs")
        assert [it for it in left if it.read_text()] == []

    run(scenario, network="host", ipc="host")


def test_containers_that_share_their_processes_see_each_other(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        await rig.launch(sandbox, "sleep", "1000", pidns=sandbox.pidns)
        script = "cat /proc/1/comm; for it in /proc/[0-9]*; do cat $it/comm; done"
        text = await rig.shell(sandbox, script, pidns=sandbox.pidns)
        assert text.startswith("steer-init\n")
        assert "sleep\n" in text

    run(scenario, pid="shared")


def test_user_groups_capabilities_and_filter_are_as_with_our_own(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        ours = await rig.sandbox("ours")
        script = "grep -E '^(Uid|Gid|Cap...|NoNewPrivs|Seccomp):' /proc/self/status; id; pwd; umask"
        user = {"uid": 0, "gid": 0, "username": "web", "umask": 0o027}
        given = {"user": user, "cwd": "/srv", "no_new_privileges": True}
        text = await rig.shell(sandbox, script, **given)
        assert text == await rig.shell(ours, script, **given)
        name = await rig.launch(sandbox, "sleep", "1000", **given)
        assert (await rig.engine.state("p", name)).user == [101, 102, 102, 103]

    run(scenario)


def test_how_readily_it_is_killed_for_memory_is_as_with_our_own(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        ours = await rig.sandbox("ours")
        for score in (-997, 900):
            text = await rig.shell(sandbox, "cat /proc/self/oom_score_adj", oom_score_adj=score)
            assert text == await rig.shell(
                ours, "cat /proc/self/oom_score_adj", oom_score_adj=score
            )

    run(scenario)


def test_a_container_without_a_filter_has_none_and_a_privileged_one_may_mount(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        script = "grep ^Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo mounted"
        text = await rig.shell(sandbox, f"mkdir /tmp; {script}", privileged=True)
        assert text.splitlines() == ["Seccomp:\t0", "mounted"]
        assert "mounted" not in await rig.shell(sandbox, f"mkdir /tmp; {script} 2>&1")

    run(scenario)


def test_only_devices_that_are_allowed_can_be_used(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        script = "mknod /disk b 7 0; head -c 1 /disk 2>&1; head -c 1 /dev/zero | wc -c"
        text = await rig.shell(sandbox, script)
        assert "Operation not permitted" in text
        assert text.endswith("1\n")

    run(scenario)


@pytest.mark.parametrize("name", OTHERS)
def test_why_a_program_cannot_run_is_told_in_the_words_of_the_runtime(
    name: str, tmp_path: pathlib.Path
) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        words = {
            "runc": 'runc create failed: unable to start container process: exec: "nope": '
            "executable file not found in $PATH",
            "crun": "executable file `nope` not found in $PATH: No such file or directory",
        }
        with pytest.raises(EngineError) as caught:
            await rig.launch(sandbox, "nope")
        wanted = f"OCI runtime create failed: {words[name]}"
        assert (caught.value.kind, str(caught.value)) == ("failed", wanted)
        found = await rig.engine.state("p", "c1")
        assert found.exit is not None
        assert (found.status, found.exit.code, found.reason) == ("stopped", 128, wanted)
        assert states(rig) == []

    run_with(find_program(name, tmp_path), scenario)


def test_a_container_that_cannot_be_set_up_leaves_nothing_behind(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        with pytest.raises(EngineError) as caught:
            await rig.launch(sandbox, "true", user={"uid": 0, "gid": 0, "username": "nobody"})
        assert str(caught.value) == "unable to find user nobody: no matching entries in passwd file"
        assert (await rig.engine.sandbox("p")).containers == ()
        assert os.listdir(os.path.join(rig.state, "pods", "p", "containers")) == []

    run(scenario)


def test_users_of_its_own_are_refused_by_name(run: Run) -> None:
    maps = [{"containerID": 0, "hostID": 200_000, "size": 65_536}]

    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        with pytest.raises(EngineError, match="user namespaces are for our own runtime alone"):
            await rig.launch(sandbox, "true", userns=sandbox.userns)

    run(scenario, uidMappings=maps, gidMappings=maps)


def test_exec_gives_output_and_exit_code_of_each(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        name = await rig.launch(sandbox, "sleep", "1000", env=["PATH=/bin", "COLOUR=red"])
        long = await rig.engine.exec("p", name, {"args": ["sleep", "1000"]})

        async def execute(code: int) -> tuple[int, str]:
            reader, writer = os.pipe()
            script = f"echo $COLOUR; readlink /proc/self/ns/pid; exit {code}"
            made = await rig.engine.exec(
                "p", name, {"args": ["sh", "-c", script]}, [reader, writer, writer]
            )
            os.close(writer)
            ended = await made.wait(TIMEOUT_SECONDS)
            with open(reader) as file:
                return ended.code, file.read()

        pid = (await rig.engine.state("p", name)).pid
        text = f"red\n{os.readlink(f'/proc/{pid}/ns/pid')}\n"
        found = await asyncio.gather(*[execute(code) for code in range(4)])
        assert found == [(code, text) for code in range(4)]
        await long.kill(signal.SIGTERM)
        assert (await long.wait(TIMEOUT_SECONDS)).signal == signal.SIGTERM

    run(scenario)


def test_exec_of_a_missing_program_says_so_and_lets_the_pod_rest(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        name = await rig.launch(sandbox, "sleep", "1000")
        await rest(sandbox)
        before = open_descriptors(sandbox.pid)
        with pytest.raises(EngineError) as caught:
            await rig.engine.exec("p", name, {"args": ["nope"]})
        assert caught.value.kind == "failed"
        assert str(caught.value).startswith("OCI runtime exec failed: ")
        assert "nope" in str(caught.value)
        made = await rig.engine.exec("p", name, {"args": ["true"]})
        assert (await made.wait(TIMEOUT_SECONDS)).code == 0
        await rest(sandbox)
        assert open_descriptors(sandbox.pid) == before
        folder = pathlib.Path(rig.state, "pods", "p", "containers", name)
        assert not [it.name for it in folder.iterdir() if it.name.startswith("exec")]

    run(scenario)


def test_exec_with_a_terminal_can_be_resized(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        name = await rig.launch(sandbox, "sleep", "1000")
        made = await rig.engine.exec("p", name, {"args": ["sh"], "terminal": True})
        made.resize(132, 50)
        os.write(made.terminal, b"stty size; echo kind=$TERM; tty; exit 5\n")
        assert (await made.wait(TIMEOUT_SECONDS)).code == 5
        text = read_terminal(made.terminal)
        made.close()
        for wanted in ("50 132", "kind=xterm", "/dev/pts/"):
            assert wanted in text

    run(scenario)


def test_attach_feeds_input_and_copies_output(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        name = await rig.launch(sandbox, "cat", stdin=True, stdin_once=True)
        assert await rig.attached(name, b"hello\n") == b"hello\n"
        assert rig.text(name) == "hello\n"

    run(scenario)


def test_a_terminal_outlives_the_shim_and_the_program_that_opened_it(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        name = await rig.launch(sandbox, "/bin/sh", terminal=True, stdin=True)
        await rest(sandbox)
        await rig.engine.resize("p", name, 100, 40)
        reader, writer = os.pipe()
        await rig.engine.attach("p", name, {"stdin": reader})
        os.close(reader)
        os.write(writer, b"stty size; test -t 1 && exit 6\n")
        os.close(writer)
        assert (await rig.engine.wait("p", name, TIMEOUT_SECONDS)).code == 6
        assert "40 100" in rig.text(name)

    run(scenario)


def test_limits_reach_the_kernel_and_the_program_changes_them(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        resources = {"memory": {"limit": 64 << 20}, "cpu": {"shares": 512}, "pids": {"limit": 50}}
        name = await rig.launch(sandbox, "sleep", "1000", resources=resources)
        stats = await rig.engine.stats("p", name)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while stats["pids_current"] != 1:
                await asyncio.sleep(0.01)
                stats = await rig.engine.stats("p", name)
        assert stats["memory_limit_bytes"] == 64 << 20
        await rest(sandbox)
        await rig.engine.update("p", name, {"memory": {"limit": 96 << 20}, "cpu": {"cpus": "0"}})
        assert (await rig.engine.stats("p", name))["memory_limit_bytes"] == 96 << 20
        assert os.sched_getaffinity((await rig.engine.state("p", name)).pid) == {0}
        with pytest.raises(EngineError, match="OCI runtime update failed: "):
            await rig.engine.update("p", name, {"cpu": {"cpus": "9999"}})

    run(scenario)


def test_memory_beyond_the_limit_ends_a_container_as_oom_killed(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        limits = {"memory": {"limit": 20 << 20, "swap": 20 << 20}}
        script = "dd if=/dev/zero of=/dev/null bs=200M count=1; true & wait"
        status, _ = await rig.output(sandbox, "/bin/sh", "-c", script, resources=limits)
        assert status.oom_killed

    run(scenario)


def test_a_subpath_stays_beneath_its_volume_and_is_let_go_of(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        volume = pathlib.Path(rig.directory, "volume")
        (volume / "inner").mkdir(parents=True)
        (volume / "inner" / "file").write_text("data\n")
        (volume / "out").symlink_to("/etc")
        part = bind_mount(str(volume), "/v", readonly=True, subpath="inner")
        one = bind_mount(str(volume), "/one", subpath="inner/file")
        script = "cat /v/file /one; touch /v/x 2>/dev/null || echo refused; exec sleep 1000"
        name = await rig.launch(sandbox, "/bin/sh", "-c", script, mounts=[part, one])
        mounted = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        assert not [line for line in mounted if rig.directory in line and "/part." in line]
        await rig.engine.delete("p", name, force=True)
        text = await rig.shell(sandbox, script.partition("; exec")[0], mounts=[part, one])
        assert text.splitlines() == ["data", "data", "refused"]
        for outside in ("out", "../", "inner/../../x"):
            wrong = bind_mount(str(volume), "/v", subpath=outside)
            with pytest.raises(EngineError):
                await rig.launch(sandbox, "true", mounts=[wrong])
        assert (volume / "inner" / "file").read_text() == "data\n"

    run(scenario)


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_mounted_below_a_volume_reaches_a_container_that_follows(shared: bool) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        volume = pathlib.Path(rig.directory, "volume")
        volume.mkdir()
        syscalls.mount("shared", str(volume), "tmpfs", 0, "")
        try:
            syscalls.set_propagation(str(volume), syscalls.MS_SHARED)
            for name in ("theirs", "ours"):
                (volume / name).mkdir()
            word = "rshared" if shared else "rslave"
            mounts = [bind_mount(str(volume), "/v", propagation=word)]
            script = "mount -t tmpfs inner /v/theirs && touch /v/theirs/file; sleep 100"
            name = await rig.launch(
                sandbox, "/bin/sh", "-c", script, privileged=True, mounts=mounts
            )
            syscalls.mount("outer", str(volume / "ours"), "tmpfs", 0, "")
            (volume / "ours" / "file").touch()
            until = "until test -e /v/theirs/file; do sleep 0.05; done; test -e /v/ours/file"
            made = await rig.engine.exec("p", name, {"args": ["/bin/sh", "-c", until]})
            assert (await made.wait(TIMEOUT_SECONDS)).code == 0
            assert (volume / "theirs" / "file").exists() is shared
        finally:
            await rig.engine.remove_sandbox("p")
            for path in (volume / "theirs", volume / "ours", volume):
                with contextlib.suppress(OSError):
                    syscalls.umount(str(path), syscalls.MNT_DETACH)

    run_with(find_program("runc", pathlib.Path()), scenario)


def test_a_block_device_that_a_container_is_given_is_there(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        def give(document: dict[str, Any]) -> None:
            node = {"path": "/dev/disk", "type": "b", "major": 7, "minor": 0, "fileMode": 0o660}
            document["linux"]["devices"] = [node]

        name = await rig.launch(sandbox, "sleep", "1000", edit=give)
        pid = (await rig.engine.state("p", name)).pid
        assert stat.S_ISBLK(os.stat(f"/proc/{pid}/root/dev/disk").st_mode)

    run(scenario)


def test_pod_and_containers_outlive_warm_parent_and_agent(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        short = await rig.launch(sandbox, "/bin/sh", "-c", "exit 9")
        long = await rig.launch(sandbox, "sleep", "1000")
        await rig.engine.wait("p", short, TIMEOUT_SECONDS)
        await rest(sandbox)
        rig.kill_warm(signal.SIGKILL)
        await rig.engine.close()
        rig.engine = Engine(rig.socket, rig.state)
        (found,) = await rig.engine.connect()
        assert (found.pid, found.lost, found.runtime) == (sandbox.pid, False, sandbox.runtime)
        containers = {it.id: it for it in found.containers}
        ended = containers[short].exit
        assert ended is not None
        assert (ended.code, containers[long].status) == (9, "running")
        made = await rig.engine.exec("p", long, {"args": ["true"]})
        assert (await made.wait(TIMEOUT_SECONDS)).code == 0
        await rig.engine.kill("p", long)
        await rig.engine.kill("p", long, signal.SIGKILL)
        assert (await rig.engine.wait("p", long, TIMEOUT_SECONDS)).code == 137
        rig.start_warm()

    run(scenario)


def test_the_end_of_a_container_at_rest_is_an_event(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        script = "trap 'exit 7' TERM; while :; do sleep 0.1; done"
        name = await rig.launch(sandbox, "/bin/sh", "-c", script)
        await rest(sandbox)
        os.kill((await rig.engine.state("p", name)).pid, signal.SIGTERM)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            event: Event = await anext(rig.engine.events())
        assert (event.kind, event.pod, event.container) == ("exit", "p", name)
        assert event.exit is not None
        assert event.exit.code == 7
        await rest(sandbox)

    run(scenario)


def test_what_runs_in_a_pod_whose_keeper_was_killed_ends_with_its_removal(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        name = await rig.launch(sandbox, "sleep", "1000")
        handle = os.pidfd_open((await rig.engine.state("p", name)).pid)
        os.kill(sandbox.pid, signal.SIGKILL)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            event = await anext(rig.engine.events())
        assert event == Event("lost", "p", "", None)
        await rig.engine.remove_sandbox("p")
        await until_ended(handle)

    run(scenario)


def test_a_container_that_was_only_created_can_be_deleted(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        await rig.engine.create("p", "made", rig.bundle(sandbox, "made", "true"))
        await rig.engine.delete("p", "made")
        assert (await rig.engine.sandbox("p")).containers == ()
        await rig.engine.create("p", "made", rig.bundle(sandbox, "made", "true"))

    run(scenario)


def test_a_pod_with_containers_in_every_state_is_removed_whole(run: Run) -> None:
    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        await rig.launch(sandbox, "sleep", "1000")
        await rig.launch(sandbox, "sleep", "1000")
        await rig.launch(sandbox, "true")
        await rig.engine.create("p", "made", rig.bundle(sandbox, "made", "true"))
        await rig.engine.remove_sandbox("p")

    run(scenario)


# Runtimes that do not do what they should

_HANGS = """#!/bin/sh
case " $* " in
    *" {verb} "*) exec sleep 1000 ;;
    *) exec {program} "$@" ;;
esac
"""


@pytest.mark.parametrize("verb", ["create", "start", "delete"])
def test_a_runtime_that_hangs_is_ended_with_its_container(
    verb: str, tmp_path: pathlib.Path
) -> None:
    runc = find_program("runc", tmp_path)
    program = write_program(tmp_path / "hangs", _HANGS.format(verb=verb, program=runc))

    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        bundle = rig.bundle(sandbox, "made", "true" if verb == "delete" else "sleep", "1000")
        await rig.engine.create("p", "made", bundle)
        start = asyncio.create_task(rig.engine.start("p", "made", TIMEOUT_SECONDS))
        if verb == "delete":
            await start
        while (await rig.engine.sandbox("p")).containers:  # it has its time first
            with contextlib.suppress(EngineError):
                await rig.engine.delete("p", "made", force=True, deadline=2)
        (failed,) = await asyncio.gather(start, return_exceptions=True)
        assert isinstance(failed, EngineError) is (verb != "delete")

    run_with(program, scenario)


def test_a_runtime_that_hangs_does_not_outlive_its_pod(tmp_path: pathlib.Path) -> None:
    runc = find_program("runc", tmp_path)
    program = write_program(tmp_path / "hangs", _HANGS.format(verb="exec", program=runc))

    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        name = await rig.launch(sandbox, "sleep", "1000")
        with pytest.raises(EngineError, match="no answer in 1 s"):
            await rig.engine.exec("p", name, {"args": ["true"]}, (), 1)
        children = pathlib.Path(f"/proc/{sandbox.pid}/task/{sandbox.pid}/children").read_text()
        handles = [os.pidfd_open(int(child)) for child in children.split()]
        await rig.engine.remove_sandbox("p")
        for handle in handles:
            await until_ended(handle)

    run_with(program, scenario)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\nexit 3\n", "{path}: exit status 3"),
        ("#!/bin/sh\nkill -9 $$\n", "{path}: signal 9"),
        ("#!/nowhere\n", "{path}: No such file or directory"),
        ("#!/bin/sh\nexit 0\n", "[Errno 2] No such file or directory"),
    ],
)
def test_a_runtime_that_is_none_is_told_as_the_reason(
    text: str, reason: str, tmp_path: pathlib.Path
) -> None:
    program = write_program(tmp_path / "none", text)

    async def scenario(rig: Rig, sandbox: SandboxState) -> None:
        with pytest.raises(EngineError) as caught:
            await rig.launch(sandbox, "true")
        assert caught.value.kind == "failed"
        assert reason.format(path=program) in str(caught.value)
        assert (await rig.engine.state("p", "c1")).status == "stopped"

    run_with(program, scenario)


def test_mounts_left_by_a_dead_shim_are_taken_away_and_not_what_is_in_them(
    tmp_path: pathlib.Path,
) -> None:
    place = tmp_path / "with a space" / "containers" / "c" / "part.0"
    volume = tmp_path / "volume"
    place.mkdir(parents=True)
    volume.mkdir()
    (volume / "kept").touch()
    syscalls.mount(str(volume), str(place), "", MS_BIND, "")
    (tmp_path / "with a space" / "state.json").write_text(json.dumps({"cgroups": []}))
    state.clean_up(str(tmp_path / "with a space"))
    assert [it.name for it in tmp_path.iterdir()] == ["volume"]
    assert (volume / "kept").exists()
