"""What happens to claims and their drivers at once or in between: pods that come and go together, a
driver whose messages cannot be read, one that is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from dra_driver import PREPARE, UNPREPARE, DRADriver
from registrar import holds, serving
from steersman.listen.grpc import Handler
from steersman.model.errors import NotFound
from steersman.node.claims import drivers as drivers_module
from steersman.node.claims import health as health_module
from steersman.node.claims import slices as slices_module
from steersman.node.claims.prepared import FILE, Prepared
from steersman.node.plugins.folder import Plugin, Refused
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import dra
from steersman.wire.rpc.messages import encode
from unit.node.node_documents import UID
from unit.node.test_claims_preparing import NAME, Here, on_a_node, using

UNREADABLE = b"\x0a\xff"


def tells(*sent: bytes, ends: Failed | None = None) -> tuple[Handler, list[None]]:
    """A driver that sends bytes as health, and then fails or says nothing; how often it was
    asked."""
    asked: list[None] = []

    async def handler(_: bytes) -> AsyncGenerator[bytes]:
        asked.append(None)
        for it in sent:
            yield it
        if ends is not None:
            raise ends
        await asyncio.Event().wait()

    return handler, asked


def test_of_one_claim_nothing_is_done_twice_at_a_time(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        async with here.driver() as gpu:
            uids = (UID, "two", "three")
            here.api.claim("a", NAME, pods=uids)
            under_way, most = 0, 0
            call = here.claims.drivers._call

            async def counted(*given: Any) -> Any:
                nonlocal under_way, most
                under_way += 1
                most = max(most, under_way)
                try:
                    return await call(*given)
                finally:
                    under_way -= 1

            here.claims.drivers._call = counted  # type: ignore[method-assign]
            await here.claims.prepare(using("a"))
            # The second waits for the first to have given it back, the third comes when it has
            leaving = asyncio.ensure_future(here.claims.unprepare(UID))
            second = asyncio.ensure_future(here.claims.prepare(using("a", uid="two")))
            await leaving
            await here.claims.prepare(using("a", uid="three"))
            await second
            assert most == 1
            assert gpu.methods() == [(PREPARE, ["a"]), (UNPREPARE, ["a"]), (PREPARE, ["a"])]

    on_a_node(tmp_path, test)


def test_a_claim_that_was_taken_back_is_made_ready_anew_and_known_to_no_next_agent(
    tmp_path: Path,
) -> None:
    async def test(here: Here) -> None:
        async with here.driver() as gpu:
            here.api.claim("a", NAME)
            await here.claims.prepare(using("a"))
            await here.claims.unprepare(UID)
            assert Prepared(tmp_path / FILE).of_pod(UID) == []
            await here.claims.prepare(using("a"))
            assert gpu.methods() == [(PREPARE, ["a"]), (UNPREPARE, ["a"]), (PREPARE, ["a"])]

    on_a_node(tmp_path, test)


def on_a_node_with(directory: Path, handler: Handler, test: Any) -> None:
    """Runs a test beside a driver that answers nothing but questions for health."""
    made = DRADriver(NAME, directory)

    async def main(here: Here) -> None:
        async with serving(made.socket, {dra.NODE_WATCH_RESOURCES.path: handler}):
            await here.claims.drivers.register(made.plugin)
            await test(here)
            # A node whose tasks have failed does no such thing
            assert here.claims.drivers.find(NAME).channel is not None

    on_a_node(directory, main)


def test_a_message_of_health_that_cannot_be_read_is_asked_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "RETRY_SECONDS", 0.01)
    good = encode(dra.Health((dra.DeviceHealth(dra.DeviceIdentifier("p", "d"), 1),)))
    handler, asked = tells(good, UNREADABLE)

    async def test(here: Here) -> None:
        del here
        await holds(lambda: len(asked) > 3)

    on_a_node_with(tmp_path, handler, test)


def test_a_driver_that_tells_no_health_is_never_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "RETRY_SECONDS", 0.01)
    without, asked = tells(ends=Failed(grpc.UNIMPLEMENTED, "unknown method"))
    (tmp_path / "other").mkdir()

    async def test(here: Here) -> None:
        # Another one, whose tries take as long, is asked many times meanwhile
        other, often = tells(ends=Failed(grpc.INTERNAL, "broken"))
        second = DRADriver("nic.example.com", tmp_path / "other")
        async with serving(second.socket, {dra.NODE_WATCH_RESOURCES.path: other}):
            await here.claims.drivers.register(second.plugin)
            await holds(lambda: len(often) > 5)
        assert len(asked) == 1

    on_a_node_with(tmp_path, without, test)


def test_no_more_plugins_of_drivers_are_registered_than_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers_module, "MAX_PLUGINS", 1)

    async def test(here: Here) -> None:
        async with here.driver() as gpu:
            further = Plugin("DRAPlugin", "nic.example.com", gpu.socket, ("v1.DRAPlugin",))
            with pytest.raises(Refused, match="1 DRA driver plugins are registered already"):
                await here.claims.drivers.register(further)

    on_a_node(tmp_path, test)


def test_where_slices_are_none_of_the_servers_kinds_nothing_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices_module, "FIRST_RETRY_SECONDS", 600.0)

    async def test(here: Here) -> None:
        here.api.fails = [NotFound("the server could not find the requested resource")]
        async with asyncio.timeout(20):
            await here.claims.run()
        assert here.api.wiped == []

    on_a_node(tmp_path, test)


def test_a_driver_that_is_given_up_is_left_and_not_connected_again(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        async with here.driver() as gpu:
            channel = here.claims.drivers.find(NAME).channel
            assert channel is not None
            await here.claims.drivers.unregister(gpu.plugin)
            await holds(lambda: channel.is_lost)

    on_a_node(tmp_path, test)
