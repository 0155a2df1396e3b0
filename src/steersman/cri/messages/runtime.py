"""Messages about the runtime itself, and its events.

Names and numbers are those of the CRI, version v1 (kubernetes/cri-api, api.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from steersman.cri.messages.containers import ContainerStatus
from steersman.cri.messages.sandboxes import PodSandboxStatus

# The two services
RUNTIME: Final = "/runtime.v1.RuntimeService"
IMAGE: Final = "/runtime.v1.ImageService"
# ContainerEventType
CONTAINER_CREATED, CONTAINER_STARTED, CONTAINER_STOPPED, CONTAINER_DELETED = range(4)
# CgroupDriver
SYSTEMD, CGROUPFS = range(2)


class VersionRequest(msgspec.Struct, frozen=True):
    version: Annotated[str, 1] = ""


class VersionResponse(msgspec.Struct, frozen=True):
    version: Annotated[str, 1] = ""
    runtime_name: Annotated[str, 2] = ""
    runtime_version: Annotated[str, 3] = ""
    runtime_api_version: Annotated[str, 4] = ""


class NetworkConfig(msgspec.Struct, frozen=True):
    pod_cidr: Annotated[str, 1] = ""


class RuntimeConfig(msgspec.Struct, frozen=True):
    network_config: Annotated[NetworkConfig | None, 1] = None


class UpdateRuntimeConfigRequest(msgspec.Struct, frozen=True):
    runtime_config: Annotated[RuntimeConfig | None, 1] = None


class UpdateRuntimeConfigResponse(msgspec.Struct, frozen=True):
    pass


class StatusRequest(msgspec.Struct, frozen=True):
    verbose: Annotated[bool, 1] = False


class RuntimeCondition(msgspec.Struct, frozen=True):
    type: Annotated[str, 1] = ""
    status: Annotated[bool, 2] = False
    reason: Annotated[str, 3] = ""
    message: Annotated[str, 4] = ""


class RuntimeStatus(msgspec.Struct, frozen=True):
    conditions: Annotated[tuple[RuntimeCondition, ...], 1] = ()


class RuntimeHandlerFeatures(msgspec.Struct, frozen=True):
    recursive_read_only_mounts: Annotated[bool, 1] = False
    user_namespaces: Annotated[bool, 2] = False


class RuntimeHandler(msgspec.Struct, frozen=True):
    name: Annotated[str, 1] = ""
    features: Annotated[RuntimeHandlerFeatures | None, 2] = None


class RuntimeFeatures(msgspec.Struct, frozen=True):
    supplemental_groups_policy: Annotated[bool, 1] = False
    user_namespaces_host_network: Annotated[bool, 2] = False


class StatusResponse(msgspec.Struct, frozen=True):
    status: Annotated[RuntimeStatus | None, 1] = None
    info: Annotated[Mapping[str, str], 2] = {}
    runtime_handlers: Annotated[tuple[RuntimeHandler, ...], 3] = ()
    features: Annotated[RuntimeFeatures | None, 4] = None


class LinuxRuntimeConfiguration(msgspec.Struct, frozen=True):
    cgroup_driver: Annotated[int, 1] = 0


class RuntimeConfigRequest(msgspec.Struct, frozen=True):
    pass


class RuntimeConfigResponse(msgspec.Struct, frozen=True):
    linux: Annotated[LinuxRuntimeConfiguration | None, 1] = None


class GetEventsRequest(msgspec.Struct, frozen=True):
    pass


class ContainerEventResponse(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""
    container_event_type: Annotated[int, 2] = 0
    created_at: Annotated[int, 3] = 0
    pod_sandbox_status: Annotated[PodSandboxStatus | None, 4] = None
    containers_statuses: Annotated[tuple[ContainerStatus, ...], 5] = ()


class PodSandboxStatusResponse(msgspec.Struct, frozen=True):
    status: Annotated[PodSandboxStatus | None, 1] = None
    info: Annotated[Mapping[str, str], 2] = {}
    containers_statuses: Annotated[tuple[ContainerStatus, ...], 3] = ()
    timestamp: Annotated[int, 4] = 0
