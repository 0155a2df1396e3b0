"""Containers: created, started, stopped, removed, changed, listed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from steersman.cri import bundle, image_mounts
from steersman.cri.known import bears, only
from steersman.cri.messages.containers import (
    RUNNING,
    SIGNALS,
    ContainerConfig,
    ContainerFilter,
    ContainerStatusRequest,
    ContainerStatusResponse,
    CreateContainerRequest,
    CreateContainerResponse,
    ListContainersRequest,
    ListContainersResponse,
    RemoveContainerRequest,
    RemoveContainerResponse,
    ReopenContainerLogRequest,
    ReopenContainerLogResponse,
    StartContainerRequest,
    StartContainerResponse,
    StopContainerRequest,
    StopContainerResponse,
    UpdateContainerResourcesRequest,
    UpdateContainerResourcesResponse,
)
from steersman.cri.messages.runtime import (
    CONTAINER_CREATED,
    CONTAINER_DELETED,
    CONTAINER_STARTED,
)
from steersman.cri.messages.values import LinuxContainerResources
from steersman.cri.records import Container, Sandbox
from steersman.cri.statuses import container_entry, container_status
from steersman.cri.tools import Tools, failure
from steersman.images.errors import ImageError
from steersman.images.store import Image
from steersman.model.kind import Document
from steersman.node.acting.ending import signal_number
from steersman.node.acting.seccomp_profiles import BadProfile, load_profile
from steersman.node.cdi.injecting import CannotInject, inject_devices
from steersman.runtime.engine import EngineError
from steersman.runtime.kernel.devices import describe
from steersman.wire.http2.grpc import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    UNKNOWN,
    Failed,
)

DEFAULT_SIGNAL: Final = "SIGTERM"
# How long the kernel may take to end what was killed
KILL_SECONDS: Final = 30.0


class Containers:
    """The calls about containers."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._known = tools.known

    async def create(self, asked: CreateContainerRequest) -> CreateContainerResponse:
        """Sets a container up without running it; raises Failed."""
        config = asked.config
        if config is None or config.metadata is None or config.image is None:
            raise Failed(INVALID_ARGUMENT, "container config must include metadata and image")
        bundle.refuse(config)
        image_mounts.check(config)
        sandbox = self._known.sandbox(asked.pod_sandbox_id)
        if not sandbox.ready:
            raise Failed(FAILED_PRECONDITION, f'sandbox "{sandbox.id}" is not running')
        image = await image_mounts.find_image(self._tools, config.image.image)
        container = Container(
            id=self._known.new_id(),
            sandbox=sandbox.id,
            config=config,
            created_at=self._known.now(),
            image_id=image.id,
            image_ref=image.repo_digest,
            manifest=image.digest,
            log=_log_path(sandbox, config),
            signal=SIGNALS[config.stop_signal] or image.run_config.stop_signal or DEFAULT_SIGNAL,
        )
        document = await self._document(sandbox, container, image)
        self._known.put(container)
        try:
            await self._tools.engine.create(sandbox.id, container.id, document)
        except BaseException as error:
            self._known.drop(container)
            # One that answered too late, or whose caller has gone, is there all the same
            with contextlib.suppress(EngineError):
                await self._tools.engine.delete(sandbox.id, container.id, force=True)
            if isinstance(error, EngineError):
                raise failure("failed to create containerd task", error) from error
            raise
        self._known.tell(CONTAINER_CREATED, container.id, sandbox.id)
        return CreateContainerResponse(container.id)

    async def _document(self, sandbox: Sandbox, container: Container, image: Image) -> Document:
        try:
            layers = await self._tools.puller.rootfs(image)
            devices = [
                describe_device(it.host_path, it.container_path) for it in container.config.devices
            ]
            await asyncio.to_thread(_make_sources, container)
        except ImageError as error:
            raise Failed(UNKNOWN, f"failed to unpack image: {error}") from error
        except OSError as error:
            text = f"failed to generate container spec: {error.filename}: {error.strerror}"
            raise Failed(UNKNOWN, text) from error
        try:
            made = await self._tools.engine.sandbox(sandbox.id)
        except EngineError as error:
            raise failure(f'sandbox "{sandbox.id}" is not running', error) from error
        target = 0
        if joined := bundle.joins(container.config):
            target = await self._running_pid(joined)
        ground = bundle.Ground(
            pid=made.pid,
            userns=made.userns,
            pidns=made.pidns,
            shm=made.shm,
            layers=layers[::-1],
            etc=self._tools.etc(sandbox.id),
            log=container.log,
            target=target,
            devices=devices,
            seccomp=_read_profile(bundle.profile_path(container.config)),
            images=await image_mounts.mount_images(self._tools, sandbox.id, container.config),
        )
        document = bundle.render(container.config, image.run_config, ground)
        if names := [it.name for it in container.config.CDI_devices]:
            try:
                await asyncio.to_thread(inject_devices, document, names)
            except CannotInject as error:
                raise Failed(UNKNOWN, str(error)) from error
        return document

    async def _running_pid(self, id: str) -> int:
        """Returns the first process of a container that runs."""
        target = self._known.container(id)
        if target.state != RUNNING:
            text = f'invalid target container: container "{target.id}" is not running'
            raise Failed(FAILED_PRECONDITION, text)
        try:
            return (await self._tools.engine.state(target.sandbox, target.id)).pid
        except EngineError as error:
            raise failure("invalid target container", error) from error

    async def start(self, asked: StartContainerRequest) -> StartContainerResponse:
        """Runs a container's program; raises Failed."""
        container = self._known.container(asked.container_id)
        if container.started_at or container.finished_at:
            text = f'container "{container.id}" is not in created state'
            raise Failed(FAILED_PRECONDITION, text)
        try:
            state = await self._tools.engine.start(container.sandbox, container.id)
        except EngineError as error:
            if error.kind == "unavailable":  # its program may run all the same
                with contextlib.suppress(EngineError):
                    await self._tools.engine.kill(
                        container.sandbox, container.id, signals.SIGKILL, everyone=True
                    )
            self._never_started(container, str(error))
            raise failure("failed to start containerd task", error) from error
        # It may have ended already
        self._known.started(container.id, state.started_at, tuple(state.user))
        self._known.tell(CONTAINER_STARTED, container.id, container.sandbox)
        return StartContainerResponse()

    def _never_started(self, container: Container, why: str) -> None:
        ended = replace(
            container,
            finished_at=self._known.now(),
            exit_code=128,  # containerd's errorStartExitCode
            reason="StartError",
            message=why,
        )
        self._known.put(ended)

    async def stop(self, asked: StopContainerRequest) -> StopContainerResponse:
        """Asks a container to end, and makes it; repeatable."""
        if self._known.has(Container, asked.container_id):
            container = self._known.container(asked.container_id)
            await end_container(self._tools, container, max(0, asked.timeout))
        return StopContainerResponse()

    async def remove(self, asked: RemoveContainerRequest) -> RemoveContainerResponse:
        """Removes a container, whether it runs or not; repeatable. The log stays."""
        if not self._known.has(Container, asked.container_id):
            return RemoveContainerResponse()
        container = self._known.container(asked.container_id)
        try:
            await self._tools.engine.delete(container.sandbox, container.id, force=True)
        except EngineError as error:
            if error.kind not in ("not-found", "lost"):  # gone with its sandbox
                raise failure("failed to remove container", error) from error
        self._known.end(container.id, None)
        self._known.drop(container)
        self._known.tell(CONTAINER_DELETED, container.id, container.sandbox)
        return RemoveContainerResponse()

    async def status(self, asked: ContainerStatusRequest) -> ContainerStatusResponse:
        """Says how a container stands; raises Failed."""
        container = self._known.container(asked.container_id)
        return ContainerStatusResponse(status=container_status(container))

    async def list(self, asked: ListContainersRequest) -> ListContainersResponse:
        """Lists containers."""
        wanted = asked.filter or ContainerFilter()
        found = [
            it
            for it in only(self._known.containers.values(), wanted.id)
            if (wanted.state is None or wanted.state.state == it.state)
            and it.sandbox.startswith(wanted.pod_sandbox_id)
            and bears(it.config.labels, wanted.label_selector)
        ]
        return ListContainersResponse(tuple(container_entry(it) for it in found))

    async def update(
        self, asked: UpdateContainerResourcesRequest
    ) -> UpdateContainerResourcesResponse:
        """Changes the limits of a container, now and in what is said of it; raises Failed."""
        container = self._known.container(asked.container_id)
        if asked.linux is None:
            return UpdateContainerResourcesResponse()
        if container.state == RUNNING:
            resources = bundle.render_resources(asked.linux)
            try:
                await self._tools.engine.update(container.sandbox, container.id, resources)
            except EngineError as error:
                raise failure("failed to update resources", error) from error
        now = self._known.containers.get(container.id)
        if now is not None and (linux := now.config.linux) is not None:
            merged = merge(linux.resources or LinuxContainerResources(), asked.linux)
            config = replace(now.config, linux=replace(linux, resources=merged))
            self._known.put(replace(now, config=config))
        return UpdateContainerResourcesResponse()

    async def reopen_log(self, asked: ReopenContainerLogRequest) -> ReopenContainerLogResponse:
        """Opens a container's log anew, after the file has been moved away; raises Failed."""
        container = self._known.container(asked.container_id)
        if container.state != RUNNING:
            raise Failed(FAILED_PRECONDITION, "container is not running")
        try:
            await self._tools.engine.reopen_log(container.sandbox, container.id)
        except EngineError as error:
            raise failure("failed to reopen container log", error) from error
        return ReopenContainerLogResponse()


