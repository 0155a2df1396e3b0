"""ReplicaSet: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.former_workloads import in_apps, in_extensions
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, containers, number, selector_column
from steersman.model.kinds.subresources import SCALE, STATUS
from steersman.model.removed import elsewhere
from steersman.model.types import workload_check
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.selector import LabelSelector
from steersman.model.types.warnings import workload
from steersman.model.view import Object, View


class ReplicaSetSpec(View, frozen=True):
    """What a replica set shall be; the template stays raw."""

    replicas: int = 1
    min_ready_seconds: int = 0
    selector: LabelSelector = LabelSelector()
    template: Raw = Raw(b"{}")


class ReplicaSetStatus(View, frozen=True):
    """What is known of a replica set."""

    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    terminating_replicas: int | None = None
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(Object, frozen=True):
    """apps/v1 ReplicaSet."""

    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


_COLUMNS = (
    NAME,
    number("Desired", "spec", "replicas"),
    number("Current", "status", "replicas"),
    number("Ready", "status", "readyReplicas"),
    AGE,
    *containers("spec", "template"),
    selector_column("spec", "selector"),
)

_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")
_BOUNDED = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource == "status":
        status = new.get("status") or {}
        counts = (*_COUNTS, "terminatingReplicas", "observedGeneration")
        yield from workload_check.check_counts(status, counts, _BOUNDED)
        return
    spec = new.get("spec") or {}
    yield from workload_check.check_numbers(spec, "replicas", "minReadySeconds")
    yield from workload_check.check_replicated(spec, old)
    if old is not None:
        yield from workload_check.check_selector_kept(new, old)


REPLICASET = Kind(
    group="apps",
    name="ReplicaSet",
    plural="replicasets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.ReplicaSet"),),
    storage="v1",
    former=in_apps("ReplicaSet"),
    short_names=("rs",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    warn=workload(named=True),
    view=ReplicaSet,
    prepare=preparer(status={"replicas": 0}),
    subresources=(SCALE, STATUS),
    selectable={
        "status.replicas": lambda document: str(document.get("status", {}).get("replicas", 0)),
    },
    spec_fields=("spec",),
    complete=True,
)

EXTENSIONS_REPLICASET = elsewhere(REPLICASET, "extensions", in_extensions("ReplicaSet"))
