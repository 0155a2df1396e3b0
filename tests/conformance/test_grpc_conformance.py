"""gRPC over Unix sockets: our client and our server, each against itself and against grpcio's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
import pytest
import uvloop

from registrar import holds
from steersman.client.grpc import Channel, connect_unix
from steersman.listen.grpc import GRPCServer, Handler
from steersman.wire.http2.connection import MAX_STREAMS
from steersman.wire.http2.grpc import Failed
from steersman.world.real import RealWorld

T = TypeVar("T")
LARGE = 3 * 1024 * 1024
SERVICE = "/test.Echo/"
pytestmark = pytest.mark.xdist_group("grpc")


class Seen:
    """What the service has seen."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.sent = 0


def service(seen: Seen) -> dict[str, Callable[[bytes], AsyncGenerator[bytes, None]]]:
    """What is served, whatever by; a failure is a pair of code and text."""

    async def echo(message: bytes) -> AsyncGenerator[bytes, None]:
        yield message

    async def fail(message: bytes) -> AsyncGenerator[bytes, None]:
        raise Failed(int(message), "50% „of“ it\n")
        yield b""

    async def hang(message: bytes) -> AsyncGenerator[bytes, None]:
        seen.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.ended.set()
        yield b""

    async def count(message: bytes) -> AsyncGenerator[bytes, None]:
        for number in range(int(message)):
            yield str(number).encode()

    async def pour(message: bytes) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield bytes(64 * 1024)
                seen.sent += 1
        finally:
            seen.ended.set()

    return {f"{SERVICE}{it.__name__.capitalize()}": it for it in (echo, fail, hang, count, pour)}


@asynccontextmanager
async def ours(path: Path, seen: Seen) -> AsyncIterator[None]:
    handlers: dict[str, Handler] = dict(service(seen))
    async with GRPCServer(handlers, RealWorld()) as server:
        await server.listen_unix(path)
        yield


