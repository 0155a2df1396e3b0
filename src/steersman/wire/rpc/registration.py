"""How plugins of a node are registered (pluginregistration.v1): messages and methods."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from steersman.wire.rpc.messages import Rpc

CSI_PLUGIN: Final = "CSIPlugin"
DEVICE_PLUGIN: Final = "DevicePlugin"
DRA_PLUGIN: Final = "DRAPlugin"


class InfoRequest(msgspec.Struct, frozen=True):
    """Asks a plugin who it is."""


class PluginInfo(msgspec.Struct, frozen=True):
    """Who a plugin is, and where it listens; an empty endpoint is the socket of registration."""

    type: Annotated[str, 1] = ""
    name: Annotated[str, 2] = ""
    endpoint: Annotated[str, 3] = ""
    supported_versions: Annotated[tuple[str, ...], 4] = ()


class RegistrationStatus(msgspec.Struct, frozen=True):
    """Tells a plugin whether it is registered, and if not, why."""

    plugin_registered: Annotated[bool, 1] = False
    error: Annotated[str, 2] = ""


class RegistrationStatusResponse(msgspec.Struct, frozen=True):
    """Says nothing."""


GET_INFO = Rpc("/pluginregistration.Registration/GetInfo", InfoRequest, PluginInfo)
NOTIFY_REGISTRATION_STATUS = Rpc(
    "/pluginregistration.Registration/NotifyRegistrationStatus",
    RegistrationStatus,
    RegistrationStatusResponse,
)
