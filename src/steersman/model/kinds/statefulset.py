"""StatefulSet: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from steersman.model.kind import Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, containers, ready_of
from steersman.model.kinds.subresources import SCALE, STATUS
from steersman.model.types.condition import Condition
from steersman.model.types.selector import LabelSelector
from steersman.model.view import Object, View


class RollingUpdate(View, frozen=True):
    """Bounds of a rolling update."""

    partition: int = 0
    max_unavailable: int | str | None = None


class UpdateStrategy(View, frozen=True):
    """How pods are replaced: OnDelete or RollingUpdate."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class RetentionPolicy(View, frozen=True):
    """What happens to claims: Retain or Delete."""

    when_deleted: str = "Retain"
    when_scaled: str = "Retain"


class Ordinals(View, frozen=True):
    """Where the numbering starts."""

    start: int = 0


class StatefulSetSpec(View, frozen=True):
    """What a stateful set shall be; templates stay raw."""

    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: Raw = Raw(b"{}")
    volume_claim_templates: tuple[Mapping[str, Any], ...] = ()
    service_name: str = ""
    pod_management_policy: str = "OrderedReady"
    update_strategy: UpdateStrategy = UpdateStrategy()
    revision_history_limit: int = 10
    min_ready_seconds: int = 0
    persistent_volume_claim_retention_policy: RetentionPolicy = RetentionPolicy()
    ordinals: Ordinals | None = None


class StatefulSetStatus(View, frozen=True):
    """What is known of a stateful set."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()


class StatefulSet(Object, frozen=True):
    """apps/v1 StatefulSet."""

    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()


_COLUMNS = (NAME, ready_of(), AGE, *containers("spec", "template"))

STATEFULSET = Kind(
    group="apps",
    name="StatefulSet",
    plural="statefulsets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.StatefulSet"),),
    storage="v1",
    short_names=("sts",),
    categories=("all",),
    columns=_COLUMNS,
    view=StatefulSet,
    prepare=preparer(status={"replicas": 0, "availableReplicas": 0}),
    subresources=(SCALE, STATUS),
    spec_fields=("spec",),
    complete=True,
)
