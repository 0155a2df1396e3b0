"""The control groups of pods, which a kubelet makes itself; those of containers below them are the
runtime's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.cri.client.sandbox_config import cgroup_of
from steersman.runtime.kernel import cgroups
from steersman.runtime.kernel.cgroups import Hierarchies


class Groups:
    """Synchronous; `root` is the group of all pods."""

    def __init__(self, hierarchies: Hierarchies, root: str) -> None:
        self._hierarchies = hierarchies
        self._open = cgroups.opener(hierarchies)
        self._root = root

    def make(self, uid: str, resources: Mapping[str, Any]) -> None:
        """Makes the group of a pod with its limits; raises OSError."""
        self._open(cgroup_of(uid, self._root)).create()
        self.limit(uid, resources)

    def limit(self, uid: str, resources: Mapping[str, Any]) -> None:
        """Changes the limits of a pod; raises OSError."""
        self._open(cgroup_of(uid, self._root)).limit(resources)

    def remove(self, uid: str) -> None:
        """Removes the group of a pod; one that is not there is fine."""
        cgroups.remove_everywhere(self._hierarchies, cgroup_of(uid, self._root))
