"""ReplicationController: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Raw

from steersman.model.causes import invalid, not_negative, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, at, containers, labels, number
from steersman.model.kinds.subresources import SCALE, STATUS
from steersman.model.types import workload_check
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.podspec_check import check_restarting_template, check_template
from steersman.model.types.warnings import workload
from steersman.model.view import Object, View


class ReplicationControllerSpec(View, frozen=True):
    """What a replication controller shall be; the selector is a plain map."""

    replicas: int = 1
    min_ready_seconds: int = 0
    selector: Mapping[str, str] = {}
    template: Raw = Raw(b"{}")


class ReplicationControllerStatus(View, frozen=True):
    """What is known of a replication controller."""

    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicationController(Object, frozen=True):
    """core/v1 ReplicationController."""

    spec: ReplicationControllerSpec = ReplicationControllerSpec()
    status: ReplicationControllerStatus = ReplicationControllerStatus()


_BOUNDED = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
_COUNTS = ("replicas", *_BOUNDED, "observedGeneration")


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource == "status":
        yield from workload_check.check_counts(new.get("status") or {}, _COUNTS, _BOUNDED)
        return
    spec = new.get("spec") or {}
    yield from not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    selector = spec.get("selector") or {}
    if not selector:
        yield required("spec.selector")
    if spec.get("replicas") is None:
        yield required("spec.replicas")
    yield from not_negative("spec.replicas", spec.get("replicas"))
    template = spec.get("template")
    if template is None:
        yield required("spec.template")
        return
    found = (template.get("metadata") or {}).get("labels")
    if any((found or {}).get(key) != value for key, value in selector.items()):
        yield invalid("spec.template.metadata.labels", found, workload_check.UNMATCHED)
    yield from check_template(template, "spec.template", workload_check.template_of(old))
    yield from check_restarting_template(template, "spec.template", "ReplicationController")


_COLUMNS = (
    NAME,
    number("Desired", "spec", "replicas"),
    number("Current", "status", "replicas"),
    number("Ready", "status", "readyReplicas"),
    AGE,
    *containers("spec", "template"),
    Column("Selector", lambda one, _now: labels(at(one, "spec", "selector")), priority=1),
)

REPLICATIONCONTROLLER = Kind(
    group="",
    name="ReplicationController",
    plural="replicationcontrollers",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.ReplicationController"),),
    storage="v1",
    short_names=("rc",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    warn=workload(named=True),
    view=ReplicationController,
    prepare=preparer(status={"replicas": 0}),
    subresources=(SCALE, STATUS),
    selectable={"status.replicas": lambda one: str(one.get("status", {}).get("replicas", 0))},
    spec_fields=("spec",),
    complete=True,
)