def merge(old: LinuxContainerResources, new: LinuxContainerResources) -> LinuxContainerResources:
    """Returns resources with what an update names; what is 0 or empty stays as it was."""
    changed = {name: getattr(new, name) for name in new.__struct_fields__ if getattr(new, name)}
    return replace(old, **changed)


async def end_container(tools: Tools, container: Container, seconds: float) -> None:
    """Asks a container to end, and kills it where it has not after so long; raises Failed."""
    if container.state != RUNNING:
        return
    engine, place = tools.engine, (container.sandbox, container.id)
    try:
        if seconds:
            await engine.kill(*place, signal_number(container.signal))
            with contextlib.suppress(TimeoutError):
                async with tools.world.timeout(seconds):
                    tools.known.end(container.id, await engine.wait(*place))
                return
        await engine.kill(*place, signals.SIGKILL, everyone=True)
        tools.known.end(container.id, await engine.wait(*place, KILL_SECONDS))
    except EngineError as error:
        if error.kind not in ("not-found", "lost", "conflict"):
            raise failure(f'failed to stop container "{container.id}"', error) from error
        tools.known.end(container.id, None)


async def end_all(tools: Tools, sandbox: str) -> None:
    """Ends what runs in a sandbox, each with its own exit to be told."""
    running = [it for it in tools.known.of(sandbox) if it.state == RUNNING]
    await asyncio.gather(*(end_container(tools, it, 0) for it in running))


