"""Plugins of a node by their sockets: registered, told, tried again, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from steersman.listen.grpc import GRPCServer, unary
from steersman.node.plugins import registering
from steersman.node.plugins.folder import Plugin, PluginFolder, Refused
from steersman.wire.rpc.registration import (
    GET_INFO,
    NOTIFY_REGISTRATION_STATUS,
    InfoRequest,
    PluginInfo,
    RegistrationStatus,
    RegistrationStatusResponse,
)
from steersman.world.real import RealWorld

TYPE = "TestPlugin"


class Handler:
    """Notes what it is given; refuses as often as it is told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.refusals: list[Exception] = []
        self.changed = asyncio.Event()

    async def register(self, plugin: Plugin) -> None:
        self.note(f"register {plugin.name} at {plugin.endpoint.name}")

    async def unregister(self, plugin: Plugin) -> None:
        self.note(f"unregister {plugin.name}")

    def note(self, text: str) -> None:
        self.done.append(text)
        self.changed.set()
        if self.refusals:
            raise self.refusals.pop(0)

    async def until(self, *texts: str) -> None:
        async with asyncio.timeout(20):
            while self.done != list(texts):
                self.changed.clear()
                await self.changed.wait()


class Told:
    """What a plugin was told."""

    def __init__(self) -> None:
        self.statuses: list[RegistrationStatus] = []
        self.changed = asyncio.Event()

    async def until(self, count: int) -> RegistrationStatus:
        async with asyncio.timeout(20):
            while len(self.statuses) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.statuses[-1]


@asynccontextmanager
async def plugin(path: Path, told: Told, **info: Any) -> AsyncIterator[None]:
    async def get_info(_: InfoRequest) -> PluginInfo:
        return PluginInfo(**{"type": TYPE, "name": "p", **info})

    async def notify(status: RegistrationStatus) -> RegistrationStatusResponse:
        told.statuses.append(status)
        told.changed.set()
        return RegistrationStatusResponse()

    handlers = dict((unary(GET_INFO, get_info), unary(NOTIFY_REGISTRATION_STATUS, notify)))
    async with GRPCServer(handlers, RealWorld()) as server:
        await server.listen_unix(path)
        yield


def on_a_node(folder: Path, test: Callable[[Handler, Told], Awaitable[None]]) -> None:
    async def main() -> None:
        folder.mkdir()
        world, handler = RealWorld(), Handler()
        async with world.tasks() as tasks:
            found = PluginFolder(folder, {TYPE: lambda: handler}, world, tasks)
            tasks.start(found.run(), name="plugins")
            await test(handler, Told())
            tasks.stop()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "FIRST_RETRY_SECONDS", 0.01)


def test_a_socket_that_comes_is_registered_and_one_that_goes_is_taken_back(tmp_path: Path) -> None:
    async def test(handler: Handler, told: Told) -> None:
        async with plugin(tmp_path / "r" / "a.sock", told):
            assert await told.until(1) == RegistrationStatus(True)
            await handler.until("register p at a.sock")
        await handler.until("register p at a.sock", "unregister p")
        async with plugin(tmp_path / "r" / "a.sock", told, endpoint="/x/other.sock"):
            await told.until(2)
            assert handler.done[2:] == ["register p at other.sock"]

    on_a_node(tmp_path / "r", test)


def test_what_was_there_before_the_agent_is_registered_too(tmp_path: Path) -> None:
    async def main() -> None:
        told, world, handler = Told(), RealWorld(), Handler()
        async with plugin(tmp_path / "a.sock", told), world.tasks() as tasks:
            found = PluginFolder(tmp_path, {TYPE: lambda: handler}, world, tasks)
            tasks.start(found.run(), name="plugins")
            assert (await told.until(1)).plugin_registered
            tasks.stop()

    asyncio.run(main())


def test_a_refusal_is_told_and_tried_again(tmp_path: Path) -> None:
    async def test(handler: Handler, told: Told) -> None:
        handler.refusals = [Refused("not now"), Refused("nor now")]
        async with plugin(tmp_path / "r" / "a.sock", told):
            await told.until(3)
        start = "RegisterPlugin error -- plugin registration failed with err: "
        assert told.statuses == [
            RegistrationStatus(False, f"{start}not now"),
            RegistrationStatus(False, f"{start}nor now"),
            RegistrationStatus(True),
        ]

    on_a_node(tmp_path / "r", test)


def test_a_type_that_nobody_takes_is_told_so(tmp_path: Path) -> None:
    async def test(handler: Handler, told: Told) -> None:
        path = tmp_path / "r" / "a.sock"
        async with plugin(path, told, type="Other"):
            status = await told.until(1)
        text = f"no handler registered for plugin type: Other at socket {path}"
        assert status == RegistrationStatus(False, f"RegisterPlugin error -- {text}")
        assert handler.done == []

    on_a_node(tmp_path / "r", test)


def test_what_cannot_be_taken_back_is_tried_again(tmp_path: Path) -> None:
    async def test(handler: Handler, told: Told) -> None:
        async with plugin(tmp_path / "r" / "a.sock", told):
            await told.until(1)
            handler.refusals = [Refused("the API is away")]
        await handler.until("register p at a.sock", "unregister p", "unregister p")

    on_a_node(tmp_path / "r", test)


def test_files_and_hidden_sockets_are_no_plugins(tmp_path: Path) -> None:
    async def test(handler: Handler, told: Told) -> None:
        (tmp_path / "r" / "file").touch()
        hidden = Told()
        async with plugin(tmp_path / "r" / ".hidden.sock", hidden, name="hidden"):
            async with plugin(tmp_path / "r" / "a.sock", told):
                await told.until(1)
            assert hidden.statuses == []
        await handler.until("register p at a.sock", "unregister p")

    on_a_node(tmp_path / "r", test)
