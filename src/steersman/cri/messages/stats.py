"""Messages about what sandboxes and containers use.

Names and numbers are those of the CRI, version v1 (kubernetes/cri-api, api.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from steersman.cri.messages.containers import ContainerMetadata
from steersman.cri.messages.images import FilesystemUsage
from steersman.cri.messages.sandboxes import PodSandboxMetadata
from steersman.cri.messages.values import UInt64Value


class CpuUsage(msgspec.Struct, frozen=True):
    timestamp: Annotated[int, 1] = 0
    usage_core_nano_seconds: Annotated[UInt64Value | None, 2] = None
    usage_nano_cores: Annotated[UInt64Value | None, 3] = None


class MemoryUsage(msgspec.Struct, frozen=True):
    timestamp: Annotated[int, 1] = 0
    working_set_bytes: Annotated[UInt64Value | None, 2] = None
    available_bytes: Annotated[UInt64Value | None, 3] = None
    usage_bytes: Annotated[UInt64Value | None, 4] = None
    rss_bytes: Annotated[UInt64Value | None, 5] = None
    page_faults: Annotated[UInt64Value | None, 6] = None
    major_page_faults: Annotated[UInt64Value | None, 7] = None


class SwapUsage(msgspec.Struct, frozen=True):
    timestamp: Annotated[int, 1] = 0
    swap_available_bytes: Annotated[UInt64Value | None, 2] = None
    swap_usage_bytes: Annotated[UInt64Value | None, 3] = None


class NetworkInterfaceUsage(msgspec.Struct, frozen=True):
    name: Annotated[str, 1] = ""
    rx_bytes: Annotated[UInt64Value | None, 2] = None
    rx_errors: Annotated[UInt64Value | None, 3] = None
    tx_bytes: Annotated[UInt64Value | None, 4] = None
    tx_errors: Annotated[UInt64Value | None, 5] = None


class NetworkUsage(msgspec.Struct, frozen=True):
    timestamp: Annotated[int, 1] = 0
    default_interface: Annotated[NetworkInterfaceUsage | None, 2] = None
    interfaces: Annotated[tuple[NetworkInterfaceUsage, ...], 3] = ()


class ProcessUsage(msgspec.Struct, frozen=True):
    timestamp: Annotated[int, 1] = 0
    process_count: Annotated[UInt64Value | None, 2] = None


class ContainerAttributes(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    metadata: Annotated[ContainerMetadata | None, 2] = None
    labels: Annotated[Mapping[str, str], 3] = {}
    annotations: Annotated[Mapping[str, str], 4] = {}


class ContainerStats(msgspec.Struct, frozen=True):
    attributes: Annotated[ContainerAttributes | None, 1] = None
    cpu: Annotated[CpuUsage | None, 2] = None
    memory: Annotated[MemoryUsage | None, 3] = None
    writable_layer: Annotated[FilesystemUsage | None, 4] = None
    swap: Annotated[SwapUsage | None, 5] = None


class ContainerStatsRequest(msgspec.Struct, frozen=True):
    container_id: Annotated[str, 1] = ""


class ContainerStatsResponse(msgspec.Struct, frozen=True):
    stats: Annotated[ContainerStats | None, 1] = None


class ContainerStatsFilter(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    pod_sandbox_id: Annotated[str, 2] = ""
    label_selector: Annotated[Mapping[str, str], 3] = {}


class ListContainerStatsRequest(msgspec.Struct, frozen=True):
    filter: Annotated[ContainerStatsFilter | None, 1] = None


class ListContainerStatsResponse(msgspec.Struct, frozen=True):
    stats: Annotated[tuple[ContainerStats, ...], 1] = ()


class PodSandboxAttributes(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    metadata: Annotated[PodSandboxMetadata | None, 2] = None
    labels: Annotated[Mapping[str, str], 3] = {}
    annotations: Annotated[Mapping[str, str], 4] = {}


class LinuxPodSandboxStats(msgspec.Struct, frozen=True):
    cpu: Annotated[CpuUsage | None, 1] = None
    memory: Annotated[MemoryUsage | None, 2] = None
    network: Annotated[NetworkUsage | None, 3] = None
    process: Annotated[ProcessUsage | None, 4] = None
    containers: Annotated[tuple[ContainerStats, ...], 5] = ()


class PodSandboxStats(msgspec.Struct, frozen=True):
    attributes: Annotated[PodSandboxAttributes | None, 1] = None
    linux: Annotated[LinuxPodSandboxStats | None, 2] = None


class PodSandboxStatsRequest(msgspec.Struct, frozen=True):
    pod_sandbox_id: Annotated[str, 1] = ""


class PodSandboxStatsResponse(msgspec.Struct, frozen=True):
    stats: Annotated[PodSandboxStats | None, 1] = None


class PodSandboxStatsFilter(msgspec.Struct, frozen=True):
    id: Annotated[str, 1] = ""
    label_selector: Annotated[Mapping[str, str], 2] = {}


class ListPodSandboxStatsRequest(msgspec.Struct, frozen=True):
    filter: Annotated[PodSandboxStatsFilter | None, 1] = None


class ListPodSandboxStatsResponse(msgspec.Struct, frozen=True):
    stats: Annotated[tuple[PodSandboxStats, ...], 1] = ()
