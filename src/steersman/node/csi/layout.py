"""Where volumes of CSI drivers are on the node, as the kubelet has it, since drivers look there.

Pure paths, and the record beside each volume (vol_data.json): it is written before a driver is
asked for anything, so that whatever was begun can be taken back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from steersman.node.record import replace_file

KUBELET: Final = Path("/var/lib/kubelet")
PLUGIN: Final = "kubernetes.io~csi"
DATA: Final = "vol_data.json"
PERSISTENT: Final = "Persistent"
EPHEMERAL: Final = "Ephemeral"


class Record(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is known of a volume that a driver was asked for; the kubelet's keys."""

    driver_name: str = ""
    volume_handle: str = ""
    volume_lifecycle_mode: str = PERSISTENT
    spec_vol_id: str = msgspec.field(default="", name="specVolID")
    node_name: str = ""
    attachment_id: str = msgspec.field(default="", name="attachmentID")
    block: bool = False

    @property
    def unique_name(self) -> str:
        """The name under which the node and the cluster know the volume (UniqueVolumeName)."""
        return f"kubernetes.io/csi/{self.driver_name}^{self.volume_handle}"

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same volume."""
        return self.driver_name, self.volume_handle


class Layout(msgspec.Struct, frozen=True):
    """The directories below the node's own, under the name by which drivers know it."""

    root: Path

    @property
    def registry(self) -> Path:
        """Where plugins put the sockets by which they are registered."""
        return self.root / "plugins_registry"

    @property
    def device_plugins(self) -> Path:
        """Where device plugins have their sockets, beside the one at which they register."""
        return self.root / "device-plugins"

    @property
    def pod_resources(self) -> Path:
        """Where it is told what pods have for themselves."""
        return self.root / "pod-resources"

    @property
    def pods(self) -> Path:
        """The directories of all pods."""
        return self.root / "pods"

    def volumes(self, uid: str) -> Path:
        """The volumes of one pod."""
        return self.pods / uid / "volumes" / PLUGIN

    def target(self, uid: str, name: str, *, block: bool) -> Path:
        """Where a driver publishes a volume for a pod."""
        if block:
            return self._devices / "publish" / name / uid
        return self._volume(uid, name) / "mount"

    def _volume(self, uid: str, name: str) -> Path:
        """The directory of one volume; a slash in its name is written as upstream writes it
        (EscapeQualifiedName)."""
        return self.volumes(uid) / name.replace("/", "~")

    def is_target(self, path: Path) -> bool:
        """Says whether a driver publishes volumes at a path."""
        return path.is_relative_to(self._devices) or path.parent.parent.name == PLUGIN

    def staging(self, record: Record) -> Path:
        """Where a driver stages a volume for all pods."""
        if record.block:
            return self._devices / "staging" / record.spec_vol_id
        digest = hashlib.sha256(record.volume_handle.encode()).hexdigest()
        return self._csi / record.driver_name / digest / "globalmount"

    @property
    def plugins(self) -> Path:
        """Where drivers have their sockets, and stage volumes."""
        return self.root / "plugins"

    @property
    def _csi(self) -> Path:
        return self.plugins / "kubernetes.io" / "csi"

    @property
    def _devices(self) -> Path:
        return self._csi / "volumeDevices"

    # Records

    def save(self, uid: str, name: str, record: Record) -> None:
        """Notes that a driver is asked to publish a volume for a pod."""
        replace_file(self._volume(uid, name) / DATA, msgspec.json.encode(record))

    def save_staged(self, record: Record) -> None:
        """Notes that a driver is asked to stage a volume."""
        replace_file(self._staged(record), msgspec.json.encode(record))

    def forget_staged(self, record: Record) -> None:
        """Removes that note, with the directory around it where it is a volume's own."""
        place = self._staged(record)
        place.unlink(missing_ok=True)
        if not record.block:
            with suppress(FileNotFoundError):
                place.parent.rmdir()

    def _staged(self, record: Record) -> Path:
        place = self.staging(record)
        return place.with_name(f"{place.name}.json") if record.block else place.parent / DATA

    def of_pod(self, uid: str) -> dict[str, Record | None]:
        """Returns what a pod has, by name; None for what was never noted whole."""
        place = self.volumes(uid)
        if not place.is_dir():
            return {}
        return {it.name: _read(it / DATA) for it in sorted(place.iterdir())}

    def all(self) -> Iterator[tuple[str, Record]]:
        """Yields what all pods have, with their uids."""
        for pod in self.pods.iterdir() if self.pods.is_dir() else ():
            for record in self.of_pod(pod.name).values():
                if record is not None:
                    yield pod.name, record


def _read(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


def root_of(directory: Path) -> Path:
    """Returns the name by which drivers know the node's directory: the kubelet's, where that
    leads here, since manifests of drivers mount it by that name."""
    return KUBELET if KUBELET.is_symlink() and KUBELET.resolve() == directory else directory
