"""What the agent asks of claims: an interface, and what answers where nobody prepares any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container


class CannotPrepare(Exception):
    """Claims cannot be made ready, or not be taken back; the text is upstream's."""


class ClaimAccess(Protocol):
    """The claims of all pods of a node."""

    async def prepare(self, pod: Pod) -> None:
        """Makes ready what the claims of a pod were allocated. Repeatable; raises
        CannotPrepare."""

    async def unprepare(self, uid: str) -> None:
        """Takes it back. Repeatable; raises CannotPrepare."""

    def cdi_names(self, pod: Pod, container: Container) -> Sequence[str]:
        """Returns the devices that a container has by its claims, under their names of the
        Container Device Interface; raises CannotPrepare."""

    def health(self, pod: Pod, container: Container) -> Sequence[Document]:
        """Returns how the devices of a container are, by claim (ResourceStatus)."""


class NoClaims:
    """Claims of a node that has no drivers."""

    async def prepare(self, pod: Pod) -> None:
        """Refuses a pod with claims."""
        if pod.spec.resource_claims:
            raise CannotPrepare("prepare dynamic resources: this node prepares no devices")

    async def unprepare(self, uid: str) -> None:
        """Has nothing to take back."""

    def cdi_names(self, pod: Pod, container: Container) -> Sequence[str]:
        """Knows none."""
        return ()

    def health(self, pod: Pod, container: Container) -> Sequence[Document]:
        """Knows none."""
        return ()
