"""Drivers of dynamic resource allocation on the node (dra/v1 and v1beta1, dra-health/v1alpha1):
messages, which both versions share, and methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from steersman.wire.rpc.messages import Rpc


class Claim(msgspec.Struct, frozen=True):
    """A ResourceClaim by its names."""

    namespace: Annotated[str, 1] = ""
    uid: Annotated[str, 2] = ""
    name: Annotated[str, 3] = ""


class Claims(msgspec.Struct, frozen=True):
    """The claims that are to be prepared, or to be taken back."""

    claims: Annotated[tuple[Claim, ...], 1] = ()


class Device(msgspec.Struct, frozen=True):
    """A device of a claim; of all its requests where none is named."""

    request_names: Annotated[tuple[str, ...], 1] = ()
    pool_name: Annotated[str, 2] = ""
    device_name: Annotated[str, 3] = ""
    cdi_device_ids: Annotated[tuple[str, ...], 4] = ()
    share_id: Annotated[str, 5] = ""


class Prepared(msgspec.Struct, frozen=True):
    """What became of one claim; with an error there are no devices."""

    devices: Annotated[tuple[Device, ...], 1] = ()
    error: Annotated[str, 2] = ""


class AllPrepared(msgspec.Struct, frozen=True):
    """The same for each claim, by its uid."""

    claims: Annotated[Mapping[str, Prepared], 1] = {}


class Unprepared(msgspec.Struct, frozen=True):
    """What became of one claim that is taken back."""

    error: Annotated[str, 1] = ""


class AllUnprepared(msgspec.Struct, frozen=True):
    """The same for each claim, by its uid."""

    claims: Annotated[Mapping[str, Unprepared], 1] = {}


class Service(msgspec.Struct, frozen=True):
    """One version of the drivers' service, by the name that registrations know."""

    name: str
    prepare: Rpc[Claims, AllPrepared]
    unprepare: Rpc[Claims, AllUnprepared]


def _service(name: str, package: str) -> Service:
    path = f"/{package}.DRAPlugin"
    return Service(
        name,
        Rpc(f"{path}/NodePrepareResources", Claims, AllPrepared),
        Rpc(f"{path}/NodeUnprepareResources", Claims, AllUnprepared),
    )


# The newest first
SERVICES: Final = (
    _service("v1.DRAPlugin", "k8s.io.kubelet.pkg.apis.dra.v1"),
    _service("v1beta1.DRAPlugin", "k8s.io.kubelet.pkg.apis.dra.v1beta1"),
)


# Health (dra-health/v1alpha1)


class DeviceIdentifier(msgspec.Struct, frozen=True):
    """A device of a driver."""

    pool_name: Annotated[str, 1] = ""
    device_name: Annotated[str, 2] = ""


class DeviceHealth(msgspec.Struct, frozen=True):
    """How a device is, by a number of HEALTH, for how many seconds that holds, and why."""

    device: Annotated[DeviceIdentifier, 1] = DeviceIdentifier()
    health: Annotated[int, 2] = 0
    last_updated_time: Annotated[int, 3] = 0
    health_check_timeout_seconds: Annotated[int, 4] = 0
    message: Annotated[str, 5] = ""


class WatchResources(msgspec.Struct, frozen=True):
    """Asks to be told."""


class Health(msgspec.Struct, frozen=True):
    """Devices whose health is known now."""

    devices: Annotated[tuple[DeviceHealth, ...], 1] = ()


HEALTH: Final = ("Unknown", "Healthy", "Unhealthy")
NODE_WATCH_RESOURCES = Rpc("/v1alpha1.DRAResourceHealth/NodeWatchResources", WatchResources, Health)
