"""Messages about pod sandboxes.

Names and numbers are those of the CRI, version v1 (kubernetes/cri-api, api.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from steersman.cri.messages.values import (
    Int64Value,
    LinuxContainerResources,
    NamespaceOption,
    SecurityProfile,
    SELinuxOption,
)

# PodSandboxState
READY, NOT_READY = range(2)


class PodSandboxMetadata(msgspec.Struct, frozen=True):
    name: Annotated[str, 1] = ""
    uid: Annotated[str, 2] = ""
    namespace: Annotated[str, 3] = ""
    attempt: Annotated[int, 4] = 0


class DNSConfig(msgspec.Struct, frozen=True):
    servers: Annotated[tuple[str, ...], 1] = ()
    searches: Annotated[tuple[str, ...], 2] = ()
    options: Annotated[tuple[str, ...], 3] = ()


class PortMapping(msgspec.Struct, frozen=True):
    protocol: Annotated[int, 1] = 0
    container_port: Annotated[int, 2] = 0
    host_port: Annotated[int, 3] = 0
    host_ip: Annotated[str, 4] = ""


class LinuxSandboxSecurityContext(msgspec.Struct, frozen=True):
    namespace_options: Annotated[NamespaceOption | None, 1] = None
    selinux_options: Annotated[SELinuxOption | None, 2] = None
    run_as_user: Annotated[Int64Value | None, 3] = None
    run_as_group: Annotated[Int64Value | None, 8] = None
    readonly_rootfs: Annotated[bool, 4] = False
    supplemental_groups: Annotated[tuple[int, ...], 5] = ()
    supplemental_groups_policy: Annotated[int, 11] = 0
    privileged: Annotated[bool, 6] = False
    seccomp: Annotated[SecurityProfile | None, 9] = None
    apparmor: Annotated[SecurityProfile | None, 10] = None


class LinuxPodSandboxConfig(msgspec.Struct, frozen=True):
    cgroup_parent: Annotated[str, 1] = ""
    security_context: Annotated[LinuxSandboxSecurityContext | None, 2] = None
    sysctls: Annotated[Mapping[str, str], 3] = {}
    overhead: Annotated[LinuxContainerResources | None, 4] = None
    resources: Annotated[LinuxContainerResources | None, 5] = None


class PodSandboxConfig(msgspec.Struct, frozen=True):
    metadata: Annotated[PodSandboxMetadata | None, 1] = None
    hostname: Annotated[str, 2] = ""
    log_directory: Annotated[str, 3] = ""
    dns_config: Annotated[DNSConfig | None, 4] = None
    port_mappings: Annotated[tuple[PortMapping, ...], 5] = ()
    labels: Annotated[Mapping[str, str], 6] = {}
    annotations: Annotated[Mapping[str, str], 7] = {}
    linux: Annotated[LinuxPodSandboxConfig | None, 8] = None


class RunPodSandboxRequest(msgspec.Struct, frozen=True):
    config: Annotated[PodSandboxConfig | None, 1] = None
    runtime_handler: Annotated[str, 2] = ""


class RunPodSandboxResponse(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, 1] = ""


class StopPodSandboxRequest(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, 1] = ""


class StopPodSandboxResponse(msgspec.Struct, frozen=True):
    pass


class RemovePodSandboxRequest(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, 1] = ""


class RemovePodSandboxResponse(msgspec.Struct, frozen=True):
    pass


class PodSandboxStatusRequest(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, 1] = ""
    verbose: Annotated[bool, 2] = False


class PodIP(msgspec.Struct, frozen=True):
    ip: Annotated[str, 1] = ""


class PodSandboxNetworkStatus(msgspec.Struct, frozen=True):
    ip: Annotated[str, 1] = ""
    additional_ips: Annotated[tuple[PodIP, ...], 2] = ()


class Namespace(msgspec.Struct, frozen=True):
    options: Annotated[NamespaceOption | None, 2] = None


class LinuxPodSandboxStatus(msgspec.Struct, frozen=True):
    namespaces: Annotated[Namespace | None, 1] = None


class PodSandboxStatus(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    metadata: Annotated[PodSandboxMetadata | None, 2] = None
    state: Annotated[int, 3] = 0
    created_at: Annotated[int, 4] = 0
    network: Annotated[PodSandboxNetworkStatus | None, 5] = None
    linux: Annotated[LinuxPodSandboxStatus | None, 6] = None
    labels: Annotated[Mapping[str, str], 7] = {}
    annotations: Annotated[Mapping[str, str], 8] = {}
    runtime_handler: Annotated[str, 9] = ""


class PodSandboxStateValue(msgspec.Struct, frozen=True):
    state: Annotated[int, 1] = 0


class PodSandboxFilter(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    state: Annotated[PodSandboxStateValue | None, 2] = None
    label_selector: Annotated[Mapping[str, str], 3] = {}


class ListPodSandboxRequest(msgspec.Struct, frozen=True):
    filter: Annotated[PodSandboxFilter | None, 1] = None


class PodSandbox(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    metadata: Annotated[PodSandboxMetadata | None, 2] = None
    state: Annotated[int, 3] = 0
    created_at: Annotated[int, 4] = 0
    labels: Annotated[Mapping[str, str], 5] = {}
    annotations: Annotated[Mapping[str, str], 6] = {}
    runtime_handler: Annotated[str, 7] = ""


class ListPodSandboxResponse(msgspec.Struct, frozen=True):
    items: Annotated[tuple[PodSandbox, ...], 1] = ()


class UpdatePodSandboxResourcesRequest(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, 1] = ""
    overhead: Annotated[LinuxContainerResources | None, 2] = None
    resources: Annotated[LinuxContainerResources | None, 3] = None


class UpdatePodSandboxResourcesResponse(msgspec.Struct, frozen=True):
    pass
