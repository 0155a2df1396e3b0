"""The in-process transport: what it makes of each kind of body, and its channels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from steersman.client import local
from steersman.client.errors import Unreachable
from steersman.client.local import LocalTransport, PushedBody, pipe
from steersman.model.errors import Forbidden, NotFound
from steersman.wire.message import Channel, Chunk, Request, Response, Sink, Upgrade, User
from steersman.world.interface import World
from steersman.world.simulated import simulate

USER = User("system:kube-scheduler", ("system:authenticated",))


def run(case: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    simulate(1, case)


def test_the_handler_sees_the_transports_user() -> None:
    seen = []

    def handler(request: Request) -> Response:
        seen.append(request.user)
        return Response(b"")

    async def case(world: World) -> None:
        transport = LocalTransport(handler, USER)
        assert transport.identity == "system:kube-scheduler"
        await transport.send(Request("GET", "/", user=User("somebody else")))
        await transport.close()

    run(case)
    assert seen == [USER]


def test_an_api_error_is_an_answer_and_any_other_is_raised() -> None:
    async def later() -> Response:
        raise NotFound("not here")

    def handler(request: Request) -> Any:
        if request.path == "/later":
            return later()
        raise ValueError("a bug")

    async def case(world: World) -> None:
        transport = LocalTransport(handler, USER)
        assert (await transport.send(Request("GET", "/later"))).status == 404
        with pytest.raises(ValueError, match="a bug"):
            await transport.send(Request("GET", "/"))

    run(case)


def test_bodies_are_bytes_or_iterators() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"

    bodies: dict[str, Any] = {"/bytes": b"ab", "/list": [b"a", b"b"], "/pulled": pieces()}

    async def case(world: World) -> None:
        headers = {"X": "y"}
        transport = LocalTransport(
            lambda request: Response(bodies[request.path], 201, "text/plain", headers), USER
        )
        for path in ("/bytes", "/list"):
            response = await transport.send(Request("GET", path))
            assert (response.body, response.status) == (b"ab", 201)
            assert (response.content_type, response.headers) == ("text/plain", headers)
        body = (await transport.send(Request("GET", "/pulled"))).body
        assert isinstance(body, AsyncIterator)
        assert [piece async for piece in body] == [b"a"]

    run(case)


def test_what_was_pushed_together_comes_together() -> None:
    closings = []

    def push(sink: Sink) -> Callable[[], None]:
        sink.send(Chunk(b"a"))
        sink.send(Chunk(b"b"))
        assert sink.pending == 2
        return lambda: closings.append(1)

    async def case(world: World) -> None:
        body = PushedBody(push)
        assert await anext(body) == b"ab"
        assert body.pending == 0

        async def later() -> None:
            await world.sleep(1)
            body.send(Chunk(b"c"))
            await world.sleep(1)
            body.finish()
            body.send(Chunk(b"late"))

        async with world.tasks() as tasks:
            tasks.start(later(), name="later")
            assert [piece async for piece in body] == [b"c"]
        assert closings == [1]
        await body.aclose()
        assert closings == [1]

    run(case)


def test_a_pushed_body_that_is_given_up_tells_so_once() -> None:
    closings = []

    async def case(world: World) -> None:
        body = PushedBody(lambda sink: lambda: closings.append(1))
        await body.aclose()
        await body.aclose()
        body.send(Chunk(b"late"))
        assert body.pending == 0
        with pytest.raises(StopAsyncIteration):
            await anext(body)

    run(case)
    assert closings == [1]


def test_a_reader_that_is_far_too_slow_loses_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "BUFFER_BYTES", 10)

    async def case(world: World) -> None:
        body = PushedBody(lambda sink: lambda: None)
        body.send(Chunk(b"0123456789"))
        assert await anext(body) == b"0123456789"
        body.send(Chunk(b"0123456789"))
        body.send(Chunk(b"0"))
        assert body.pending == 0
        with pytest.raises(Unreachable, match="too slow"):
            await anext(body)

    run(case)


def test_a_stream_that_is_broken_off_does_not_look_like_its_end() -> None:
    closings = []

    async def case(world: World) -> None:
        body = PushedBody(lambda sink: lambda: closings.append(1))
        body.send(Chunk(b"lost"))
        body.abort()
        body.send(Chunk(b"late"))
        with pytest.raises(Unreachable, match="the other end has failed"):
            await anext(body)

    run(case)
    assert closings == [1]


def test_a_channel_holds_its_writer_back_until_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CHANNEL_BYTES", 10)

    async def case(world: World) -> None:
        here, there = pipe()
        written = []

        async def write() -> None:
            for number in range(4):
                await here.write(b"0123456789")
                written.append(number)

        async with world.tasks() as tasks:
            tasks.start(write(), name="write")
            await world.sleep(1)
            assert written == [0, 1]
            assert await there.read() == b"0123456789" * 2
            await world.sleep(1)
            assert written == [0, 1, 2, 3]

    run(case)


def test_a_closed_channel_can_be_read_to_its_end_and_not_written() -> None:
    async def case(world: World) -> None:
        here, there = pipe()
        await here.write(b"last")
        here.close()
        assert [await there.read(), await there.read()] == [b"last", b""]
        with pytest.raises(ConnectionResetError):
            await there.write(b"x")
        with pytest.raises(ConnectionResetError):
            await here.write(b"x")

    run(case)


def test_a_writer_that_waits_is_told_when_the_channel_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "CHANNEL_BYTES", 0)

    async def case(world: World) -> None:
        here, there = pipe()
        await here.write(b"a")

        async def write() -> None:
            with pytest.raises(ConnectionResetError):
                await here.write(b"b")

        async with world.tasks() as tasks:
            tasks.start(write(), name="write")
            await world.sleep(1)
            there.close()

    run(case)


def test_a_stream_runs_in_the_transports_tasks_and_ends_with_its_taker() -> None:
    async def take(channel: Channel) -> None:
        await channel.write(b"hello")
        if await channel.read() == b"fail":
            raise OSError("broken")

    def handler(request: Request) -> Response:
        if request.path == "/refused":
            raise Forbidden("no")
        return Response(Upgrade(take) if request.path == "/stream" else b"no stream")

    async def case(world: World) -> None:
        async with world.tasks() as tasks:
            transport = LocalTransport(handler, USER, tasks)
            for word in (b"end", b"fail"):
                channel = await transport.upgrade(Request("GET", "/stream"))
                assert await channel.read() == b"hello"
                await channel.write(word)
                assert await channel.read() == b""
            with pytest.raises(Forbidden):
                await transport.upgrade(Request("GET", "/refused"))
            with pytest.raises(Exception, match="no stream"):
                await transport.upgrade(Request("GET", "/other"))
            with pytest.raises(Unreachable):
                await transport.send(Request("GET", "/stream"))
        with pytest.raises(Unreachable, match="without tasks"):
            await LocalTransport(handler, USER).upgrade(Request("GET", "/stream"))

    run(case)


def test_a_client_in_a_simulation_waits_in_virtual_time() -> None:
    async def slow(request: Request, world: World) -> Response:
        await world.sleep(3600)
        return Response(b"done")

    async def case(world: World) -> None:
        transport = LocalTransport(lambda request: slow(request, world), USER)
        before = world.monotonic()
        assert (await transport.send(Request("GET", "/"))).body == b"done"
        assert world.monotonic() - before == pytest.approx(3600)
        await asyncio.sleep(0)

    run(case)
