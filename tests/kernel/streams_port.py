"""The agent's port around a rig's engine, and a client that speaks to it as the API server does."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from steersman.client.http import HTTPTransport, Target
from steersman.listen import certificates
from steersman.listen.certificates import ADMIN, KUBELET_CLIENT, Certificates
from steersman.listen.serve import tls_context
from steersman.node.engine.own import OwnEngine
from steersman.node.serve import Port, serve
from steersman.node.streams.pods import Container, Instance, Pod
from steersman.runtime.engine import Engine
from steersman.wire.channels import Channels, Data, Ended
from steersman.wire.message import Channel, Request, Response
from steersman.wire.websocket import WebSocket
from steersman.world.real import RealWorld

NODE = "node-a"


class Known:
    """The pods that a test has made; see `node.streams.pods.Pods`."""

    def __init__(self, engine: Engine) -> None:
        none = cast(Any, None)
        self.engine = OwnEngine(engine, none, none, "", "", RealWorld())
        self.pods: dict[tuple[str, str], Pod] = {}

    def find(self, namespace: str, name: str) -> Pod | None:
        return self.pods.get((namespace, name))

    def add(self, sandbox: str, netns: str, containers: Mapping[str, Container]) -> None:
        self.pods["default", sandbox] = Pod(sandbox, "uid-1", netns, containers)


def running(name: str, log: str, *, terminal: bool = False, stdin: bool = False) -> Container:
    """A container that runs."""
    return Container(Instance(name, log), None, True, terminal=terminal, stdin=stdin)


class Caller:
    """A client with a certificate of its own."""

    def __init__(self, files: Certificates, file: str, port: int) -> None:
        tls = ssl.create_default_context(cafile=str(files.ca))
        if file:
            tls.load_cert_chain(files.certificate(file), files.key(file))
        self.transport = HTTPTransport(Target("127.0.0.1", port, tls, server_name=NODE))

    async def get(self, path: str, **params: object) -> Response:
        return await self.transport.send(Request("GET", path, urlencode(params, doseq=True)))

    async def text(self, path: str, **params: object) -> tuple[int, str]:
        answer = await self.get(path, **params)
        if isinstance(answer.body, bytes):
            return answer.status, answer.body.decode()
        assert isinstance(answer.body, AsyncIterator)
        return answer.status, b"".join([piece async for piece in answer.body]).decode()

    async def open(self, path: str, protocol: str, **params: object) -> Talk:
        return await talk(self.transport, path, protocol, **params)


class Talk:
    """A client's side of exec or attach."""

    def __init__(self, channel: Channel, protocol: str) -> None:
        self.channel = channel
        self.channels = Channels(protocol, WebSocket(mask=lambda: os.urandom(4)))
        self.got: dict[int, bytes] = {}
        self.order: list[int] = []
        self.ended = False

    async def send(self, channel: int, data: bytes) -> None:
        await self.channel.write(self.channels.encode(channel, data))

    async def end(self, channel: int) -> None:
        await self.channel.write(self.channels.end(channel))

    async def read(self) -> bool:
        data = await self.channel.read()
        for event in self.channels.feed(data):
            if isinstance(event, Data):
                self.got[event.channel] = self.got.get(event.channel, b"") + event.data
                self.order.append(event.channel)
            elif isinstance(event, Ended) and event.channel is None:
                self.ended = True
        return bool(data)

    async def until(self, channel: int, text: bytes) -> bytes:
        while text not in self.got.get(channel, b""):
            assert await self.read(), f"the connection ended with {self.got}"
        return self.got[channel]

    async def rest(self) -> dict[int, bytes]:
        """Reads to the end of the connection; empty messages leave a mark in `order` alone."""
        while await self.read():
            pass
        return {channel: data for channel, data in self.got.items() if data}


async def talk(transport: HTTPTransport, path: str, protocol: str, **params: object) -> Talk:
    """Opens a WebSocket with parameters, in a protocol or in none."""
    headers = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        **({"sec-websocket-protocol": protocol} if protocol else {}),
    }
    asked = Request("GET", path, urlencode(params, doseq=True), headers)
    return Talk(await transport.upgrade(asked), protocol)


@asynccontextmanager
async def port(known: Known, directory: Path) -> AsyncIterator[tuple[Certificates, int]]:
    """Runs the agent's port; yields the certificates and its number."""
    identities = (ADMIN, KUBELET_CLIENT, certificates.node(NODE))
    files = certificates.ensure(directory / "pki", (), time.time(), identities)
    name = f"node-{NODE}"
    place = Port("127.0.0.1", 0, tls_context(files.certificate(name), files.key(name), files.ca))
    number: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    world = RealWorld()
    async with world.tasks() as tasks:
        tasks.start(serve(place, known, world, number.set_result), name="port")
        yield files, await number
        tasks.stop()
