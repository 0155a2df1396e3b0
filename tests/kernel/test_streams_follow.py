"""Logs through the agent's port, written by real shims."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from streams_port import Caller, Known, port, running
from test_runtime_rig import Rig, needs_root, run

from steersman.wire.message import Response

pytestmark = needs_root
PATH = "/containerLogs/default/p/main"


def with_script(scenario: Any, script: str) -> None:
    """Runs a scenario against a container `main` of pod `p` that runs a script with a stdin."""

    async def whole(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sh", "-c", script, stdin=True)
        known = Known(rig.engine)
        known.add("p", sandbox.netns, {"main": running(name, rig.log(name))})
        reading, writing = os.pipe()
        await rig.engine.attach("p", name, {"stdin": reading})
        os.close(reading)
        async with port(known, Path(rig.directory)) as (files, number):
            caller = Caller(files, "apiserver-kubelet-client", number)
            await scenario(caller, rig, name, writing)
            await caller.transport.close()
        os.close(writing)

    run(whole)


def pieces(answer: Response) -> AsyncIterator[bytes]:
    assert isinstance(answer.body, AsyncIterator)
    return answer.body


async def until(stream: AsyncIterator[bytes], text: bytes) -> bytes:
    got = b""
    while text not in got:
        got += await anext(stream)
    return got


def test_a_followed_log_comes_line_by_line_and_ends_with_the_container() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str, stdin: int) -> None:
        stream = pieces(await caller.get(PATH, follow="true"))
        assert await until(stream, b"ready\n") == b"ready\n"
        os.write(stdin, b"one\n")
        assert await until(stream, b"\n") == b"got one\n"
        os.write(stdin, b"two\n")
        assert await until(stream, b"\n") == b"got two\n"
        os.write(stdin, b"end\n")
        assert b"".join([piece async for piece in stream]) == b"bye without end\n"
        assert await caller.text(PATH, tailLines=2) == (200, "got two\nbye without end\n")

    script = "echo ready; while read x; do [ $x = end ] && break; echo got $x; done"
    with_script(scenario, script + "; printf 'bye without end'")


def test_rotation_while_a_log_is_followed_loses_nothing() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str, stdin: int) -> None:
        stream = pieces(await caller.get(PATH, follow="true"))
        got = await until(stream, b"ready\n")
        for number in range(5):
            path = rig.log(name)
            os.rename(path, f"{path}.{number}")
            os.write(stdin, b"go\n")  # may be written to the old file or to the new one
            await rig.engine.reopen_log("p", name)
            got += await until(stream, b"end of round\n")
        os.write(stdin, b"stop\n")
        got += b"".join([piece async for piece in stream])
        assert got == b"ready\n" + b"".join(
            b"".join(b"%d\n" % line for line in range(1, 2001)) + b"end of round\n"
            for _ in range(5)
        )

    script = "echo ready; while read x; do [ $x = stop ] && exit; seq 2000; echo end of round; done"
    with_script(scenario, script)


def test_a_log_of_an_ended_container_is_whole_and_follow_ends_at_once() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str, stdin: int) -> None:
        await rig.engine.wait("p", name, 60)
        whole = "".join(f"{line}\n" for line in range(1, 50_001))
        assert await caller.text(PATH) == (200, whole)
        assert await caller.text(PATH, follow="true") == (200, whole)
        assert await caller.text(PATH, follow="true", tailLines=1) == (200, "50000\n")
        assert await caller.text(PATH, limitBytes=5) == (200, "1\n2\n3")
        await rig.engine.delete("p", name)
        assert await caller.text(PATH, follow="true", tailLines=1) == (200, "50000\n")

    with_script(scenario, "seq 50000")


def test_a_long_line_is_joined_and_stamped_once() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str, stdin: int) -> None:
        await rig.engine.wait("p", name, 60)
        code, text = await caller.text(PATH, timestamps="true")
        stamp, _, line = text.partition(" ")
        assert (code, line) == (200, "0" * 40_000 + "\n")
        assert stamp.endswith("Z")
        assert len(stamp) == len("2026-01-01T00:00:00.000000000Z")

    with_script(scenario, "printf '%040000d\\n' 0")


def test_refusals_are_kubelets() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str, stdin: int) -> None:
        other = "/containerLogs/default/other/main"
        assert await caller.text(other) == (404, 'pod "other" does not exist\n')
        unknown = "/containerLogs/default/p/x"
        assert await caller.text(unknown) == (404, 'container "x" not found in pod "p"\n')
        message = 'previous terminated container "main" in pod "p" not found'
        assert await caller.text(PATH, previous="true") == (400, message)
        assert (await caller.text(PATH, tailLines="-1"))[0] == 422
        assert (await caller.text("/pods"))[0] == 404
        os.write(stdin, b"x\n")

    with_script(scenario, "read x")
