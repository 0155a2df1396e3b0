"""PodGroup of scheduler-plugins (scheduling.x-k8s.io): a custom resource that the scheduler and a
controller heed where somebody installed it. Its definition is not ours, so that nothing of its
shape is relied on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from steersman.model.kind import Kind
from steersman.model.kinds.pod import Pod
from steersman.model.ref import Resource
from steersman.model.view import Object

PODGROUPS: Final = Resource("scheduling.x-k8s.io", "podgroups")
# On a pod: the name of its group
LABEL: Final = "scheduling.x-k8s.io/pod-group"


class PodGroup(Object, frozen=True):
    """A PodGroup as it was written."""

    spec: Any = None
    status: Any = None

    @property
    def least(self) -> int:
        """How many pods are bound together or not at all (minMember), 1 where that is unclear."""
        found = mapping(self.spec).get("minMember")
        return found if isinstance(found, int) and found > 0 else 1


def viewed(kind: Kind) -> Kind:
    """Returns the kind as somebody installed it, read as PodGroup."""
    return msgspec.structs.replace(kind, view=PodGroup)


def names_of(pod: Pod) -> tuple[str, ...]:
    """Returns the group that a pod's label names, as NAMESPACE/NAME; for an index."""
    name = pod.metadata.labels.get(LABEL)
    return (f"{pod.metadata.namespace}/{name}",) if name else ()


def mapping(found: Any) -> Mapping[str, Any]:
    """Returns an object of a document, an empty one where it is anything else."""
    return found if isinstance(found, dict) else {}
