"""Makes and removes the ground of a pod: namespaces, control group, connection, its own files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.node.acting.runtime_classes import demand_handler
from steersman.node.admission.kernel import normal_name
from steersman.node.id_ranges import BadRange
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Sandbox
from steersman.node.render import files, limits, resolution
from steersman.node.tools import Tools
from steersman.runtime.engine import EngineError


def render_sandbox(pod: Pod, cgroup: str, resources: Document) -> Document:
    """Returns what the runtime makes the sandbox from; raises BadConfiguration."""
    if pod.spec.resource_claims:
        raise BadConfiguration("resourceClaims are not supported: this node prepares no devices")
    return {
        "cgroup_parent": f"{cgroup}/pod{pod.metadata.uid}",
        "hostname": files.hostname(pod),
        "network": "host" if pod.spec.host_network else "pod",
        "ipc": "host" if pod.spec.host_ipc else "pod",
        "pid": "shared" if pod.spec.share_process_namespace else "container",
        "sysctls": {normal_name(it.name): it.value for it in pod.spec.security_context.sysctls},
        "resources": resources,
    }


def host_ports(pod: Pod) -> list[int]:
    """Returns the ports of the node that a pod asks for; none where it has all of them."""
    if pod.spec.host_network:
        return []
    return [it.host_port for one in pod.spec.containers for it in one.ports if it.host_port]


async def start(tools: Tools, pod: Pod) -> Sandbox:
    """Makes the sandbox and connects it; what was made before a failure is taken back."""
    uid = pod.metadata.uid
    await demand_handler(tools, pod)
    exclusive = tools.pinning.has_exclusive(pod)
    resources = limits.render_pod_resources(
        pod, exclusive=exclusive, page_sizes=tools.page_sizes, swap=tools.swap
    )
    wanted = render_sandbox(pod, tools.cgroup, resources)
    if pod.spec.host_users is False:
        wanted |= take_ids(tools, uid)
    wanted["hostname"] = files.kernel_name(pod, tools.resolution.domain)
    for port in host_ports(pod):
        text = f"hostPort {port} is not supported: use a Service of type NodePort"
        tools.say(pod, "Warning", "HostPortNotSupported", text)
    try:
        made = await tools.engine.start_sandbox(uid, wanted)
    except EngineError as error:
        if error.kind != "unavailable":
            raise
        await asyncio.to_thread(tools.warm.ensure)  # it may have been killed
        made = await tools.engine.start_sandbox(uid, wanted)
    try:
        addresses: list[str] = []
        if not pod.spec.host_network:
            addresses = await tools.network.add(uid, Path(made.netns))
        shown = addresses or [tools.place.address]
        for text in files.write_all(pod, tools.paths.etc(uid), shown, tools.resolution):
            tools.say(pod, "Warning", resolution.REASON, text)
    except BaseException:
        await tools.engine.remove_sandbox(uid)
        await tools.network.delete(uid)
        raise
    return Sandbox(made.pid, made.shm, tuple(addresses), made.userns, made.pidns)


def take_ids(tools: Tools, uid: str) -> Document:
    """Returns the maps of a pod's users; raises BadConfiguration where none can be had."""
    try:
        return tools.ids.take(uid)
    except BadRange as error:
        raise BadConfiguration(f"create user namespace: {error}") from error


async def tear_down(tools: Tools, uid: str) -> None:
    """Removes sandbox, connection and volumes, and takes back what was given out. Repeatable."""
    await tools.engine.remove_sandbox(uid)
    await tools.network.delete(uid)
    await tools.volumes.release(uid)
    tools.ids.release(uid)
    tools.placement.release(uid)
