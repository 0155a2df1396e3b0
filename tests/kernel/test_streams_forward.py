"""Port-forward through the agent's port, into real network namespaces; and exec over SPDY."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from streams_port import Caller, Known, port, running
from test_runtime_rig import Rig, needs_root, run

from steersman.model.errors import APIError
from steersman.node.streams.inside import Unconnected, connect, make_socket
from steersman.wire import spdy
from steersman.wire.channels import PORT_FORWARD, TUNNEL, UNNAMED, V4
from steersman.wire.message import Channel, Request
from steersman.wire.websocket import WebSocket

pytestmark = needs_root
PATH = "/portForward/default/p"
# A flood that is not held back is over in a third of this
STANDSTILL_SECONDS = 1.0


class TunnelClient:
    """The client's side of SPDY in a WebSocket."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._websocket = WebSocket(mask=lambda: os.urandom(4))

    async def read(self) -> bytes:
        while data := await self._channel.read():
            messages = self._websocket.feed(data)
            if found := b"".join(it.data for it in messages if it.kind == "binary"):
                return found
        return b""

    async def write(self, data: bytes) -> None:
        await self._channel.write(self._websocket.encode("binary", data))

    def close(self) -> None:
        self._channel.close()


class Client:
    """A SPDY client: opens streams, and keeps what comes on each."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.session = spdy.Session(client=True)
        self.got: dict[int, bytes] = {}
        self.finished: set[int] = set()
        self.accepted: set[int] = set()
        self.reset: set[int] = set()

    async def open(self, **headers: str) -> int:
        stream, frame = self.session.open(headers)
        await self.channel.write(frame)
        return stream

    async def send(self, stream: int, data: bytes, *, finish: bool = False) -> None:
        await self.channel.write(self.session.send(stream, data, finish=finish))

    async def read(self) -> bool:
        data = await self.channel.read()
        for event in self.session.feed(data):
            if isinstance(event, spdy.Data):
                self.got[event.stream] = self.got.get(event.stream, b"") + event.data
                if event.finished:
                    self.finished.add(event.stream)
            elif isinstance(event, spdy.Replied):
                self.accepted.add(event.stream)
            elif isinstance(event, spdy.Reset):
                self.reset.add(event.stream)
        return bool(data)

    async def until(self, met: Callable[[], bool]) -> None:
        while not met():
            assert await self.read(), f"the connection ended with {self.got}"

    async def pair(self, number: int, request: int) -> tuple[int, int]:
        """Opens the streams of one connection as kubectl does; gives data and error."""
        shared = {"port": str(number), "requestid": str(request)}
        error = await self.open(streamtype="error", **shared)
        await self.send(error, b"", finish=True)
        return await self.open(streamtype="data", **shared), error


SPDY_HEADERS = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}


async def forwarded(caller: Caller, *, tunnelled: bool) -> Client:
    if tunnelled:
        talk = await caller.open(PATH, TUNNEL)
        return Client(TunnelClient(talk.channel))
    headers = {**SPDY_HEADERS, "x-stream-protocol-version": "portforward.k8s.io"}
    return Client(await caller.transport.upgrade(Request("POST", PATH, "", headers)))


@asynccontextmanager
async def listener(netns: str, serve: Any) -> AsyncIterator[int]:
    """Serves connections within a network namespace; yields the port."""
    listening = await make_socket(netns, socket.AF_INET)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = await asyncio.start_server(serve, sock=listening)
    async with server:
        yield listening.getsockname()[1]


def with_pod(scenario: Callable[[Caller, Rig, str], Awaitable[None]]) -> None:
    async def whole(rig: Rig) -> None:
        sandbox = await rig.sandbox()
        name = await rig.launch(sandbox, "sleep", "1000")
        known = Known(rig.engine)
        known.add("p", sandbox.netns, {"main": running(name, rig.log(name))})
        async with port(known, Path(rig.directory)) as (files, number):
            caller = Caller(files, "apiserver-kubelet-client", number)
            await scenario(caller, rig, sandbox.netns)
            await caller.transport.close()

    run(whole)


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers all that comes in capitals, once the other side has said all."""
    data = await reader.read()
    writer.write(data.upper())
    writer.write_eof()
    await writer.drain()
    writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each line in capitals, and hangs up after the last."""
    while (line := await reader.readline()) not in (b"", b"bye\n"):
        writer.write(line.upper())
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("protocol", [UNNAMED, *PORT_FORWARD])
def test_a_port_has_two_channels_and_says_its_number_on_both(protocol: str) -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        async with listener(netns, echo) as one, listener(netns, echo) as two:
            talk = await caller.open(PATH, protocol, port=f"{one},{two}")
            await talk.send(2, b"second\n")
            await talk.send(0, b"first\n")
            numbers = [number.to_bytes(2, "little") for number in (one, two)]
            assert await talk.until(2, b"SECOND\n") == numbers[1] + b"SECOND\n"
            assert await talk.until(0, b"FIRST\n") == numbers[0] + b"FIRST\n"
            await talk.send(1, b"what comes on the way of errors is nobody's")
            await talk.send(0, b"bye\n")
            await talk.send(2, b"still there\n")
            await talk.until(2, b"STILL THERE\n")
            assert not talk.ended
            await talk.send(2, b"bye\n")
            got = await talk.rest()
            assert talk.ended, "the last connection's end is everything's"
            assert (got[1], got[3]) == tuple(numbers)

    with_pod(scenario)


def test_a_port_that_nobody_listens_on_is_told_on_its_channel() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        talk = await caller.open(PATH, V4, port="9")
        got = await talk.rest()
        assert talk.ended
        assert got[0] == b"\x09\x00"
        assert got[1].startswith(b"\x09\x00error forwarding port 9 to pod p, uid : ")
        assert b"connection refused" in got[1]

    with_pod(scenario)


@pytest.mark.parametrize(
    ("ports", "why"),
    [
        ({}, 'query parameter "port" is required'),
        ({"port": ""}, 'query parameter "port" cannot be empty'),
        ({"port": "80,x"}, 'unable to parse "80,x" as a port: strconv.ParseUint: parsing "x": '),
        ({"port": "65536"}, 'parsing "65536": value out of range'),
        ({"port": "0"}, 'port "0" must be > 0'),
        ({"port": ",".join(["1"] * 128)}, "at most 127 ports can be forwarded"),
    ],
)
def test_ports_that_are_none_are_refused(ports: dict[str, str], why: str) -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        with pytest.raises(APIError) as refused:
            await caller.open(PATH, V4, **ports)
        assert refused.value.code == 400
        assert why in refused.value.message

    with_pod(scenario)


def test_a_client_of_channels_that_goes_takes_its_connections_along() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        over = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(1))
            assert await reader.read() == b""
            over.set()
            writer.close()

        async with listener(netns, silent) as number:
            talk = await caller.open(PATH, V4, port=number)
            await talk.send(0, b"x")
            await talk.until(0, b"x")
            talk.channel.close()
            async with asyncio.timeout(10):
                await over.wait()

    with_pod(scenario)


@pytest.mark.parametrize("tunnelled", [True, False])
def test_bytes_go_both_ways_and_each_way_has_its_own_end(tunnelled: bool) -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        async with listener(netns, shout) as number:
            client = await forwarded(caller, tunnelled=tunnelled)
            big = b"some text " * 100_000
            pairs = [await client.pair(number, request) for request in range(3)]
            for data, _ in pairs:
                for at in range(0, len(big), 30_000):
                    await client.send(data, big[at : at + 30_000])
                await client.send(data, b"", finish=True)
            await client.until(lambda: all({*pair} <= client.finished for pair in pairs))
            for data, error in pairs:
                assert client.got[data] == big.upper()
                assert client.got[error] == b""
                assert {data, error} <= client.accepted
            client.channel.close()

    with_pod(scenario)


def test_a_port_where_nobody_listens_is_told_and_others_go_on() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        async with listener(netns, shout) as number:
            client = await forwarded(caller, tunnelled=True)
            data, error = await client.pair(1, 1)
            await client.until(lambda: {data, error} <= client.finished)
            assert client.got[error].decode() == (
                "error forwarding port 1 to pod p, uid : failed to execute portforward in network "
                f'namespace "{netns}": failed to connect to localhost:1 inside namespace "p", '
                "IPv4: dial tcp4 127.0.0.1:1: connect: connection refused "
                "IPv6 dial tcp6 [::1]:1: connect: connection refused "
            )
            data, _ = await client.pair(number, 2)
            await client.send(data, b"still here", finish=True)
            await client.until(lambda: data in client.finished)
            assert client.got[data] == b"STILL HERE"
            client.channel.close()

    with_pod(scenario)


def test_a_server_that_closes_first_ends_both_streams() -> None:
    async def bye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        await writer.drain()
        writer.close()

    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        async with listener(netns, bye) as number:
            client = await forwarded(caller, tunnelled=True)
            data, error = await client.pair(number, 1)
            # kubectl waits for the error stream's end before it ends its own data
            await client.until(lambda: {data, error} <= client.finished)
            assert client.got[data] == b"bye"
            client.channel.close()

    with_pod(scenario)


def test_a_reset_of_the_data_breaks_the_connection_off() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        ended = asyncio.Event()

        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"x")
            await reader.read()
            writer.close()
            ended.set()

        async with listener(netns, hold) as number:
            client = await forwarded(caller, tunnelled=True)
            data, _ = await client.pair(number, 1)
            await client.until(lambda: client.got.get(data) == b"x")
            await client.channel.write(client.session.reset(data))
            await ended.wait()
            client.channel.close()

    with_pod(scenario)


def test_a_client_that_leaves_takes_its_connections_along() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        ended = asyncio.Event()

        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"x")
            await reader.read()
            writer.close()
            ended.set()

        async with listener(netns, hold) as number:
            client = await forwarded(caller, tunnelled=True)
            data, _ = await client.pair(number, 1)
            await client.until(lambda: client.got.get(data) == b"x")
            client.channel.close()
            await ended.wait()

    with_pod(scenario)


def test_a_slow_port_holds_the_client_back_and_loses_nothing() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        go = asyncio.Event()
        sizes: asyncio.Queue[int] = asyncio.Queue()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await go.wait()
            sizes.put_nowait(len(await reader.read()))
            writer.close()

        async with listener(netns, slow) as number:
            client = await forwarded(caller, tunnelled=False)
            data, _ = await client.pair(number, 1)

            async def flood() -> None:
                for _ in range(512):
                    await client.send(data, bytes(1 << 16))
                await client.send(data, b"", finish=True)

            flooding = asyncio.ensure_future(flood())
            done, _ = await asyncio.wait({flooding}, timeout=STANDSTILL_SECONDS)
            assert not done, "nothing holds the client back"
            go.set()
            await flooding
            assert await sizes.get() == 32 << 20
            client.channel.close()

    with_pod(scenario)


def test_streams_that_mean_nothing_are_given_up() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        client = await forwarded(caller, tunnelled=True)
        wrong = [
            await client.open(streamtype="data", port=text, requestid=text)
            for text in ("0", "65536", "http", "")
        ]
        wrong.append(await client.open(streamtype="other", port="1", requestid="9"))
        await client.until(lambda: set(wrong) <= client.reset)
        client.channel.close()

    with_pod(scenario)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 400),
        ({**SPDY_HEADERS, "x-stream-protocol-version": "other"}, 403),
        ({**SPDY_HEADERS}, 403),
    ],
)
def test_what_cannot_be_agreed_on_is_refused(headers: dict[str, str], code: int) -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        for path in (PATH, "/exec/default/p/main"):
            with pytest.raises(APIError) as refused:
                await caller.transport.upgrade(Request("POST", path, "output=1", headers))
            assert refused.value.code == code

    with_pod(scenario)


def test_a_socket_lives_in_the_pod_and_the_agent_stays_outside() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        before = os.readlink("/proc/thread-self/ns/net")
        async with listener(netns, shout) as number:
            (await connect(netns, number)).close()
            with pytest.raises(Unconnected):
                await connect("/proc/self/ns/net", number)
        with pytest.raises(Unconnected, match="No such file"):
            await connect("/proc/self/ns/nothing", number)
        assert os.readlink("/proc/thread-self/ns/net") == before
        threads = {
            os.readlink(f"/proc/self/task/{thread}/ns/net")
            for thread in os.listdir("/proc/self/task")
        }
        assert threads == {before}

    with_pod(scenario)


def test_a_socket_that_nobody_waits_for_any_more_is_closed() -> None:
    async def scenario() -> None:
        waiting = asyncio.create_task(make_socket("/proc/self/ns/net", socket.AF_INET))
        await asyncio.sleep(0)  # it has begun
        waiting.cancel()
        for thread in threading.enumerate():
            if thread.name == "pod's network":
                thread.join()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(scenario())
    assert [str(it.message) for it in told] == []


async def spdy_exec(caller: Caller, streams: str, **params: Any) -> tuple[Client, dict[str, int]]:
    headers = {**SPDY_HEADERS, "x-stream-protocol-version": "v5.channel.k8s.io\nv4.channel.k8s.io"}
    query = urlencode(params, doseq=True)
    request = Request("POST", "/exec/default/p/main", query, headers)
    client = Client(await caller.transport.upgrade(request))
    return client, {name: await client.open(streamtype=name) for name in streams.split()}


def test_exec_over_spdy_has_streams_an_end_of_input_and_a_status() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        command = ["sh", "-c", "wc -c; echo err >&2; exit 3"]
        params = {"command": command, "input": 1, "output": 1, "error": 1}
        client, streams = await spdy_exec(caller, "error stdin stdout stderr", **params)
        await client.send(streams["stdin"], b"x" * 100_000)
        await client.send(streams["stdin"], b"", finish=True)
        while await client.read():
            pass
        assert client.accepted == set(streams.values())
        assert client.finished == {streams[name] for name in ("error", "stdout", "stderr")}
        assert client.got[streams["stdout"]] == b"100000\n"
        assert client.got[streams["stderr"]] == b"err\n"
        status = json.loads(client.got[streams["error"]])
        assert status["reason"] == "NonZeroExitCode"
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]

    with_pod(scenario)


def test_a_terminal_over_spdy_is_resized() -> None:
    async def scenario(caller: Caller, rig: Rig, netns: str) -> None:
        # a client that asks for a terminal and for stderr opens no stream for stderr
        params = {"command": "sh", "input": 1, "output": 1, "error": 1, "tty": 1}
        client, streams = await spdy_exec(caller, "error stdin stdout resize", **params)
        size = b'{"Width":91,"Height":17}\n'
        await client.send(streams["resize"], size[:10])
        await client.send(streams["resize"], size[10:])
        await client.send(streams["stdin"], b"stty size\n")
        await client.until(lambda: b"17 91" in client.got.get(streams["stdout"], b""))
        await client.send(streams["stdin"], b"exit\n")
        while await client.read():
            pass
        assert json.loads(client.got[streams["error"]])["status"] == "Success"

    with_pod(scenario)
