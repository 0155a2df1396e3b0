"""What happens to device plugins at once or late: two that register together, one whose socket goes
after its resource was forgotten, an agent that ends."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from device_plugin import DevicePlugin, device
from registrar import holds
from steersman.node.devices import registering
from steersman.node.devices.door import serve
from steersman.node.devices.stock import Stock, group, hints
from steersman.node.objects import BadConfiguration
from steersman.node.plugins.folder import Plugin
from steersman.node.topology.providing import Hint
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import device_plugin as api
from steersman.world.real import RealWorld
from unit.node.node_documents import UID, pod
from unit.node.test_device_giving import NAME, Here, of, on_a_node, wanting

OTHER = "example.com/other"


def found(plugin: DevicePlugin) -> Plugin:
    """A plugin as the folder of plugins has it."""
    return Plugin("DevicePlugin", plugin.resource, plugin.socket, ("v1beta1",))


def test_of_two_plugins_that_register_at_once_each_is_followed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "GRACE_SECONDS", 0.05)
    connect, barrier = registering.connect, asyncio.Barrier(2)

    async def together(*given: Any) -> Any:
        made = await connect(*given)
        await barrier.wait()
        return made

    async def test(here: Here) -> None:
        first = here.plugin(device("d1"))
        second = DevicePlugin(NAME, here.directory / "b", device("d1"))
        plugins = here.devices.plugins
        async with first.listening(), second.listening():
            monkeypatch.setattr(registering, "connect", together)
            await asyncio.gather(plugins.register(found(first)), plugins.register(found(second)))
            monkeypatch.setattr(registering, "connect", connect)
            await here.offers(1, 1)
            assert first.listed + second.listed == 1
        await here.offers(0, 0)
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)

    on_a_node(tmp_path, test)


def test_a_plugin_that_another_has_replaced_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "GRACE_SECONDS", 0.05)

    async def test(here: Here) -> None:
        second = DevicePlugin(NAME, here.directory / "b", device("d1"))
        async with here.plugin(device("d1")).presented(here.door) as _, second.listening():
            await here.offers(1, 1)
            await here.devices.plugins.register(found(second))
            await second.until(lambda: second.listed)
            async with here.plugin(device("o"), resource=OTHER).presented(here.door):
                await holds(lambda: here.devices.capacity()[1].get(OTHER) == "1")
            await holds(lambda: here.devices.capacity()[0][OTHER] == "0")
            assert here.devices.capacity()[1][NAME] == "1"

    on_a_node(tmp_path, test)


def test_the_socket_of_a_forgotten_plugin_may_go_and_another_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "GRACE_SECONDS", 0.05)

    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"))
        async with plugin.listening():
            await here.devices.plugins.register(found(plugin))
            await here.offers(1, 1)
        await here.offers(0, 0)
        await here.devices.plugins.unregister(found(plugin))
        again = here.plugin(device("d1"))
        async with again.presented(here.door):
            await here.offers(1, 1)

    on_a_node(tmp_path, test)


def test_containers_of_a_pod_that_begin_at_once_each_get_their_devices(tmp_path: Path) -> None:
    limits = {"resources": {"limits": {NAME: "1"}}, "image": "i"}
    wanted = pod(spec={"containers": [{"name": it, **limits} for it in ("one", "two")]})

    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"), device("d2"))
        async with plugin.presented(here.door):
            await here.offers(2, 2)
            # The first is answered before the second
            answers = asyncio.gather(
                *(here.devices.inject(wanted, of(wanted, it)) for it in ("one", "two"))
            )
            given = {it.env["DEVICES"] for it in await answers}
            assert given == {"d1", "d2"}

    on_a_node(tmp_path, test)


def test_that_nothing_is_known_of_ailing_devices_any_more_is_told(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin, wanted = here.plugin(device("d1")), wanting(1)
        async with plugin.presented(here.door):
            await here.offers(1, 1)
            await here.give(wanted)
            plugin.list(device("d1", healthy=False))
            await here.offers(1, 0)
            count = len(here.told)
        await holds(lambda: len(here.told) > count)
        assert here.told[-1] == {UID}
        (told,) = here.devices.health(wanted, of(wanted))
        assert told["resources"] == [{"resourceID": "d1", "health": "Unknown"}]

    on_a_node(tmp_path, test)


def test_what_a_pod_gave_back_is_free_after_a_restart_of_the_agent_too(tmp_path: Path) -> None:
    async def give(here: Here) -> None:
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
            await here.give(wanting(1))
            here.devices.release(UID)

    async def look(here: Here) -> None:
        assert list(here.devices.held(UID, "app")) == []
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
            await here.give(wanting(1, "other"))

    on_a_node(tmp_path, give)
    on_a_node(tmp_path, look)


def test_a_plugin_is_not_asked_where_there_is_no_choice(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("a", 0), device("b", 1))
        plugin.options = api.Options(get_preferred_allocation_available=True)
        async with plugin.presented(here.door):
            await here.offers(2, 2)
            await here.give(wanting(1), place=Hint(1, True))
            assert plugin.allocated() == [("a",)]
            assert plugin.asked("GetPreferredAllocation") == []

    on_a_node(tmp_path, test)


def test_no_more_resources_are_registered_than_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "MAX_RESOURCES", 1)

    async def test(here: Here) -> None:
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
            other = here.plugin(device("d1"), resource=OTHER)
            async with other.listening():
                with pytest.raises(Failed) as caught:
                    await other.present(here.door)
            assert caught.value.text == "1 resources are registered already"
            # Another plugin of the same is no further one
            again = DevicePlugin(NAME, here.directory / "b", device("d1"), device("d2"))
            async with again.listening():
                await here.devices.plugins.register(found(again))
                await here.offers(2, 2)

    on_a_node(tmp_path, test)


def test_a_plugin_that_has_gone_is_not_asked_before_a_run(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin, wanted = here.plugin(device("d1")), wanting(1)
        plugin.options = api.Options(pre_start_required=True)
        async with plugin.presented(here.door):
            await here.offers(1, 1)
            await here.give(wanted)
        await here.offers(1, 0)
        with pytest.raises(BadConfiguration) as caught:
            await here.devices.inject(wanted, of(wanted))
        assert str(caught.value) == (
            f"device plugin PreStartContainer rpc failed with err: endpoint {NAME} has been stopped"
        )

    on_a_node(tmp_path, test)


def test_devices_of_node_minus_one_are_in_no_place_and_can_be_had() -> None:
    stock = Stock({"d": (-1,), "e": (0,)}, frozenset("de"))
    assert hints(stock, {"d", "e"}, (), 1, (0, 1)) == [Hint(1, True), Hint(3, False)]
    assert group(stock, {"d"}, Hint(1, True)).all == ("d",)


def test_the_socket_at_which_the_node_is_asked_goes_with_the_agent(tmp_path: Path) -> None:
    async def main() -> None:
        door = tmp_path / "kubelet.sock"
        before = len(os.listdir("/proc/self/fd"))
        work = asyncio.ensure_future(serve(tmp_path, dict, RealWorld()))
        await holds(door.exists)
        assert door.stat().st_mode & 0o777 == 0o600
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert not door.exists()
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(main())
