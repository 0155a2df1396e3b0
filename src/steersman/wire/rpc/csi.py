"""Messages and methods of the Container Storage Interface 1.x, as far as they are used here.

Names and numbers are those of csi.proto; what they mean stands in its specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from steersman.wire.rpc.messages import Rpc

Texts = Mapping[str, str]


# What both sides share


class CapabilityType(msgspec.Struct, frozen=True):
    """What a service can do, by the number of an enum."""

    type: Annotated[int, 1] = 0


class Capability(msgspec.Struct, frozen=True):
    """One thing that a service can do."""

    rpc: Annotated[CapabilityType | None, 1] = None


class Capabilities(msgspec.Struct, frozen=True):
    """What the node's or the controller's side of a driver can do."""

    capabilities: Annotated[tuple[Capability, ...], 1] = ()


class Topology(msgspec.Struct, frozen=True):
    """Where something can be reached from."""

    segments: Annotated[Texts, 1] = {}


class BlockVolume(msgspec.Struct, frozen=True):
    """A volume that is used as a device."""


class MountVolume(msgspec.Struct, frozen=True):
    """A volume that is used as a file system."""

    fs_type: Annotated[str, 1] = ""
    mount_flags: Annotated[tuple[str, ...], 2] = ()
    volume_mount_group: Annotated[str, 3] = ""


class AccessMode(msgspec.Struct, frozen=True):
    """By how many nodes a volume is used, and how."""

    mode: Annotated[int, 1] = 0


class VolumeCapability(msgspec.Struct, frozen=True):
    """How a volume is to be used; of block and mount one is set."""

    block: Annotated[BlockVolume | None, 1] = None
    mount: Annotated[MountVolume | None, 2] = None
    access_mode: Annotated[AccessMode | None, 3] = None


class CapacityRange(msgspec.Struct, frozen=True):
    """How large something has to be and may be, 0 for any."""

    required_bytes: Annotated[int, 1] = 0
    limit_bytes: Annotated[int, 2] = 0


class Empty(msgspec.Struct, frozen=True):
    """A message without fields."""


# csi.v1.Identity


class PluginInfo(msgspec.Struct, frozen=True):
    """Who a driver is."""

    name: Annotated[str, 1] = ""
    vendor_version: Annotated[str, 2] = ""
    manifest: Annotated[Texts, 3] = {}


class PluginService(msgspec.Struct, frozen=True):
    """A service that a driver has beside that of nodes, by the number of an enum."""

    type: Annotated[int, 1] = 0


class PluginCapability(msgspec.Struct, frozen=True):
    """One thing that a driver has."""

    service: Annotated[PluginService | None, 1] = None
    volume_expansion: Annotated[PluginService | None, 2] = None


class PluginCapabilities(msgspec.Struct, frozen=True):
    """What a driver has."""

    capabilities: Annotated[tuple[PluginCapability, ...], 1] = ()


# csi.v1.Node


class NodeInfo(msgspec.Struct, frozen=True):
    """How a driver knows a node."""

    node_id: Annotated[str, 1] = ""
    max_volumes_per_node: Annotated[int, 2] = 0
    accessible_topology: Annotated[Topology | None, 3] = None


class NodeStageVolume(msgspec.Struct, frozen=True):
    """Prepares a volume on a node."""

    volume_id: Annotated[str, 1] = ""
    publish_context: Annotated[Texts, 2] = {}
    staging_target_path: Annotated[str, 3] = ""
    volume_capability: Annotated[VolumeCapability | None, 4] = None
    secrets: Annotated[Texts, 5] = {}
    volume_context: Annotated[Texts, 6] = {}


class NodeUnstageVolume(msgspec.Struct, frozen=True):
    """Takes that back."""

    volume_id: Annotated[str, 1] = ""
    staging_target_path: Annotated[str, 2] = ""


class NodePublishVolume(msgspec.Struct, frozen=True):
    """Gives a volume to a pod."""

    volume_id: Annotated[str, 1] = ""
    publish_context: Annotated[Texts, 2] = {}
    staging_target_path: Annotated[str, 3] = ""
    target_path: Annotated[str, 4] = ""
    volume_capability: Annotated[VolumeCapability | None, 5] = None
    readonly: Annotated[bool, 6] = False
    secrets: Annotated[Texts, 7] = {}
    volume_context: Annotated[Texts, 8] = {}


class NodeUnpublishVolume(msgspec.Struct, frozen=True):
    """Takes that back."""

    volume_id: Annotated[str, 1] = ""
    target_path: Annotated[str, 2] = ""


class NodeGetVolumeStats(msgspec.Struct, frozen=True):
    """Asks how full a volume is."""

    volume_id: Annotated[str, 1] = ""
    volume_path: Annotated[str, 2] = ""
    staging_target_path: Annotated[str, 3] = ""


class VolumeUsage(msgspec.Struct, frozen=True):
    """How much there is of bytes (unit 1) or inodes (unit 2)."""

    available: Annotated[int, 1] = 0
    total: Annotated[int, 2] = 0
    used: Annotated[int, 3] = 0
    unit: Annotated[int, 4] = 0


class VolumeCondition(msgspec.Struct, frozen=True):
    """Whether something is wrong with a volume."""

    abnormal: Annotated[bool, 1] = False
    message: Annotated[str, 2] = ""


class VolumeStats(msgspec.Struct, frozen=True):
    """How full a volume is."""

    usage: Annotated[tuple[VolumeUsage, ...], 1] = ()
    volume_condition: Annotated[VolumeCondition | None, 2] = None


class NodeExpandVolume(msgspec.Struct, frozen=True):
    """Lets a volume's file system grow."""

    volume_id: Annotated[str, 1] = ""
    volume_path: Annotated[str, 2] = ""
    capacity_range: Annotated[CapacityRange | None, 3] = None
    staging_target_path: Annotated[str, 4] = ""
    volume_capability: Annotated[VolumeCapability | None, 5] = None
    secrets: Annotated[Texts, 6] = {}


