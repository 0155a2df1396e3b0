"""The control groups of pods, which a kubelet makes itself; those of containers below them are the
runtime's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.model.kinds.pod import Pod
from steersman.node.service_classes import group_of, groups_of
from steersman.runtime.kernel import cgroups
from steersman.runtime.kernel.cgroups import Hierarchies


class Groups:
    """Synchronous; `root` is the group of all pods."""

    def __init__(self, hierarchies: Hierarchies, root: str) -> None:
        self._hierarchies = hierarchies
        self._open = cgroups.opener(hierarchies)
        self._root = root
        self._known: dict[str, str] = {}

    def note(self, uid: str, group: str) -> None:
        """Takes note of the group of a pod that was there before the agent."""
        self._known[uid] = group

    def make(self, pod: Pod, resources: Mapping[str, Any]) -> None:
        """Makes the group of a pod with its limits; raises OSError."""
        uid = pod.metadata.uid
        self._known[uid] = group_of(pod)
        self._open(self._path(uid)).create()
        self.limit(uid, resources)

    def limit(self, uid: str, resources: Mapping[str, Any]) -> None:
        """Changes the limits of a pod; raises OSError."""
        self._open(self._path(uid)).limit(resources)

    def remove(self, uid: str) -> None:
        """Removes the group of a pod; one that is not there is fine."""
        for group in groups_of(uid):
            cgroups.remove_everywhere(self._hierarchies, f"{self._root}/{group}")
        self._known.pop(uid, None)

    def _path(self, uid: str) -> str:
        return f"{self._root}/{self._known.get(uid) or f'pod{uid}'}"
