"""Exec for a client that speaks WebSocket, by a runtime that speaks SPDY."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from steersman.cri.client.known import Known
from steersman.cri.client.streams import ProxiedStreaming, splice
from steersman.cri.client.translating import Translation
from steersman.cri.messages import containers as c
from steersman.model.errors import InternalError
from steersman.node.streams.pods import Wanted
from steersman.node.streams.remote import Resize, Stdin
from steersman.wire import spdy
from steersman.wire.channels import STDERR, STDOUT
from steersman.wire.message import Request, Response, Upgrade
from steersman.world.real import RealWorld
from unit.cri.scripted_runtime import Scripted

SECONDS = 10.0


class Pipe:
    """One end of a connection; `other` is the far one."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.other: Pipe

    async def read(self) -> bytes:
        data = await self.came.get()
        if not data:
            self.came.put_nowait(b"")
        return data

    async def write(self, data: bytes) -> None:
        if self.closed.is_set() or self.other.closed.is_set():
            raise ConnectionResetError
        self.other.came.put_nowait(data)

    def close(self) -> None:
        self.closed.set()
        self.came.put_nowait(b"")
        self.other.came.put_nowait(b"")


def pipe() -> tuple[Pipe, Pipe]:
    one, two = Pipe(), Pipe()
    one.other, two.other = two, one
    return one, two


class Client:
    """A client, and what it was told."""

    def __init__(self) -> None:
        self.sends: asyncio.Queue[Stdin | Resize | None] = asyncio.Queue()
        self.got: dict[int, bytes] = {}
        self.status: Mapping[str, Any] | None = None

    async def begin(self, *, stdout: bool, stderr: bool) -> None:
        self.begun = (stdout, stderr)

    async def receive(self) -> Stdin | Resize | None:
        return await self.sends.get()

    async def send(self, channel: int, data: bytes) -> None:
        self.got[channel] = self.got.get(channel, b"") + data

    async def conclude(self, status: Mapping[str, Any]) -> None:
        self.status = status


class Server:
    """The runtime's side of SPDY."""

    def __init__(self, channel: Pipe) -> None:
        self.channel = channel
        self.session = spdy.Session(client=False)
        self.streams: dict[str, int] = {}
        self.got: dict[str, bytes] = {}
        self.ended: set[str] = set()

    async def until(self, *names: str, ended: str = "") -> None:
        """Reads until streams are open, or one has ended."""
        while not (set(names) <= self.streams.keys() and (not ended or ended in self.ended)):
            data = await self.channel.read()
            assert data, "the connection ended"
            for event in self.session.feed(data):
                self._take(event)

    def _take(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.Opened):
            self.streams[event.headers["streamtype"]] = event.stream
        elif isinstance(event, spdy.Data):
            name = next(name for name, it in self.streams.items() if it == event.stream)
            self.got[name] = self.got.get(name, b"") + event.data
            if event.finished:
                self.ended.add(name)

    async def say(self, name: str, data: bytes, *, finish: bool = False) -> None:
        await self.channel.write(self.session.send(self.streams[name], data, finish=finish))


def play(wanted: Wanted, *happens: Any) -> Client:
    """Runs a translation beside what happens to it."""

    async def main() -> Client:
        client, (near, far) = Client(), pipe()
        server = Server(far)
        async with asyncio.timeout(SECONDS):
            work = asyncio.ensure_future(Translation(client, near, wanted).run(RealWorld()))
            for one in happens:
                await one(client, server)
            await work
        assert near.closed.is_set()
        return client

    return asyncio.run(main())


ALL = Wanted(stdin=True, stdout=True, stderr=True, terminal=False)


def test_what_both_sides_say_is_passed_on_to_its_end() -> None:
    async def happens(client: Client, server: Server) -> None:
        await server.until("error", "stdin", "stdout", "stderr")
        assert "resize" not in server.streams
        client.sends.put_nowait(Stdin(b"in"))
        client.sends.put_nowait(Stdin(b""))
        await server.until(ended="stdin")
        assert server.got["stdin"] == b"in"
        await server.say("stdout", b"out")
        await server.say("stderr", b"err")
        told = json.dumps({"status": "Failure", "code": 7}).encode()
        for name, data in (("error", told), ("stdout", b""), ("stderr", b"")):
            await server.say(name, data, finish=True)

    client = play(ALL, happens)
    assert client.got == {STDOUT: b"out", STDERR: b"err"}
    assert client.status == {"status": "Failure", "code": 7}
    assert client.begun == (True, True)


