"""ExecSync: a command in a container, from its start to its end, with what it wrote."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

from steersman.cri.messages.containers import RUNNING, ExecSyncRequest, ExecSyncResponse
from steersman.cri.tools import Tools, failure
from steersman.node.engine.commands import KILL_SECONDS
from steersman.node.streams.descriptors import Descriptor, Pipes
from steersman.runtime.engine import EngineError, Exec, ExitStatus
from steersman.wire.http2.grpc import DEADLINE_EXCEEDED, FAILED_PRECONDITION, Failed

# Of each stream; what is beyond is read and dropped (containerd's and cri-o's bound)
MAX_OUTPUT_BYTES: Final = 16 << 20


class Commands:
    """The call that runs a command to its end."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, asked: ExecSyncRequest) -> ExecSyncResponse:
        """Runs a command; raises Failed, for one that lasts too long too, after killing it."""
        container = self._tools.known.container(asked.container_id)
        if container.state != RUNNING:
            raise Failed(FAILED_PRECONDITION, f'container "{container.id}" is not running')
        section = {"args": list(asked.cmd)}
        pipes = Pipes(stdin=False, stdout=True, stderr=True)
        pipes.theirs["stdin"] = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        stdio = [pipes.theirs[name] for name in ("stdin", "stdout", "stderr")]
        process: Exec | None = None
        status: ExitStatus | None = None
        try:
            async with self._tools.world.timeout(asked.timeout or None):
                process = await self._tools.engine.exec(
                    container.sandbox, container.id, section, stdio
                )
                pipes.hand_over()
                status, outputs = await self._to_end(process, pipes)
        except EngineError as error:
            raise failure("failed to exec in container", error) from error
        except TimeoutError:
            text = f'timeout {asked.timeout}s exceeded: command "{" ".join(asked.cmd)}"'
            raise Failed(DEADLINE_EXCEEDED, f"failed to exec in container: {text}") from None
        finally:
            if process is not None and status is None:  # it lasts too long, or nobody waits for it
                with contextlib.suppress(EngineError):  # it may end just now
                    await process.kill(signal.SIGKILL)
                    await process.wait(KILL_SECONDS)  # a shim rests once somebody has asked
            pipes.close()
        return ExecSyncResponse(outputs[0], outputs[1], status.code)

    async def _to_end(self, process: Exec, pipes: Pipes) -> tuple[ExitStatus, list[bytes]]:
        outputs = [bytearray(), bytearray()]
        async with self._tools.world.tasks() as tasks:
            for name, kept in zip(("stdout", "stderr"), outputs, strict=True):
                tasks.start(_read(pipes.outputs[name], kept), name=name)
        return await process.wait(), [bytes(it) for it in outputs]


async def _read(source: Descriptor, kept: bytearray) -> None:
    """Reads to the end, and keeps the beginning."""
    while data := await source.read():
        kept += data[: MAX_OUTPUT_BYTES - len(kept)]
