"""What is told of what pods have for themselves, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from machine_trees import DUAL, GIB, topology
from node_documents import UID, pod

from registrar import holds
from steersman.client.grpc import Channel, connect_unix
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.claims.prepared import ClaimInfo, PreparedDevice
from steersman.node.devices.door import serve
from steersman.node.devices.listing import Listing
from steersman.node.topology.memory import Block, Memory
from steersman.node.topology.pinning import Pinning
from steersman.node.topology.processors import Options, Processors
from steersman.node.topology.providing import Hint
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import pod_resources as api
from steersman.wire.rpc.device_plugin import CDIDevice, NumaNode, Topology
from steersman.world.real import RealWorld

THING = "example.com/thing"


class Parts:
    """A node that gives the container `app` of each pod something."""

    def held(self, uid: str, container: str) -> list[tuple[str, str, list[int]]]:
        return [(THING, "t1", []), (THING, "t2", [0, 1])] if container == "app" else []

    def sound(self) -> list[tuple[str, str, list[int]]]:
        return [(THING, "t3", [1])]

    def of_container(self, pod: Pod, container: Container) -> Iterable[ClaimInfo]:
        device = PreparedDevice("p", "d", cdi=("a.com/b=c",))
        claim = ClaimInfo("default", "mine", "u", (), {"gpu.example.com": (device,)})
        return [claim] if container.name == "app" else []

    def exclusive_cpus(self, uid: str, container: str) -> set[int]:
        return {3, 2} if container == "app" else set()

    def blocks(self, uid: str, container: str) -> list[Block]:
        return [Block(0b11, "memory", 1 << 40)] if container == "app" else []

    def allocatable_cpus(self) -> set[int]:
        return {7, 1}

    def allocatable_blocks(self) -> list[Block]:
        return [Block(0b10, "hugepages-2Mi", 4 << 20)]


def on(*nodes: int) -> Topology:
    return Topology(tuple(map(NumaNode, nodes)))


def asking(directory: Path, test: Any) -> None:
    init = [{"name": "first", "image": "i"}, {"name": "side", "restartPolicy": "Always"}]
    pods = [pod(spec={"initContainers": init})]

    async def main() -> None:
        world, parts = RealWorld(), Parts()
        async with world.tasks() as tasks:
            listing = Listing(lambda: pods, parts, parts, parts)
            tasks.start(serve(directory, listing.handlers, world), name="resources of pods")
            await holds((directory / "kubelet.sock").exists)
            async with await connect_unix(directory / "kubelet.sock", world, 20) as channel:
                await test(channel)
            tasks.stop()

    asyncio.run(main())


APP = api.ContainerResources(
    "app",
    (
        api.ContainerDevices(THING, ("t1",)),
        api.ContainerDevices(THING, ("t2",), on(0)),
        api.ContainerDevices(THING, ("t2",), on(1)),
    ),
    (2, 3),
    (api.ContainerMemory("memory", 1 << 40, on(0, 1)),),
    (
        api.DynamicResource(
            "mine",
            "default",
            (api.ClaimResource((CDIDevice("a.com/b=c"),), "gpu.example.com", "p", "d"),),
        ),
    ),
)
WEB = api.PodResources("web", "default", (api.ContainerResources("side"), APP))


def test_all_pods_are_listed_with_what_their_lasting_containers_have(tmp_path: Path) -> None:
    async def test(channel: Channel) -> None:
        assert await channel.ask(api.LIST, api.Nothing(), 20) == api.ListPodResources((WEB,))

    asking(tmp_path / "r", test)


def test_one_pod_is_asked_for_by_its_names(tmp_path: Path) -> None:
    async def test(channel: Channel) -> None:
        assert await channel.ask(api.GET, api.GetPod("web", "default"), 20) == api.GotPod(WEB)
        with pytest.raises(Failed) as caught:
            await channel.ask(api.GET, api.GetPod("web", "other"), 20)
        assert caught.value.text == "pod web in namespace other not found"

    asking(tmp_path / "r", test)


def test_what_can_be_had_at_all_is_told(tmp_path: Path) -> None:
    async def test(channel: Channel) -> None:
        found = await channel.ask(api.GET_ALLOCATABLE_RESOURCES, api.Nothing(), 20)
        assert found == api.AllocatableResources(
            (api.ContainerDevices(THING, ("t3",), on(1)),),
            (1, 7),
            (api.ContainerMemory("hugepages-2Mi", 4 << 20, on(1)),),
        )

    asking(tmp_path / "r", test)


def test_processors_and_memory_are_told_where_containers_have_some_for_themselves(
    tmp_path: Path,
) -> None:
    built, amounts = topology(DUAL), {"cpu": "2", "memory": "1Gi"}
    owner = pod(resources={"limits": amounts, "requests": amounts})
    (container,) = owner.spec.containers
    reserved = frozenset({0})
    processors = Processors(built, reserved, Options(), tmp_path / "cpu_manager_state")
    memory = Memory(built, {0: {"memory": GIB}, 1: {"memory": GIB}}, tmp_path / "memory_state")
    nothing, parts = Pinning(), Pinning(processors, memory)
    for provider in (processors, memory):
        asyncio.run(provider.allocate(owner, container, Hint(0b10, True)))
    cpus = set(parts.exclusive_cpus(UID, "app"))
    assert len(cpus) == 2
    assert {built.processors[it].node for it in cpus} == {1}
    assert list(parts.blocks(UID, "app")) == [Block(0b10, "memory", GIB)]
    assert list(parts.exclusive_cpus(UID, "other")) == list(parts.blocks(UID, "other")) == []
    assert set(parts.allocatable_cpus()) == built.cpus - reserved
    found = {(it.nodes, it.type): it.size for it in parts.allocatable_blocks()}
    assert found[0b01, "memory"] == found[0b10, "memory"] == 15 * GIB
    assert [*nothing.exclusive_cpus(UID, "app"), *nothing.blocks(UID, "app")] == []
    assert [*nothing.allocatable_cpus(), *nothing.allocatable_blocks()] == []
