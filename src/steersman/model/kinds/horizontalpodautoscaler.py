"""HorizontalPodAutoscaler: its view and its life in the API; others are converted beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from steersman.model import names
from steersman.model.causes import not_negative
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds import horizontalpodautoscaler_v2beta1 as v2beta1
from steersman.model.kinds.horizontalpodautoscaler_v1 import from_v2, to_v2
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, UNKNOWN, at, field
from steersman.model.kinds.subresources import STATUS
from steersman.model.removed import Life, removed
from steersman.model.types.autoscaler_check import SOURCES, check_spec
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.reference import ObjectReference
from steersman.model.view import Object, View


class AutoscalerSpec(View, frozen=True):
    """What is scaled, between which bounds, by which metrics."""

    scale_target_ref: ObjectReference = ObjectReference()
    min_replicas: int = 1
    max_replicas: int = 0
    metrics: tuple[Mapping[str, Any], ...] = ()
    behavior: Mapping[str, Any] | None = None


class AutoscalerStatus(View, frozen=True):
    """What is known of it."""

    observed_generation: int = 0
    last_scale_time: datetime | None = None
    current_replicas: int = 0
    desired_replicas: int = 0
    current_metrics: tuple[Mapping[str, Any], ...] = ()
    conditions: tuple[Condition, ...] = ()


class HorizontalPodAutoscaler(Object, frozen=True):
    """autoscaling/v2 HorizontalPodAutoscaler."""

    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = AutoscalerStatus()


_MOST_METRICS = 2


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource == "status":
        for name in ("currentReplicas", "desiredReplicas"):
            yield from not_negative(f"status.{name}", (new.get("status") or {}).get(name))
        for index, one in enumerate((new.get("status") or {}).get("conditions") or ()):
            where = f"status.conditions[{index}].observedGeneration"
            yield from not_negative(where, one.get("observedGeneration"))
        return
    yield from check_spec(new.get("spec") or {}, None if old is None else old.get("spec") or {})


def _reference(document: Document, _now: float) -> str:
    target = at(document, "spec", "scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _targets(document: Document, _now: float) -> str:
    metrics = at(document, "spec", "metrics") or ()
    statuses = at(document, "status", "currentMetrics") or ()
    found = [
        _target(metric, statuses[index] if index < len(statuses) else {})
        for index, metric in enumerate(metrics)
    ]
    if not found:
        return "<none>"
    shown = ", ".join(found[:_MOST_METRICS])
    beyond = len(found) - _MOST_METRICS
    return f"{shown} + {beyond} more..." if beyond > 0 else shown


def _target(metric: Document, status: Document) -> str:
    source = SOURCES.get(metric.get("type", ""))
    if source is None:
        return "<unknown type>"
    spec = metric.get(source) or {}
    target = spec.get("target") or {}
    current = at(status, source, "current") or {}
    if source in ("resource", "containerResource"):
        return f"{spec.get('name', '')}: {_resource(target, current)}"
    if "averageValue" in target:
        average = f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
        return average if source == "pods" else f"{average} (avg)"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', '')}"


def _resource(target: Document, current: Document) -> str:
    if "averageValue" in target:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
    used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
    shown = UNKNOWN if used is None else f"{used}%"
    return f"{shown}/{'<auto>' if wanted is None else f'{wanted}%'}"


def _least(document: Document, _now: float) -> str:
    return str(field("spec", "minReplicas", default="<unset>")(document, 0))


_COLUMNS = (
    NAME,
    Column("Reference", _reference),
    Column("Targets", _targets),
    Column("MinPods", _least),
    Column("MaxPods", field("spec", "maxReplicas", default=0)),
    Column("Replicas", field("status", "currentReplicas", default=0)),
    AGE,
)

_V2BETA2 = removed(
    "autoscaling/v2beta2",
    "autoscaling.v2beta2.HorizontalPodAutoscaler",
    Life(23, 26, "autoscaling/v2"),
)
_V2BETA1 = removed(
    "autoscaling/v2beta1",
    "autoscaling.v2beta1.HorizontalPodAutoscaler",
    Life(22, 25, "autoscaling/v2"),
    v2beta1.to_v2,
    v2beta1.from_v2,
)

HORIZONTALPODAUTOSCALER = Kind(
    group="autoscaling",
    name="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    namespaced=True,
    versions=(
        Version("v2", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"),
        Version("v1", "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler", to_v2, from_v2),
    ),
    storage="v2",
    former=(_V2BETA2, _V2BETA1),
    short_names=("hpa",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    name_check=names.dns1123_subdomain,
    view=HorizontalPodAutoscaler,
    prepare=preparer(status={"currentReplicas": 0, "desiredReplicas": 0}),
    subresources=(STATUS,),
    spec_fields=("spec",),
    complete=True,
)
