"""Measures the pure parts that every write passes: patches, field ownership, apply.

Run with `PYTHONPATH=src python bench/model.py`; prints microseconds, the best of several rounds.
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable
from typing import Any

import msgspec

from steersman.model import ownership
from steersman.model.fields import comparison
from steersman.model.fields.structure import structure_of
from steersman.model.schema import builtin

ROUNDS = 7
POD = builtin().definition("io.k8s.api.core.v1.Pod")
NOW = "2026-01-01T00:00:00Z"


def probe() -> dict[str, Any]:
    return {
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def pod(name: str) -> dict[str, Any]:
    """Returns kload's pod after defaulting."""
    text = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"app": "load", "tier": "load", "index": name},
            "annotations": {"kload/purpose": "a pod of ordinary size"},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": "nginx:1.14.2",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [
                        {"name": "A", "value": "1"},
                        {
                            "name": "POD",
                            "valueFrom": {
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}
                            },
                        },
                    ],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "16Mi"},
                        "limits": {"cpu": "100m", "memory": "64Mi"},
                    },
                    "readinessProbe": probe(),
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent",
                },
                {
                    "name": "side",
                    "image": "busybox:1.36",
                    "command": ["sleep", "3600"],
                    "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent",
                },
            ],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "nobody",
            "enableServiceLinks": True,
        },
        "status": {},
    }
    # as it comes from the decoder: no text is shared with another pod
    fresh: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(text))
    return fresh


def measured(name: str, act: Callable[[], Any], number: int = 2000) -> None:
    best = min(timeit.repeat(act, number=number, repeat=ROUNDS)) / number
    print(f"{name:48} {best * 1e6:8.2f} us")


def created(document: dict[str, Any]) -> list[dict[str, Any]]:
    return ownership.update([], None, document, POD, manager="kload", api_version="v1", time=NOW)


def main() -> None:
    document = pod("p-000001")
    document["metadata"]["managedFields"] = created(document)
    print(f"pod: {len(json.dumps(document))} bytes")
    pods = [pod(f"p-{number:06}") for number in range(100)]
    stream = iter(pods * 10_000)
    measured("ownership: create, shape known", lambda: created(next(stream)))
    structure = structure_of(POD)
    measured("ownership: the shape's key alone", lambda: ownership._shapes.key(document, structure))
    measured(
        "ownership: compare, nothing cached", lambda: comparison.compare(None, document, POD), 300
    )


if __name__ == "__main__":
    main()
