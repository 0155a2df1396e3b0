"""autoscaling/v2beta1 as a form of v2, both ways (pkg/apis/autoscaling/v2beta1/conversion.go).

A metric stands in one flat object; how fast replicas may change stands in an annotation.
"""

from __future__ import annotations

from steersman.model.kind import Document
from steersman.model.kinds.horizontalpodautoscaler_v1 import (
    BEHAVIOR,
    deep,
    encode,
    flat,
    without_annotations,
)


def to_v2(document: Document) -> Document:
    """Returns a v2beta1 document in v2."""
    metadata, found = without_annotations(document.get("metadata") or {})
    made = {**document, "metadata": metadata}
    if "spec" in document:
        spec = dict(document["spec"])
        if "metrics" in spec:
            spec["metrics"] = [deep(metric, "target") for metric in spec["metrics"]]
        made["spec"] = spec | ({"behavior": found[BEHAVIOR]} if found.get(BEHAVIOR) else {})
    if "currentMetrics" in (status := document.get("status") or {}):
        current = [deep(metric, "current") for metric in status["currentMetrics"]]
        made["status"] = {**status, "currentMetrics": current}
    return made


def from_v2(document: Document) -> Document:
    """Returns a v2 document in v2beta1."""
    made = dict(document)
    if "spec" in document:
        spec = dict(document["spec"])
        if "metrics" in spec:
            spec["metrics"] = [flat(metric, "target") for metric in spec["metrics"]]
        if behavior := spec.pop("behavior", None):
            metadata = document["metadata"]
            annotations = {**(metadata.get("annotations") or {}), BEHAVIOR: encode(behavior)}
            made["metadata"] = {**metadata, "annotations": annotations}
        made["spec"] = spec
    if "currentMetrics" in (status := document.get("status") or {}):
        current = [flat(metric, "current") for metric in status["currentMetrics"]]
        made["status"] = {**status, "currentMetrics": current}
    return made
