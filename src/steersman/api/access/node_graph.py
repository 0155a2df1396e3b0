"""Which objects the pods of a node lead to, kept up to date change by change.

A node may read a secret because one of its pods, or a volume that one of its pods claims, names
it. Follows upstream's plugin/pkg/auth/authorizer/node/graph.go.
"""

from __future__ import annotations

from collections import Counter

from steersman.api.access.pod_references import (
    Named,
    PodReferences,
    VolumeReferences,
    name_the_same,
    read_pod,
    read_volume,
)

# No pod without it is on a node, and most changes are of pods without it: a scan is a tenth of
# the price of a decoding
_HAS_NODE = b'"nodeName"'


class NodeGraph:
    """Counts, for each object that pods name, those of each node. Pods are named by nobody."""

    def __init__(self) -> None:
        self._pods: dict[Named, PodReferences] = {}
        self._volumes: dict[str, VolumeReferences] = {}
        self._nodes: dict[Named, Counter[str]] = {}
        self._mounted_with: dict[Named, set[str]] = {}

    def pod_changed(self, old: bytes | None, new: bytes | None) -> None:
        """Takes in a pod's change; both are encoded, of the same name, None stands for absent."""
        if old is not None and new is not None and _HAS_NODE in old and name_the_same(old, new):
            return  # as mostly: its status changed
        now = self._read(new)
        if now is not None and now == self._pods.get(now.pod):
            return
        either = now or self._read(old)
        if either is not None:
            self._forget(either.pod)
        if now is not None and now.node:
            self._pods[now.pod] = now
            for named in now.names:
                self._nodes.setdefault(named, Counter())[now.node] += 1

    def volume_changed(self, old: bytes | None, new: bytes | None) -> None:
        """Takes in a persistent volume's change; both are encoded."""
        for value in (old, new):
            if value is not None:
                self._forget_volume(read_volume(value).name)
        if new is not None:
            volume = self._volumes[read_volume(new).name] = read_volume(new)
            for secret in volume.secrets:
                self._mounted_with.setdefault(secret, set()).add(volume.name)

    def leads(self, node: str, named: Named) -> bool:
        """Says whether a pod of the node leads to an object."""
        if node in self._nodes.get(named, ()):
            return True
        if named.plural == "pods":
            known = self._pods.get(named)
            return known is not None and known.node == node
        if named.plural == "persistentvolumes":
            return self._claims(node, named.name)
        if named.plural == "secrets":
            return any(self._claims(node, name) for name in self._mounted_with.get(named, ()))
        return False

    def _claims(self, node: str, volume: str) -> bool:
        found = self._volumes.get(volume)
        return bool(found and found.claim and node in self._nodes.get(found.claim, ()))

    @staticmethod
    def _read(value: bytes | None) -> PodReferences | None:
        return read_pod(value) if value is not None and _HAS_NODE in value else None

    def _forget(self, pod: Named) -> None:
        known = self._pods.pop(pod, None)
        if known is None:
            return
        for named in known.names:
            nodes = self._nodes[named]
            nodes[known.node] -= 1
            if not nodes[known.node]:
                del nodes[known.node]
            if not nodes:
                del self._nodes[named]

    def _forget_volume(self, name: str) -> None:
        known = self._volumes.pop(name, None)
        for secret in known.secrets if known else ():
            volumes = self._mounted_with[secret]
            volumes.discard(name)
            if not volumes:
                del self._mounted_with[secret]
