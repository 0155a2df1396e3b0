"""DeviceTaintRule: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steersman.model.causes import too_many
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.types.condition import Condition, check_conditions
from steersman.model.types.device import DeviceTaint
from steersman.model.types.device_check import check_label, check_pool_name, check_taint
from steersman.model.types.metadata import check_metadata
from steersman.model.types.persistent_sources import check_driver_name
from steersman.model.view import Object, View


class DeviceTaintSelector(View, frozen=True):
    """Which devices are tainted; what is not given fits all."""

    driver: str | None = None
    pool: str | None = None
    device: str | None = None


class DeviceTaintRuleSpec(View, frozen=True):
    """A taint for devices; without a selector it is for none."""

    device_selector: DeviceTaintSelector | None = None
    taint: DeviceTaint = DeviceTaint()


class DeviceTaintRuleStatus(View, frozen=True):
    """What came of a taint."""

    conditions: tuple[Condition, ...] = ()


class DeviceTaintRule(Object, frozen=True):
    """resource.k8s.io/v1 DeviceTaintRule."""

    spec: DeviceTaintRuleSpec = DeviceTaintRuleSpec()
    status: DeviceTaintRuleStatus = DeviceTaintRuleStatus()


_MOST_CONDITIONS: Final = 8


def is_for(rule: DeviceTaintRule, driver: str, pool: str, device: str) -> bool:
    """Tells whether a rule taints a device; without a selector it taints none."""
    wanted = rule.spec.device_selector
    return wanted is not None and all(
        given is None or given == present
        for given, present in (
            (wanted.driver, driver),
            (wanted.pool, pool),
            (wanted.device, device),
        )
    )


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    if subresource == "status":
        conditions = (new.get("status") or {}).get("conditions") or ()
        yield from check_conditions(conditions, "status.conditions")
        if len(conditions) > _MOST_CONDITIONS:
            yield too_many("status.conditions", len(conditions), _MOST_CONDITIONS)
        return
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    yield from _check_selector(spec.get("deviceSelector") or {}, "spec.deviceSelector")
    was = None if old is None else before.get("taint") or {}
    yield from check_taint(spec.get("taint") or {}, "spec.taint", was)


def _check_selector(selector: Document, path: str) -> Iterator[Cause]:
    if (driver := selector.get("driver")) is not None:
        yield from check_driver_name(driver, f"{path}.driver")
    if (pool := selector.get("pool")) is not None:
        yield from check_pool_name(pool, f"{path}.pool")
    if (device := selector.get("device")) is not None:
        yield from check_label(device, f"{path}.device")


DEVICETAINTRULE = Kind(
    group="resource.k8s.io",
    name="DeviceTaintRule",
    plural="devicetaintrules",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.resource.v1.DeviceTaintRule", since=37),),
    storage="v1",
    check=_check,
    view=DeviceTaintRule,
    prepare=preparer(status={}),
    subresources=(STATUS_ALONE,),
    spec_fields=("spec",),
    conditional=True,
    complete=True,
)
