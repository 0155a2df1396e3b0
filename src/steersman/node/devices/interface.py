"""What the agent asks of device plugins: an interface, and what answers where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.devices.injection import NOTHING, Injection


class DeviceAccess(Protocol):
    """The devices that containers of a node have been given; see also `providing.Provider`."""

    async def inject(self, pod: Pod, container: Container) -> Injection:
        """Returns what the devices of a container need of it, before each of its runs; raises
        BadConfiguration."""

    def health(self, pod: Pod, container: Container) -> Sequence[Document]:
        """Returns how the devices of a container are, by resource (ResourceStatus)."""


class NoDevices:
    """Devices of a node that has no plugins."""

    async def inject(self, pod: Pod, container: Container) -> Injection:
        """Needs nothing."""
        return NOTHING

    def health(self, pod: Pod, container: Container) -> Sequence[Document]:
        """Knows none."""
        return ()
