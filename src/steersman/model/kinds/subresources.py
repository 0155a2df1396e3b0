"""Subresources that several kinds share, and how they limit what an update may change.

A status update may change the status and, for kinds whose upstream strategy leaves it alone, the
metadata (the pipeline keeps what nobody may change).
"""

from __future__ import annotations

from steersman.model.kind import Subresource

_GET_AND_CHANGE = ("get", "patch", "update")
_CONNECT_VERBS = ("create", "delete", "get", "patch", "update")

STATUS = Subresource("status", _GET_AND_CHANGE, (("status",), ("metadata",)))
STATUS_ALONE = Subresource("status", _GET_AND_CHANGE, (("status",),))
STATUS_NOT_LABELS = Subresource(
    "status",
    _GET_AND_CHANGE,
    (
        ("status",),
        ("metadata", "annotations"),
        ("metadata", "finalizers"),
        ("metadata", "ownerReferences"),
    ),
)
SCALE = Subresource("scale", _GET_AND_CHANGE, (("spec", "replicas"),), "autoscaling/v1 Scale")
PROXY = Subresource("proxy", _CONNECT_VERBS)
