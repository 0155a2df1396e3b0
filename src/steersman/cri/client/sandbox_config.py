"""What a runtime makes a sandbox from: pure, from the pod, as the kubelet has it.

Source: kuberuntime_sandbox.go, generatePodSandboxConfig and generatePodSandboxLinuxConfig.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from steersman.cri.client.naming import render_pod_labels
from steersman.cri.client.resources import render_resources
from steersman.cri.messages.sandboxes import (
    DNSConfig,
    LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext,
    PodSandboxConfig,
    PodSandboxMetadata,
    PortMapping,
)
from steersman.cri.messages.values import (
    CONTAINER,
    NODE,
    POD,
    RUNTIME_DEFAULT,
    IDMapping,
    Int64Value,
    NamespaceOption,
    SecurityProfile,
    SELinuxOption,
    UserNamespace,
)
from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import SELinuxOptions
from steersman.node import containers
from steersman.node.admission.kernel import normal_name
from steersman.node.containers import host_ports
from steersman.node.render import files
from steersman.node.render.resolution import Resolution, parse_resolution, render_resolution
from steersman.node.service_classes import group_of

_PROTOCOLS: Final = {"TCP": 0, "UDP": 1, "SCTP": 2}
_POLICIES: Final = {"": 0, "Merge": 0, "Strict": 1}


class Surroundings(msgspec.Struct, frozen=True):
    """What every sandbox of a node has: whose it is, the control group of all pods, and how names
    are resolved."""

    cluster: str
    cgroup: str
    resolution: Resolution


def render_sandbox(
    pod: Pod, around: Surroundings, logs: Path, resources: Document, ids: Document
) -> PodSandboxConfig:
    """Returns the configuration; raises BadConfiguration for a name that is too long."""
    metadata, spec = pod.metadata, pod.spec
    servers, searches, options = parse_resolution(render_resolution(pod, around.resolution).text)
    name = "" if spec.host_network else files.kernel_name(pod, around.resolution.domain)
    return PodSandboxConfig(
        metadata=PodSandboxMetadata(metadata.name, metadata.uid, metadata.namespace),
        hostname=name,
        log_directory=str(logs),
        dns_config=DNSConfig(
            tuple(servers),
            tuple(searches),
            tuple(f"{name}:{value}" if value else name for name, value in options.items()),
        ),
        port_mappings=() if spec.host_network else tuple(render_ports(pod)),
        labels=render_pod_labels(pod, around.cluster),
        annotations=dict(metadata.annotations),
        linux=LinuxPodSandboxConfig(
            cgroup_parent=f"{around.cgroup}/{group_of(pod)}",
            security_context=_security(pod, ids),
            sysctls={normal_name(it.name): it.value for it in spec.security_context.sysctls},
            resources=render_resources(resources),
        ),
    )


def render_ports(pod: Pod) -> Collection[PortMapping]:
    """Returns the ports of the machine that are a pod's."""
    return [
        PortMapping(_PROTOCOLS[port.protocol], port.container_port, port.host_port, port.host_ip)
        for port in host_ports(pod)
    ]


def render_namespaces(pod: Pod, ids: Document) -> NamespaceOption:
    """Returns what a pod has for itself and what it shares with the machine."""
    spec = pod.spec
    pid = NODE if spec.host_pid else POD if spec.share_process_namespace else CONTAINER
    return NamespaceOption(
        network=NODE if spec.host_network else POD,
        pid=pid,
        ipc=NODE if spec.host_ipc else POD,
        userns_options=_users(ids),
    )


def _users(ids: Document) -> UserNamespace:
    if not ids:
        return UserNamespace(NODE)
    return UserNamespace(POD, render_ids(ids["uidMappings"]), render_ids(ids["gidMappings"]))


def render_ids(maps: Collection[Document]) -> tuple[IDMapping, ...]:
    """Returns maps of ids as the CRI has them."""
    return tuple(IDMapping(it["hostID"], it["containerID"], it["size"]) for it in maps)


def _security(pod: Pod, ids: Document) -> LinuxSandboxSecurityContext:
    shared = pod.spec.security_context
    own = [it.security_context for it in containers.all_containers(pod)]
    groups = [*shared.supplemental_groups]
    if shared.fs_group is not None:
        groups.append(shared.fs_group)
    return LinuxSandboxSecurityContext(
        namespace_options=render_namespaces(pod, ids),
        selinux_options=render_selinux(shared.se_linux_options),
        run_as_user=render_id(shared.run_as_user),
        run_as_group=render_id(shared.run_as_group),
        supplemental_groups=tuple(groups),
        supplemental_groups_policy=_POLICIES[shared.supplemental_groups_policy],
        privileged=any(it is not None and it.privileged for it in own),
        seccomp=SecurityProfile(RUNTIME_DEFAULT),
    )


def render_policy(pod: Pod) -> int:
    """Returns the SupplementalGroupsPolicy."""
    return _POLICIES[pod.spec.security_context.supplemental_groups_policy]


def render_id(number: int | None) -> Int64Value | None:
    """Returns a number that may be none."""
    return None if number is None else Int64Value(number)


def render_selinux(options: SELinuxOptions | None) -> SELinuxOption | None:
    """Returns SELinux labels."""
    if options is None:
        return None
    return SELinuxOption(options.user, options.role, options.type, options.level)
