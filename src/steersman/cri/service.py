"""The two services of the CRI: their methods, and what follows the engine meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

from steersman.cri.commands import Commands
from steersman.cri.containers import Containers
from steersman.cri.images import Images
from steersman.cri.messages.runtime import IMAGE, RUNTIME
from steersman.cri.runtime import Runtime
from steersman.cri.sandboxes import Sandboxes, host_ports
from steersman.cri.stats import Stats
from steersman.cri.streaming import Streaming
from steersman.cri.tools import Tools
from steersman.listen.grpc import Handler, streaming, unary
from steersman.runtime.engine import Event, SandboxState
from steersman.wire.rpc.messages import Rpc


def handlers(tools: Tools, streams: Streaming, version: str) -> Mapping[str, Handler]:
    """Returns what answers each method, by its path."""
    sandboxes, containers = Sandboxes(tools), Containers(tools)
    images, stats, runtime = Images(tools), Stats(tools), Runtime(tools, version)
    events = _rpc(f"{RUNTIME}/GetContainerEvents", runtime.events)
    calls: dict[str, Callable[..., Any]] = {
        "Version": runtime.version,
        "Status": runtime.status,
        "RuntimeConfig": runtime.configuration,
        "UpdateRuntimeConfig": runtime.update,
        "RunPodSandbox": sandboxes.run,
        "StopPodSandbox": sandboxes.stop,
        "RemovePodSandbox": sandboxes.remove,
        "PodSandboxStatus": sandboxes.status,
        "ListPodSandbox": sandboxes.list,
        "UpdatePodSandboxResources": sandboxes.update,
        "CreateContainer": containers.create,
        "StartContainer": containers.start,
        "StopContainer": containers.stop,
        "RemoveContainer": containers.remove,
        "ListContainers": containers.list,
        "ContainerStatus": containers.status,
        "UpdateContainerResources": containers.update,
        "ReopenContainerLog": containers.reopen_log,
        "ExecSync": Commands(tools).run,
        "Exec": streams.exec,
        "Attach": streams.attach,
        "PortForward": streams.forward,
        "ContainerStats": stats.container,
        "ListContainerStats": stats.containers,
        "PodSandboxStats": stats.sandbox,
        "ListPodSandboxStats": stats.sandboxes,
    }
    of_images: dict[str, Callable[..., Any]] = {
        "ListImages": images.list,
        "ImageStatus": images.status,
        "PullImage": images.pull,
        "RemoveImage": images.remove,
        "ImageFsInfo": images.usage,
    }
    paths = {f"{RUNTIME}/{name}": call for name, call in calls.items()}
    paths |= {f"{IMAGE}/{name}": call for name, call in of_images.items()}
    entries = [unary(_rpc(path, call), call) for path, call in paths.items()]
    return dict([*entries, streaming(events, runtime.events)])


def _rpc(path: str, call: Callable[..., Any]) -> Rpc[Any, Any]:
    """Returns a method with the messages that the one who answers it names."""
    hints = get_type_hints(call)
    ask, answer = hints["asked"], hints["return"]
    return Rpc(path, ask, get_args(answer)[0] if get_args(answer) else answer)


async def take_up(tools: Tools) -> None:
    """Takes up what runs already, to be done before anybody asks for it."""
    compare(tools, await tools.engine.connect())


async def follow(tools: Tools) -> None:
    """Notes what ends, for ever."""
    async for event in tools.engine.events():
        if event.kind == "overflow":
            compare(tools, await tools.engine.pods())
        else:
            note(tools, event)


def note(tools: Tools, event: Event) -> None:
    """Takes over what happened to one container or sandbox."""
    if event.kind == "exit":
        tools.known.end(event.container, event.exit)
    elif event.kind == "lost":
        tools.known.lose(event.pod)


def compare(tools: Tools, found: list[SandboxState]) -> None:
    """Takes over what became of sandboxes and containers while nobody listened."""
    known = tools.known
    running = {it.pod: it for it in found if not it.lost}
    for sandbox in list(known.sandboxes.values()):
        if sandbox.ready and sandbox.id not in running:
            known.lose(sandbox.id)
        elif sandbox.ready:
            tools.network.restore(sandbox.id, sandbox.addresses, host_ports(sandbox))
    states = {one.id: one for it in running.values() for one in it.containers}
    for container in list(known.containers.values()):
        if container.finished_at:
            continue
        state = states.get(container.id)
        if state is None:
            known.end(container.id, None)
        elif state.status == "stopped":
            known.end(container.id, state.exit)
        elif state.status == "running" and not container.started_at:
            known.started(container.id, state.started_at, tuple(state.user))
