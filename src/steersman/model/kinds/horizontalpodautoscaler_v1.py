"""autoscaling/v1 as a form of v2, both ways (pkg/apis/autoscaling/v1/conversion.go).

v1 knows one metric, the use of the processor; what else there is stands in annotations as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from steersman.model.kind import Document

_PREFIX: Final = "autoscaling.alpha.kubernetes.io/"
_METRICS: Final = f"{_PREFIX}metrics"
_CURRENT_METRICS: Final = f"{_PREFIX}current-metrics"
_CONDITIONS: Final = f"{_PREFIX}conditions"
BEHAVIOR: Final = f"{_PREFIX}behavior"
# What each must hold; what is anything else is dropped, as upstream drops it
_ANNOTATIONS: Final[Mapping[str, Any]] = {
    _METRICS: list[dict[str, str | dict[str, Any]]],
    _CURRENT_METRICS: list[dict[str, str | dict[str, Any]]],
    _CONDITIONS: list[dict[str, Any]],
    BEHAVIOR: dict[str, Any],
}
_SOURCES: Final = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
_AMOUNTS: Final = {
    "averageUtilization": "Utilization",
    "averageValue": "AverageValue",
    "value": "Value",
}
_CPU_TARGET: Final = "targetCPUUtilizationPercentage"
_CPU_CURRENT: Final = "currentCPUUtilizationPercentage"


def to_v2(document: Document) -> Document:
    """Returns a v1 document in v2."""
    metadata, found = without_annotations(document.get("metadata") or {})
    spec, status = dict(document.get("spec") or {}), dict(document.get("status") or {})
    metrics = [deep(metric, "target") for metric in found.get(_METRICS) or ()]
    if (percentage := spec.pop(_CPU_TARGET, None)) is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append(_cpu("target", target))
    spec |= {"metrics": metrics} if metrics else {}
    spec |= {"behavior": found[BEHAVIOR]} if found.get(BEHAVIOR) else {}
    current = [deep(metric, "current") for metric in found.get(_CURRENT_METRICS) or ()]
    if (percentage := status.pop(_CPU_CURRENT, None)) is not None:
        current.append(_cpu("current", {"averageUtilization": percentage}))
    status |= {"currentMetrics": current} if current else {}
    status |= {"conditions": found[_CONDITIONS]} if found.get(_CONDITIONS) else {}
    return _whole(document, "v2", metadata, spec, status)


def from_v2(document: Document) -> Document:
    """Returns a v2 document in v1."""
    metadata = dict(document.get("metadata") or {})
    spec, status = dict(document.get("spec") or {}), dict(document.get("status") or {})
    kept: Document = {}
    percentage, others = _split(spec.pop("metrics", None) or (), "target")
    spec |= {} if percentage is None else {_CPU_TARGET: percentage}
    kept[_METRICS] = [flat(metric, "target") for metric in others]
    percentage, others = _split(status.pop("currentMetrics", None) or (), "current")
    status |= {} if percentage is None else {_CPU_CURRENT: percentage}
    kept[_CURRENT_METRICS] = [flat(metric, "current") for metric in others]
    kept[_CONDITIONS] = status.pop("conditions", None)
    kept[BEHAVIOR] = spec.pop("behavior", None)
    encoded = {name: encode(value) for name, value in kept.items() if value}
    if encoded:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **encoded}
    return _whole(document, "v1", metadata, spec, status)


def _whole(
    document: Document, version: str, metadata: Document, spec: Document, status: Document
) -> Document:
    parts: Document = {"apiVersion": f"autoscaling/{version}", "metadata": metadata}
    if "spec" in document:
        parts["spec"] = spec
    if status or "status" in document:
        parts["status"] = status
    return {**document, **parts}


def encode(value: Any) -> str:
    """Returns what an annotation says."""
    return msgspec.json.encode(value).decode()


def without_annotations(metadata: Document) -> tuple[Document, Document]:
    """Returns metadata without our annotations, and what these say; what is no JSON is dropped."""
    annotations = metadata.get("annotations") or {}
    found: Document = {}
    for name, held in _ANNOTATIONS.items():
        if name in annotations:
            try:
                found[name] = msgspec.json.decode(annotations[name], type=held)
            except msgspec.DecodeError:
                found[name] = None
    if not found:
        return metadata, found
    kept = {name: value for name, value in annotations.items() if name not in _ANNOTATIONS}
    rest = {name: value for name, value in metadata.items() if name != "annotations"}
    return ({**rest, "annotations": kept} if kept else rest), found


def _cpu(side: str, amount: Document) -> Document:
    return {"type": "Resource", "resource": {"name": "cpu", side: amount}}


def _split(metrics: Any, side: str) -> tuple[int | None, list[Document]]:
    """Returns the percentage of the processor's use, and the other metrics."""
    percentage: int | None = None
    others = []
    for metric in metrics:
        resource = metric.get("resource") or {}
        found = (resource.get(side) or {}).get("averageUtilization")
        if resource.get("name") == "cpu" and found is not None and percentage is None:
            percentage = found
        else:
            others.append(metric)
    return percentage, others


def _amount_name(kind: str, side: str, amount: str) -> str:
    if kind == "Object" and amount == "averageValue":
        return amount
    return side + amount[0].upper() + amount[1:]


def flat(metric: Document, side: str) -> Document:
    """Returns a metric as v1 and v2beta1 write it: all in one object."""
    kind = metric.get("type", "")
    source = _SOURCES.get(kind, "")
    found = metric.get(source) or {}
    flat = {name: found[name] for name in ("name", "container") if name in found}
    if "describedObject" in found:
        flat["target"] = found["describedObject"]
    named = found.get("metric") or {}
    if "name" in named:
        flat["metricName"] = named["name"]
    if "selector" in named:
        flat["metricSelector" if kind == "External" else "selector"] = named["selector"]
    amounts = found.get(side) or {}
    for amount in _AMOUNTS:
        if amount in amounts:
            flat[_amount_name(kind, side, amount)] = amounts[amount]
    return {"type": kind, source: flat}


def deep(metric: Document, side: str) -> Document:
    """Returns a metric as v2 writes it."""
    kind = metric.get("type", "")
    source = _SOURCES.get(kind if isinstance(kind, str) else "", "")
    flat = metric.get(source) or {}
    if not isinstance(flat, dict):
        return metric  # the source of no metric: it is refused as it is
    found = {name: flat[name] for name in ("name", "container") if name in flat}
    if "target" in flat:
        found["describedObject"] = flat["target"]
    if "metricName" in flat:
        found["metric"] = {"name": flat["metricName"]}
        selector = flat.get("metricSelector" if kind == "External" else "selector")
        found["metric"] |= {} if selector is None else {"selector": selector}
    amounts: Document = {}
    for amount, type_of_target in _AMOUNTS.items():
        name = _amount_name(kind, side, amount)
        if name in flat:
            amounts[amount] = flat[name]
            if side == "target":
                amounts.setdefault("type", type_of_target)
    found[side] = amounts
    return {"type": kind, source: found}
