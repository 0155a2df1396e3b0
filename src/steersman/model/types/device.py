"""Views of what is asked for in claims for devices, and of taints and tolerations of devices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from steersman.model.view import View


class CELSelector(View, frozen=True):
    """An expression over `device`."""

    expression: str = ""


class DeviceSelector(View, frozen=True):
    """What a device must be like."""

    cel: CELSelector = CELSelector()


class DeviceToleration(View, frozen=True):
    """A taint of devices that a request lives with; seconds count for NoExecute alone."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class DeviceTaint(View, frozen=True):
    """What keeps pods off a device; effect is None, NoSchedule or NoExecute."""

    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: datetime | None = None


def tolerates(toleration: DeviceToleration, taint: DeviceTaint) -> bool:
    """Tells whether a toleration is about a taint (resourceclaim.ToleratesTaint)."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator in ("Equal", ""):
        return toleration.value == taint.value
    return toleration.operator == "Exists"


class CapacityRequirements(View, frozen=True):
    """How much of each capacity of a device is asked for, as quantities."""

    requests: Mapping[str, str | int | float] = {}


class DeviceWish(View, frozen=True):
    """Devices of one class."""

    device_class_name: str = ""
    selectors: tuple[DeviceSelector, ...] = ()
    allocation_mode: str = "ExactCount"
    count: int = 1
    tolerations: tuple[DeviceToleration, ...] = ()
    capacity: CapacityRequirements = CapacityRequirements()


class ExactRequest(DeviceWish, frozen=True):
    """A wish without alternatives; with admin access, devices in use count as free."""

    admin_access: bool = False


class Alternative(DeviceWish, frozen=True):
    """One of several wishes of which the first that can be met is."""

    name: str = ""


class DeviceRequest(View, frozen=True):
    """One request of a claim: `exactly` one wish, or the first of several that can be met."""

    name: str = ""
    exactly: ExactRequest | None = None
    first_available: tuple[Alternative, ...] = ()


class DeviceConstraint(View, frozen=True):
    """What the devices of some requests, or of all, must have in common or apart."""

    requests: tuple[str, ...] = ()
    match_attribute: str = ""
    distinct_attribute: str = ""


class DeviceConfiguration(View, frozen=True):
    """What a driver is told."""

    opaque: Mapping[str, Any] | None = None


class ClaimConfiguration(DeviceConfiguration, frozen=True):
    """What a driver is told about some requests, or about all."""

    requests: tuple[str, ...] = ()


class DeviceClaim(View, frozen=True):
    """All that is asked for."""

    requests: tuple[DeviceRequest, ...] = ()
    constraints: tuple[DeviceConstraint, ...] = ()
    config: tuple[ClaimConfiguration, ...] = ()


class ClaimSpec(View, frozen=True):
    """The spec of a claim and of the claims that a template makes."""

    devices: DeviceClaim = DeviceClaim()
