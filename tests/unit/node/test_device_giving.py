"""Device plugins over real sockets: what they offer, what containers are given, what is kept, and
what becomes of plugins that die, refuse or hang."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from node_documents import UID, pod

from device_plugin import DevicePlugin, device
from registrar import HANG, holds
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.devices import endpoint, registering
from steersman.node.devices.access import Devices
from steersman.node.devices.injection import Injection, Mount, Node
from steersman.node.objects import BadConfiguration
from steersman.node.plugins.folder import Plugin
from steersman.node.plugins.folder import Refused as NotTaken
from steersman.node.topology.providing import Hint, Refused
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import device_plugin as api
from steersman.world.real import RealWorld

NAME = "example.com/thing"
ANYWHERE = Hint(None, True)


class Here:
    """The devices of a node in a directory."""

    def __init__(self, directory: Path, devices: Devices) -> None:
        self.directory = directory
        self.devices = devices
        self.changed = asyncio.Event()
        self.told: list[set[str]] = []
        devices.changed = self._hear

    def _hear(self, pods: Any) -> None:
        self.told.append(set(pods))
        self.changed.set()

    @property
    def door(self) -> Path:
        return self.directory / "kubelet.sock"

    def plugin(self, *devices: api.Device, resource: str = NAME) -> DevicePlugin:
        return DevicePlugin(resource, self.directory, *devices)

    async def offers(self, capacity: int, allocatable: int, resource: str = NAME) -> None:
        """Waits until so many devices are offered."""
        wanted = ({resource: str(capacity)}, {resource: str(allocatable)})
        async with asyncio.timeout(20):
            while tuple(dict(it) for it in self.devices.capacity()) != wanted:
                self.changed.clear()
                await self.changed.wait()

    async def give(self, wanted: Pod, *names: str, place: Hint = ANYWHERE) -> None:
        """Gives containers of a pod what they ask for; all of them unless some are named."""
        every = wanted.spec.init_containers + wanted.spec.containers
        for it in every:
            if not names or it.name in names:
                await self.devices.allocate(wanted, it, place)


@asynccontextmanager
async def node(directory: Path, *, numa: tuple[int, ...] = (0,)) -> AsyncIterator[Here]:
    world = RealWorld()
    async with world.tasks() as tasks:
        devices = Devices(directory, lambda: numa, world, tasks)
        tasks.start(devices.run(), name="device plugins")
        here = Here(directory, devices)
        await holds(here.door.exists)
        yield here
        tasks.stop()


def on_a_node(directory: Path, test: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main(place: Path) -> None:
        async with node(place / "device-plugins") as here:
            await test(here)

    # The path of a socket is short: the folder of a test may not be
    with tempfile.TemporaryDirectory(prefix="steer-") as short:
        link = Path(short, "t")
        link.symlink_to(directory)
        asyncio.run(main(link))


def wanting(count: int, uid: str = UID, **spec: Any) -> Pod:
    """A pod whose container asks for devices."""
    limits = {"limits": {NAME: str(count)}, "requests": {NAME: str(count)}}
    return pod(metadata={"uid": uid}, resources=limits, spec=spec)


def of(wanted: Pod, name: str = "app") -> Container:
    every = wanted.spec.init_containers + wanted.spec.containers
    return next(it for it in every if it.name == name)


async def refused(work: Coroutine[Any, Any, None]) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        await work
    return caught.value.reason, caught.value.message


def unexpected(why: str) -> tuple[str, str]:
    return "UnexpectedAdmissionError", f"Allocate failed due to {why}, which is unexpected"


def test_a_container_gets_devices_and_what_their_plugin_says_it_needs(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"), device("d2"), device("bad", healthy=False))
        plugin.answer = lambda ids: api.Allocated(
            {"IDS": " ".join(ids)},
            (api.Mount("/in", "/on/host", True),),
            (api.DeviceSpec("/dev/in", "/dev/host", "rw"),),
            {"example.com/a": "b"},
            (api.CDIDevice("example.com/thing=x"),),
        )
        async with plugin.presented(here.door):
            await here.offers(3, 2)
            await here.give(wanting(2))
            assert plugin.allocated() == [("d1", "d2")]
            assert await here.devices.inject(wanting(2), of(wanting(2))) == Injection(
                {"IDS": "d1 d2"},
                (Mount("/on/host", "/in", True),),
                (Node("/dev/host", "/dev/in", "rw"),),
                {"example.com/a": "b"},
                ("example.com/thing=x",),
            )
            assert list(here.devices.held(UID, "app")) == [(NAME, "d1", []), (NAME, "d2", [])]
            assert [name for _, name, _ in here.devices.sound()] == ["d1", "d2"]
            # What it has is kept: neither another try nor another run asks the plugin again
            await here.give(wanting(2))
            assert len(plugin.allocated()) == 1

    on_a_node(tmp_path, test)


def test_more_than_there_are_is_refused_until_somebody_gives_some_back(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"), device("d2"))
        async with plugin.presented(here.door):
            await here.offers(2, 2)
            await here.give(wanting(1))
            text = f"requested number of devices unavailable for {NAME}. Requested: 2, Available: 1"
            assert await refused(here.give(wanting(2, "other"))) == unexpected(text)
            assert await refused(here.give(wanting(2))) == unexpected(
                f'pod "{UID}" container "app" changed request for resource "{NAME}" from 1 to 2'
            )
            here.devices.release(UID)
            here.devices.release(UID)
            await here.give(wanting(2, "other"))

    on_a_node(tmp_path, test)


def test_pods_that_come_at_once_never_get_the_same_device(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(*(device(f"d{it}") for it in range(4)))
        plugin.options = api.Options(get_preferred_allocation_available=True)
        plugin.preferred = ("d3", "d2")
        async with plugin.presented(here.door):
            await here.offers(4, 4)
            each = (here.give(wanting(2, f"pod-{it}")) for it in range(3))
            results = await asyncio.gather(*each, return_exceptions=True)
            assert [type(it) for it in results if it is not None] == [Refused]
            given = [name for names in plugin.allocated() for name in names]
            assert sorted(given) == ["d0", "d1", "d2", "d3"]

    on_a_node(tmp_path, test)


def test_a_plugin_is_asked_which_devices_it_would_rather_give(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"), device("d2"), device("d3"))
        plugin.options = api.Options(get_preferred_allocation_available=True)
        plugin.preferred = ("d3", "nobody's")
        async with plugin.presented(here.door):
            await here.offers(3, 3)
            await here.give(wanting(2))
            assert plugin.allocated() == [("d1", "d3")]
            (asked,) = plugin.asked("GetPreferredAllocation")[0].container_requests
            assert asked == api.ContainerPreference(("d1", "d2", "d3"), (), 2)
            plugin.faults["GetPreferredAllocation"] = Failed(grpc.INTERNAL, "no idea")
            assert await refused(here.give(wanting(1, "other"))) == unexpected(
                "device plugin GetPreferredAllocation rpc failed with err: rpc error: code = "
                "Internal desc = no idea"
            )

    on_a_node(tmp_path, test)


def test_devices_of_init_containers_are_reused_and_those_of_sidecars_not(tmp_path: Path) -> None:
    limits = {"limits": {NAME: "1"}}
    each = [
        {"name": "first", "resources": limits},
        {"name": "side", "resources": limits, "restartPolicy": "Always"},
        {"name": "second", "resources": limits},
    ]

    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"), device("d2"))
        async with plugin.presented(here.door):
            await here.offers(2, 2)
            wanted = pod(resources=limits, spec={"initContainers": each})
            await here.give(wanted)
            assert plugin.allocated() == [("d1",), ("d1",), ("d2",), ("d2",)]

    on_a_node(tmp_path, test)


def test_devices_come_from_the_place_that_was_chosen(tmp_path: Path) -> None:
    async def main() -> None:
        async with node(tmp_path / "p", numa=(0, 1)) as here:
            plugin = here.plugin(device("a", 0), device("b", 1), device("c", 1), device("n"))
            async with plugin.presented(here.door):
                await here.offers(4, 4)
                wanted = wanting(2)
                assert here.devices.hints(wanted, of(wanted)) == {
                    NAME: [Hint(2, True), Hint(3, False)]
                }
                await here.give(wanted, place=Hint(2, True))
                assert plugin.allocated() == [("b", "c")]
                # What was given out comes out again, for the pod as a whole too
                again = {NAME: [Hint(2, True), Hint(3, False)]}
                assert here.devices.hints(wanted, of(wanted)) == again
                whole = pod(resources={"limits": {NAME: "2"}}, name="").spec.containers[0]
                assert here.devices.hints(wanted, whole) == again
                other = wanting(1, "other")
                await here.give(other, place=Hint(2, True))
                assert plugin.allocated()[-1] == ("a",)
                assert here.devices.hints(wanting(2, "x"), of(wanted)) == {NAME: ()}

    asyncio.run(main())


def test_a_resource_whose_devices_lie_nowhere_does_not_care_about_places(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        assert here.devices.hints(wanting(1), of(wanting(1))) == {}
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
            assert here.devices.hints(wanting(1), of(wanting(1))) == {NAME: None}
            assert here.devices.hints(pod(), of(pod())) == {}

    on_a_node(tmp_path, test)


def test_a_plugin_that_dies_leaves_nothing_to_be_had_and_may_come_back(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"), device("d2"))
        async with plugin.presented(here.door):
            await here.offers(2, 2)
            await here.give(wanting(1))
        await here.offers(2, 0)
        assert here.told[-1] == {UID}
        unsound = f"no healthy devices present; cannot allocate unhealthy devices {NAME}"
        assert await refused(here.give(wanting(1, "other"))) == unexpected(unsound)
        again = here.plugin(device("d1"), device("d2"))
        async with again.presented(here.door):
            await here.offers(2, 2)
            await here.give(wanting(1, "other"))
            assert again.allocated() == [("d2",)]

    on_a_node(tmp_path, test)


def test_a_resource_whose_plugin_stays_away_is_told_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "GRACE_SECONDS", 0.05)

    async def test(here: Here) -> None:
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
        await here.offers(0, 0)
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)

    on_a_node(tmp_path, test)


def test_a_plugin_that_is_back_in_time_is_not_forgotten_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "GRACE_SECONDS", 0.05)
    other = "example.com/other"

    async def test(here: Here) -> None:
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
        await here.offers(1, 0)
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
            # The time of this one is over after that of the first would have been
            async with here.plugin(device("o"), resource=other).presented(here.door):
                await holds(lambda: here.devices.capacity()[1].get(other) == "1")
            await holds(lambda: here.devices.capacity()[0][other] == "0")
            assert here.devices.capacity()[1][NAME] == "1"

    on_a_node(tmp_path, test)


def test_sockets_of_before_are_removed_and_files_stay(tmp_path: Path) -> None:
    directory = tmp_path / "device-plugins"
    directory.mkdir()
    for name in ("old.sock", "kubelet.sock"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(directory / name))
    (directory / "notes").touch()

    async def test(here: Here) -> None:
        await holds(lambda: not (directory / "old.sock").exists())
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
        found = {it.name for it in directory.iterdir()}
        assert found == {"kubelet.sock", "kubelet_internal_checkpoint", "notes"}

    on_a_node(tmp_path, test)


def test_what_containers_have_is_known_to_the_next_agent(tmp_path: Path) -> None:
    directory = tmp_path / "device-plugins"

    async def main() -> None:
        async with node(directory) as here:
            plugin = here.plugin(device("d1"), device("d2", 3))
            async with plugin.presented(here.door):
                await here.offers(2, 2)
                await here.give(wanting(2))
        written = json.loads((directory / "kubelet_internal_checkpoint").read_text())["Data"]
        (entry,) = written["PodDeviceEntries"]
        assert {key: entry[key] for key in entry if key != "AllocResp"} == {
            "PodUID": UID,
            "ContainerName": "app",
            "ResourceName": NAME,
            "DeviceIDs": {"-1": ["d1"], "3": ["d2"]},
        }
        async with node(directory) as here:
            # Nothing can be had before the plugin is back, but what is had is
            await here.offers(0, 0)
            given = await here.devices.inject(wanting(2), of(wanting(2)))
            assert given.env == {"DEVICES": "d1 d2"}
            assert await refused(here.give(wanting(1, "other"))) == unexpected(
                f"no healthy devices present; cannot allocate unhealthy devices {NAME}"
            )
            async with here.plugin(device("d1"), device("d2"), device("d3")).presented(here.door):
                await here.offers(3, 3)
                plugin_text = "Requested: 2, Available: 1"
                reason = await refused(here.give(wanting(2, "other")))
                assert plugin_text in reason[1]

    asyncio.run(main())


def test_a_plugin_that_hangs_is_given_up_and_its_devices_are_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "CALL_SECONDS", 0.2)

    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"))
        plugin.faults["Allocate"] = HANG
        async with plugin.presented(here.door):
            await here.offers(1, 1)
            why = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
            assert await refused(here.give(wanting(1))) == unexpected(why)
            del plugin.faults["Allocate"]
            await here.give(wanting(1))

    on_a_node(tmp_path, test)


def test_what_a_pod_is_given_after_it_has_gone_is_not_kept(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"))
        plugin.faults["Allocate"] = HANG
        async with plugin.presented(here.door):
            await here.offers(1, 1)
            giving = asyncio.ensure_future(here.give(wanting(1)))
            await plugin.until(plugin.allocated)
            here.devices.release(UID)
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)
            del plugin.faults["Allocate"]
            answered = plugin.answer

            def late(devices: tuple[str, ...]) -> api.Allocated:
                here.devices.release("late")
                return answered(devices)

            plugin.answer = late
            assert await refused(here.give(wanting(1, "late"))) == unexpected('pod "late" is gone')
            plugin.answer = answered
            await here.give(wanting(1))

    on_a_node(tmp_path, test)


def test_a_plugin_is_told_before_each_run_where_it_wants_to_know(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"))
        plugin.options = api.Options(pre_start_required=True)
        async with plugin.presented(here.door):
            await here.offers(1, 1)
            wanted = wanting(1)
            await here.give(wanted)
            for _ in range(2):
                await here.devices.inject(wanted, of(wanted))
            assert plugin.asked("PreStartContainer") == [api.PreStart(("d1",))] * 2
            plugin.faults["PreStartContainer"] = Failed(grpc.INTERNAL, "cannot reset")
            with pytest.raises(BadConfiguration) as caught:
                await here.devices.inject(wanted, of(wanted))
            assert str(caught.value) == (
                "device plugin PreStartContainer rpc failed with err: rpc error: code = Internal "
                "desc = cannot reset"
            )

    on_a_node(tmp_path, test)


def test_a_pod_that_came_before_the_plugin_gets_its_devices_when_it_begins(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        wanted = wanting(1)
        await here.give(wanted)
        assert await here.devices.inject(wanted, of(wanted)) == Injection()
        async with here.plugin(device("d1")).presented(here.door):
            await here.offers(1, 1)
            assert (await here.devices.inject(wanted, of(wanted))).env == {"DEVICES": "d1"}

    on_a_node(tmp_path, test)


def test_the_health_of_devices_is_told(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"), device("d2"))
        wanted = wanting(2)
        async with plugin.presented(here.door):
            await here.offers(2, 2)
            await here.give(wanted)
            plugin.list(device("d1"), device("d2", healthy=False))
            await here.offers(2, 1)
            assert here.devices.health(wanted, of(wanted)) == [
                {
                    "name": NAME,
                    "resources": [
                        {"resourceID": "d1", "health": "Healthy"},
                        {"resourceID": "d2", "health": "Unhealthy"},
                    ],
                }
            ]
            # One that has failed is not given out again with the others
            assert await refused(here.give(wanted)) == unexpected(
                "previously allocated devices are no longer healthy; "
                f"cannot allocate unhealthy devices {NAME}"
            )
        await here.offers(2, 0)
        (told,) = here.devices.health(wanted, of(wanted))
        assert {it["health"] for it in told["resources"]} == {"Unknown"}

    on_a_node(tmp_path, test)


def test_what_is_listed_again_is_not_told_again(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"))
        async with plugin.presented(here.door):
            await here.offers(1, 1)
            plugin.list(device("d1"))
            await plugin.until(lambda: plugin.listed == 2)
            plugin.list(device("d1"), device("d2"))
            await here.offers(2, 2)
            assert len(here.told) == 2

    on_a_node(tmp_path, test)


def test_of_two_plugins_of_a_resource_the_last_counts(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        first = here.plugin(device("d1"))
        second = DevicePlugin(NAME, here.directory / "b", device("d2"), device("d3"))
        async with first.presented(here.door), second.listening():
            await here.offers(1, 1)
            found = Plugin("DevicePlugin", NAME, second.socket, ("v1beta1",))
            await here.devices.plugins.register(found)
            await here.offers(2, 2)
            await here.give(wanting(1))
            assert (first.allocated(), second.allocated()) == ([], [("d2",)])
            await first.until(lambda: first.is_left)
            await here.devices.plugins.unregister(found)
            await here.offers(2, 0)

    on_a_node(tmp_path, test)


def test_plugins_are_refused_for_their_version_and_name(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        plugin = here.plugin(device("d1"))
        plugin.version = "v1alpha"
        with pytest.raises(Failed) as caught:
            await plugin.present(here.door)
        assert str(caught.value) == (
            'rpc error: code = Unknown desc = requested API version "v1alpha" is not supported by '
            'kubelet. Supported version is ["v1beta1"]'
        )
        with pytest.raises(Failed) as caught:
            await here.plugin(resource="cpu").present(here.door)
        assert caught.value.text == 'the ResourceName "cpu" is invalid'
        with pytest.raises(Failed) as caught:
            await here.plugin().present(here.door)
        assert caught.value.text.startswith("failed to dial device plugin: rpc error: code = Unav")
        plugins = here.devices.plugins
        with pytest.raises(NotTaken) as told:
            await plugins.register(Plugin("DevicePlugin", NAME, here.door, ("v1", "v2")))
        assert str(told.value) == (
            "manager version, v1beta1, is not among plugin supported versions [v1 v2]"
        )
        with pytest.raises(NotTaken) as told:
            await plugins.register(Plugin("DevicePlugin", "cpu", here.door, ("v1beta1",)))
        assert str(told.value) == (
            'invalid name of device plugin socket: the ResourceName "cpu" is invalid'
        )

    on_a_node(tmp_path, test)
