"""Makes and removes the ground of a pod: its sandbox, and the files that are its own."""

from __future__ import annotations

from msgspec.structs import replace

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.node.acting.runtime_classes import demand_handler
from steersman.node.admission.kernel import normal_name
from steersman.node.id_ranges import BadRange
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Sandbox
from steersman.node.render import files, limits, resolution
from steersman.node.service_classes import group_of
from steersman.node.tools import Tools


def render_sandbox(pod: Pod, cgroup: str, resources: Document) -> Document:
    """Returns what our runtime makes the sandbox from."""
    return {
        "cgroup_parent": f"{cgroup}/{group_of(pod)}",
        "hostname": files.hostname(pod),
        "network": "host" if pod.spec.host_network else "pod",
        "ipc": "host" if pod.spec.host_ipc else "pod",
        "pid": "shared" if pod.spec.share_process_namespace else "container",
        "sysctls": {normal_name(it.name): it.value for it in pod.spec.security_context.sysctls},
        "resources": resources,
    }


async def start(tools: Tools, pod: Pod) -> Sandbox:
    """Makes the sandbox and connects it; what was made before a failure is taken back."""
    uid = pod.metadata.uid
    handler = await demand_handler(tools, pod)
    ids = take_ids(tools, uid) if pod.spec.host_users is False else {}
    exclusive = tools.pinning.has_exclusive(pod)
    resources = limits.render_pod_resources(
        pod, exclusive=exclusive, page_sizes=tools.page_sizes, swap=tools.swap
    )
    if tools.pod_processes > 0:
        resources["pids"] = {"limit": tools.pod_processes}
    tools.classes.put(pod)
    made = await tools.engine.start_sandbox(pod, handler, resources, ids)
    made = replace(made, group=group_of(pod))
    try:
        shown = made.addresses or (tools.place.address,)
        for text in files.write_all(pod, tools.paths.etc(uid), shown, tools.resolution):
            tools.say(pod, "Warning", resolution.REASON, text)
    except BaseException:
        await tools.engine.remove_sandbox(uid)
        raise
    return made


def take_ids(tools: Tools, uid: str) -> Document:
    """Returns the maps of a pod's users; raises BadConfiguration where none can be had."""
    try:
        return tools.ids.take(uid)
    except BadRange as error:
        raise BadConfiguration(f"create user namespace: {error}") from error


async def tear_down(tools: Tools, uid: str) -> None:
    """Removes sandbox, connection and volumes, and takes back what was given out. Repeatable."""
    await tools.engine.remove_sandbox(uid)
    tools.classes.take(uid)
    tools.placement.release(uid)
    await tools.volumes.release(uid)
    tools.ids.release(uid)
    # Last: a driver that is not there keeps what the others do not have to
    await tools.claims.unprepare(uid)
