"""Pod sandboxes: made, stopped, removed, listed.

A stopped sandbox has nothing left but its record, and the records of its containers.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from steersman.cri import image_mounts
from steersman.cri.bundle import render_resources
from steersman.cri.containers import end_all
from steersman.cri.known import bears, only
from steersman.cri.messages.runtime import (
    CONTAINER_CREATED,
    CONTAINER_DELETED,
    CONTAINER_STARTED,
    CONTAINER_STOPPED,
    PodSandboxStatusResponse,
)
from steersman.cri.messages.sandboxes import (
    ListPodSandboxRequest,
    ListPodSandboxResponse,
    PodSandboxConfig,
    PodSandboxFilter,
    PodSandboxStatusRequest,
    RemovePodSandboxRequest,
    RemovePodSandboxResponse,
    RunPodSandboxRequest,
    RunPodSandboxResponse,
    StopPodSandboxRequest,
    StopPodSandboxResponse,
    UpdatePodSandboxResourcesRequest,
    UpdatePodSandboxResourcesResponse,
)
from steersman.cri.messages.values import NODE, POD, NamespaceOption
from steersman.cri.records import Sandbox
from steersman.cri.statuses import (
    container_status,
    namespaces_of,
    sandbox_entry,
    sandbox_state,
    sandbox_status,
)
from steersman.cri.tools import Tools, failure
from steersman.model.kind import Document
from steersman.model.types.container import ContainerPort
from steersman.runtime.engine import EngineError
from steersman.wire.http2.grpc import INVALID_ARGUMENT, UNKNOWN, Failed

# The names of the one runtime that there is; an empty one is the default
HANDLERS: Final = ("", "steersman", "runc")
# By the number of a protocol in the CRI
_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
MAX_PORT: Final = 65535
_HOSTS: Final = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


class Sandboxes:
    """The calls about sandboxes."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._known = tools.known

    async def run(self, asked: RunPodSandboxRequest) -> RunPodSandboxResponse:
        """Makes a sandbox; what was made before a failure is taken back. Raises Failed."""
        if (config := asked.config) is None or config.metadata is None:
            raise Failed(INVALID_ARGUMENT, "sandbox config must include metadata")
        if asked.runtime_handler not in HANDLERS:
            text = f'no runtime for "{asked.runtime_handler}" is configured'
            raise Failed(UNKNOWN, f"unable to get OCI runtime for sandbox: {text}")
        known = self._known
        sandbox = Sandbox(known.new_id(), config, known.now(), asked.runtime_handler)
        check_ports(sandbox)
        spec = render_sandbox(sandbox, self._tools.cgroup)
        await asyncio.to_thread(self._tools.warm.ensure)
        try:
            made = await self._tools.engine.start_sandbox(sandbox.id, spec)
        except EngineError as error:
            raise failure("failed to create sandbox", error) from error
        try:
            if namespaces_of(sandbox).network != NODE:
                ports = host_ports(sandbox)
                addresses = await self._tools.network.add(sandbox.id, Path(made.netns), ports)
                sandbox = replace(sandbox, addresses=tuple(addresses))
            write_files(sandbox, self._tools.etc(sandbox.id))
            known.put(sandbox)
        except BaseException:
            await self._take_down(sandbox)
            known.drop(sandbox)
            raise
        known.tell(CONTAINER_CREATED, sandbox.id, sandbox.id)
        known.tell(CONTAINER_STARTED, sandbox.id, sandbox.id)
        return RunPodSandboxResponse(sandbox.id)

    async def _take_down(self, sandbox: Sandbox) -> None:
        try:
            await self._tools.engine.remove_sandbox(sandbox.id)
        except EngineError as error:
            raise failure(f'failed to stop sandbox "{sandbox.id}"', error) from error
        await self._give_back(sandbox)

    async def _give_back(self, sandbox: Sandbox) -> None:
        """Gives address, ports and files back; repeatable."""
        await self._tools.network.delete(sandbox.id)
        image_mounts.release(self._tools, sandbox.id)
        shutil.rmtree(self._tools.etc(sandbox.id), ignore_errors=True)

    async def stop(self, asked: StopPodSandboxRequest) -> StopPodSandboxResponse:
        """Ends all that runs in a sandbox and gives its addresses back; repeatable."""
        if self._known.has(Sandbox, asked.pod_sandbox_id):
            await self._stop(self._known.sandbox(asked.pod_sandbox_id))
        return StopPodSandboxResponse()

    async def _stop(self, sandbox: Sandbox) -> None:
        if not sandbox.ready:
            await self._give_back(sandbox)  # one that was lost has them yet
            return
        await end_all(self._tools, sandbox.id)
        await self._take_down(sandbox)
        for container in self._known.of(sandbox.id):
            self._known.end(container.id, None)  # those that were never started
        self._known.put(replace(self._known.sandbox(sandbox.id), ready=False))
        self._known.tell(CONTAINER_STOPPED, sandbox.id, sandbox.id)

    async def remove(self, asked: RemovePodSandboxRequest) -> RemovePodSandboxResponse:
        """Removes a sandbox with its containers; repeatable."""
        if not self._known.has(Sandbox, asked.pod_sandbox_id):
            return RemovePodSandboxResponse()
        sandbox = self._known.sandbox(asked.pod_sandbox_id)
        await self._stop(sandbox)
        for container in self._known.of(sandbox.id):
            self._known.drop(container)
            self._known.tell(CONTAINER_DELETED, container.id, sandbox.id)
        self._known.tell(CONTAINER_DELETED, sandbox.id, sandbox.id)
        self._known.drop(sandbox)
        return RemovePodSandboxResponse()

    async def status(self, asked: PodSandboxStatusRequest) -> PodSandboxStatusResponse:
        """Says how a sandbox stands; raises Failed."""
        sandbox = self._known.sandbox(asked.pod_sandbox_id)
        return PodSandboxStatusResponse(
            status=sandbox_status(sandbox),
            containers_statuses=tuple(container_status(it) for it in self._known.of(sandbox.id)),
            timestamp=self._known.now(),
        )

    async def list(self, asked: ListPodSandboxRequest) -> ListPodSandboxResponse:
        """Lists sandboxes."""
        wanted = asked.filter or PodSandboxFilter()
        found = [
            it
            for it in only(self._known.sandboxes.values(), wanted.id)
            if (wanted.state is None or wanted.state.state == sandbox_state(it))
            and bears(it.config.labels, wanted.label_selector)
        ]
        return ListPodSandboxResponse(tuple(sandbox_entry(it) for it in found))

    async def update(
        self, asked: UpdatePodSandboxResourcesRequest
    ) -> UpdatePodSandboxResourcesResponse:
        """Takes note of what a pod has together; its control group is the kubelet's to change."""
        sandbox = self._known.sandbox(asked.pod_sandbox_id)
        linux = sandbox.config.linux
        if linux is not None:
            linux = replace(linux, overhead=asked.overhead, resources=asked.resources)
            self._known.put(replace(sandbox, config=replace(sandbox.config, linux=linux)))
        return UpdatePodSandboxResourcesResponse()


