"""Exec and attach through the agent's port, against real containers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from streams_port import Caller, Known, port, running
from test_runtime_rig import Rig, needs_root, run

from steersman.model.errors import APIError
from steersman.node.streams.pods import Container, Instance
from steersman.wire.channels import (
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    UNNAMED,
    V1,
    V1_BASE64,
    V4,
    V5,
)

pytestmark = needs_root
SUCCESS = {"metadata": {}, "status": "Success"}


def exit_of(status: bytes) -> tuple[str, str]:
    found = json.loads(status)
    assert found["status"] == "Failure"
    return found["reason"], found["details"]["causes"][0]["message"]


def with_container(
    scenario: Callable[[Caller, Rig, str], Awaitable[None]],
    *args: str,
    terminal: bool = False,
    stdin: bool = False,
) -> None:
    """Runs a scenario against the container `main` of a pod `p`."""

    async def whole(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        options: dict[str, Any] = {"terminal": terminal, "stdin": stdin}
        name = await rig.launch(sandbox, *(args or ("sleep", "1000")), **options)
        known = Known(rig.engine)
        container = running(name, rig.log(name), terminal=terminal, stdin=stdin)
        known.add("p", sandbox.netns, {"main": container})
        async with port(known, Path(rig.directory)) as (files, number):
            caller = Caller(files, "apiserver-kubelet-client", number)
            await scenario(caller, rig, name)
            await caller.transport.close()

    run(whole)


def exec_path(container: str = "main") -> str:
    return f"/exec/default/p/{container}"


def test_a_command_answers_on_two_streams_and_ends_with_success() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        command = ["sh", "-c", "echo out; echo err >&2"]
        talk = await caller.open(exec_path(), V5, command=command, output=1, error=1)
        got = await talk.rest()
        assert (got[STDOUT], got[STDERR]) == (b"out\n", b"err\n")
        assert json.loads(got[ERROR]) == SUCCESS
        # heard first, told how it ended last, then closed
        assert talk.order[0] == STDOUT
        assert talk.order[-1] == ERROR
        assert talk.ended

    with_container(scenario)


def test_the_exit_code_comes_as_a_status() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        for protocol in (V5, V4):
            talk = await caller.open(exec_path(), protocol, command=["sh", "-c", "exit 3"], error=1)
            got = await talk.rest()
            assert exit_of(got[ERROR]) == ("NonZeroExitCode", "3")

    with_container(scenario)


@pytest.mark.parametrize("protocol", [UNNAMED, V1, V1_BASE64])
def test_before_version_4_a_failure_is_told_in_words_and_a_success_not_at_all(
    protocol: str,
) -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        command = ["sh", "-c", "echo out; exit 3"]
        got = await (await caller.open(exec_path(), protocol, command=command, output=1)).rest()
        assert got == {
            STDOUT: b"out\n",
            ERROR: b"command terminated with non-zero exit code: exit status 3",
        }
        talk = await caller.open(exec_path(), protocol, command=["echo", "out"], output=1)
        assert await talk.rest() == {STDOUT: b"out\n"}

    with_container(scenario)


def test_all_output_comes_before_the_status() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        talk = await caller.open(exec_path(), V5, command=["seq", "200000"], output=1)
        got = await talk.rest()
        assert got[STDOUT].splitlines()[-1] == b"200000"
        assert len(got[STDOUT].splitlines()) == 200_000
        assert json.loads(got[ERROR]) == SUCCESS

    with_container(scenario)


def test_the_end_of_stdin_reaches_the_command_and_its_output_still_comes() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        talk = await caller.open(exec_path(), V5, command=["wc", "-c"], input=1, output=1)
        for _ in range(40):
            await talk.send(STDIN, b"x" * 10_000)
        await talk.end(STDIN)
        got = await talk.rest()
        assert got[STDOUT] == b"400000\n"

    with_container(scenario)


def test_a_command_that_does_not_read_its_input_is_not_hindered() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        talk = await caller.open(exec_path(), V5, command=["echo", "hi"], input=1, output=1)
        await talk.send(STDIN, b"x" * 500_000)
        got = await talk.rest()
        assert got[STDOUT] == b"hi\n"
        assert json.loads(got[ERROR]) == SUCCESS

    with_container(scenario)


def test_a_terminal_takes_input_and_its_size() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        talk = await caller.open(exec_path(), V5, command=["sh"], input=1, output=1, tty=1, error=1)
        await talk.send(RESIZE, b'{"Width":101,"Height":33}')
        await talk.send(STDIN, b"stty size; tty; echo $TERM\n")
        shown = await talk.until(STDOUT, b"xterm")
        assert b"33 101" in shown
        assert b"/dev/pts/" in shown
        await talk.send(RESIZE, b'{"Width":55,"Height":22}')
        await talk.send(STDIN, b"stty size\n")
        await talk.until(STDOUT, b"22 55")
        await talk.send(STDIN, b"exit 5\n")
        got = await talk.rest()
        assert exit_of(got[ERROR]) == ("NonZeroExitCode", "5")
        assert STDERR not in got

    with_container(scenario)


def test_a_client_that_goes_away_hangs_its_terminal_up() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        script = "trap 'echo gone > /proc/1/fd/1; exit' HUP; echo here; while :; do sleep 1; done"
        talk = await caller.open(exec_path(), V5, command=["sh", "-c", script], output=1, tty=1)
        await talk.until(STDOUT, b"here")
        talk.channel.close()
        followed = await caller.get("/containerLogs/default/p/main", follow="true")
        async for piece in followed.body:  # type: ignore[union-attr]
            assert piece == b"gone\n"
            break

    with_container(scenario)


def test_a_program_that_is_not_there_is_told_in_the_status() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        talk = await caller.open(exec_path(), V5, command=["nothing-here"], output=1)
        status = json.loads((await talk.rest())[ERROR])
        assert status["reason"] == "InternalError"
        start = "Internal error occurred: error executing command in container: "
        assert status["message"].startswith(start)
        assert "nothing-here" in status["message"]

    with_container(scenario)


@pytest.mark.parametrize(
    ("path", "params", "code", "message"),
    [
        ("/exec/default/other/main", {"output": 1}, 404, "pod does not exist"),
        ("/exec/default/p/x", {"output": 1}, 500, 'container not found ("x")'),
        ("/attach/default/p/x", {"output": 1}, 500, "container x not found in pod p_default"),
        ("/exec/default/p/main", {}, 400, "you must specify at least 1 of stdin, stdout, stderr"),
    ],
)
def test_refusals_are_kubelets(path: str, params: dict[str, Any], code: int, message: str) -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        with pytest.raises(APIError) as refused:
            await caller.open(path, V5, command=["true"], **params)
        assert (refused.value.code, refused.value.message) == (code, message)

    with_container(scenario)


def test_a_container_that_has_ended_runs_nothing() -> None:
    async def whole(rig: Rig) -> None:
        known = Known(rig.engine)
        ended = Container(Instance("main.0", "/log"), None, False)
        known.add("p", "/proc/self/ns/net", {"main": ended})
        async with port(known, Path(rig.directory)) as (files, number):
            caller = Caller(files, "apiserver-kubelet-client", number)
            with pytest.raises(APIError) as refused:
                await caller.open(exec_path(), V5, command=["true"], output=1)
            assert refused.value.message == 'container not found ("main")'
            await caller.transport.close()

    run(whole)


def test_only_the_api_server_is_let_in() -> None:
    async def whole(rig: Rig) -> None:
        known = Known(rig.engine)
        async with port(known, Path(rig.directory)) as (files, number):
            codes = []
            for file in ("", "admin", "node-node-a", "apiserver-kubelet-client"):
                caller = Caller(files, file, number)
                codes.append((await caller.text("/healthz"))[0])
                await caller.transport.close()
            assert codes == [401, 403, 403, 200]

    run(whole)


def test_attach_shows_what_comes_and_feeds_the_container() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        params = {"input": 1, "output": 1, "error": 1}
        talk = await caller.open("/attach/default/p/main", V5, **params)
        await talk.send(STDIN, b"hello\n")
        await talk.until(STDOUT, b"got hello\n")
        await talk.send(STDIN, b"end\n")
        got = await talk.rest()
        assert got[STDERR] == b"bye\n"
        # whatever the container's exit code, attaching to it was a success
        assert json.loads(got[ERROR]) == SUCCESS

    script = "while read x; do [ $x = end ] && break; echo got $x; done; echo bye >&2; exit 4"
    with_container(scenario, "sh", "-c", script, stdin=True)


def test_attach_to_a_terminal_resizes_it() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        talk = await caller.open("/attach/default/p/main", V5, input=1, output=1, error=1)
        await talk.send(RESIZE, b'{"Width":77,"Height":11}')
        await talk.send(STDIN, b"stty size\n")
        await talk.until(STDOUT, b"11 77")
        await talk.send(STDIN, b"exit\n")
        assert json.loads((await talk.rest())[ERROR]) == SUCCESS

    with_container(scenario, "sh", terminal=True, stdin=True)


def test_attach_without_outputs_lasts_until_the_container_ends() -> None:
    async def scenario(caller: Caller, rig: Rig, name: str) -> None:
        talk = await caller.open("/attach/default/p/main", V5, input=1)
        await talk.send(STDIN, b"now\n")
        assert json.loads((await talk.rest())[ERROR]) == SUCCESS
        assert (await rig.engine.state("p", name)).status == "stopped"

    with_container(scenario, "sh", "-c", "read x", stdin=True)
