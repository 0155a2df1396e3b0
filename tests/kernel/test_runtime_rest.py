"""Pods at rest: the shim ends when nothing is left to do, and the next one goes on where it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import select
import signal
from collections.abc import Coroutine
from typing import Any

import pytest
from process_ends import until_ended
from test_runtime_rig import Rig, needs_root, run

from registrar import holds
from steersman.node.engine.commands import run_command
from steersman.runtime.engine import REMOVE_DEADLINE_SECONDS, EngineError, Event, SandboxState
from steersman.world.real import RealWorld

pytestmark = needs_root

# What a keeper has of its own; a shim at work has more than three megabytes
MOST_OWN_KILOBYTES = 560


def shims(sandbox: SandboxState) -> list[int]:
    """The shims of a pod, by their name, among the children of its keeper."""
    children = pathlib.Path(f"/proc/{sandbox.pid}/task/{sandbox.pid}/children").read_text()
    found = []
    for child in children.split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if pathlib.Path(f"/proc/{child}/comm").read_text() == "steer-shim\n":
                found.append(int(child))
    return found


async def rest(sandbox: SandboxState) -> None:
    """Waits until a pod has no shim."""
    for shim in shims(sandbox):
        await until_ended(os.pidfd_open(shim))


def commands(sandbox: SandboxState) -> list[str]:
    """The command lines of the children of a pod's keeper; of one that has just ended none."""
    children = pathlib.Path(f"/proc/{sandbox.pid}/task/{sandbox.pid}/children").read_text()
    found = []
    for child in children.split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(pathlib.Path(f"/proc/{child}/cmdline").read_text())
    return found


def own_kilobytes(process: int) -> int:
    lines = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def open_descriptors(process: int) -> list[str]:
    return sorted(os.listdir(f"/proc/{process}/fd"), key=int)


def test_a_pod_at_rest_weighs_little_and_answers() -> None:
    async def scenario(rig: Rig) -> None:
        others = [await rig.sandbox(f"other{number}") for number in range(3)]
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        first = shims(sandbox)
        assert len(first) == 1
        await rest(sandbox)
        for other in others:
            await rest(other)
        assert own_kilobytes(sandbox.pid) < MOST_OWN_KILOBYTES
        assert (await rig.engine.state("p", name)).status == "running"
        assert shims(sandbox) != first
        made = await rig.engine.exec("p", name, {"args": ["sh", "-c", "exit 7"]})
        assert (await made.wait()).code == 7
        (state,) = [it for it in await rig.engine.pods() if it.pod == "p"]
        assert (state.pid, state.netns) == (sandbox.pid, sandbox.netns)

    run(scenario)


def test_a_pod_rests_again_after_a_probe_whose_time_was_over() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        world = RealWorld()
        with pytest.raises(TimeoutError):
            await run_command(rig.engine, world, "p", name, ["sleep", "1000"], 0.3)
        # One that is given up before it has begun is ended as well
        beginning = asyncio.ensure_future(rig.engine.exec("p", name, {"args": ["sleep", "1000"]}))
        await asyncio.sleep(0)
        beginning.cancel()
        # The container alone runs on, without a shim
        await holds(lambda: commands(sandbox) == ["sleep\x001000\x00"])

    run(scenario)


def test_what_happens_to_a_pod_at_rest_is_told_as_it_happens() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "printf 'begun '; trap 'echo and ended; exit 5' TERM; while :; do sleep 0.1; done"
        name = await rig.launch(sandbox, "sh", "-c", script)
        while "begun" not in held(rig, sandbox) and shims(sandbox):
            await rest(sandbox)
        pid = (await rig.engine.state("p", name)).pid
        await rest(sandbox)
        events = rig.engine.events()
        os.kill(pid, 15)
        event: Event = await anext(events)
        assert (event.kind, event.container) == ("exit", name)
        assert event.exit is not None
        assert event.exit.code == 5
        assert event.exit.started_at > 0
        # The half of a line that one shim had read and the half that the next one did
        assert rig.text(name) == "begun and ended\n"
        await rest(sandbox)
        state = await rig.engine.state("p", name)
        assert (state.status, state.exit) == ("stopped", event.exit)
        await rig.engine.delete("p", name)

    run(scenario)


