"""Which claims are prepared on this node, for which pods, and with which devices: kept on disk.

Follows the kubelet's cm/dra/claiminfo.go. One rule: a claim is noted before a driver is asked for
it, so that whatever was begun can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from steersman.node.record import replace_file

FILE: Final = "dra_manager_state"
Key = tuple[str, str]


class PreparedDevice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device that a driver made ready: for which requests of its claim, none for all, and under
    which names of the Container Device Interface."""

    pool: str
    device: str
    requests: tuple[str, ...] = ()
    cdi: tuple[str, ...] = ()

    def serves(self, request: str) -> bool:
        """Whether it is for a request, empty for any; of `request/alternative` the first counts."""
        return not request or not self.requests or request.partition("/")[0] in self.requests


class ClaimInfo(msgspec.Struct, frozen=True):
    """A claim: the pods that use it, and by driver the devices; without any as long as its driver
    has not made it ready."""

    namespace: str
    name: str
    uid: str
    pods: tuple[str, ...]
    drivers: Mapping[str, tuple[PreparedDevice, ...]]

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    def devices(self, request: str) -> list[PreparedDevice]:
        """Returns the devices for a request, empty for all."""
        return [it for found in self.drivers.values() for it in found if it.serves(request)]


class Prepared:
    """All claims of the node. `is_ready` is not kept: after a restart of the agent a pod that
    begins anew has its claims prepared once more, which drivers must bear."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._claims = {it.key: it for it in _read(file)}
        self._ready: set[Key] = set()

    def get(self, key: Key) -> ClaimInfo | None:
        """Returns a claim."""
        return self._claims.get(key)

    def is_ready(self, key: Key) -> bool:
        """Whether all drivers have made a claim ready."""
        return key in self._ready

    def of_pod(self, uid: str) -> list[ClaimInfo]:
        """Returns the claims that a pod uses."""
        return [it for it in self._claims.values() if uid in it.pods]

    def using(self, driver: str) -> set[str]:
        """Returns the pods with claims of a driver."""
        return {pod for it in self._claims.values() if driver in it.drivers for pod in it.pods}

    def add(self, claim: ClaimInfo, pod: str) -> ClaimInfo:
        """Notes that a pod uses a claim, which is about to be prepared where it is not known."""
        known = self._claims.get(claim.key, claim)
        if pod not in known.pods:
            known = replace(known, pods=(*known.pods, pod))
        self._claims[claim.key] = known
        return known

    def give(self, key: Key, driver: str, devices: tuple[PreparedDevice, ...]) -> None:
        """Notes what a driver has made ready."""
        known = self._claims[key]
        self._claims[key] = replace(known, drivers={**known.drivers, driver: devices})

    def set_ready(self, key: Key) -> None:
        """Notes that all drivers have made a claim ready."""
        self._ready.add(key)

    def leave(self, key: Key, pod: str) -> None:
        """Notes that a pod uses a claim no more, which others do."""
        known = self._claims[key]
        self._claims[key] = replace(known, pods=tuple(it for it in known.pods if it != pod))

    def remove(self, key: Key) -> None:
        """Forgets a claim that was taken back."""
        self._claims.pop(key, None)
        self._ready.discard(key)

    def save(self) -> None:
        """Writes it; raises OSError."""
        replace_file(self._file, msgspec.json.encode(list(self._claims.values())))


def _read(file: Path) -> list[ClaimInfo]:
    """Reads what is written; what cannot be read is as good as nothing."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[ClaimInfo])
    except (OSError, msgspec.DecodeError):
        return []
