"""What gives out parts of the machine, and how it says where they lie: values and an interface.

Follows the kubelet's cm/topologymanager (KEP-693): providers give hints for a container, a policy
merges those of all into one, and each provider then gives out what it has in that place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container


class Hint(msgspec.Struct, frozen=True):
    """A place from which a request can be met. `nodes` is a bit mask of NUMA nodes, None where
    any will do; `preferred` where no narrower place would do."""

    nodes: int | None
    preferred: bool


class Refused(Exception):
    """A pod cannot have what it asks for here: the pod's `status.reason` and message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Provider(Protocol):
    """Gives out one sort of things: processors, memory, devices of plugins."""

    def hints(self, pod: Pod, container: Container) -> Mapping[str, Sequence[Hint] | None]:
        """Returns for each resource that the container asks for the places from which it can be
        met: None for any, nothing where it cannot. What was given out before comes out again.

        A container without a name stands for the pod as a whole: it asks for what the containers
        ask for together."""
        ...

    async def allocate(self, pod: Pod, container: Container, place: Hint) -> None:
        """Gives out what the container asks for, from that place where it is there. Once for a
        container: what it has is kept, over a restart of the agent too. Raises Refused."""
        ...

    def release(self, uid: str) -> None:
        """Takes back what the containers of a pod have, which is gone."""
        ...

    def holders(self) -> Collection[str]:
        """Returns the pods whose containers have something."""
        ...
