"""CSIDriver: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, NONE, UNSET, at, field
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_metadata
from steersman.model.types.storage_check import check_driver, check_driver_change
from steersman.model.view import Object, View


class TokenRequest(View, frozen=True):
    """A token that the driver is given when a volume is mounted."""

    audience: str = ""
    expiration_seconds: int | None = None


class DriverSpec(View, frozen=True):
    """What a driver can do and needs."""

    attach_required: bool = True
    pod_info_on_mount: bool = False
    volume_lifecycle_modes: tuple[str, ...] = ()
    storage_capacity: bool = False
    fs_group_policy: str = "ReadWriteOnceWithFSType"
    token_requests: tuple[TokenRequest, ...] = ()
    requires_republish: bool = False


class CSIDriver(Object, frozen=True):
    """storage.k8s.io/v1 CSIDriver."""

    spec: DriverSpec = DriverSpec()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    spec = new.get("spec") or {}
    yield from check_driver(spec)
    if old is not None:
        yield from check_driver_change(spec, old.get("spec") or {})


def _audiences(driver: Document, _now: float) -> str:
    requests = at(driver, "spec", "tokenRequests")
    return UNSET if requests is None else ",".join(one.get("audience", "") for one in requests)


def _modes(driver: Document, _now: float) -> str:
    return ",".join(at(driver, "spec", "volumeLifecycleModes") or ()) or NONE


def _flag(name: str, field_name: str, *, default: bool = False) -> Column:
    return Column(name, field("spec", field_name, default=default), type="boolean")


_COLUMNS = (
    NAME,
    _flag("AttachRequired", "attachRequired", default=True),
    _flag("PodInfoOnMount", "podInfoOnMount"),
    _flag("StorageCapacity", "storageCapacity"),
    Column("TokenRequests", _audiences),
    _flag("RequiresRepublish", "requiresRepublish"),
    Column("Modes", _modes),
    AGE,
)

CSIDRIVER = Kind(
    group="storage.k8s.io",
    name="CSIDriver",
    plural="csidrivers",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.storage.v1.CSIDriver"),),
    storage="v1",
    former=(
        removed(
            "storage.k8s.io/v1beta1", "storage.v1beta1.CSIDriver", Life(19, 22, "storage.k8s.io/v1")
        ),
    ),
    columns=_COLUMNS,
    check=_check,
    view=CSIDriver,
    spec_fields=("spec",),
    returns_deleted=True,
    conditional=True,
    complete=True,
)
