"""An operator of kopf's: it writes a child and a status, follows changes, and cleans up."""

from __future__ import annotations

from typing import Any

import kopf
import kubernetes

WIDGETS = ("example.com", "v1", "widgets")


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = "example.com/widgets"
    settings.posting.enabled = True


@kopf.on.create(*WIDGETS)
def create(spec: Any, name: str, namespace: str, patch: Any, body: Any, **_: Any) -> None:
    child = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"size": str(spec["size"])},
    }
    kopf.adopt(child)
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, child)
    kopf.info(body, reason="Made", message="made a child")
    patch.status["replicas"] = spec["size"]


@kopf.on.update(*WIDGETS, field="spec.size")
def resize(old: int, new: int, name: str, namespace: str, patch: Any, **_: Any) -> None:
    child = {"data": {"size": str(new)}}
    kubernetes.client.CoreV1Api().patch_namespaced_config_map(name, namespace, child)
    patch.status["replicas"] = new


@kopf.on.delete(*WIDGETS)
def delete(name: str, **_: Any) -> None:
    print("farewell", name, flush=True)