def test_how_a_command_ended_may_come_in_pieces() -> None:
    async def happens(_client: Client, server: Server) -> None:
        await server.until("error", "stdin", "stdout", "stderr")
        told = json.dumps({"status": "Failure", "code": 7}).encode()
        await server.say("error", told[:9])
        for name, data in (("error", told[9:]), ("stdout", b""), ("stderr", b"")):
            await server.say(name, data, finish=True)

    assert play(ALL, happens).status == {"status": "Failure", "code": 7}


async def forward(url: str, headers: Mapping[str, str]) -> Response:
    """Asks for ports of a pod, for which the runtime gives a URL."""
    runtime, known = Scripted(), Known()
    runtime.answers["PortForward"] = lambda _: c.PortForwardResponse(url)
    known.sandboxes["uid"] = "box"
    made = ProxiedStreaming(cast(Any, runtime), known, RealWorld())
    request = Request("POST", "/portForward", "", dict(headers))
    return await made.forward(request, cast(Any, SimpleNamespace(sandbox="uid")))


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/x", "http:///x", "unix:///run/x"])
def test_a_streaming_url_that_leads_nowhere_is_told(url: str) -> None:
    with pytest.raises(InternalError, match="a streaming URL that is not served"):
        asyncio.run(asyncio.wait_for(forward(url, {}), SECONDS))


def test_of_what_client_and_runtime_say_only_what_the_stream_needs_is_handed_on() -> None:
    heard: list[str] = []
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        lines = ("HTTP/1.1 101 Switching", "Connection: Upgrade", "Upgrade: SPDY/3.1")
        more = ("X-Stream-Protocol-Version: portforward.k8s.io", "Set-Cookie: a=b")
        writer.write("\r\n".join((*lines, *more, "", "")).encode())
        await reader.read()
        writer.close()
        left.set()

    async def main() -> Response:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, asyncio.timeout(SECONDS):
            port = server.sockets[0].getsockname()[1]
            headers = {"upgrade": "SPDY/3.1", "connection": "Upgrade", "authorization": "Bearer x"}
            answer = await forward(f"http://127.0.0.1:{port}/portforward/token", headers)
            near, far = pipe()
            far.close()
            assert isinstance(answer.body, Upgrade)
            await answer.body.take(near)
            await left.wait()
        return answer

    answer = asyncio.run(main())
    (asked,) = heard
    assert asked.startswith("post /portforward/token ")
    assert "upgrade: spdy/3.1" in asked and "authorization" not in asked
    assert answer.headers is not None
    assert set(answer.headers) == {"connection", "upgrade", "x-stream-protocol-version"}


def test_the_size_of_a_terminal_is_passed_on() -> None:
    async def happens(client: Client, server: Server) -> None:
        await server.until("error", "stdout", "resize")
        client.sends.put_nowait(Resize(80, 24))
        while "resize" not in server.got:
            for event in server.session.feed(await server.channel.read()):
                server._take(event)
        assert json.loads(server.got["resize"]) == {"Width": 80, "Height": 24}
        await server.say("error", b"", finish=True)
        await server.say("stdout", b"", finish=True)

    client = play(Wanted(stdin=False, stdout=True, stderr=False, terminal=True), happens)
    assert client.status is not None and client.status["status"] == "Success"


def test_a_runtime_that_breaks_off_is_told_as_an_error() -> None:
    async def happens(_client: Client, server: Server) -> None:
        await server.until("error")
        server.channel.close()

    client = play(ALL, happens)
    assert client.status is not None
    assert client.status["message"].endswith("the runtime has closed the connection")


def test_a_client_that_goes_away_ends_the_connection_with_the_runtime() -> None:
    async def happens(client: Client, server: Server) -> None:
        await server.until("error", "stdout")
        client.sends.put_nowait(None)
        while await server.channel.read():
            continue

    play(ALL, happens)


@pytest.mark.parametrize("who", [0, 1])
def test_connections_are_copied_both_ways_until_one_side_ends(who: int) -> None:
    async def main() -> None:
        (client, mine), (near, server) = pipe(), pipe()
        async with asyncio.timeout(SECONDS):
            work = asyncio.ensure_future(splice(mine, near, RealWorld()))
            await client.write(b"ask")
            assert await server.read() == b"ask"
            await server.write(b"answer")
            assert await client.read() == b"answer"
            (client, server)[who].close()
            await work
        assert mine.closed.is_set() and near.closed.is_set()

    asyncio.run(main())