def host_ports(sandbox: Sandbox) -> tuple[ContainerPort, ...]:
    """Returns the ports of the node that lead to a sandbox."""
    return tuple(
        ContainerPort(
            container_port=it.container_port,
            protocol=_PROTOCOLS[it.protocol],
            host_port=it.host_port,
            host_ip=it.host_ip,
        )
        for it in sandbox.config.port_mappings
        if it.host_port
    )


def check_ports(sandbox: Sandbox) -> None:
    """Raises Failed for ports that cannot be."""
    for it in sandbox.config.port_mappings:
        if it.protocol not in range(len(_PROTOCOLS)):
            raise Failed(INVALID_ARGUMENT, f"unknown protocol of a port mapping: {it.protocol}")
        for number in (it.host_port, it.container_port):
            if not 0 <= number <= MAX_PORT:
                raise Failed(INVALID_ARGUMENT, f"{number} is no port of a port mapping")


def render_sandbox(sandbox: Sandbox, cgroup: str) -> Document:
    """Returns what the runtime makes a sandbox from; raises Failed."""
    config, options = sandbox.config, namespaces_of(sandbox)
    linux = config.linux
    parent = linux.cgroup_parent if linux is not None else ""
    if parent.endswith(".slice"):
        text = f"cgroup_parent {parent}: the systemd driver is not supported, use cgroupfs"
        raise Failed(INVALID_ARGUMENT, text)
    found: Document = {
        "cgroup_parent": f"{parent.rstrip('/') or cgroup}/{sandbox.id}",
        "hostname": config.hostname,
        "network": "host" if options.network == NODE else "pod",
        "ipc": "host" if options.ipc == NODE else "pod",
        "pid": "shared" if options.pid == POD else "container",
        "sysctls": dict(linux.sysctls) if linux is not None else {},
        "resources": render_resources(linux.resources if linux is not None else None),
    }
    return found | _render_users(options)


def _render_users(options: NamespaceOption) -> Document:
    users = options.userns_options
    if users is None or users.mode == NODE:
        return {}
    if users.mode != POD:
        raise Failed(INVALID_ARGUMENT, f"unsupported user namespace mode: {users.mode}")
    pairs = (("uidMappings", users.uids), ("gidMappings", users.gids))
    return {
        name: [
            {"hostID": it.host_id, "containerID": it.container_id, "size": it.length}
            for it in ranges
        ]
        for name, ranges in pairs
    }


def write_files(sandbox: Sandbox, directory: Path) -> None:
    """Writes what the containers of a sandbox have in /etc; raises OSError."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    config = sandbox.config
    if namespaces_of(sandbox).network == NODE:
        hosts = Path("/etc/hosts").read_text()
        name = Path("/proc/sys/kernel/hostname").read_text().strip()
    else:
        name = config.hostname
        hosts = _HOSTS + "".join(f"{it}\t{name}\n" for it in sandbox.addresses if name)
    (directory / "hosts").write_text(hosts)
    (directory / "hostname").write_text(f"{name}\n")
    (directory / "resolv.conf").write_text(render_resolution(config))


def render_resolution(config: PodSandboxConfig) -> str:
    """Returns /etc/resolv.conf: the machine's where nothing is asked for."""
    asked = config.dns_config
    if asked is None:
        return Path("/etc/resolv.conf").read_text()
    lines = []
    if asked.searches:
        lines.append(f"search {' '.join(asked.searches)}")
    lines += [f"nameserver {it}" for it in asked.servers]
    if asked.options:
        lines.append(f"options {' '.join(asked.options)}")
    return "".join(f"{it}\n" for it in lines)
