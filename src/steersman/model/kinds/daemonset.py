"""DaemonSet: its view and its life in the API."""

from __future__ import annotations

from msgspec import Raw

from steersman.model.kind import Column, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    at,
    containers,
    labels,
    number,
    selector_column,
)
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.condition import Condition
from steersman.model.types.selector import LabelSelector
from steersman.model.view import Object, View


class RollingUpdate(View, frozen=True):
    """Bounds of a rolling update: numbers or percentages."""

    max_unavailable: int | str = 1
    max_surge: int | str = 0


class UpdateStrategy(View, frozen=True):
    """How pods are replaced: OnDelete or RollingUpdate."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DaemonSetSpec(View, frozen=True):
    """What a daemon set shall be; the template stays raw."""

    selector: LabelSelector = LabelSelector()
    template: Raw = Raw(b"{}")
    update_strategy: UpdateStrategy = UpdateStrategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10


class DaemonSetStatus(View, frozen=True):
    """What is known of a daemon set."""

    current_number_scheduled: int = 0
    number_misscheduled: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    observed_generation: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    number_unavailable: int = 0
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()


class DaemonSet(Object, frozen=True):
    """apps/v1 DaemonSet."""

    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


_ZERO = {
    "currentNumberScheduled": 0,
    "numberMisscheduled": 0,
    "desiredNumberScheduled": 0,
    "numberReady": 0,
}

_COLUMNS = (
    NAME,
    number("Desired", "status", "desiredNumberScheduled"),
    number("Current", "status", "currentNumberScheduled"),
    number("Ready", "status", "numberReady"),
    number("Up-to-date", "status", "updatedNumberScheduled"),
    number("Available", "status", "numberAvailable"),
    Column(
        "Node Selector",
        lambda found, _now: labels(at(found, "spec", "template", "spec", "nodeSelector")),
    ),
    AGE,
    *containers("spec", "template"),
    selector_column("spec", "selector"),
)

DAEMONSET = Kind(
    group="apps",
    name="DaemonSet",
    plural="daemonsets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.DaemonSet"),),
    storage="v1",
    short_names=("ds",),
    categories=("all",),
    columns=_COLUMNS,
    view=DaemonSet,
    prepare=preparer(status=_ZERO),
    subresources=(STATUS,),
    spec_fields=("spec",),
    complete=True,
)
