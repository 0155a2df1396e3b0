"""The APIService of metrics.k8s.io: this server answers for it, unless somebody names another."""

from __future__ import annotations

from steersman.api.aggregation.registration import local
from steersman.api.metrics.documents import GROUP, VERSION
from steersman.model.kind import Document

PRIORITIES = (100, 100)  # metrics-server's


def document() -> Document:
    """Returns the APIService. It has no mark of automatic management: who names a Service in it
    keeps it."""
    return local(GROUP, VERSION, PRIORITIES)