class Expanded(msgspec.Struct, frozen=True):
    """How large a volume is now."""

    capacity_bytes: Annotated[int, 1] = 0


# csi.v1.Controller


class SnapshotSource(msgspec.Struct, frozen=True):
    """A snapshot that a volume is made from."""

    snapshot_id: Annotated[str, 1] = ""


class VolumeSource(msgspec.Struct, frozen=True):
    """A volume that a volume is made from."""

    volume_id: Annotated[str, 1] = ""


class ContentSource(msgspec.Struct, frozen=True):
    """What a volume is made from; one of both is set."""

    snapshot: Annotated[SnapshotSource | None, 1] = None
    volume: Annotated[VolumeSource | None, 2] = None


class TopologyRequirement(msgspec.Struct, frozen=True):
    """Where a volume has to be reached from."""

    requisite: Annotated[tuple[Topology, ...], 1] = ()
    preferred: Annotated[tuple[Topology, ...], 2] = ()


class CreateVolume(msgspec.Struct, frozen=True):
    """Asks for a volume."""

    name: Annotated[str, 1] = ""
    capacity_range: Annotated[CapacityRange | None, 2] = None
    volume_capabilities: Annotated[tuple[VolumeCapability, ...], 3] = ()
    parameters: Annotated[Texts, 4] = {}
    secrets: Annotated[Texts, 5] = {}
    volume_content_source: Annotated[ContentSource | None, 6] = None
    accessibility_requirements: Annotated[TopologyRequirement | None, 7] = None
    mutable_parameters: Annotated[Texts, 8] = {}


class Volume(msgspec.Struct, frozen=True):
    """A volume as its driver knows it."""

    capacity_bytes: Annotated[int, 1] = 0
    volume_id: Annotated[str, 2] = ""
    volume_context: Annotated[Texts, 3] = {}
    content_source: Annotated[ContentSource | None, 4] = None
    accessible_topology: Annotated[tuple[Topology, ...], 5] = ()


