"""Our own engine as the agent uses it: the runtime's pods, put on the node's bridge.

Documents are made here from what the agent orders; the warm parent is started again where it has
been killed. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container, ContainerPort
from steersman.node.acting.sandboxes import render_sandbox
from steersman.node.acting.sub_paths import make_subpath
from steersman.node.containers import host_ports
from steersman.node.devices.injection import Injection, NoDevice, inject
from steersman.node.engine.commands import run_command
from steersman.node.engine.interface import Features, Order
from steersman.node.engine.runtimes import OURS, OCIRuntime
from steersman.node.engine.streams import OwnStreaming
from steersman.node.observed import RUNTIME, Sandbox, engine_name
from steersman.node.render import files
from steersman.node.render.bundle import render_bundle
from steersman.node.warm import WarmParent
from steersman.runtime.engine import (
    ContainerState,
    Engine,
    EngineError,
    Event,
    ExitStatus,
    SandboxState,
)
from steersman.world.interface import World

KILL_SECONDS = 10.0  # the kernel ends what has SIGKILL, unless it sits in a system call
_NOT_RUN: Final = "failed to create containerd task: failed to create shim task: "
# What another runtime says itself
_OWN_WORDS: Final = (
    "OCI runtime create failed: runc create failed: unable to start container process: "
)


class Network(Protocol):
    """Connects pods; repeatable."""

    async def add(
        self, pod: str, namespace: Path, ports: Sequence[ContainerPort] = ()
    ) -> list[str]:
        """Connects a pod's namespace and leads ports of the node to it; returns its addresses."""

    async def delete(self, pod: str) -> None:
        """Disconnects a pod; one that is not connected is fine."""

    def restore(
        self, pod: str, addresses: Sequence[str], ports: Sequence[ContainerPort] = ()
    ) -> None:
        """Notes the addresses and ports that a pod has from before the agent began."""


