"""Measures the pure parts that every write passes: patches, field ownership, apply.

Run with `PYTHONPATH=src python bench/model.py`; prints microseconds, the best of several rounds.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import msgspec

from steersman.model import names, ownership, quantity, selectors, strategic
from steersman.model.apply import apply
from steersman.model.fields import comparison
from steersman.model.fields.structure import structure_of
from steersman.model.patch import json_patch, merge_patch
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


STATUS_PATCH = {"status": {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}}


def live() -> dict[str, Any]:
    """Returns the pod as it is after some time: owned by two writers, with a status."""
    document = pod("p-000001")
    document["metadata"] |= {"uid": "b6a9", "resourceVersion": "12", "creationTimestamp": NOW}
    document["metadata"]["managedFields"] = created(document)
    after = strategic.merge(document, STATUS_PATCH, POD)
    return owned(document, after, "kubelet", "status")


def owned(
    old: dict[str, Any], new: dict[str, Any], manager: str, subresource: str
) -> dict[str, Any]:
    entries = ownership.counting(old, new, subresource)
    managed = ownership.update(
        entries, old, new, POD, manager=manager, api_version="v1", time=NOW, subresource=subresource
    )
    return {**new, "metadata": {**new["metadata"], "managedFields": managed}}


def creations() -> None:
    pods = [pod(f"p-{number:06}") for number in range(100)]
    stream = iter(pods * 10_000)
    measured("ownership: create, shape known", lambda: created(next(stream)))
    structure, document = structure_of(POD), pods[0]
    measured("ownership: the shape alone", lambda: ownership._shapes.key(document, structure))
    measured("ownership: create, reckoned", lambda: comparison.compare(None, document, POD), 300)


def updates(document: dict[str, Any]) -> None:
    failing = {"type": "Ready", "status": "False"}
    patch = {"status": {"conditions": [failing], "phase": "Running"}}
    measured("strategic merge of a status patch", lambda: strategic.merge(document, patch, POD))
    patched = strategic.merge(document, patch, POD)
    measured(
        "ownership: the status patch", lambda: owned(document, patched, "kubelet", "status"), 500
    )
    sent = msgspec.json.decode(msgspec.json.encode(document))
    measured("ownership: put, nothing changed", lambda: owned(document, sent, "kload", ""), 500)
    sent["metadata"]["labels"]["tier"] = "changed"
    measured("ownership: put, one label changed", lambda: owned(document, sent, "kload", ""), 500)
    many = [{"op": "replace", "path": "/metadata/labels/tier", "value": "x"}]
    measured("JSON patch of one label", lambda: json_patch(document, many))
    measured(
        "JSON merge patch of one label",
        lambda: merge_patch(document, {"metadata": {"labels": {"tier": "x"}}}),
    )


def applies() -> None:
    wanted = {key: value for key, value in pod("p-000001").items() if key != "status"}

    def put(old: dict[str, Any] | None, applied: dict[str, Any]) -> dict[str, Any]:
        return apply(old, applied, POD, manager="m", force=False, api_version="v1", time=NOW)

    made = put(None, wanted)
    measured("apply: creation", lambda: put(None, wanted), 200)
    measured("apply: nothing changed", lambda: put(made, wanted), 200)
    labels = {"metadata": {**wanted["metadata"], "labels": {"app": "x"}}}
    measured("apply: two labels given up", lambda: put(made, {**wanted, **labels}), 200)


def small_things() -> None:
    selector = selectors.parse("app=load,tier in (load,other),!gone")
    labels = {"app": "load", "tier": "load", "index": "p-1"}
    measured("selector: match", lambda: selector(labels), 20_000)
    measured("quantity: parse, known", lambda: quantity.parse("100m"), 20_000)
    measured("names: qualified name", lambda: names.qualified_name("example.com/app"), 20_000)


def main() -> None:
    document = live()
    print(f"pod: {len(msgspec.json.encode(document))} bytes")
    creations()
    updates(document)
    applies()
    small_things()


if __name__ == "__main__":
    main()