class CreatedVolume(msgspec.Struct, frozen=True):
    """The volume that was made."""

    volume: Annotated[Volume | None, 1] = None


class DeleteVolume(msgspec.Struct, frozen=True):
    """Removes a volume."""

    volume_id: Annotated[str, 1] = ""
    secrets: Annotated[Texts, 2] = {}


class ControllerPublishVolume(msgspec.Struct, frozen=True):
    """Attaches a volume to a node."""

    volume_id: Annotated[str, 1] = ""
    node_id: Annotated[str, 2] = ""
    volume_capability: Annotated[VolumeCapability | None, 3] = None
    readonly: Annotated[bool, 4] = False
    secrets: Annotated[Texts, 5] = {}
    volume_context: Annotated[Texts, 6] = {}


class Published(msgspec.Struct, frozen=True):
    """What the node needs to know of it."""

    publish_context: Annotated[Texts, 1] = {}


class ControllerUnpublishVolume(msgspec.Struct, frozen=True):
    """Detaches a volume from a node."""

    volume_id: Annotated[str, 1] = ""
    node_id: Annotated[str, 2] = ""
    secrets: Annotated[Texts, 3] = {}


class ControllerExpandVolume(msgspec.Struct, frozen=True):
    """Makes a volume larger."""

    volume_id: Annotated[str, 1] = ""
    capacity_range: Annotated[CapacityRange | None, 2] = None
    secrets: Annotated[Texts, 3] = {}
    volume_capability: Annotated[VolumeCapability | None, 4] = None


class ControllerExpanded(msgspec.Struct, frozen=True):
    """How large it is now, and whether the node has to do something too."""

    capacity_bytes: Annotated[int, 1] = 0
    node_expansion_required: Annotated[bool, 2] = False


class CreateSnapshot(msgspec.Struct, frozen=True):
    """Asks for a snapshot of a volume."""

    source_volume_id: Annotated[str, 1] = ""
    name: Annotated[str, 2] = ""
    secrets: Annotated[Texts, 3] = {}
    parameters: Annotated[Texts, 4] = {}


