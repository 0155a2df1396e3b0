"""ReplicaSet: its view and its life in the API."""

from __future__ import annotations

from msgspec import Raw

from steersman.model.kind import Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, containers, number, selector_column
from steersman.model.kinds.subresources import SCALE, STATUS
from steersman.model.types.condition import Condition
from steersman.model.types.selector import LabelSelector
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

REPLICASET = Kind(
    group="apps",
    name="ReplicaSet",
    plural="replicasets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.ReplicaSet"),),
    storage="v1",
    short_names=("rs",),
    categories=("all",),
    columns=_COLUMNS,
    view=ReplicaSet,
    prepare=preparer(status={"replicas": 0}),
    subresources=(SCALE, STATUS),
    selectable={
        "status.replicas": lambda document: str(document.get("status", {}).get("replicas", 0)),
    },
    spec_fields=("spec",),
    complete=True,
)