def _log_path(sandbox: Sandbox, config: ContainerConfig) -> str:
    """Returns where a container's log is, empty where it is not to be kept; raises Failed."""
    if not config.log_path or not sandbox.config.log_directory:
        return ""
    directory = Path(sandbox.config.log_directory)
    path = directory / config.log_path
    if not directory.is_absolute() or ".." in path.parts:
        raise Failed(INVALID_ARGUMENT, f"log path {path} does not lie in {directory}")
    return str(path)


def describe_device(host: str, path: str) -> Document:
    """Returns a device of the machine as linux.devices names it; raises OSError."""
    if (found := describe(path or host, os.stat(host))) is None:
        raise OSError(0, "not a device node", host)
    return found


def _make_sources(container: Container) -> None:
    """Makes the directories that are missing: of the log, and those that are to be mounted."""
    if container.log:
        Path(container.log).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    for mount in container.config.mounts:
        if not image_mounts.is_image(mount) and not os.path.lexists(
            mount.host_path
        ):  # as containerd does, and docker before
            os.makedirs(mount.host_path, mode=0o755)


def _read_profile(path: str) -> Document | None:
    if not path:
        return None
    found = Path(path)
    try:
        return load_profile(found.parent, found.name)
    except BadProfile as error:
        raise Failed(INVALID_ARGUMENT, f"failed to generate seccomp spec opts: {error}") from error
