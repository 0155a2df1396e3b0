"""One exec or attach: output to the client, input and window size from it, and how it ended.

As with upstream's runtimes, a client that goes away ends its streams, not the process; one on a
terminal is hung up. Output is complete before the status goes out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from steersman.model.errors import InternalError
from steersman.node.streams.descriptors import Descriptor, Pipes
from steersman.node.streams.pods import Wanted
from steersman.node.streams.remote import Remote, Resize
from steersman.runtime.engine import Engine, EngineError, Exec
from steersman.runtime.kernel.terminal import resize as resize_terminal
from steersman.wire.channels import STDERR, STDOUT, exit_status
from steersman.world.interface import World

# A container's streams end with its last process, and it is reaped in the same breath
END_SECONDS = 1.0
_CHANNELS = {"stdout": STDOUT, "stderr": STDERR}
_SUCCESS: Mapping[str, Any] = {"metadata": {}, "status": "Success"}


class Session:
    """The streams between one process and one client."""

    def __init__(
        self,
        remote: Remote,
        stdin: Descriptor | None,
        outputs: Mapping[str, Descriptor],
        resize: Callable[[Resize], Coroutine[Any, Any, None]],
        *,
        keep_stdin: bool,
    ) -> None:
        self._remote = remote
        self._stdin = stdin
        self._outputs = outputs
        self._resize = resize
        self._keep_stdin = keep_stdin
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, world: World, until: Coroutine[Any, Any, None] | None = None) -> bool:
        """Copies until the outputs end and `until` does; False if the client went away first."""
        async with world.tasks() as tasks:
            tasks.start(self._listen(), name="client")
            pumps = [
                tasks.start(self._pump(_CHANNELS[name], source), name=name)
                for name, source in self._outputs.items()
            ]
            if until is not None:
                pumps.append(tasks.start(until, name="end"))
            for pump in pumps:
                await asyncio.wait({self._gone, pump}, return_when=asyncio.FIRST_COMPLETED)
            tasks.stop()
        return not self._gone.done()

    def _lose(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    async def _listen(self) -> None:
        """Takes what the client sends, until it is gone."""
        while (event := await self._remote.receive()) is not None:
            if isinstance(event, Resize):
                await self._resize(event)
            elif event.data:
                await self._feed(event.data)
            elif not self._keep_stdin:
                self._end_stdin()
        self._lose()

    async def _feed(self, data: bytes) -> None:
        if self._stdin is not None and self._stdin.number >= 0:
            try:
                await self._stdin.write(data)
            except OSError:  # the process has closed its input, which is its right
                self._end_stdin()

    def _end_stdin(self) -> None:
        if self._stdin is not None and not self._keep_stdin:
            self._stdin.close()

    async def _pump(self, channel: int, source: Descriptor) -> None:
        try:
            while data := await source.read():
                await self._remote.send(channel, data)
        except ConnectionError:
            self._lose()


async def execute(
    engine: Engine,
    place: tuple[str, str],
    command: Sequence[str],
    wanted: Wanted,
    remote: Remote,
    world: World,
) -> None:
    """Runs a command in a container, named by sandbox and id, for a client; returns when the
    client has its answer or is gone."""
    await remote.begin(stdout=wanted.stdout, stderr=wanted.stderr)
    section = {"args": list(command), "terminal": wanted.terminal}
    pipes = Pipes(
        stdin=wanted.stdin and not wanted.terminal,
        stdout=wanted.stdout and not wanted.terminal,
        stderr=wanted.stderr and not wanted.terminal,
    )
    try:
        process = await engine.exec(*place, section, _standard(pipes, wanted))
        pipes.hand_over()
        status = await _converse(process, pipes, wanted, remote, world)
    except EngineError as error:
        status = _failure("error executing command in container", error)
    finally:
        pipes.close()
    if status is not None:
        await remote.conclude(status)


def _standard(pipes: Pipes, wanted: Wanted) -> list[int]:
    """Returns the three descriptors for a process without a terminal, none for one with."""
    if wanted.terminal:
        return []
    if len(pipes.theirs) < 3:
        pipes.theirs["null"] = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    null = pipes.theirs.get("null", -1)
    return [pipes.theirs.get(name, null) for name in ("stdin", "stdout", "stderr")]


async def _converse(
    process: Exec, pipes: Pipes, wanted: Wanted, remote: Remote, world: World
) -> Mapping[str, Any] | None:
    """Copies between client and command; returns the status, None where nobody waits for it."""
    outputs, stdin = pipes.outputs, pipes.stdin
    terminal = None
    if process.terminal >= 0:
        terminal = Descriptor(process.terminal)
        process.terminal = -1
        outputs, stdin = {"stdout": terminal}, terminal if wanted.stdin else None
    codes: list[int] = []

    async def until_exit() -> None:
        codes.append((await process.wait()).code)

    async def resize(size: Resize) -> None:
        if terminal is not None:
            resize_terminal(terminal.number, size.width, size.height)

    try:
        session = Session(remote, stdin, outputs, resize, keep_stdin=terminal is not None)
        there = await session.run(world, until_exit())
    finally:
        if terminal is not None:
            terminal.close()
    return exit_status(codes[0]) if there else None


async def attach(
    engine: Engine, place: tuple[str, str], wanted: Wanted, remote: Remote, world: World
) -> None:
    """Connects a client to a container's own streams; returns when either is gone."""
    await remote.begin(stdout=wanted.stdout, stderr=wanted.stderr)
    pipes = Pipes(stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr)

    async def until_exit() -> None:
        await engine.wait(*place)

    async def resize(size: Resize) -> None:
        if wanted.terminal and (await engine.state(*place)).status == "running":
            await engine.resize(*place, size.width, size.height)

    try:
        await engine.attach(*place, pipes.theirs)
        pipes.hand_over()
        session = Session(remote, pipes.stdin, pipes.outputs, resize, keep_stdin=False)
        there = await session.run(world, None if pipes.outputs else until_exit())
        status = await _after_attach(engine, place, world) if there else None
    except EngineError as error:
        status = _failure("error attaching to container", error)
    finally:
        pipes.close()
    if status is not None:
        await remote.conclude(status)


async def _after_attach(engine: Engine, place: tuple[str, str], world: World) -> Mapping[str, Any]:
    """Returns the status of an attach whose outputs have ended: the container is about to end
    too, or its shim has let go of a client that read too slowly."""
    try:
        async with world.timeout(END_SECONDS):
            await engine.wait(*place)
    except EngineError:
        pass  # removed since
    except TimeoutError:
        return _failure("error attaching to container", "the client did not keep up with it")
    return _SUCCESS


def _failure(what: str, why: object) -> Mapping[str, Any]:
    """Returns the status of what could not be done (errors.NewInternalError)."""
    text = f"{what}: {why}"
    causes = {"causes": [{"message": text}]}
    return InternalError(f"Internal error occurred: {text}", details=causes).status()
