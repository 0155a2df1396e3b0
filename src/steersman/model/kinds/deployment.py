"""Deployment: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from steersman.model.causes import invalid
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.former_workloads import in_apps, in_extensions
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    NONE,
    at,
    containers,
    number,
    ready_of,
    selector,
)
from steersman.model.kinds.subresources import SCALE, STATUS_NOT_LABELS
from steersman.model.removed import elsewhere
from steersman.model.types import workload_check
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.selector import LabelSelector
from steersman.model.types.warnings import workload
from steersman.model.view import Object, View


class RollingUpdate(View, frozen=True):
    """Bounds of a rolling update: numbers or percentages."""

    max_unavailable: int | str = "25%"
    max_surge: int | str = "25%"


class DeploymentStrategy(View, frozen=True):
    """How pods are replaced: Recreate or RollingUpdate."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(View, frozen=True):
    """What a deployment shall be; the template stays raw."""

    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: Raw = Raw(b"{}")
    strategy: DeploymentStrategy = DeploymentStrategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10
    paused: bool = False
    progress_deadline_seconds: int = 600


class DeploymentStatus(View, frozen=True):
    """What is known of a deployment."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    terminating_replicas: int | None = None
    conditions: tuple[Condition, ...] = ()
    collision_count: int | None = None


class Deployment(Object, frozen=True):
    """apps/v1 Deployment."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


def _selector(document: Document, _now: float) -> str:
    shown = selector(at(document, "spec", "selector"))
    return "" if shown == NONE else shown


_COLUMNS = (
    NAME,
    ready_of(),
    number("Up-to-date", "status", "updatedReplicas"),
    number("Available", "status", "availableReplicas"),
    AGE,
    *containers("spec", "template"),
    Column("Selector", _selector, priority=1),
)

_COUNTS = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas")
_MORE_COUNTS = (
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
)
_BOUNDED = ("updatedReplicas", "readyReplicas", "availableReplicas")


def _check_metadata(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    return check_metadata(new, old)


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from _check_metadata(new, old, subresource)
    if subresource == "status":
        status = new.get("status") or {}
        yield from workload_check.check_counts(status, (*_COUNTS, *_MORE_COUNTS), _BOUNDED)
        yield from workload_check.check_collisions(new, old)
        return
    spec = new.get("spec") or {}
    yield from workload_check.check_numbers(spec, "replicas")
    yield from workload_check.check_replicated(spec, old)
    strategy = spec.get("strategy") or {}
    yield from workload_check.check_deployment_strategy(strategy, "spec.strategy")
    seconds = "progressDeadlineSeconds"
    yield from workload_check.check_numbers(
        spec, "minReadySeconds", "revisionHistoryLimit", seconds
    )
    deadline, ready = spec.get(seconds), spec.get("minReadySeconds") or 0
    if deadline is not None and deadline <= ready:
        yield invalid(f"spec.{seconds}", deadline, "must be greater than minReadySeconds")
    if old is not None:
        yield from workload_check.check_selector_kept(new, old)


DEPLOYMENT = Kind(
    group="apps",
    name="Deployment",
    plural="deployments",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.Deployment"),),
    storage="v1",
    former=in_apps("Deployment"),
    short_names=("deploy",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    warn=workload(named=True),
    metadata_check=_check_metadata,
    view=Deployment,
    prepare=preparer(status={}),
    subresources=(SCALE, STATUS_NOT_LABELS),
    spec_fields=("spec",),
    spec_metadata=("annotations",),  # its sets get these too
    complete=True,
)

EXTENSIONS_DEPLOYMENT = elsewhere(DEPLOYMENT, "extensions", in_extensions("Deployment"))
