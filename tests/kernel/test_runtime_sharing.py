"""Containers of a pod that share their processes: whom they see, who reaps, what ends with whom."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
from typing import Any

import pytest
from test_runtime_rig import Rig, needs_root, run

from steersman.runtime.engine import SandboxState

pytestmark = needs_root

MAPS = [{"containerID": 0, "hostID": 200_000, "size": 65_536}]
USERS = {"uidMappings": MAPS, "gidMappings": MAPS}


def first_of(sandbox: SandboxState) -> int:
    """The first process of the pod, by its id on the machine."""
    wanted = os.stat(sandbox.pidns).st_ino
    for name in filter(str.isdigit, os.listdir("/proc")):
        status = pathlib.Path("/proc", name, "status")
        try:
            inside = [it for it in status.read_text().splitlines() if it.startswith("NSpid:")]
            same = os.stat(f"/proc/{name}/ns/pid").st_ino == wanted
        except OSError:
            continue
        if same and inside[0].split()[-1] == "1":
            return int(name)
    raise AssertionError("the pod has no first process")


async def start(rig: Rig, **options: Any) -> tuple[SandboxState, dict[str, Any]]:
    """A pod that shares its processes, and what its containers are to be given."""
    sandbox = await rig.sandbox(pid="shared", **options)
    return sandbox, {"pidns": sandbox.pidns, "userns": sandbox.userns}


@pytest.mark.parametrize("users", [{}, USERS], ids=["users of the host", "users of its own"])
def test_a_container_sees_a_sibling_its_files_and_a_first_process_that_has_nothing(
    users: dict[str, Any],
) -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig, **users)
        await rig.launch(sandbox, "sh", "-c", "echo mine > /made; exec sleep 1000", **given)
        text = await rig.shell(
            sandbox,
            "cat /proc/1/comm; for it in /proc/[0-9]*; do "
            'test "$(cat $it/comm)" = sleep && cat $it/root/made; done; '
            "grep -E '^(Uid|CapBnd|NoNewPrivs|Seccomp):' /proc/1/status; "
            "ls /proc/1/root/ /proc/1/fd/ 2>&1 | wc -l; kill -9 1; kill -TERM 1; "
            "ls /proc/1 | wc -l",
            **given,
        )
        lines = text.split("\n")
        assert lines[:2] == ["steer-init", "mine"]
        assert lines[2].split()[1:] == ["65535"] * 4
        assert lines[3:6] == ["CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
        assert int(lines[7]) > 10  # it is there after what was to end it

    run(scenario)


def test_who_may_trace_finds_nothing_in_the_first_process() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        text = await rig.shell(
            sandbox,
            "ls -a /proc/1/root/ /proc/1/cwd/ | wc -l; ls /proc/1/fd | wc -l; "
            "touch /proc/1/root/here 2>&1 | wc -l; "
            "readlink /proc/1/ns/mnt; readlink /proc/self/ns/mnt",
            privileged=True,
            **given,
        )
        *counts, theirs, ours = text.split()
        assert counts == ["7", "0", "1"]  # ".", ".." and a heading of each, and a line between
        assert theirs not in (ours, os.readlink("/proc/self/ns/mnt"))

    run(scenario)


def test_orphans_are_reaped_and_end_with_their_own_container() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        other = await rig.launch(sandbox, "sleep", "1000", **given)
        name = await rig.launch(
            sandbox, "sh", "-c", "(sleep 777 &) ; (true &) ; sleep 0.2; exec sleep 888", **given
        )
        text = await rig.shell(
            sandbox,
            "sleep 0.4; cat /proc/[0-9]*/stat | grep -c ') Z '; ps | grep -c 'sleep 777$'",
            **given,
        )
        assert text.split() == ["0", "1"]
        await rig.engine.kill("p", name, 9)
        await rig.engine.wait("p", name, 10.0)
        text = await rig.shell(sandbox, "ps | grep -c 'sleep 777$'; ps | grep sleep", **given)
        assert text.split("\n")[0] == "0"
        assert "sleep 1000" in text
        assert (await rig.engine.state("p", other)).status == "running"

    run(scenario)


def test_a_pod_whose_first_process_is_gone_is_lost_and_can_be_removed() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        await rig.launch(sandbox, "sleep", "1000", **given)
        await asyncio.sleep(2.5)  # its shim has gone to rest: the keeper has it followed up
        events = rig.engine.events()
        os.kill(first_of(sandbox), signal.SIGKILL)
        async with asyncio.timeout(30):
            async for event in events:
                if event.kind == "lost":
                    break
        await rig.engine.remove_sandbox("p")

    run(scenario)
