"""Commands that probes and hooks run in a container: their output, their end, their time."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest
from node_documents import UID, pod, running

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

    async def wait(self) -> ExitStatus:
        """Returns how the process ended."""
        assert self.code is not None
        return ExitStatus(self.code, 0, 0, 0, False)

    async def kill(self, number: int) -> None:
        """Notes a signal and closes what the process had open."""
        self.killed.append(number)
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
    assert engine.killed == [9]


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
