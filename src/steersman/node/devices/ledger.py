"""Which container has which devices: kept on disk, in the form and under the name that the kubelet
has (kubelet_internal_checkpoint), since others read that.

One rule: it is written before a container can use what it was given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from steersman.node.record import replace_file
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.device_plugin import Allocated
from steersman.wire.rpc.messages import decode, encode

# The NUMA node of a device that lies nowhere
NOWHERE: Final = -1


class Held(msgspec.Struct, frozen=True):
    """Devices of one resource that a container has, by the NUMA nodes where they lie, and what
    their plugin said that it needs."""

    nodes: Mapping[int, tuple[str, ...]]
    answer: Allocated

    @property
    def devices(self) -> frozenset[str]:
        """The names of the devices."""
        return frozenset(name for names in self.nodes.values() for name in names)


class _Entry(msgspec.Struct, frozen=True):
    pod: str = msgspec.field(name="PodUID")
    container: str = msgspec.field(name="ContainerName")
    resource: str = msgspec.field(name="ResourceName")
    devices: Mapping[int, tuple[str, ...]] = msgspec.field(name="DeviceIDs")
    message: bytes = msgspec.field(name="AllocResp")

    @property
    def answer(self) -> Allocated:
        """What the plugin said."""
        return decode(Allocated, self.message)


class _Data(msgspec.Struct, frozen=True):
    entries: tuple[_Entry, ...] | None = msgspec.field(name="PodDeviceEntries", default=())
    resources: Mapping[str, tuple[str, ...]] = msgspec.field(name="RegisteredDevices", default={})


class _Checkpoint(msgspec.Struct, frozen=True):
    data: _Data = msgspec.field(name="Data", default=_Data())


class Ledger:
    """The devices of all containers; `resources` are the devices that plugins had listed when the
    agent before this one ended."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: dict[str, dict[str, dict[str, Held]]] = {}
        found = _read(file)
        self.resources = set(found.resources)
        for it in found.entries or ():
            self._of(it.pod, it.container)[it.resource] = Held(it.devices, it.answer)

    def _of(self, pod: str, container: str) -> dict[str, Held]:
        return self._held.setdefault(pod, {}).setdefault(container, {})

    def of(self, pod: str, container: str) -> Mapping[str, Held]:
        """Returns what a container has, by resource."""
        return self._held.get(pod, {}).get(container, {})

    def in_use(self, resource: str) -> set[str]:
        """Returns the devices of a resource that any container has."""
        return {name for _, _, held in self.of_resource(resource) for name in held.devices}

    def of_resource(self, resource: str) -> Iterator[tuple[str, str, Held]]:
        """Yields pods and containers that have devices of a resource."""
        for pod, containers in self._held.items():
            for container, resources in containers.items():
                if resource in resources:
                    yield pod, container, resources[resource]

    def note(self, pod: str, container: str, resource: str, held: Held) -> None:
        """Notes what a container is given; to be saved."""
        self._of(pod, container)[resource] = held

    def pods(self) -> Collection[str]:
        """Returns the pods that have devices."""
        return self._held.keys()

    def release(self, pod: str) -> bool:
        """Forgets what a pod has; says whether it had anything."""
        return self._held.pop(pod, None) is not None

    def save(self, resources: Mapping[str, frozenset[str]]) -> None:
        """Writes it, with the sound devices of all resources. Raises OSError."""
        entries = tuple(
            _Entry(pod, container, resource, held.nodes, encode(held.answer))
            for pod, containers in self._held.items()
            for container, given in containers.items()
            for resource, held in given.items()
        )
        listed = {name: tuple(sorted(healthy)) for name, healthy in resources.items()}
        replace_file(self._file, msgspec.json.encode(_Checkpoint(_Data(entries, listed))))


def _read(file: Path) -> _Data:
    """Reads what is written; what cannot be read is as good as nothing."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Checkpoint).data
        for it in found.entries or ():
            decode(Allocated, it.message)
    except (OSError, msgspec.DecodeError, Failed):
        return _Data()
    return found