class OwnEngine:
    """See `engine.interface.Engine`.

    cgroup: the control group of all pods, which bears the cluster's id
    domain: the cluster's, of full host names
    runtimes: what makes containers, by handler
    """

    def __init__(
        self,
        engine: Engine,
        warm: WarmParent,
        network: Network,
        cgroup: str,
        domain: str,
        world: World,
        version: str = "",
        runtimes: Mapping[str, OCIRuntime] = OURS,
    ) -> None:
        self._engine = engine
        self._warm = warm
        self._network = network
        self._cgroup = cgroup
        self._domain = domain
        self._world = world
        self._runtimes = runtimes
        self.features = Features(
            RUNTIME,
            version,
            {name: it.handler for name, it in runtimes.items()},
            groups_policy=True,
            image_volumes=True,
        )
        self.streaming = OwnStreaming(engine, world)

    async def prepare(self) -> None:
        """Starts the warm parent where it does not run."""
        await asyncio.to_thread(self._warm.ensure)

    async def connect(self) -> list[SandboxState]:
        """Connects to every keeper that is there."""
        return await self._engine.connect()

    async def pods(self) -> list[SandboxState]:
        """Asks every keeper."""
        return await self._engine.pods()

    def events(self) -> AsyncIterator[Event]:
        """Yields what the keepers tell."""
        return self._engine.events()

    async def close(self) -> None:
        """Lets go of all keepers."""
        await self._engine.close()

    # Sandboxes

    async def start_sandbox(
        self, pod: Pod, handler: str, resources: Document, ids: Document
    ) -> Sandbox:
        """Makes the namespaces and connects them to the bridge."""
        uid = pod.metadata.uid
        wanted = render_sandbox(pod, self._cgroup, resources) | ids
        wanted["hostname"] = files.kernel_name(pod, self._domain)
        if path := self._runtimes[handler].path:
            wanted["runtime"] = path
        made = await self._begin(uid, wanted)
        addresses: list[str] = []
        ports = () if pod.spec.host_network else host_ports(pod)
        try:
            if not pod.spec.host_network:
                addresses = await self._network.add(uid, Path(made.netns), ports)
        except BaseException:
            await self.remove_sandbox(uid)
            raise
        return Sandbox(made.pid, made.shm, tuple(addresses), made.userns, made.pidns, ports)

    async def _begin(self, uid: str, wanted: Document) -> SandboxState:
        try:
            return await self._engine.start_sandbox(uid, wanted)
        except EngineError as error:
            if error.kind != "unavailable":
                raise
        await self.prepare()  # it may have been killed
        return await self._engine.start_sandbox(uid, wanted)

    def restore(self, pod: str, sandbox: Sandbox) -> None:
        """Keeps the addresses of a pod from being given to another, and its ports with it."""
        self._network.restore(pod, sandbox.addresses, sandbox.ports)

    async def remove_sandbox(self, pod: str) -> None:
        """Removes the namespaces and their connection."""
        await self._engine.remove_sandbox(pod)
        await self._network.delete(pod)

    # Containers

    async def create(self, order: Order) -> None:
        """Makes a container from the document that an order comes to."""
        pod, container, run_config = order.pod, order.container, order.image.run_config
        document = render_bundle(pod, container, run_config, order.variables, order.ground)
        if order.injection.cdi:  # vendors' files take a second to be read where cards are many
            await asyncio.to_thread(_inject, document, container, order.injection)
        else:
            _inject(document, container, order.injection)
        if any(it.get("subPath") for it in document["mounts"]):
            await asyncio.to_thread(_make_subpaths, pod, container, document)
        if container.target_container_name:
            await self._share_processes(order, container.target_container_name, document)
        name = engine_name(container.name, order.attempt)
        await self._engine.create(pod.metadata.uid, name, document)

    async def _share_processes(self, order: Order, target: str, document: Document) -> None:
        """Puts a container among the processes of another one (kubectl debug --target)."""
        run = order.seen.of(target).run
        if run is None or run.state != "running":
            raise EngineError("failed", f"target container {target} does not run")
        name = engine_name(target, run.attempt)
        state = await self._engine.state(order.seen.uid, name)
        for namespace in document["linux"]["namespaces"]:
            if namespace["type"] == "pid":
                namespace["path"] = f"/proc/{state.pid}/ns/pid"

    async def start(self, pod: str, container: str) -> ContainerState:
        """Runs the program; why it cannot be run is told in the words of containerd."""
        try:
            return await self._engine.start(pod, container)
        except EngineError as error:
            if error.kind == "unavailable":
                raise
            said = str(error) if await self._is_other(pod) else f"{_OWN_WORDS}{error}"
            raise EngineError(error.kind, f"{_NOT_RUN}{said}") from error

    async def _is_other(self, pod: str) -> bool:
        """Whether a runtime of others makes the containers of a pod, as it has since it began."""
        with contextlib.suppress(EngineError):  # it is gone meanwhile
            return bool((await self._engine.sandbox(pod)).runtime)
        return False

    async def stop(self, pod: str, container: str, signal: int, seconds: float) -> ExitStatus:
        """Signals, waits, and kills."""
        with contextlib.suppress(EngineError):  # it may have ended by itself
            await self._engine.kill(pod, container, signal)
        try:
            return await self._engine.wait(pod, container, seconds)
        except EngineError as error:
            if error.kind != "unavailable":
                raise
        with contextlib.suppress(EngineError):
            await self.kill(pod, container)
        return await self._engine.wait(pod, container, KILL_SECONDS)

    async def kill(self, pod: str, container: str) -> None:
        """Ends the first process of a container."""
        await self._engine.kill(pod, container, signal.SIGKILL)

    async def wait(self, pod: str, container: str) -> ExitStatus:
        """Waits for a container."""
        return await self._engine.wait(pod, container)

    async def delete(self, pod: str, container: str, *, force: bool = False) -> None:
        """Removes a container."""
        await self._engine.delete(pod, container, force=force)

    async def run(
        self, pod: str, container: str, command: Sequence[str], seconds: float | None
    ) -> tuple[int, bytes]:
        """Runs a command in a container."""
        return await run_command(self._engine, self._world, pod, container, command, seconds)

    async def update(self, pod: str, container: str, resources: Mapping[str, Any]) -> None:
        """Changes the limits of a control group."""
        await self._engine.update(pod, container, resources)

    async def stats(self, pod: str, container: str) -> Mapping[str, int]:
        """Reads the counters of a control group."""
        return await self._engine.stats(pod, container)

    def container_id(self, pod: str, container: str) -> str:
        """Returns nothing: the id is made of what is observed."""
        return ""


def _inject(document: Document, container: Container, injection: Injection) -> None:
    """Puts into a document what devices need; what cannot be had is told as containerd does."""
    try:
        inject(document, injection, {it.mount_path.rstrip("/") for it in container.volume_mounts})
    except NoDevice as error:
        text = "failed to generate spec: failed to apply OCI options"
        raise EngineError("failed", f"{text}: {error}") from error
    if not injection.cdi:
        return
    from steersman.node.cdi import injecting  # loaded with the first of such devices

    try:
        injecting.inject_devices(document, injection.cdi)
    except injecting.CannotInject as error:
        raise EngineError("failed", str(error)) from error


def _make_subpaths(pod: Pod, container: Container, document: Document) -> None:
    """Makes what subPaths name; in an image nothing is made, and the runtime says what is not
    there."""
    images = {it.name for it in pod.spec.volumes if it.image is not None}
    own = {it.mount_path: it for it in container.volume_mounts if it.name not in images}
    for mount in document["mounts"]:
        if mount.get("subPath") and (found := own.get(mount["destination"])) is not None:
            make_subpath(Path(mount["source"]), mount["subPath"], found, container.name)