@asynccontextmanager
async def theirs(path: Path, seen: Seen) -> AsyncIterator[Any]:
    served = service(seen)

    class Generic(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:
            if (handler := served.get(call.method)) is None:
                return None

            async def answer(message: bytes, context: Any) -> AsyncGenerator[bytes, None]:
                try:
                    async for it in handler(message):
                        yield it
                except Failed as error:
                    codes = {code.value[0]: code for code in grpc.StatusCode}
                    await context.abort(codes[error.code], error.text)

            return grpc.unary_stream_rpc_method_handler(answer)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Generic(),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield server
    finally:
        await server.stop(None)


Server = Callable[[Path, Seen], AbstractAsyncContextManager[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], autouse=True)
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `asyncio.run` use the loop of the standard library, and that of a cluster's processes."""

    def run(work: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(work)

    monkeypatch.setattr(asyncio, "run", run)


@pytest.fixture(params=[ours, theirs])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.param
    return found


def asked(server: Server, path: Path, ask: Callable[[Channel, Seen], Awaitable[T]]) -> T:
    async def main() -> T:
        seen = Seen()
        async with (
            asyncio.timeout(60),
            server(path, seen),
            await connect_unix(path, RealWorld(), 10) as channel,
        ):
            return await ask(channel, seen)

    return asyncio.run(main())


# Our client


def test_a_connection_on_which_nothing_more_can_be_asked_is_closed(tmp_path: Path) -> None:
    async def main() -> None:
        handlers: dict[str, Handler] = dict(service(Seen()))
        async with asyncio.timeout(60), GRPCServer(handlers, RealWorld()) as server:
            await server.listen_unix(tmp_path / "s")
            async with await connect_unix(tmp_path / "s", RealWorld(), 10) as channel:
                assert await channel.call(f"{SERVICE}Echo", b"a", 30) == b"a"
                (link,) = server.links
                link.connection.leave()  # and waits for the client to go
                link.flush()
                await channel.over()

    asyncio.run(main())


def test_a_server_that_is_leaving_ends_what_it_has_begun_and_is_asked_no_more(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        seen = Seen()
        async with (
            asyncio.timeout(60),
            theirs(tmp_path / "s", seen) as server,
            await connect_unix(tmp_path / "s", RealWorld(), 10) as channel,
        ):
            over = asyncio.ensure_future(channel.over())
            hanging = asyncio.ensure_future(channel.call(f"{SERVICE}Hang", b"", None))
            await seen.begun.wait()
            stopping = asyncio.ensure_future(server.stop(30))
            await holds(lambda: channel.is_lost)
            assert not hanging.done()
            with pytest.raises(Failed) as caught:
                await channel.call(f"{SERVICE}Echo", b"", 30)
            assert caught.value.code == 14
            hanging.cancel()
            # With the last call the connection goes, and the server need not wait for its time
            await over
            await stopping

    asyncio.run(main())


@pytest.mark.parametrize("message", [b"", b"hello", b"x" * 70_000, b"y" * LARGE])
def test_what_is_asked_comes_back(server: Server, tmp_path: Path, message: bytes) -> None:
    async def ask(channel: Channel, _: Seen) -> bytes:
        return await channel.call(f"{SERVICE}Echo", message, 30)

    assert asked(server, tmp_path / "s", ask) == message


def test_many_calls_share_a_connection(server: Server, tmp_path: Path) -> None:
    async def ask(channel: Channel, _: Seen) -> list[bytes]:
        calls = (
            channel.call(f"{SERVICE}Echo", str(it).encode() * 1000, 30) for it in range(MAX_STREAMS)
        )
        return await asyncio.gather(*calls)

    assert asked(server, tmp_path / "s", ask) == [
        str(it).encode() * 1000 for it in range(MAX_STREAMS)
    ]


def test_a_failure_has_its_code_and_text(server: Server, tmp_path: Path) -> None:
    async def ask(channel: Channel, _: Seen) -> Failed:
        with pytest.raises(Failed) as caught:
            await channel.call(f"{SERVICE}Fail", b"9", 30)
        return caught.value

    error = asked(server, tmp_path / "s", ask)
    assert (error.code, error.text) == (9, "50% „of“ it\n")


def test_what_is_not_served_is_refused(server: Server, tmp_path: Path) -> None:
    async def ask(channel: Channel, _: Seen) -> int:
        with pytest.raises(Failed) as caught:
            await channel.call(f"{SERVICE}Other", b"", 30)
        assert await channel.call(f"{SERVICE}Echo", b"still here", 30) == b"still here"
        return caught.value.code

    assert asked(server, tmp_path / "s", ask) == 12


def test_a_call_that_takes_too_long_ends_on_both_sides(server: Server, tmp_path: Path) -> None:
    async def ask(channel: Channel, seen: Seen) -> Failed:
        with pytest.raises(Failed) as caught:
            await channel.call(f"{SERVICE}Hang", b"", 0.3)
        await seen.ended.wait()
        return caught.value

    error = asked(server, tmp_path / "s", ask)
    assert str(error).lower() == ("rpc error: code = deadlineexceeded desc = " + error.text.lower())


def test_a_call_that_is_cancelled_ends_on_the_other_side(server: Server, tmp_path: Path) -> None:
    async def ask(channel: Channel, seen: Seen) -> None:
        task = asyncio.create_task(channel.call(f"{SERVICE}Hang", b"", None))
        await seen.begun.wait()
        task.cancel()
        await seen.ended.wait()

    asked(server, tmp_path / "s", ask)


def test_a_stream_gives_its_messages_and_ends(server: Server, tmp_path: Path) -> None:
    async def ask(channel: Channel, _: Seen) -> list[bytes]:
        async with aclosing(channel.stream(f"{SERVICE}Count", b"1000", 30)) as answers:
            return [it async for it in answers]

    assert asked(server, tmp_path / "s", ask) == [str(it).encode() for it in range(1000)]


def test_a_call_with_more_or_fewer_answers_than_one_fails(server: Server, tmp_path: Path) -> None:
    async def ask(channel: Channel, _: Seen) -> None:
        for count in (b"0", b"2"):
            with pytest.raises(Failed, match="did not send one plain message"):
                await channel.call(f"{SERVICE}Count", count, 30)

    asked(server, tmp_path / "s", ask)


def test_a_reader_that_is_slow_holds_the_server_back_and_may_leave(
    server: Server, tmp_path: Path
) -> None:
    async def ask(channel: Channel, seen: Seen) -> int:
        async with aclosing(channel.stream(f"{SERVICE}Pour", b"", None)) as answers:
            await anext(answers)
            assert await channel.call(f"{SERVICE}Echo", b"meanwhile", 30) == b"meanwhile"
            for _ in range(50):
                await anext(answers)
            held = seen.sent
        await seen.ended.wait()
        return held

    assert asked(server, tmp_path / "s", ask) < 50 + 20


def test_an_answer_larger_than_is_taken_fails(server: Server, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with asyncio.timeout(60), server(path, Seen()):
            world = RealWorld()
            async with await connect_unix(path, world, 10, max_message_bytes=1000) as channel:
                with pytest.raises(Failed, match=r"larger than max \(1001 vs\. 1000\)"):
                    await channel.call(f"{SERVICE}Echo", b"x" * 1001, 10)

    asyncio.run(main())


def test_a_server_that_goes_ends_its_calls(server: Server, tmp_path: Path) -> None:
    async def main() -> Failed:
        path, seen = tmp_path / "s", Seen()
        async with asyncio.timeout(60):
            async with server(path, seen):
                channel = await connect_unix(path, RealWorld(), 10)
                task = asyncio.create_task(channel.call(f"{SERVICE}Hang", b"", None))
                await seen.begun.wait()
            with pytest.raises(Failed) as caught:
                await task
            with pytest.raises(Failed) as again:
                await channel.call(f"{SERVICE}Echo", b"", 1)
            assert channel.is_lost
            assert again.value.code == 14
            return caught.value

    assert asyncio.run(main()).code in (14, 1)


def test_a_socket_that_nobody_listens_on_is_told_as_go_does(tmp_path: Path) -> None:
    path = tmp_path / "nobody"
    with pytest.raises(Failed) as caught:
        asyncio.run(connect_unix(path, RealWorld(), 1))
    assert str(caught.value) == (
        'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while '
        f'dialing: dial unix {path}: connect: no such file or directory"'
    )


def test_a_socket_that_never_answers_is_left_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        left = asyncio.Event()

        async def still(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)
            writer.close()
            left.set()

        async with await asyncio.start_unix_server(still, str(path)):
            begun = time.monotonic()
            with pytest.raises(Failed, match="DeadlineExceeded desc = context deadline exceeded"):
                await connect_unix(path, RealWorld(), 0.2)
            assert time.monotonic() - begun < 5
            await asyncio.wait_for(left.wait(), 5)

    asyncio.run(main())


def test_a_socket_that_speaks_something_else_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"

        left = asyncio.Event()

        async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read(-1)
            writer.close()
            left.set()

        async with await asyncio.start_unix_server(other, str(path)):
            with pytest.raises(Failed, match="code = Unavailable desc = error reading from server"):
                await connect_unix(path, RealWorld(), 5)
            await asyncio.wait_for(left.wait(), 5)

    asyncio.run(main())


# Our server, asked by grpcio


def their_client(path: Path, ask: Callable[[Any, Seen], Awaitable[T]]) -> T:
    async def main() -> T:
        seen = Seen()
        async with asyncio.timeout(60), ours(path, seen):
            options = [("grpc.max_receive_message_length", -1)]
            async with grpc.aio.insecure_channel(f"unix:{path}", options) as channel:
                return await ask(channel, seen)

    return asyncio.run(main())


@pytest.mark.parametrize("message", [b"", b"hello", b"x" * 70_000, b"y" * LARGE])
def test_grpcio_gets_back_what_it_asks(tmp_path: Path, message: bytes) -> None:
    async def ask(channel: Any, _: Seen) -> Any:
        return await channel.unary_unary(f"{SERVICE}Echo")(message, timeout=30)

    assert their_client(tmp_path / "s", ask) == message


def test_grpcio_makes_many_calls_at_a_time(tmp_path: Path) -> None:
    async def ask(channel: Any, _: Seen) -> Any:
        echo = channel.unary_unary(f"{SERVICE}Echo")
        return await asyncio.gather(*(echo(b"x" * it * 100, timeout=30) for it in range(300)))

    assert [len(it) for it in their_client(tmp_path / "s", ask)] == [it * 100 for it in range(300)]


def test_grpcio_sees_codes_and_texts(tmp_path: Path) -> None:
    async def ask(channel: Any, _: Seen) -> Any:
        found = []
        for method, message in (("Fail", b"9"), ("Other", b"")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"{SERVICE}{method}")(message, timeout=30)
            found.append((caught.value.code(), caught.value.details()))
        return found

    assert their_client(tmp_path / "s", ask) == [
        (grpc.StatusCode.FAILED_PRECONDITION, "50% „of“ it\n"),
        (grpc.StatusCode.UNIMPLEMENTED, "unknown method Other for service test.Echo"),
    ]


def test_grpcio_breaks_calls_off_by_time_and_by_will(tmp_path: Path) -> None:
    async def ask(channel: Any, seen: Seen) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"{SERVICE}Hang")(b"", timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await seen.ended.wait()
        seen.begun.clear()
        seen.ended.clear()
        call = channel.unary_unary(f"{SERVICE}Hang")(b"")
        task = asyncio.ensure_future(call)
        await seen.begun.wait()
        task.cancel()
        await seen.ended.wait()

    their_client(tmp_path / "s", ask)


def test_grpcio_follows_a_stream(tmp_path: Path) -> None:
    async def ask(channel: Any, _: Seen) -> Any:
        return [it async for it in channel.unary_stream(f"{SERVICE}Count")(b"1000")]

    assert their_client(tmp_path / "s", ask) == [str(it).encode() for it in range(1000)]


def test_a_fault_of_a_handler_is_told_and_ends_one_call_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(message: bytes) -> AsyncGenerator[bytes, None]:
        yield str(1 // len(message)).encode()

    async def main() -> None:
        async with GRPCServer({f"{SERVICE}Broken": broken}, RealWorld()) as server:
            await server.listen_unix(tmp_path / "s")
            async with await connect_unix(tmp_path / "s", RealWorld(), 5) as channel:
                with pytest.raises(Failed, match="Internal desc = ZeroDivisionError"):
                    await channel.call(f"{SERVICE}Broken", b"", 5)
                assert await channel.call(f"{SERVICE}Broken", b"x", 5) == b"1"

    asyncio.run(main())
    assert "Broken" in caplog.text


def test_a_socket_is_private_unless_said_otherwise_and_goes_with_its_server(tmp_path: Path) -> None:
    async def main() -> None:
        async with GRPCServer({}, RealWorld()) as server:
            await server.listen_unix(tmp_path / "a")
            await server.listen_unix(tmp_path / "b", 0o666)
            assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
            assert (tmp_path / "b").stat().st_mode & 0o777 == 0o666
            with pytest.raises(OSError, match="another process listens"):
                await server.listen_unix(tmp_path / "a")

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []
