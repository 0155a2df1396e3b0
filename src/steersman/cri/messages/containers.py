"""Messages about containers, and about streams into them.

Names and numbers are those of the CRI, version v1 (kubernetes/cri-api, api.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from steersman.cri.messages.sandboxes import PodSandboxConfig
from steersman.cri.messages.values import (
    IDMapping,
    ImageSpec,
    Int64Value,
    KeyValue,
    LinuxContainerResources,
    NamespaceOption,
    SecurityProfile,
    SELinuxOption,
)

# ContainerState
CREATED, RUNNING, EXITED, UNKNOWN = range(4)
# MountPropagation
PRIVATE, HOST_TO_CONTAINER, BIDIRECTIONAL = range(3)
# SupplementalGroupsPolicy
MERGE, STRICT = range(2)
# Signal, by number; what kill(2) calls it
SIGNALS = (
    "",
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMAX-14",
    "SIGRTMAX-13",
    "SIGRTMAX-12",
    "SIGRTMAX-11",
    "SIGRTMAX-10",
    "SIGRTMAX-9",
    "SIGRTMAX-8",
    "SIGRTMAX-7",
    "SIGRTMAX-6",
    "SIGRTMAX-5",
    "SIGRTMAX-4",
    "SIGRTMAX-3",
    "SIGRTMAX-2",
    "SIGRTMAX-1",
    "SIGRTMAX",
)


class ContainerMetadata(msgspec.Struct, frozen=True):
    name: Annotated[str, 1] = ""
    attempt: Annotated[int, 2] = 0


class Mount(msgspec.Struct, frozen=True):
    container_path: Annotated[str, 1] = ""
    host_path: Annotated[str, 2] = ""
    readonly: Annotated[bool, 3] = False
    selinux_relabel: Annotated[bool, 4] = False
    propagation: Annotated[int, 5] = 0
    uidMappings: Annotated[tuple[IDMapping, ...], 6] = ()
    gidMappings: Annotated[tuple[IDMapping, ...], 7] = ()
    recursive_read_only: Annotated[bool, 8] = False
    image: Annotated[ImageSpec | None, 9] = None
    image_sub_path: Annotated[str, 10] = ""


class Capability(msgspec.Struct, frozen=True):
    add_capabilities: Annotated[tuple[str, ...], 1] = ()
    drop_capabilities: Annotated[tuple[str, ...], 2] = ()
    add_ambient_capabilities: Annotated[tuple[str, ...], 3] = ()


class LinuxContainerSecurityContext(msgspec.Struct, frozen=True):
    capabilities: Annotated[Capability | None, 1] = None
    privileged: Annotated[bool, 2] = False
    namespace_options: Annotated[NamespaceOption | None, 3] = None
    selinux_options: Annotated[SELinuxOption | None, 4] = None
    run_as_user: Annotated[Int64Value | None, 5] = None
    run_as_group: Annotated[Int64Value | None, 12] = None
    run_as_username: Annotated[str, 6] = ""
    readonly_rootfs: Annotated[bool, 7] = False
    supplemental_groups: Annotated[tuple[int, ...], 8] = ()
    supplemental_groups_policy: Annotated[int, 17] = 0
    no_new_privs: Annotated[bool, 11] = False
    masked_paths: Annotated[tuple[str, ...], 13] = ()
    readonly_paths: Annotated[tuple[str, ...], 14] = ()
    seccomp: Annotated[SecurityProfile | None, 15] = None
    apparmor: Annotated[SecurityProfile | None, 16] = None


class LinuxContainerConfig(msgspec.Struct, frozen=True):
    resources: Annotated[LinuxContainerResources | None, 1] = None
    security_context: Annotated[LinuxContainerSecurityContext | None, 2] = None


class LinuxContainerUser(msgspec.Struct, frozen=True):
    uid: Annotated[int, 1] = 0
    gid: Annotated[int, 2] = 0
    supplemental_groups: Annotated[tuple[int, ...], 3] = ()


class Device(msgspec.Struct, frozen=True):
    container_path: Annotated[str, 1] = ""
    host_path: Annotated[str, 2] = ""
    permissions: Annotated[str, 3] = ""


class CDIDevice(msgspec.Struct, frozen=True):
    name: Annotated[str, 1] = ""


class ContainerConfig(msgspec.Struct, frozen=True):
    metadata: Annotated[ContainerMetadata | None, 1] = None
    image: Annotated[ImageSpec | None, 2] = None
    command: Annotated[tuple[str, ...], 3] = ()
    args: Annotated[tuple[str, ...], 4] = ()
    working_dir: Annotated[str, 5] = ""
    envs: Annotated[tuple[KeyValue, ...], 6] = ()
    mounts: Annotated[tuple[Mount, ...], 7] = ()
    devices: Annotated[tuple[Device, ...], 8] = ()
    labels: Annotated[Mapping[str, str], 9] = {}
    annotations: Annotated[Mapping[str, str], 10] = {}
    log_path: Annotated[str, 11] = ""
    stdin: Annotated[bool, 12] = False
    stdin_once: Annotated[bool, 13] = False
    tty: Annotated[bool, 14] = False
    linux: Annotated[LinuxContainerConfig | None, 15] = None
    CDI_devices: Annotated[tuple[CDIDevice, ...], 17] = ()
    stop_signal: Annotated[int, 18] = 0


class CreateContainerRequest(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, 1] = ""
    config: Annotated[ContainerConfig | None, 2] = None
    sandbox_config: Annotated[PodSandboxConfig | None, 3] = None


class CreateContainerResponse(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""


class StartContainerRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""


class StartContainerResponse(msgspec.Struct, frozen=True):
    pass


class StopContainerRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""
    timeout: Annotated[int, 2] = 0


class StopContainerResponse(msgspec.Struct, frozen=True):
    pass


class RemoveContainerRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""


class RemoveContainerResponse(msgspec.Struct, frozen=True):
    pass


class ContainerStateValue(msgspec.Struct, frozen=True):
    state: Annotated[int, 1] = 0


class ContainerFilter(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    state: Annotated[ContainerStateValue | None, 2] = None
    pod_sandbox_id: Annotated[str, 3] = ""
    label_selector: Annotated[Mapping[str, str], 4] = {}


class ListContainersRequest(msgspec.Struct, frozen=True):
    filter: Annotated[ContainerFilter | None, 1] = None


class Container(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    pod_sandbox_id: Annotated[str, 2] = ""
    metadata: Annotated[ContainerMetadata | None, 3] = None
    image: Annotated[ImageSpec | None, 4] = None
    image_ref: Annotated[str, 5] = ""
    state: Annotated[int, 6] = 0
    created_at: Annotated[int, 7] = 0
    labels: Annotated[Mapping[str, str], 8] = {}
    annotations: Annotated[Mapping[str, str], 9] = {}
    image_id: Annotated[str, 10] = ""


class ListContainersResponse(msgspec.Struct, frozen=True):
    containers: Annotated[tuple[Container, ...], 1] = ()


class ContainerStatusRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""
    verbose: Annotated[bool, 2] = False


class ContainerResources(msgspec.Struct, frozen=True):
    linux: Annotated[LinuxContainerResources | None, 1] = None


class ContainerUser(msgspec.Struct, frozen=True):
    linux: Annotated[LinuxContainerUser | None, 1] = None


class ContainerStatus(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    metadata: Annotated[ContainerMetadata | None, 2] = None
    state: Annotated[int, 3] = 0
    created_at: Annotated[int, 4] = 0
    started_at: Annotated[int, 5] = 0
    finished_at: Annotated[int, 6] = 0
    exit_code: Annotated[int, 7] = 0
    image: Annotated[ImageSpec | None, 8] = None
    image_ref: Annotated[str, 9] = ""
    reason: Annotated[str, 10] = ""
    message: Annotated[str, 11] = ""
    labels: Annotated[Mapping[str, str], 12] = {}
    annotations: Annotated[Mapping[str, str], 13] = {}
    mounts: Annotated[tuple[Mount, ...], 14] = ()
    log_path: Annotated[str, 15] = ""
    resources: Annotated[ContainerResources | None, 16] = None
    image_id: Annotated[str, 17] = ""
    user: Annotated[ContainerUser | None, 18] = None
    stop_signal: Annotated[int, 19] = 0


class ContainerStatusResponse(msgspec.Struct, frozen=True):
    status: Annotated[ContainerStatus | None, 1] = None
    info: Annotated[Mapping[str, str], 2] = {}


class UpdateContainerResourcesRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""
    linux: Annotated[LinuxContainerResources | None, 2] = None
    annotations: Annotated[Mapping[str, str], 4] = {}


class UpdateContainerResourcesResponse(msgspec.Struct, frozen=True):
    pass


class ExecSyncRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""
    cmd: Annotated[tuple[str, ...], 2] = ()
    timeout: Annotated[int, 3] = 0


class ExecSyncResponse(msgspec.Struct, frozen=True):
    stdout: Annotated[bytes, 1] = b""
    stderr: Annotated[bytes, 2] = b""
    exit_code: Annotated[int, 3] = 0


class ExecRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""
    cmd: Annotated[tuple[str, ...], 2] = ()
    tty: Annotated[bool, 3] = False
    stdin: Annotated[bool, 4] = False
    stdout: Annotated[bool, 5] = False
    stderr: Annotated[bool, 6] = False


class ExecResponse(msgspec.Struct, frozen=True):
    url: Annotated[str, 1] = ""


class AttachRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""
    stdin: Annotated[bool, 2] = False
    tty: Annotated[bool, 3] = False
    stdout: Annotated[bool, 4] = False
    stderr: Annotated[bool, 5] = False


class AttachResponse(msgspec.Struct, frozen=True):
    url: Annotated[str, 1] = ""


class PortForwardRequest(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, 1] = ""
    port: Annotated[tuple[int, ...], 2] = ()


class PortForwardResponse(msgspec.Struct, frozen=True):
    url: Annotated[str, 1] = ""


class ReopenContainerLogRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""


class ReopenContainerLogResponse(msgspec.Struct, frozen=True):
    pass
