"""A CSI driver for tests, written against the specification: directories of its own that are bound
where it is asked to, over real sockets, with faults on demand.

It keeps what it was asked, checks the order that the specification demands, and says so by codes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from registrar import Asked, serving
from steersman.listen.grpc import Handler
from steersman.node.volumes import block
from steersman.runtime.kernel import syscalls
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import csi
from steersman.wire.rpc.messages import Rpc
from steersman.wire.rpc.registration import CSI_PLUGIN, PluginInfo

_MS_BIND, _MS_REMOUNT, _MS_RDONLY = 4096, 32, 1


class Driver(Asked):
    """A driver with its volumes in a directory. `faults` are by the name of a method."""

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        node_id: str = "node-of-test",
        abilities: Sequence[int] = (csi.STAGE_UNSTAGE_VOLUME, csi.NODE_EXPAND_VOLUME),
        controller: Sequence[int] = (),
        topology: dict[str, str] | None = None,
        max_volumes: int = 0,
        versions: tuple[str, ...] = ("1.0.0",),
    ) -> None:
        super().__init__()
        self.name = name
        self.directory = directory
        self.info = csi.NodeInfo(
            node_id, max_volumes, None if topology is None else csi.Topology(topology)
        )
        self.abilities = abilities
        self.controller = controller
        self.versions = versions
        self.volumes: dict[str, csi.Volume] = {}
        self.snapshots: dict[str, csi.Snapshot] = {}
        self.attached: dict[str, str] = {}  # nodes by volumes
        self.staged: dict[str, str] = {}  # places by volumes
        self.published: dict[str, str] = {}  # volumes by places
        self.blocks: dict[str, Path] = {}  # devices by volumes

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.directory / "csi.sock"

    def methods(self) -> list[str]:
        """The methods that change something, in the order in which they were called."""
        return [name for name, _ in self.calls if "Get" not in name]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Driver]:
        """Serves the services of CSI."""
        async with serving(self.socket, self._handlers()):
            yield self

    @asynccontextmanager
    async def presented(self, registry: Path, name: str = "") -> AsyncIterator[Driver]:
        """Serves, and registers with a node by a socket in its folder, as node-driver-registrar
        does; waits for the outcome."""
        info = PluginInfo(CSI_PLUGIN, self.name, str(self.socket), self.versions)
        path = registry / f"{name or self.name}-reg.sock"
        async with self.listening(), self.registered(path, info):
            yield self

    def _handlers(self) -> dict[str, Handler]:
        served: list[tuple[Rpc[Any, Any], Callable[[Any], Any]]] = [
            (csi.GET_PLUGIN_INFO, lambda _: csi.PluginInfo(self.name, "1")),
            (csi.GET_PLUGIN_CAPABILITIES, self._capabilities),
            (csi.NODE_GET_INFO, lambda _: self.info),
            (csi.NODE_GET_CAPABILITIES, lambda _: _abilities(self.abilities)),
            (csi.NODE_STAGE_VOLUME, self._stage),
            (csi.NODE_UNSTAGE_VOLUME, self._unstage),
            (csi.NODE_PUBLISH_VOLUME, self._publish),
            (csi.NODE_UNPUBLISH_VOLUME, self._unpublish),
            (csi.NODE_EXPAND_VOLUME_CALL, self._expand_node),
            (csi.NODE_GET_VOLUME_STATS, self._stats),
            (csi.CONTROLLER_GET_CAPABILITIES, lambda _: _abilities(self.controller)),
            (csi.CREATE_VOLUME, self._create),
            (csi.DELETE_VOLUME, self._delete),
            (csi.CONTROLLER_PUBLISH_VOLUME, self._attach),
            (csi.CONTROLLER_UNPUBLISH_VOLUME, self._detach),
            (csi.CONTROLLER_EXPAND_VOLUME, self._expand),
            (csi.CREATE_SNAPSHOT, self._snapshot),
            (csi.DELETE_SNAPSHOT, self._forget_snapshot),
        ]
        return dict(self.serve(method, answer) for method, answer in served)

    def _capabilities(self, _: csi.Empty) -> csi.PluginCapabilities:
        found = [csi.CONTROLLER_SERVICE] if self.controller else []
        if self.info.accessible_topology is not None:
            found.append(csi.VOLUME_ACCESSIBILITY_CONSTRAINTS)
        return csi.PluginCapabilities(
            tuple(csi.PluginCapability(service=csi.PluginService(it)) for it in found)
        )

    # csi.v1.Node

    def _place(self, volume: str) -> Path:
        place = self.directory / "volumes" / volume
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _stage(self, message: csi.NodeStageVolume) -> csi.Empty:
        if not Path(message.staging_target_path).is_dir():
            raise Failed(grpc.INVALID_ARGUMENT, "the staging path is not there")
        if self.staged.get(message.volume_id) == message.staging_target_path:
            return csi.Empty()
        assert message.volume_capability is not None
        if message.volume_capability.block is None:
            _bind(self._place(message.volume_id), Path(message.staging_target_path))
        self.staged[message.volume_id] = message.staging_target_path
        return csi.Empty()

    def _unstage(self, message: csi.NodeUnstageVolume) -> csi.Empty:
        if message.volume_id in self.published.values():
            raise Failed(grpc.FAILED_PRECONDITION, "the volume is published")
        place = self.staged.pop(message.volume_id, None)
        if place is not None and message.volume_id not in self.blocks:
            syscalls.umount(place, 0)
        return csi.Empty()

    def _publish(self, message: csi.NodePublishVolume) -> csi.Empty:
        target = message.target_path
        staged = self.staged.get(message.volume_id, "")
        if csi.STAGE_UNSTAGE_VOLUME in self.abilities and message.staging_target_path != staged:
            raise Failed(grpc.FAILED_PRECONDITION, "the volume is not staged there")
        if target in self.published:
            return csi.Empty()
        if not Path(target).parent.is_dir():
            raise Failed(grpc.INVALID_ARGUMENT, "the directory of the target is not there")
        assert message.volume_capability is not None
        if message.volume_capability.block is not None:
            self._publish_device(message)
            return csi.Empty()
        source = Path(staged) if staged else self._place(message.volume_id)
        Path(target).mkdir(exist_ok=True)
        _bind(source, Path(target), readonly=message.readonly)
        self.published[target] = message.volume_id
        return csi.Empty()

    def _unpublish(self, message: csi.NodeUnpublishVolume) -> csi.Empty:
        if self.published.pop(message.target_path, None) is not None:
            syscalls.umount(message.target_path, 0)
            if message.volume_id in self.blocks:
                Path(message.target_path).unlink()
                block.detach(self.blocks[message.volume_id])
            else:
                Path(message.target_path).rmdir()
        return csi.Empty()

    def _publish_device(self, message: csi.NodePublishVolume) -> None:
        """Binds a loop device of a file of a megabyte to the target, which is a file."""
        image = self._place(message.volume_id) / "image"
        with image.open("ab") as file:
            file.truncate(1 << 20)
        device = block.attach(image)
        Path(message.target_path).touch()
        _bind(device, Path(message.target_path))
        self.blocks[message.volume_id] = device
        self.published[message.target_path] = message.volume_id

    def _expand_node(self, message: csi.NodeExpandVolume) -> csi.Expanded:
        assert message.capacity_range is not None
        return csi.Expanded(message.capacity_range.required_bytes)

    def _stats(self, message: csi.NodeGetVolumeStats) -> csi.VolumeStats:
        if message.volume_path not in self.published:
            raise Failed(grpc.NOT_FOUND, "nothing is published there")
        return csi.VolumeStats(
            (csi.VolumeUsage(600, 1000, 400, 1), csi.VolumeUsage(90, 100, 10, 2))
        )

    # csi.v1.Controller

    def _create(self, message: csi.CreateVolume) -> csi.CreatedVolume:
        known = self.volumes.get(message.name)
        size = message.capacity_range.required_bytes if message.capacity_range else 0
        if known is None:
            known = csi.Volume(size, f"id-{message.name}", {"made": "here", **message.parameters})
            known = csi.Volume(
                known.capacity_bytes,
                known.volume_id,
                known.volume_context,
                message.volume_content_source,
                () if self.info.accessible_topology is None else (self.info.accessible_topology,),
            )
            self.volumes[message.name] = known
        return csi.CreatedVolume(known)

    def _delete(self, message: csi.DeleteVolume) -> csi.Empty:
        if message.volume_id in self.attached:
            raise Failed(grpc.FAILED_PRECONDITION, "the volume is attached")
        self.volumes = {k: v for k, v in self.volumes.items() if v.volume_id != message.volume_id}
        return csi.Empty()

    def _attach(self, message: csi.ControllerPublishVolume) -> csi.Published:
        self.attached[message.volume_id] = message.node_id
        return csi.Published({"device": f"of {message.volume_id}"})

    def _detach(self, message: csi.ControllerUnpublishVolume) -> csi.Empty:
        if message.volume_id in {*self.staged, *self.published.values()}:
            raise Failed(grpc.FAILED_PRECONDITION, "the volume is in use on its node")
        self.attached.pop(message.volume_id, None)
        return csi.Empty()

    def _expand(self, message: csi.ControllerExpandVolume) -> csi.ControllerExpanded:
        assert message.capacity_range is not None
        return csi.ControllerExpanded(message.capacity_range.required_bytes, True)

    def _snapshot(self, message: csi.CreateSnapshot) -> csi.CreatedSnapshot:
        made = csi.Snapshot(
            1024,
            f"snap-{message.name}",
            message.source_volume_id,
            csi.Timestamp(1_700_000_000),
            True,
        )
        return csi.CreatedSnapshot(self.snapshots.setdefault(message.name, made))

    def _forget_snapshot(self, message: csi.DeleteSnapshot) -> csi.Empty:
        self.snapshots = {
            k: v for k, v in self.snapshots.items() if v.snapshot_id != message.snapshot_id
        }
        return csi.Empty()


def _abilities(numbers: Sequence[int]) -> csi.Capabilities:
    return csi.Capabilities(tuple(csi.Capability(csi.CapabilityType(it)) for it in numbers))


def _bind(source: Path, target: Path, *, readonly: bool = False) -> None:
    syscalls.mount(str(source), str(target), "", _MS_BIND, "")
    if readonly:
        flags = _MS_BIND | _MS_REMOUNT | _MS_RDONLY
        syscalls.mount("", str(target), "", flags, "")
