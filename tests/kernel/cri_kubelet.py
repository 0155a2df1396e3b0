"""An engine behind its CRI socket around a rig, and a kubelet that calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from node_cluster import IMAGE, build_image
from test_runtime_rig import Rig
from test_runtime_rig import run as run_rig

from steersman.client.grpc import Channel, connect_unix
from steersman.cri.known import Known
from steersman.cri.messages import containers as c
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.cri.messages.values import (
    CONTAINER,
    ImageSpec,
    NamespaceOption,
)
from steersman.cri.records import Records
from steersman.cri.service import follow, handlers, take_up
from steersman.cri.streaming import LOOPBACK, Streaming
from steersman.cri.tools import Tools
from steersman.images.http import StreamHttp
from steersman.images.pull import Puller
from steersman.images.store import Store
from steersman.listen.grpc import GRPCServer
from steersman.listen.serve import Server
from steersman.model.types.container import ContainerPort
from steersman.node.warm import WarmParent
from steersman.runtime.engine import Engine
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.messages import Rpc
from steersman.world.real import RealWorld

SLEEP = ("sh", "-c", "trap 'exit 7' TERM; echo ready; while true; do sleep 0.05; done")
SECONDS = 60.0


async def until(is_so: Callable[[], bool]) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class NoNetwork:
    """Gives each sandbox an address and connects nothing."""

    def __init__(self) -> None:
        self.connected: dict[str, Sequence[str]] = {}
        self.ports: dict[str, Sequence[ContainerPort]] = {}

    async def add(
        self, pod: str, namespace: Path, ports: Sequence[ContainerPort] = ()
    ) -> list[str]:
        assert namespace.exists()
        self.ports[pod] = ports
        self.connected[pod] = [f"10.0.0.{len(self.connected) + 2}"]
        return list(self.connected[pod])

    async def delete(self, pod: str) -> None:
        self.connected.pop(pod, None)

    def restore(
        self, pod: str, addresses: Sequence[str], ports: Sequence[ContainerPort] = ()
    ) -> None:
        self.connected[pod] = addresses
        self.ports[pod] = ports


class Kubelet:
    """Calls the services."""

    def __init__(self, channel: Channel, tools: Tools, network: NoNetwork, logs: Path) -> None:
        self.channel = channel
        self.tools = tools
        self.network = network
        self.logs = logs

    async def ask(self, name: str, message: Any, answer: type, service: str = "Runtime") -> Any:
        path = f"/runtime.v1.{service}Service/{name}"
        return await self.channel.ask(Rpc(path, type(message), answer), message, SECONDS)

    def pod(self, name: str = "web", **changes: Any) -> s.PodSandboxConfig:
        security = s.LinuxSandboxSecurityContext(NamespaceOption(pid=CONTAINER))
        made = s.PodSandboxConfig(
            metadata=s.PodSandboxMetadata(name, "u1", "default", 3),
            hostname=name,
            log_directory=str(self.logs),
            labels={"app": name},
            annotations={"note": "kept"},
            linux=s.LinuxPodSandboxConfig(security_context=security),
        )
        return replace(made, **changes)

    async def run(self, config: s.PodSandboxConfig | None = None, handler: str = "") -> str:
        asked = s.RunPodSandboxRequest(config or self.pod(), handler)
        made: str = (await self.ask("RunPodSandbox", asked, s.RunPodSandboxResponse)).pod_sandbox_id
        return made

    def container(self, *command: str, name: str = "c", **changes: Any) -> c.ContainerConfig:
        options = NamespaceOption(pid=CONTAINER)
        made = c.ContainerConfig(
            metadata=c.ContainerMetadata(name, 1),
            image=ImageSpec(IMAGE),
            command=command,
            labels={"tier": name},
            log_path=f"{name}.log",
            linux=c.LinuxContainerConfig(
                security_context=c.LinuxContainerSecurityContext(namespace_options=options)
            ),
        )
        return replace(made, **changes)

    def secured(self, *command: str, **security: Any) -> c.ContainerConfig:
        options = security.pop("namespace_options", NamespaceOption(pid=CONTAINER))
        context = c.LinuxContainerSecurityContext(namespace_options=options, **security)
        return self.container(*command, linux=c.LinuxContainerConfig(security_context=context))

    async def create(self, sandbox: str, config: c.ContainerConfig) -> str:
        asked = c.CreateContainerRequest(sandbox, config, self.pod())
        made = await self.ask("CreateContainer", asked, c.CreateContainerResponse)
        found: str = made.container_id
        return found

    async def start(self, container: str) -> None:
        await self.ask(
            "StartContainer", c.StartContainerRequest(container), c.StartContainerResponse
        )

    async def launch(self, sandbox: str, config: c.ContainerConfig) -> str:
        made = await self.create(sandbox, config)
        await self.start(made)
        return made

    async def status(self, container: str) -> c.ContainerStatus:
        asked = c.ContainerStatusRequest(container)
        found = (await self.ask("ContainerStatus", asked, c.ContainerStatusResponse)).status
        assert isinstance(found, c.ContainerStatus)
        return found

    async def stop(self, container: str, seconds: int) -> None:
        asked = c.StopContainerRequest(container, seconds)
        await self.ask("StopContainer", asked, c.StopContainerResponse)

    async def remove(self, container: str) -> None:
        asked = c.RemoveContainerRequest(container)
        await self.ask("RemoveContainer", asked, c.RemoveContainerResponse)

    async def stop_pod(self, sandbox: str) -> None:
        asked = s.StopPodSandboxRequest(sandbox)
        await self.ask("StopPodSandbox", asked, s.StopPodSandboxResponse)

    async def remove_pod(self, sandbox: str) -> None:
        asked = s.RemovePodSandboxRequest(sandbox)
        await self.ask("RemovePodSandbox", asked, s.RemovePodSandboxResponse)

    async def pods(self, **wanted: Any) -> list[s.PodSandbox]:
        asked = s.ListPodSandboxRequest(s.PodSandboxFilter(**wanted))
        return list((await self.ask("ListPodSandbox", asked, s.ListPodSandboxResponse)).items)

    async def containers(self, **wanted: Any) -> list[c.Container]:
        asked = c.ListContainersRequest(c.ContainerFilter(**wanted))
        return list((await self.ask("ListContainers", asked, c.ListContainersResponse)).containers)

    async def execute(self, container: str, *command: str, seconds: int = 0) -> c.ExecSyncResponse:
        asked = c.ExecSyncRequest(container, command, seconds)
        found = await self.ask("ExecSync", asked, c.ExecSyncResponse)
        assert isinstance(found, c.ExecSyncResponse)
        return found

    async def ended(self, container: str) -> c.ContainerStatus:
        async with asyncio.timeout(SECONDS):
            while (found := await self.status(container)).state != c.EXITED:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return found

    async def output(self, config: c.ContainerConfig) -> str:
        """Runs a container to its end; returns what it wrote."""
        sandbox = await self.run()
        await self.ended(await self.launch(sandbox, config))
        assert config.metadata is not None
        lines = (self.logs / f"{config.metadata.name}.log").read_text().splitlines()
        await self.remove_pod(sandbox)
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    async def refused(self, name: str, message: Any, code: int) -> str:
        with pytest.raises(Failed) as caught:
            await self.ask(name, message, r.VersionResponse)
        assert caught.value.code == code, caught.value
        return caught.value.text


@asynccontextmanager
async def served(rig: Rig, network: NoNetwork | None = None) -> AsyncIterator[Kubelet]:
    """Serves an engine from what is on disk, and leaves it as it is."""
    world, home = RealWorld(), Path(rig.directory)
    store, logs = Store(home / "images"), home / "logs"
    network = network or NoNetwork()
    tools = Tools(
        engine=Engine(rig.socket, rig.state),
        warm=WarmParent(Path(rig.socket), Path(rig.state)),
        network=network,
        puller=Puller(store, StreamHttp()),
        store=store,
        known=Known(Records(home / "records"), world),
        directory=home / "files",
        cgroup=rig.cgroup,
        world=world,
    )
    await take_up(tools)
    streams, socket = Streaming(tools), home / "cri.sock"
    async with (
        world.tasks() as tasks,
        Server(streams.handle, world) as server,
        GRPCServer(handlers(tools, streams, "1.2.3"), world) as listening,
    ):
        _, streams.port = await server.listen(LOOPBACK, 0, None)
        tasks.start(follow(tools), name="events")
        await listening.listen_unix(socket)
        async with await connect_unix(socket, world, SECONDS) as channel:
            yield Kubelet(channel, tools, network, logs)
        tasks.stop()
    await tools.engine.close()


def run(test: Callable[[Kubelet], Awaitable[None]]) -> None:
    """Runs a test against an engine with one image, which it leaves empty."""

    async def scenario(rig: Rig) -> None:
        build_image(Path(rig.directory, "images"))
        async with served(rig) as kubelet:
            await test(kubelet)
            for pod in await kubelet.pods():
                await kubelet.remove_pod(pod.id)
            assert await kubelet.containers() == []
            assert kubelet.network.connected == {}
            assert list(Path(rig.directory, "files").rglob("resolv.conf")) == []

    run_rig(scenario)
