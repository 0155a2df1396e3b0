"""HorizontalPodAutoscaler: its view, and autoscaling/v1 as a form of v2.

What v1 cannot say is kept in annotations (pkg/apis/autoscaling/v1/conversion.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from steersman.model.kind import Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.condition import Condition
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


HORIZONTALPODAUTOSCALER = Kind(
    group="autoscaling",
    name="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    namespaced=True,
    versions=(Version("v2", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"),),
    storage="v2",
    short_names=("hpa",),
    categories=("all",),
    view=HorizontalPodAutoscaler,
    prepare=preparer(status={"currentReplicas": 0, "desiredReplicas": 0}),
    subresources=(STATUS,),
)
