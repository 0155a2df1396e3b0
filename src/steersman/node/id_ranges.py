"""The ids that pods with users of their own have on this machine: 65536 for each, none twice.

Follows the kubelet's userns manager (KEP-127). Rule: what a pod has stands in its directory, in
the kubelet's form, from before it is used until nothing of the pod is left; a restarted agent
gives nobody what is still there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from steersman.model.kind import Document
from steersman.node import record
from steersman.node.paths import Paths

IDS_PER_POD = 65536
# The ids below are the machine's own, and the very last is none
_FIRST = IDS_PER_POD
_RANGES = (1 << 32) // IDS_PER_POD - 2
_USER = "kubelet"
_SUBORDINATE = (Path("/etc/subuid"), Path("/etc/subgid"))


class BadRange(Exception):
    """What is to be given to pods cannot be; the text says why."""


class _Mapping(msgspec.Struct, frozen=True, rename="camel"):
    host_id: int
    container_id: int
    length: int


class _File(msgspec.Struct, frozen=True, rename="camel"):
    """What the kubelet keeps of a pod in its file `userns`."""

    uid_mappings: tuple[_Mapping, ...]
    gid_mappings: tuple[_Mapping, ...]


_decode = msgspec.json.Decoder(_File).decode


def read_subordinate() -> tuple[int, int]:
    """Returns the first id for pods and for how many there are: what the user kubelet has as
    subordinate ids, or all beyond the machine's own. Raises BadRange."""
    texts = [path.read_text() if path.exists() else "" for path in _SUBORDINATE]
    return parse_subordinate(*texts)


def parse_subordinate(users: str, groups: str) -> tuple[int, int]:
    """Reads subuid(5) and subgid(5): one range for the kubelet, the same in both, or none."""
    own, of_groups = (
        [line.split(":")[1:] for line in text.splitlines() if line.startswith(f"{_USER}:")]
        for text in (users, groups)
    )
    if not own and not of_groups:
        return _FIRST, _RANGES
    if own != of_groups:
        raise BadRange(f'mismatched subuids and subgids for user "{_USER}"')
    if len(own) != 1 or len(own[0]) != 2 or not all(word.isdecimal() for word in own[0]):
        raise BadRange(f'subuids of user "{_USER}": there must be exactly one range')
    first, length = (int(word) for word in own[0])
    if first % IDS_PER_POD or length % IDS_PER_POD:
        text = f"{_USER} user assigned IDs {first}:{length} are not multiples of {IDS_PER_POD}"
        raise BadRange(text)
    if first < IDS_PER_POD:
        text = f"{_USER} user assigned ID {first} must be greater or equal to {IDS_PER_POD}"
        raise BadRange(text)
    return first, min(length // IDS_PER_POD, _RANGES + 1 - first // IDS_PER_POD)


class IdRanges:
    """Which pod has which ids."""

    def __init__(self, paths: Paths, first: int, count: int) -> None:
        """Takes note of what pods on disk have; raises BadRange for a file that is none."""
        self._paths = paths
        self._first = first
        self._count = count
        self._taken: dict[str, int] = {}
        for directory in sorted(paths.pods.iterdir()) if paths.pods.is_dir() else ():
            file = paths.users(directory.name)
            if file.exists():
                self._taken[directory.name] = _read(file)

    def take(self, uid: str) -> Document:
        """Returns the maps of a pod, as OCI and the runtime write them; a new range where it has
        none yet. Raises BadRange where none is left."""
        if uid not in self._taken:
            first = self._find_free()
            record.replace_file(self._paths.users(uid), _render(first))
            self._taken[uid] = first
        entry = {"containerID": 0, "hostID": self._taken[uid], "size": IDS_PER_POD}
        return {"uidMappings": [entry], "gidMappings": [entry]}

    def _find_free(self) -> int:
        taken = set(self._taken.values())
        for number in range(self._count):
            first = self._first + number * IDS_PER_POD
            if first not in taken:
                return first
        raise BadRange("could not find an empty slot to allocate a user namespace")

    def release(self, uid: str) -> None:
        """Takes a pod's ids back; none is fine. Nothing of it may run any more."""
        if self._taken.pop(uid, None) is not None:
            self._paths.users(uid).unlink(missing_ok=True)


def _read(file: Path) -> int:
    try:
        found = _decode(file.read_bytes())
    except msgspec.DecodeError as error:
        raise BadRange(f"{file}: invalid user namespace mappings file: {error}") from error
    if len(found.uid_mappings) != 1 or found.uid_mappings != found.gid_mappings:
        raise BadRange(f"{file}: GID and UID mapping should be identical, and one")
    (mapping,) = found.uid_mappings
    if mapping.container_id or mapping.length != IDS_PER_POD:
        raise BadRange(f"{file}: UID 0 must be mapped, with {IDS_PER_POD} IDs")
    return mapping.host_id


def _render(first: int) -> bytes:
    mapping = (_Mapping(first, 0, IDS_PER_POD),)
    return msgspec.json.encode(_File(mapping, mapping))
