"""The APIService of metrics.k8s.io: this server answers for it, unless somebody names another."""

from __future__ import annotations

from steersman.api.metadata import timestamp
from steersman.api.metrics.documents import GROUP, VERSION
from steersman.model.kind import Document


def document(now: float) -> Document:
    """Returns the APIService, with metrics-server's priorities and without a Service. It has no
    mark of automatic management: who names a Service in it keeps it."""
    available = {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": timestamp(now),
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
        "status": {"conditions": [available]},
    }