def held(rig: Rig, sandbox: SandboxState) -> str:
    """What the last shim has left for the next one."""
    for descriptor in open_descriptors(sandbox.pid):
        path = f"/proc/{sandbox.pid}/fd/{descriptor}"
        if "shim-state" in os.readlink(path):
            return pathlib.Path(path).read_text()
    return ""


def test_nothing_is_left_open_however_often_a_shim_comes_and_goes() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000", stdin=True)
        await rest(sandbox)
        before = open_descriptors(sandbox.pid)
        for _ in range(3):
            null = os.open("/dev/null", os.O_RDWR)
            made = await rig.engine.exec("p", name, {"args": ["true"]}, (null, null, null))
            os.close(null)
            await made.wait()
            extra = await rig.launch(sandbox, "true")
            await rig.engine.wait("p", extra)
            await rig.engine.delete("p", extra)
            await rig.engine.stats("p", name)
            await rest(sandbox)
            assert open_descriptors(sandbox.pid) == before

    run(scenario)


def test_an_exec_that_cannot_be_started_leaves_nothing_open_and_lets_its_pod_rest() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        await rest(sandbox)
        before = open_descriptors(sandbox.pid)
        nowhere = {"args": ["true"], "execCPUAffinity": {"initial": "8000"}}
        with pytest.raises(EngineError):
            await rig.engine.exec("p", name, nowhere)
        await rest(sandbox)
        assert open_descriptors(sandbox.pid) == before

    run(scenario)


def test_a_shim_stays_for_as_long_as_somebody_is_attached() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "cat", stdin=True)
        (inside, typed), (shown, outside) = os.pipe(), os.pipe()
        await rig.engine.attach("p", name, {"stdin": inside, "stdout": outside})
        os.close(inside)
        os.close(outside)
        (shim,) = shims(sandbox)
        handle = os.pidfd_open(shim)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        assert not await asyncio.to_thread(poller.poll, 3000)  # longer than it rests after
        os.write(typed, b"hello\n")
        assert await asyncio.to_thread(os.read, shown, 100) == b"hello\n"
        os.close(typed)
        os.close(shown)
        os.close(handle)

    run(scenario)


def test_who_reads_what_the_warm_parent_writes_waits_for_no_pod() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        assert rig.warm is not None
        assert rig.warm.stdout is not None
        assert await asyncio.to_thread(rig.warm.stdout.read) == b""
        for process in (rig.warm.pid, sandbox.pid):
            streams = [os.readlink(f"/proc/{process}/fd/{number}") for number in (0, 1)]
            assert streams == ["/dev/null", "/dev/null"]
        assert os.readlink(f"/proc/{sandbox.pid}/fd/2") == "/dev/null"

    run(scenario)


def test_a_keeper_leads_a_session_has_its_own_name_and_takes_no_heed_of_an_interruption() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        assert pathlib.Path(f"/proc/{sandbox.pid}/comm").read_text() == "steer-shim\n"
        assert os.getsid(sandbox.pid) == sandbox.pid
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(sandbox.pid, number)
        await rest(sandbox)
        assert (await rig.engine.state("p", name)).status == "running"

    run(scenario)


def test_a_keeper_that_is_killed_takes_shim_and_containers_with_it() -> None:
    async def scenario(rig: Rig) -> None:
        for resting in (False, True):
            pod = f"pod-{resting}"
            sandbox = await rig.sandbox(pod)
            name = await rig.launch(sandbox, "sleep", "1000")
            process = os.pidfd_open((await rig.engine.state(pod, name)).pid)
            if resting:
                await rest(sandbox)
            os.kill(sandbox.pid, 9)
            poller = select.poll()
            poller.register(process, select.POLLIN)
            assert await asyncio.to_thread(poller.poll, 60_000)
            os.close(process)
            event: Event = await anext(rig.engine.events())
            while event.kind != "lost":
                event = await anext(rig.engine.events())
            assert event.pod == pod
            await rig.engine.remove_sandbox(pod)

    run(scenario)


