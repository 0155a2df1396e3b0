"""Pods and containers from creation to removal, against a real kernel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import signal
import socket
from typing import Any

import pytest
from test_runtime_rig import TIMEOUT_SECONDS, Rig, needs_root, read_terminal, run

from steersman.runtime import state
from steersman.runtime.engine import Engine, EngineError, Event
from steersman.runtime.kernel import syscalls
from steersman.runtime.spec import bind_mount

pytestmark = needs_root


def test_a_container_runs_and_its_exit_code_and_log_are_kept() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        status, text = await rig.output(sandbox, "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
        assert (status.code, status.signal, status.oom_killed) == (3, 0, False)
        assert 0 < status.started_at <= status.finished_at
        assert sorted(text.splitlines()) == ["err", "out"]
        raw = pathlib.Path(rig.log("c1")).read_text()
        assert " stdout F out\n" in raw
        assert " stderr F err\n" in raw

    run(scenario)


def test_the_states_of_a_container_follow_the_verbs() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, engine = await rig.sandbox(), rig.engine
        created = await engine.create("p", "x", rig.bundle(sandbox, "x", "sleep", "1000"))
        assert (created.status, created.exit) == ("created", None)
        with pytest.raises(EngineError) as caught:
            await engine.create("p", "x", rig.bundle(sandbox, "x", "true"))
        assert caught.value.kind == "conflict"
        assert (await engine.start("p", "x")).status == "running"
        with pytest.raises(EngineError) as caught:
            await engine.delete("p", "x")
        assert caught.value.kind == "conflict"
        await engine.kill("p", "x", signal.SIGKILL)
        assert (await engine.wait("p", "x", 60)).code == 137
        assert (await engine.state("p", "x")).status == "stopped"
        with pytest.raises(EngineError) as caught:
            await engine.start("p", "x")
        assert caught.value.kind == "conflict"
        await engine.delete("p", "x")
        with pytest.raises(EngineError) as caught:
            await engine.state("p", "x")
        assert caught.value.kind == "not-found"

    run(scenario)


def test_the_end_of_a_container_is_an_event() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "/bin/sh", "-c", "exit 7")
        async with asyncio.timeout(60):
            event: Event = await anext(rig.engine.events())
        assert (event.kind, event.pod, event.container) == ("exit", "p", name)
        assert event.exit is not None
        assert event.exit.code == 7

    run(scenario)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("nope", 'exec: "nope": executable file not found in $PATH'),
        ("/nope", 'exec: "/nope": stat /nope: no such file or directory'),
        ("/etc/passwd", 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_a_program_that_cannot_run_is_refused_with_runcs_words(program: str, reason: str) -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        with pytest.raises(EngineError) as caught:
            await rig.launch(sandbox, program)
        assert (caught.value.kind, str(caught.value)) == ("failed", reason)
        state = await rig.engine.state("p", "c1")
        assert state.exit is not None
        assert (state.status, state.exit.code) == ("stopped", 128)

    run(scenario)


def test_a_container_that_cannot_be_set_up_leaves_nothing_behind() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        document = rig.bundle(sandbox, "x", "true")
        document["mounts"].append(
            {"destination": "/data", "type": "bind", "source": "/not/there", "options": ["rbind"]}
        )
        with pytest.raises(EngineError) as caught:
            await rig.engine.create("p", "x", document)
        assert "mount /not/there at /data: No such file or directory" in str(caught.value)
        assert (await rig.engine.pods())[0].containers == ()
        assert os.listdir(os.path.join(rig.state, "pods", "p", "containers")) == []

    run(scenario)


def test_containers_of_a_pod_share_network_ipc_and_name_but_not_processes() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox("web-1")
        script = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; hostname; echo $$"
        first = await rig.shell(sandbox, script)
        second = await rig.shell(sandbox, script)
        assert first == second
        net, _, name, pid = first.splitlines()
        assert (name, pid) == ("web-1", "1")
        assert net == os.readlink(sandbox.netns) != os.readlink("/proc/self/ns/net")
        assert "inet 127.0.0.1/8" in await rig.shell(sandbox, "ip addr show lo")

    run(scenario)


def test_shared_memory_of_a_pod_is_seen_by_its_containers() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        await rig.shell(sandbox, "echo there > /dev/shm/note")
        assert await rig.shell(sandbox, "cat /dev/shm/note") == "there\n"

    run(scenario)


def test_pod_and_containers_outlive_warm_parent_and_agent() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        short = await rig.launch(sandbox, "/bin/sh", "-c", "cat /dev/shm/go; exit 9")
        long = await rig.launch(sandbox, "sleep", "1000")
        await rig.engine.wait("p", short, 60)
        rig.kill_warm(signal.SIGKILL)
        await rig.engine.close()
        rig.engine = Engine(rig.socket, rig.state)
        (found,) = await rig.engine.connect()
        assert (found.pid, found.lost) == (sandbox.pid, False)
        states = {state.id: state for state in found.containers}
        ended = states[short].exit
        assert ended is not None
        assert ended.code == 9
        assert states[long].status == "running"
        await rig.engine.kill("p", long, signal.SIGKILL)
        assert (await rig.engine.wait("p", long, 60)).signal == signal.SIGKILL
        rig.start_warm()

    run(scenario)


def test_a_pod_whose_shim_was_killed_is_lost_and_can_be_removed() -> None:
    async def scenario(rig: Rig) -> None:
        def beside_the_pod(document: dict[str, Any]) -> None:
            document["linux"]["cgroupsPath"] = f"{rig.cgroup}/elsewhere"

        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        user = await rig.launch(
            sandbox, "sleep", "1000", user={"uid": 101, "gid": 102}, edit=beside_the_pod
        )
        pids = [(await rig.engine.state("p", each)).pid for each in (name, user)]
        handles = [os.pidfd_open(pid) for pid in pids]
        os.kill(sandbox.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            event = await anext(rig.engine.events())
            for handle in handles:
                await _readable(handle)  # the containers die with their shim
                os.close(handle)
        assert event == Event("lost", "p", "", None)
        assert [pod.lost for pod in await rig.engine.pods()] == [True]
        with pytest.raises(EngineError) as caught:
            await rig.engine.state("p", name)
        assert caught.value.kind == "lost"
        await rig.engine.remove_sandbox("p")
        assert await rig.engine.pods() == []

    run(scenario)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, ready.set_result, None)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def test_removing_a_pod_twice_or_one_that_never_was_is_fine() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.sandbox()
        await rig.engine.remove_sandbox("p")
        await rig.engine.remove_sandbox("p")
        await rig.engine.remove_sandbox("never")

    run(scenario)


def test_a_second_sandbox_of_the_same_name_is_a_conflict_and_harms_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        with pytest.raises(EngineError) as caught:
            await rig.sandbox()
        assert caught.value.kind == "conflict"
        other = Engine(rig.socket, rig.state)
        with pytest.raises(EngineError) as caught:
            await other.start_sandbox("p", {"cgroup_parent": f"{rig.cgroup}/p"})
        assert caught.value.kind == "conflict"
        assert await rig.shell(sandbox, "echo fine") == "fine\n"

    run(scenario)


def test_memory_beyond_the_limit_ends_a_container_as_oom_killed() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        status, _ = await rig.output(
            sandbox,
            "/bin/sh",
            "-c",
            "dd if=/dev/zero of=/dev/null bs=200M count=1; true & wait",
            resources={"memory": {"limit": 20 << 20, "swap": 20 << 20}},
        )
        assert status.oom_killed

    run(scenario)


def test_limits_reach_the_kernel_and_can_be_changed_and_read() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox(resources={"memory": {"limit": 256 << 20}})
        resources = {"memory": {"limit": 64 << 20}, "cpu": {"shares": 512}, "pids": {"limit": 50}}
        name = await rig.launch(sandbox, "sleep", "1000", resources=resources)
        stats = await rig.engine.stats("p", name)
        assert stats["memory_limit_bytes"] == 64 << 20
        assert stats["pids_current"] == 1
        assert stats["memory_usage_bytes"] > 0
        await rig.engine.update("p", name, {"memory": {"limit": 96 << 20}})
        assert (await rig.engine.stats("p", name))["memory_limit_bytes"] == 96 << 20
        assert (await rig.engine.stats("p"))["memory_limit_bytes"] == 256 << 20
        # It began without a group of this controller, whose limit is its own all the same
        await rig.engine.update("p", name, {"cpu": {"cpus": "0"}})
        state = await rig.engine.state("p", name)
        assert os.sched_getaffinity(state.pid) == {0}
        await rig.engine.delete("p", name, force=True)
        assert (await rig.engine.stats("p"))["memory_limit_bytes"] == 256 << 20

    run(scenario)


def test_exec_joins_the_container_and_gives_its_exit_code() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000", env=["PATH=/bin", "COLOUR=red"])
        reader, writer = os.pipe()
        script = "echo $COLOUR; readlink /proc/self/ns/pid; exit 4"
        made = await rig.engine.exec(
            "p", name, {"args": ["sh", "-c", script]}, [reader, writer, writer]
        )
        os.close(writer)
        assert (await made.wait(60)).code == 4
        colour, namespace = os.read(reader, 1000).decode().splitlines()
        os.close(reader)
        pid = (await rig.engine.state("p", name)).pid
        assert (colour, namespace) == ("red", os.readlink(f"/proc/{pid}/ns/pid"))

    run(scenario)


@pytest.mark.parametrize(("env", "term"), [([], "xterm"), (["TERM=vt100"], "vt100")])
def test_an_exec_at_a_terminal_knows_its_kind(env: list[str], term: str) -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000", env=["PATH=/bin", *env])
        made = await rig.engine.exec(
            "p", name, {"args": ["sh", "-c", "echo kind=$TERM"], "terminal": True}
        )
        assert (await made.wait(60)).code == 0
        assert f"kind={term}" in read_terminal(made.terminal)
        made.close()

    run(scenario)


def test_execs_of_one_container_each_have_their_own_signals_and_end() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        long = await rig.engine.exec("p", name, {"args": ["sleep", "1000"]})
        third = await rig.engine.exec("p", name, {"args": ["sh", "-c", "exit 3"]})
        fourth = await rig.engine.exec("p", name, {"args": ["sh", "-c", "exit 4"]})
        assert (await fourth.wait(60)).code == 4
        assert (await third.wait(60)).code == 3
        await long.kill(signal.SIGINT)
        assert (await long.wait(60)).signal == signal.SIGINT
        assert (await rig.engine.state("p", name)).status == "running"

    run(scenario)


def test_exec_of_a_missing_program_says_so() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        with pytest.raises(EngineError) as caught:
            await rig.engine.exec("p", name, {"args": ["nope"]})
        assert str(caught.value) == 'exec: "nope": executable file not found in $PATH'

    run(scenario)


def test_exec_with_a_terminal_can_be_resized_and_hung_up() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        process = {"args": ["sh"], "terminal": True, "consoleSize": {"width": 80, "height": 25}}
        made = await rig.engine.exec("p", name, process)
        made.resize(132, 50)
        os.write(made.terminal, b"stty size; tty; exit 5\n")
        assert (await made.wait(60)).code == 5
        text = read_terminal(made.terminal)
        made.close()
        assert "50 132" in text
        assert "/dev/pts/0" in text

    run(scenario)


def test_attach_feeds_input_and_copies_output_of_a_container() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "cat", stdin=True, stdin_once=True)
        assert await rig.attached(name, b"hello\n") == b"hello\n"
        assert rig.text(name) == "hello\n"

    run(scenario)


def test_a_container_with_a_terminal_has_it_as_console() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "test -c /dev/console && tty"
        assert await rig.shell(sandbox, script, terminal=True) == "/dev/pts/0\n"

    run(scenario)


def test_a_log_that_was_moved_away_is_written_anew_after_reopen() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "cat", stdin=True)
        reader, writer = os.pipe()
        out_reader, out_writer = os.pipe()
        await rig.engine.attach("p", name, {"stdin": reader, "stdout": out_writer})
        os.rename(rig.log(name), rig.log("old"))
        await rig.engine.reopen_log("p", name)
        os.write(writer, b"after\n")
        os.close(writer)
        async with asyncio.timeout(60):
            await _readable(out_reader)
        for descriptor in (reader, out_reader, out_writer):
            os.close(descriptor)
        assert (rig.text("old"), rig.text(name)) == ("", "after\n")

    run(scenario)


def test_user_groups_umask_limits_and_directory_are_as_asked() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()

        def edit(document: dict[str, dict[str, object]]) -> None:
            document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]

        user = {"username": "web", "umask": 0o077, "additionalGids": [7]}
        text = await rig.shell(
            sandbox, "id; umask; ulimit -n; pwd; echo $HOME", user=user, cwd="/work/dir", edit=edit
        )
        assert text.splitlines() == [
            "uid=101(web) gid=102(web) groups=7,103(logs)",
            "0077",
            "99",
            "/work/dir",
            "/srv",
        ]

    run(scenario)


def test_volumes_are_mounted_as_asked_and_a_subpath_stays_beneath_its_volume() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        volume = pathlib.Path(rig.directory, "volume")
        (volume / "inner").mkdir(parents=True)
        (volume / "inner" / "file").write_text("data\n")
        (volume / "out").symlink_to("/etc")
        mount = {"destination": "/v", "type": "bind", "source": str(volume), "options": ["ro"]}
        text = await rig.shell(
            sandbox,
            "cat /v/file; touch /v/x 2>/dev/null || echo refused",
            mounts=[{**mount, "subPath": "inner"}],
        )
        assert text.splitlines() == ["data", "refused"]
        for outside in ("out", "../", "inner/../../x"):
            with pytest.raises(EngineError):
                await rig.launch(sandbox, "true", mounts=[{**mount, "subPath": outside}])

    run(scenario)


@pytest.mark.parametrize(
    ("word", "seen_inside", "seen_outside"),
    [("rprivate", False, False), ("rslave", True, False), ("rshared", True, True)],
)
def test_mounts_reach_the_other_side_as_the_word_says(
    word: str, seen_inside: bool, seen_outside: bool
) -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        volume = pathlib.Path(rig.directory, "volume")
        for name in ("theirs", "ours"):
            (volume / name).mkdir(parents=True)
        syscalls.mount("shared", str(volume), "tmpfs", 0, "")
        try:
            syscalls.set_propagation(str(volume), syscalls.MS_SHARED)
            for name in ("theirs", "ours"):
                (volume / name).mkdir()
            options = {"mounts": [bind_mount(str(volume), "/v", propagation=word)]}
            script = "mount -t tmpfs inner /v/theirs && touch /v/theirs/file; sleep 100"
            name = await rig.launch(sandbox, "/bin/sh", "-c", script, privileged=True, **options)
            syscalls.mount("outer", str(volume / "ours"), "tmpfs", 0, "")
            (volume / "ours" / "file").touch()
            until = "until test -e /v/theirs/file; do sleep 0.05; done; test -e /v/ours/file"
            process = await rig.engine.exec(sandbox.pod, name, {"args": ["/bin/sh", "-c", until]})
            assert ((await process.wait(TIMEOUT_SECONDS)).code == 0) == seen_inside
            assert (volume / "theirs" / "file").exists() == seen_outside
        finally:
            await rig.engine.remove_sandbox(sandbox.pod)
            for path in (volume / "theirs", volume / "ours", volume):
                with contextlib.suppress(OSError):
                    syscalls.umount(str(path), syscalls.MNT_DETACH)

    run(scenario)


def test_a_pod_on_the_hosts_network_has_no_namespace_of_its_own() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox(network="host")
        text = await rig.shell(sandbox, "readlink /proc/self/ns/net; hostname")
        assert text.splitlines() == [os.readlink("/proc/self/ns/net"), os.uname().nodename]

    run(scenario)


def test_sysctls_are_set_in_the_pod_and_refused_if_they_would_change_the_host() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox(sysctls={"net.ipv4.ip_unprivileged_port_start": "0"})
        path = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
        assert await rig.shell(sandbox, f"cat {path}") == "0\n"
        assert pathlib.Path(path).read_text() != "0\n"
        for name in ("kernel.panic", "vm.swappiness", "net/../kernel/panic"):
            with pytest.raises(EngineError) as caught:
                await rig.sandbox("q", sysctls={name: "1"})
            assert caught.value.kind == "invalid"

    run(scenario)


def test_fifty_pods_start_at_once() -> None:
    async def scenario(rig: Rig) -> None:
        async def pod(number: int) -> str:
            sandbox = await rig.sandbox(f"p{number}")
            document = rig.bundle(sandbox, f"many{number}", "echo", str(number))
            await rig.engine.create(sandbox.pod, "only", document)
            await rig.engine.start(sandbox.pod, "only")
            await rig.engine.wait(sandbox.pod, "only", 60)
            return rig.text(f"many{number}")

        texts = await asyncio.gather(*(pod(number) for number in range(50)))
        assert texts == [f"{number}\n" for number in range(50)]

    run(scenario)


def test_a_pod_that_this_engine_did_not_start_can_be_removed_by_it() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        await rig.launch(sandbox, "sleep", "1000")
        other = Engine(rig.socket, rig.state)
        await other.remove_sandbox("p")
        await other.close()
        assert not any(line.startswith(f"{sandbox.pid} ") for line in rig.processes())
        async with asyncio.timeout(60):
            assert (await anext(rig.engine.events())).kind in ("lost", "exit")
        await rig.engine.remove_sandbox("p")

    run(scenario)


def test_a_shim_survives_peers_that_talk_nonsense_or_leave_with_an_exec_running() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        socket_path = os.path.join(rig.state, "pods", "p", "shim.sock")
        for nonsense in (b"\xff\xff\xff\xff", b"\x02\0\0\0[]", b"\x01\0\0\0x"):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(socket_path)
                peer.sendall(nonsense)
                assert peer.recv(100) == b""
        other = Engine(rig.socket, rig.state)
        await other.connect()
        made = await other.exec("p", name, {"args": ["sleep", "1000"]})
        await other.close()
        handle = os.pidfd_open(made.pid)
        os.kill(made.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            await _readable(handle)
        os.close(handle)
        assert (await rig.engine.state("p", name)).status == "running"
        for verb, arguments in (("fly", {}), ("state", {}), ("create", {"container": "x"})):
            with pytest.raises(EngineError) as caught:
                await rig.engine.call("p", verb, arguments, 10)
            assert caught.value.kind == "invalid"

    run(scenario)


def test_a_control_group_removed_by_somebody_else_harms_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        await rig.engine.kill("p", name, signal.SIGKILL)
        await rig.engine.wait("p", name, 60)
        for path in pathlib.Path("/sys/fs/cgroup").glob(f"*{rig.cgroup}/p/{name}"):
            path.rmdir()
        await rig.engine.delete("p", name)
        assert await rig.shell(sandbox, "echo fine") == "fine\n"

    run(scenario)


def test_a_removal_that_fails_is_answered_and_harms_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        busy = pathlib.Path(rig.state, "pods", "p", "containers", name, "busy")
        busy.mkdir()
        syscalls.mount("busy", str(busy), "tmpfs", 0, "")
        try:
            with pytest.raises(EngineError) as caught:
                await rig.engine.delete("p", name, force=True)
            assert (caught.value.kind, "busy" in str(caught.value)) == ("failed", True)
        finally:
            state.unmount(str(busy))
        assert await rig.shell(sandbox, "echo fine") == "fine\n"

    run(scenario)


def test_a_state_that_cannot_be_written_is_told_and_harms_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        blocker = pathlib.Path(rig.state, "pods", "p", "state.json.new")
        blocker.mkdir()
        assert await rig.shell(sandbox, "echo fine") == "fine\n"
        (pod,) = await rig.engine.pods()
        assert "Is a directory" in pod.save_error
        blocker.rmdir()
        await rig.shell(sandbox, "true")
        assert (await rig.engine.pods())[0].save_error == ""

    run(scenario)


def test_a_killed_container_takes_its_children_with_it() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "/bin/sh", "-c", "sleep 1000 & sleep 1000 & wait")
        await rig.engine.exec("p", name, {"args": ["sleep", "1000"]})
        await rig.engine.kill("p", name, signal.SIGKILL)
        await rig.engine.wait("p", name, 60)
        assert (await rig.engine.stats("p", name))["pids_current"] == 0

    run(scenario)


def test_with_the_hosts_processes_all_of_a_container_die_with_its_first() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "sleep 1000 & test $$ -gt 1 && exit 5"
        name = await rig.launch(sandbox, "/bin/sh", "-c", script, host_pid=True)
        assert (await rig.engine.wait("p", name, 60)).code == 5
        # They have ended; their keeper may have them to reap yet. One that lives on is waited
        # for in vain.
        while (await rig.engine.stats("p", name))["pids_current"]:
            continue

    run(scenario)


def test_a_user_who_is_not_root_opens_its_output_by_name() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "echo one > /dev/stdout; echo two > /proc/self/fd/2"
        user = {"uid": 1000, "gid": 1000}
        assert sorted((await rig.shell(sandbox, script, user=user)).split()) == ["one", "two"]

    run(scenario)