class Timestamp(msgspec.Struct, frozen=True):
    """A time, of google.protobuf."""

    seconds: Annotated[int, 1] = 0
    nanos: Annotated[int, 2] = 0


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot as its driver knows it."""

    size_bytes: Annotated[int, 1] = 0
    snapshot_id: Annotated[str, 2] = ""
    source_volume_id: Annotated[str, 3] = ""
    creation_time: Annotated[Timestamp | None, 4] = None
    ready_to_use: Annotated[bool, 5] = False
    group_snapshot_id: Annotated[str, 6] = ""


class CreatedSnapshot(msgspec.Struct, frozen=True):
    """The snapshot that was made."""

    snapshot: Annotated[Snapshot | None, 1] = None


class DeleteSnapshot(msgspec.Struct, frozen=True):
    """Removes a snapshot."""

    snapshot_id: Annotated[str, 1] = ""
    secrets: Annotated[Texts, 2] = {}


# Numbers of enums that are used

SINGLE_NODE_WRITER: Final = 1
MULTI_NODE_READER_ONLY: Final = 3
MULTI_NODE_MULTI_WRITER: Final = 5
SINGLE_NODE_SINGLE_WRITER: Final = 6
SINGLE_NODE_MULTI_WRITER: Final = 7
_MODES_OF_MANY: Final = {
    "ReadOnlyMany": MULTI_NODE_READER_ONLY,
    "ReadWriteMany": MULTI_NODE_MULTI_WRITER,
}
# PluginCapability.Service
CONTROLLER_SERVICE: Final = 1
VOLUME_ACCESSIBILITY_CONSTRAINTS: Final = 2
# NodeServiceCapability.RPC
STAGE_UNSTAGE_VOLUME: Final = 1
GET_VOLUME_STATS: Final = 2
NODE_EXPAND_VOLUME: Final = 3
NODE_SINGLE_NODE_MULTI_WRITER: Final = 5
VOLUME_MOUNT_GROUP: Final = 6
# ControllerServiceCapability.RPC
CREATE_DELETE_VOLUME: Final = 1
PUBLISH_UNPUBLISH_VOLUME: Final = 2
CREATE_DELETE_SNAPSHOT: Final = 5
CLONE_VOLUME: Final = 7
PUBLISH_READONLY: Final = 8
EXPAND_VOLUME: Final = 9
SINGLE_NODE_MULTI_WRITER_OF_CONTROLLER: Final = 13


def access_mode(name: str, *, tells_apart: bool) -> AccessMode:
    """Returns the mode for a name of Kubernetes'; `tells_apart` says whether the driver knows one
    writer on a node from several (SINGLE_NODE_MULTI_WRITER)."""
    if name in _MODES_OF_MANY:
        return AccessMode(_MODES_OF_MANY[name])
    if not tells_apart:
        return AccessMode(SINGLE_NODE_WRITER)
    once = name == "ReadWriteOncePod"
    return AccessMode(SINGLE_NODE_SINGLE_WRITER if once else SINGLE_NODE_MULTI_WRITER)


# Methods

GET_PLUGIN_INFO = Rpc("/csi.v1.Identity/GetPluginInfo", Empty, PluginInfo)
GET_PLUGIN_CAPABILITIES = Rpc("/csi.v1.Identity/GetPluginCapabilities", Empty, PluginCapabilities)
NODE_GET_INFO = Rpc("/csi.v1.Node/NodeGetInfo", Empty, NodeInfo)
NODE_GET_CAPABILITIES = Rpc("/csi.v1.Node/NodeGetCapabilities", Empty, Capabilities)
NODE_STAGE_VOLUME = Rpc("/csi.v1.Node/NodeStageVolume", NodeStageVolume, Empty)
NODE_UNSTAGE_VOLUME = Rpc("/csi.v1.Node/NodeUnstageVolume", NodeUnstageVolume, Empty)
NODE_PUBLISH_VOLUME = Rpc("/csi.v1.Node/NodePublishVolume", NodePublishVolume, Empty)
NODE_UNPUBLISH_VOLUME = Rpc("/csi.v1.Node/NodeUnpublishVolume", NodeUnpublishVolume, Empty)
NODE_GET_VOLUME_STATS = Rpc("/csi.v1.Node/NodeGetVolumeStats", NodeGetVolumeStats, VolumeStats)
NODE_EXPAND_VOLUME_CALL = Rpc("/csi.v1.Node/NodeExpandVolume", NodeExpandVolume, Expanded)
_CONTROLLER: Final = "/csi.v1.Controller"
CONTROLLER_GET_CAPABILITIES = Rpc(f"{_CONTROLLER}/ControllerGetCapabilities", Empty, Capabilities)
CREATE_VOLUME = Rpc(f"{_CONTROLLER}/CreateVolume", CreateVolume, CreatedVolume)
DELETE_VOLUME = Rpc(f"{_CONTROLLER}/DeleteVolume", DeleteVolume, Empty)
CONTROLLER_PUBLISH_VOLUME = Rpc(
    f"{_CONTROLLER}/ControllerPublishVolume", ControllerPublishVolume, Published
)
CONTROLLER_UNPUBLISH_VOLUME = Rpc(
    f"{_CONTROLLER}/ControllerUnpublishVolume", ControllerUnpublishVolume, Empty
)
CONTROLLER_EXPAND_VOLUME = Rpc(
    f"{_CONTROLLER}/ControllerExpandVolume", ControllerExpandVolume, ControllerExpanded
)
CREATE_SNAPSHOT = Rpc(f"{_CONTROLLER}/CreateSnapshot", CreateSnapshot, CreatedSnapshot)
DELETE_SNAPSHOT = Rpc(f"{_CONTROLLER}/DeleteSnapshot", DeleteSnapshot, Empty)