def test_another_connection_finds_a_pod_at_rest() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        await rest(sandbox)
        await rig.engine.close()
        (found,) = await rig.engine.connect()
        assert [it.id for it in found.containers] == [name]
        await rest(sandbox)
        await rig.engine.kill("p", name, 9)
        assert (await rig.engine.wait("p", name)).signal == 9

    run(scenario)


def test_a_terminal_outlives_the_shim_that_opened_it() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "read line; echo got $line; stty size; sleep 1000"
        name = await rig.launch(sandbox, "sh", "-c", script, terminal=True, stdin=True)
        await rest(sandbox)
        await rig.engine.resize("p", name, 90, 30)
        (inside, typed), (shown, outside) = os.pipe(), os.pipe()
        await rig.engine.attach("p", name, {"stdin": inside, "stdout": outside})
        os.close(inside)
        os.close(outside)
        os.write(typed, b"it\n")
        text = b""
        while b"30 90" not in text:
            text += await asyncio.to_thread(os.read, shown, 1000)
        assert b"got it" in text
        os.close(typed)
        os.close(shown)
        await rest(sandbox)
        assert (await rig.engine.state("p", name)).status == "running"

    run(scenario)


async def asked_too_late(rig: Rig, name: str, asking: Coroutine[Any, Any, Any]) -> Any:
    """What a shim answers that hears of the request first, and then that the container has been
    reaped; the container is killed here."""
    process = (await rig.engine.state("p", name)).pid
    (sandbox,) = await rig.engine.pods()
    (shim,) = shims(sandbox)
    os.kill(shim, signal.SIGSTOP)
    try:
        while pathlib.Path(f"/proc/{shim}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            os.sched_yield()
        request = asyncio.ensure_future(asking)
        await asyncio.sleep(0)  # it is sent before it is first waited for
        os.kill(process, signal.SIGKILL)
        while os.path.exists(f"/proc/{process}"):
            os.sched_yield()
    finally:
        os.kill(shim, signal.SIGCONT)
    return await request


def test_a_container_that_has_ended_unheard_can_be_killed_and_deleted() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        await asked_too_late(rig, name, rig.engine.kill("p", name, signal.SIGTERM))
        assert (await rig.engine.wait("p", name)).signal == signal.SIGKILL
        name = await rig.launch(sandbox, "sleep", "1000")
        await asked_too_late(rig, name, rig.engine.delete("p", name, force=True))
        (state,) = await rig.engine.pods()
        assert name not in [it.id for it in state.containers]

    run(scenario)


def test_a_pod_is_removed_whole_though_one_container_has_ended_unheard() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        other = await rig.launch(sandbox, "sleep", "1000")
        handle = os.pidfd_open((await rig.engine.state("p", other)).pid)
        # Not by remove_sandbox, which asks for the pod before
        removal = rig.engine._links["p"].call("remove", {}, REMOVE_DEADLINE_SECONDS)
        assert (await asked_too_late(rig, name, removal)).document["result"] == {}
        await rig.engine.remove_sandbox("p")
        assert await rig.engine.pods() == []
        assert select.select([handle], [], [], 0)[0]
        os.close(handle)

    run(scenario)


def test_a_pod_at_rest_still_knows_whom_to_signal() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        script = "trap 'exit 5' TERM; while :; do sleep 0.1; done"
        name = await rig.launch(sandbox, "sh", "-c", script)
        before = open_descriptors(sandbox.pid)
        await rest(sandbox)
        await rig.engine.kill("p", name, signal.SIGTERM)
        assert (await rig.engine.wait("p", name)).code == 5
        await rig.engine.delete("p", name)
        await rest(sandbox)
        assert len(open_descriptors(sandbox.pid)) < len(before)

    run(scenario)
