"""CSINode: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import field as renamed

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, count
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_metadata
from steersman.model.types.storage_check import check_node_change, check_node_drivers
from steersman.model.view import Object, View


class VolumeLimit(View, frozen=True):
    """How many volumes a driver can serve on the node; None: any number."""

    count: int | None = None


class NodeDriver(View, frozen=True):
    """A driver that is installed on the node."""

    name: str = ""
    node_id: str = renamed(default="", name="nodeID")
    topology_keys: tuple[str, ...] = ()
    allocatable: VolumeLimit | None = None


class CSINodeSpec(View, frozen=True):
    """The drivers of a node."""

    drivers: tuple[NodeDriver, ...] = ()


class CSINode(Object, frozen=True):
    """storage.k8s.io/v1 CSINode."""

    spec: CSINodeSpec = CSINodeSpec()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    drivers = (new.get("spec") or {}).get("drivers") or ()
    yield from check_node_drivers(drivers)
    if old is not None:
        yield from check_node_change(drivers, (old.get("spec") or {}).get("drivers") or ())


CSINODE = Kind(
    group="storage.k8s.io",
    name="CSINode",
    plural="csinodes",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.storage.v1.CSINode"),),
    storage="v1",
    former=(
        removed(
            "storage.k8s.io/v1beta1", "storage.v1beta1.CSINode", Life(17, 22, "storage.k8s.io/v1")
        ),
    ),
    columns=(NAME, Column("Drivers", count("spec", "drivers"), type="integer"), AGE),
    check=_check,
    view=CSINode,
    prepare=preparer(status={}),
    subresources=(STATUS_ALONE,),
    returns_deleted=True,
    conditional=True,
    complete=True,
)
