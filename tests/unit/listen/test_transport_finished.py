"""A handler hears, once, when its answer has been written or nobody takes it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_transport_serve import answer_of, get, serving

from steersman.wire.message import Request, Response

LONG = b"x" * (8 * 1024 * 1024)


class Heard:
    """Sets `finished` of every request, and counts what it hears."""

    def __init__(self, body: bytes, *, waits: bool) -> None:
        self.body = body
        self.waits = waits
        self.count = 0
        self.came = asyncio.Event()
        self.asked = asyncio.Event()

    def finished(self) -> None:
        self.count += 1
        self.came.set()

    def handle(self, request: Request) -> Any:
        self.asked.set()
        if self.waits:
            return self._later(request)
        request.finished = self.finished
        return Response(self.body)

    async def _later(self, request: Request) -> Response:
        await asyncio.sleep(0)
        request.finished = self.finished
        return Response(self.body)


def heard(tmp_path: Path, body: bytes, waits: bool, case: Callable[[Heard, Any, Any], Any]) -> None:
    made: list[Heard] = []

    def handle(request: Request) -> Any:
        return made[0].handle(request)

    async def whole(_server: Any, connect: Any) -> None:
        made.append(Heard(body, waits=waits))
        reader, writer = await connect()
        await case(made[0], reader, writer)

    serving(tmp_path, handle, whole)


@pytest.mark.parametrize("waits", [False, True])
def test_a_short_answer_is_finished_when_it_is_written(tmp_path: Path, waits: bool) -> None:
    async def case(one: Heard, reader: Any, writer: Any) -> None:
        for count in (1, 2):
            writer.write(get("/"))
            assert (await answer_of(reader))[2] == b"short"
            await one.came.wait()
            assert one.count == count
            one.came.clear()

    heard(tmp_path, b"short", waits, case)


@pytest.mark.parametrize("waits", [False, True])
def test_a_long_answer_is_finished_when_its_client_has_taken_it(
    tmp_path: Path, waits: bool
) -> None:
    async def case(one: Heard, reader: Any, writer: Any) -> None:
        writer.write(get("/"))
        await one.asked.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert one.count == 0
        assert (await answer_of(reader))[2] == LONG
        await one.came.wait()
        assert one.count == 1

    heard(tmp_path, LONG, waits, case)


@pytest.mark.parametrize("waits", [False, True])
def test_a_client_that_goes_has_its_answer_finished(tmp_path: Path, waits: bool) -> None:
    async def case(one: Heard, reader: Any, writer: Any) -> None:
        writer.write(get("/"))
        await reader.readexactly(1000)
        assert one.count == 0
        writer.transport.abort()
        await one.came.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert one.count == 1

    heard(tmp_path, LONG, waits, case)
