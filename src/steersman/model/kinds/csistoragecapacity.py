"""CSIStorageCapacity: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model import names
from steersman.model.causes import IMMUTABLE, NOT_NEGATIVE, each, invalid
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.printing import NAME, UNSET, text
from steersman.model.quantity import parse
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_metadata
from steersman.model.types.resources import ZERO
from steersman.model.types.selector import LabelSelector, check_selector
from steersman.model.types.warnings import capacity_told, warner
from steersman.model.view import Object


class CSIStorageCapacity(Object, frozen=True):
    """storage.k8s.io/v1 CSIStorageCapacity."""

    node_topology: LabelSelector | None = None
    storage_class_name: str = ""
    capacity: str | None = None
    maximum_volume_size: str | None = None


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    yield from check_selector(new.get("nodeTopology"), "nodeTopology")
    class_name = new.get("storageClassName", "")
    yield from each("storageClassName", class_name, names.dns1123_subdomain(class_name))
    capacity = new.get("capacity")
    if capacity is not None and parse(capacity) < ZERO:
        yield invalid("capacity", capacity, NOT_NEGATIVE)
    if old is not None:
        for name in ("nodeTopology", "storageClassName"):
            if new.get(name) != old.get(name):
                yield invalid(name, new.get(name), IMMUTABLE)


CSISTORAGECAPACITY = Kind(
    group="storage.k8s.io",
    name="CSIStorageCapacity",
    plural="csistoragecapacities",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.storage.v1.CSIStorageCapacity"),),
    storage="v1",
    former=(
        removed(
            "storage.k8s.io/v1beta1",
            "storage.v1beta1.CSIStorageCapacity",
            Life(24, 27, "storage.k8s.io/v1"),
        ),
    ),
    columns=(
        NAME,
        text("StorageClassName", "storageClassName"),
        text("Capacity", "capacity", default=UNSET),
    ),
    check=_check,
    warn=warner(capacity_told),
    view=CSIStorageCapacity,
    complete=True,
)
