"""Pods and what is observed of them, for the tests of the node."""

from __future__ import annotations

from typing import Any

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.node.observed import Observed, Run, Sandbox, Seen

UID = "11111111-2222-3333-4444-555555555555"
NOW = 1_000_000.0
_decode = msgspec.json.Decoder(Pod).decode


def view(document: dict[str, Any]) -> Pod:
    """The view of a pod's document."""
    return _decode(msgspec.json.encode(document))


def pod(
    *,
    spec: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **container: Any,
) -> Pod:
    """A pod with one container, `app`, unless the spec says otherwise."""
    one = {"name": "app", "image": "busybox:1", **container}
    named = {"name": "web", "namespace": "default", "uid": UID, "generation": 1}
    document: dict[str, Any] = {
        "metadata": {**named, **(metadata or {})},
        "spec": {"containers": [one], "nodeName": "vm", **(spec or {})},
        "status": status or {},
    }
    return view(document)


def observed(**fields: Any) -> Observed:
    """What is observed of that pod; with `ready` everything is there but the containers."""
    if fields.pop("ready", False):
        sandbox = Sandbox(7, "/shm", ("10.0.0.5",))
        fields = {"sandbox": sandbox, "volumes_ready": True, **fields}
    return Observed("default", "web", UID, NOW - 100, **fields)


def running(attempt: int = 0, **fields: Any) -> Seen:
    """A container that runs."""
    fields = {"started": True, "ready": True, **fields}
    return Seen(run=Run(attempt, "running", NOW - 50), image_id="sha256:1", **fields)


def exited(code: int = 0, attempt: int = 0, at: float = NOW - 1, **fields: Any) -> Seen:
    """A container whose run has ended."""
    run = Run(attempt, "exited", NOW - 50, at, code)
    return Seen(run=run, image_id="sha256:1", **fields)


def deleted(grace: int = 30) -> dict[str, Any]:
    """The metadata of a pod that is being deleted."""
    return {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
