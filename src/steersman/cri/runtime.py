"""The calls about the runtime itself: who it is, whether it is well, what it can do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from steersman.cri.messages.runtime import (
    CGROUPFS,
    ContainerEventResponse,
    GetEventsRequest,
    LinuxRuntimeConfiguration,
    RuntimeCondition,
    RuntimeConfigRequest,
    RuntimeConfigResponse,
    RuntimeFeatures,
    RuntimeHandler,
    RuntimeHandlerFeatures,
    RuntimeStatus,
    StatusRequest,
    StatusResponse,
    UpdateRuntimeConfigRequest,
    UpdateRuntimeConfigResponse,
    VersionRequest,
    VersionResponse,
)
from steersman.cri.sandboxes import HANDLERS
from steersman.cri.tools import Tools

NAME: Final = "steersman"
API_VERSION: Final = "v1"
KUBELET_VERSION: Final = "0.1.0"  # kubeAPIVersion, which every runtime answers


class Runtime:
    """See the module."""

    def __init__(self, tools: Tools, version: str) -> None:
        self._tools = tools
        self._version = version

    async def version(self, asked: VersionRequest) -> VersionResponse:
        """Says who answers."""
        del asked
        return VersionResponse(KUBELET_VERSION, NAME, self._version, API_VERSION)

    async def status(self, asked: StatusRequest) -> StatusResponse:
        """Says what is ready: runtime and network are when this is answered."""
        del asked
        conditions = tuple(RuntimeCondition(it, True) for it in ("RuntimeReady", "NetworkReady"))
        features = RuntimeHandlerFeatures(recursive_read_only_mounts=True, user_namespaces=True)
        return StatusResponse(
            status=RuntimeStatus(conditions),
            runtime_handlers=tuple(RuntimeHandler(it, features) for it in HANDLERS),
            features=RuntimeFeatures(supplemental_groups_policy=True),
        )

    async def configuration(self, asked: RuntimeConfigRequest) -> RuntimeConfigResponse:
        """Says how control groups are made."""
        del asked
        return RuntimeConfigResponse(LinuxRuntimeConfiguration(CGROUPFS))

    async def update(self, asked: UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse:
        """Takes note of a range for pods; addresses come from the one that was chosen at the
        start."""
        del asked
        return UpdateRuntimeConfigResponse()

    def events(self, asked: GetEventsRequest) -> AsyncGenerator[ContainerEventResponse]:
        """Tells what happens to containers from now on."""
        del asked
        return self._tools.known.events()
