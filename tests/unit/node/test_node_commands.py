"""Commands that probes and hooks run in a container: their output, their end, their time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from node_documents import UID, pod, running
from shim_script import RUNNING, Stage, container, refuse

from registrar import holds
from steersman.model.types.container import LifecycleHandler
from steersman.node.acting.handlers import Answer, HookFailed, run_command, run_hook
from steersman.node.engine.commands import MAX_OUTPUT_BYTES
from steersman.node.engine.own import OwnEngine
from steersman.node.tools import Tools
from steersman.runtime.engine import EngineError, ExitStatus
from steersman.world.real import RealWorld


class Engine:
    """A runtime whose every process writes one output and ends with one code, or goes on."""

    def __init__(self, output: bytes = b"", code: int | None = 0) -> None:
        self.output = output
        self.code = code
        self.refuses: EngineError | None = None
        self.asked: list[tuple[str, str, Any]] = []
        self.killed: list[int] = []
        self.waited = 0
        self._open: list[int] = []

    async def exec(self, uid: str, name: str, section: Any, stdio: Any) -> Engine:
        """Begins a process, with standard input, output and error."""
        if self.refuses is not None:
            raise self.refuses
        self.asked.append((uid, name, section))
        standard_input, output, error = stdio
        assert os.read(standard_input, 1) == b""
        assert os.fstat(output) == os.fstat(error)
        os.write(output, self.output)
        if self.code is None:
            self._open.append(os.dup(output))
        return self

    async def wait(self, deadline: float | None = None) -> ExitStatus:
        """Returns how the process ended."""
        assert self.code is not None
        self.waited += 1
        return ExitStatus(self.code, 0, 0, 0, False)

    async def kill(self, number: int) -> None:
        """Notes a signal and closes what the process had open."""
        self.killed.append(number)
        self.code = 128 + number
        while self._open:
            os.close(self._open.pop())


def tools(engine: Engine) -> Tools:
    place = SimpleNamespace(address="127.0.0.1")
    none, world = cast(Any, None), RealWorld()
    own = OwnEngine(cast(Any, engine), none, none, "", "", world)
    return cast(Tools, SimpleNamespace(world=world, engine=own, place=place))


def ran(engine: Engine, seconds: float = 10.0) -> Answer:
    """Runs a command in the third run of the container `app`."""
    run = running(2).run
    assert run is not None
    before = len(os.listdir("/proc/self/fd"))
    work = run_command(tools(engine), pod(), "app", run, ("cat", "/ready"), seconds)
    answer = asyncio.run(work)
    assert len(os.listdir("/proc/self/fd")) == before  # nothing stays open
    return answer


def test_a_command_that_ends_well_is_good_and_its_output_is_kept() -> None:
    engine = Engine(b"fine\n")
    assert ran(engine) == Answer(True, "fine\n")
    assert engine.asked == [(UID, "app.2", {"args": ["cat", "/ready"]})]


def test_a_command_that_ends_with_another_code_is_bad_and_says_what_it_said() -> None:
    assert ran(Engine(b"broken\n", code=1)) == Answer(False, "broken\n")


def test_of_a_long_output_the_beginning_is_kept() -> None:
    answer = ran(Engine(b"a" * MAX_OUTPUT_BYTES + b"b" * 100))
    assert answer == Answer(True, "a" * MAX_OUTPUT_BYTES)


def test_a_command_that_cannot_be_run_says_why_and_nothing_of_the_container() -> None:
    engine = Engine()
    engine.refuses = EngineError("failed", "no such file")
    assert ran(engine) == Answer(False, "no such file", unknown=True)


def test_a_command_that_takes_too_long_is_killed() -> None:
    engine = Engine(code=None)
    text = 'command timed out: "cat /ready" timed out after 0.05s'
    assert ran(engine, 0.05) == Answer(False, text)
    # A shim keeps what nobody has asked after, and does not rest
    assert (engine.killed, engine.waited) == ([9], 1)


def test_a_command_is_killed_with_the_probe_or_hook_that_runs_it() -> None:
    engine = Engine(code=None)

    async def main() -> None:
        run = running(2).run
        assert run is not None
        work = run_command(tools(engine), pod(), "app", run, ("cat",), None)
        asking = asyncio.ensure_future(work)
        await holds(lambda: engine.asked)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(main())
    assert engine.killed == [9]


def test_a_command_that_begins_when_nobody_waits_for_it_any_more_is_killed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tells(container("app.0", **RUNNING))
    stage.shim.verbs["exec"] = lambda _: {}  # answered below
    kills: list[Any] = []

    def kill(request: Any) -> Any:
        kills.append((request["container"], request["exec"], request["signal"]))
        return {"result": {}}

    stage.shim.verbs["kill"] = kill

    async def main() -> None:
        async with stage.open() as (tools, _):
            await tools.engine.connect()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stage.engine.exec(UID, "app.0", {"args": ["sleep", "inf"]})
            stage.shim.answer("exec", {"result": {"exec": 3, "pid": 9}})
            await stage.shim.until("kill", "app.0")
            await stage.shim.until("wait", "app.0")
            assert kills == [("app.0", 3, 9)]
            # What could not be begun needs no end
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stage.engine.exec(UID, "app.0", {"args": ["none"]})
            stage.shim.answer("exec", refuse("failed", "no such file"))
            await tools.engine.pods()
            assert len(kills) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "output", "text"),
    [(0, b"", ""), (1, b"no\n", "no\n"), (1, b"", "the command failed")],
)
def test_a_hook_fails_with_what_its_command_says(code: int, output: bytes, text: str) -> None:
    hook = LifecycleHandler(exec=cast(Any, SimpleNamespace(command=("true",))))
    run = running().run
    assert run is not None
    work = run_hook(tools(Engine(output, code)), pod(), pod().spec.containers[0], run, hook)
    if code == 0:
        asyncio.run(work)
    else:
        with pytest.raises(HookFailed) as caught:
            asyncio.run(work)
        assert str(caught.value) == text
