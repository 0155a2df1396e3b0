"""A runtime that answers calls as a test has set, in place of `cri.client.calls.Calls`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from steersman.cri.client.calls import Unimplemented, error_of
from steersman.cri.messages import containers as c
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed


class Scripted:
    """Answers by method; `tells` are its events, None for one that has none."""

    def __init__(self, *, told: bool = True) -> None:
        self.path = Path("/run/x.sock")
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.events: asyncio.Queue[Any] | None = asyncio.Queue() if told else None

    async def runtime(self, name: str, message: Any, answer: Any, seconds: Any = None) -> Any:
        """Answers as it is told to; without an answer it has no such method."""
        del answer, seconds
        self.asked.append((name, message))
        if name not in self.answers:
            raise Unimplemented("failed", f"unknown method {name}")
        found = self.answers[name](message)
        if isinstance(found, Failed):
            raise error_of(found)
        return found

    image = runtime

    async def follow(self, name: str, message: Any, answer: Any) -> AsyncIterator[Any]:
        """Yields events as they are put; a failure breaks off."""
        del message, answer
        if self.events is None:
            raise Failed(grpc.UNIMPLEMENTED, f"method {name} not implemented")
        while True:
            event = await self.events.get()
            if isinstance(event, Failed):
                raise event
            yield event

    def ends(self, id: str, code: int, reason: str = "Error") -> c.ContainerStatus:
        """Says how a container ended, to whoever asks."""
        status = c.ContainerStatus(
            id, state=c.EXITED, started_at=5, finished_at=9, exit_code=code, reason=reason
        )
        self.answers["ContainerStatus"] = lambda _: c.ContainerStatusResponse(status)
        return status


def stopped(id: str, *statuses: c.ContainerStatus, sandbox: int | None = None) -> Any:
    """Returns the event of an end."""
    of_pod = None if sandbox is None else s.PodSandboxStatus(state=sandbox)
    return r.ContainerEventResponse(id, r.CONTAINER_STOPPED, 1, of_pod, statuses)
