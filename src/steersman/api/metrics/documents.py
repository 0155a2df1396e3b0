"""NodeMetrics and PodMetrics (metrics.k8s.io/v1beta1) as documents, lists and tables; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from steersman.api.metrics.scrape import Usage
from steersman.model.kind import Document, Kind, Version
from steersman.model.times import rfc3339

GROUP: Final = "metrics.k8s.io"
VERSION: Final = "v1beta1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
_VERBS: Final = ("get", "list")
_KIBI: Final = 1024
_NAME_TEXT: Final = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. "
    "Name is primarily intended for creation idempotence and configuration definition. Cannot be "
    "updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#"
    "names"
)


def _kind(name: str, plural: str, *, namespaced: bool) -> Kind:
    return Kind(
        group=GROUP,
        name=name,
        plural=plural,
        namespaced=namespaced,
        versions=(Version(VERSION, ""),),
        storage=VERSION,
        verbs=_VERBS,
        stored=False,
    )


NODE_METRICS: Final = _kind("NodeMetrics", "nodes", namespaced=False)
POD_METRICS: Final = _kind("PodMetrics", "pods", namespaced=True)
KINDS: Final = (NODE_METRICS, POD_METRICS)


def amounts(usage: Usage) -> Document:
    """Returns a usage as a resource list."""
    memory = f"{-(-usage.memory_bytes // _KIBI)}Ki" if usage.memory_bytes else "0"
    return {"cpu": f"{usage.cpu_nanos}n" if usage.cpu_nanos else "0", "memory": memory}


def window(seconds: float) -> str:
    """Returns a duration as Go writes it, to the millisecond."""
    millis = round(seconds * 1000)
    minutes, millis = divmod(millis, 60_000)
    text = f"{millis / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{text}s" if minutes else f"{text}s"


def node_metrics(meta: Mapping[str, Any], usage: Usage, now: float) -> Document:
    """Returns a node's metrics."""
    return {**_head("NodeMetrics", meta, usage, now), "usage": amounts(usage)}


def pod_metrics(meta: Mapping[str, Any], containers: Mapping[str, Usage], now: float) -> Document:
    """Returns a pod's metrics; the window is that of its newest container."""
    shortest = min(containers.values(), key=lambda usage: usage.window_seconds)
    listed = [{"name": name, "usage": amounts(usage)} for name, usage in containers.items()]
    return {**_head("PodMetrics", meta, shortest, now), "containers": listed}


def _head(kind: str, meta: Mapping[str, Any], usage: Usage, now: float) -> Document:
    shown = {name: meta[name] for name in ("name", "namespace", "labels") if meta.get(name)}
    return {
        "kind": kind,
        "apiVersion": API_VERSION,
        "metadata": {**shown, "creationTimestamp": rfc3339(now)},
        "timestamp": rfc3339(usage.time),
        "window": window(usage.window_seconds),
    }


def listed(kind: Kind, items: Iterable[Document]) -> Document:
    """Returns a list."""
    bare = [{name: it[name] for name in it if name not in ("kind", "apiVersion")} for it in items]
    return {"kind": kind.list_kind, "apiVersion": API_VERSION, "metadata": {}, "items": bare}


def table(items: Sequence[Document], meta_version: str) -> Document:
    """Returns what `kubectl get` prints."""
    columns = [{"name": "Name", "type": "string", "format": "name", "description": _NAME_TEXT}]
    resources = ("cpu", "memory") if items else ()
    names = [*resources, "window"]
    columns += [{"name": name, "type": "string", "format": "", "description": ""} for name in names]
    rows = [
        {
            "cells": [one["metadata"]["name"], *_cells(one), one["window"]],
            "object": {
                "kind": "PartialObjectMetadata",
                "apiVersion": f"meta.k8s.io/{meta_version}",
                "metadata": one["metadata"],
            },
        }
        for one in items
    ]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{meta_version}",
        "metadata": {},
        "columnDefinitions": [{**column, "priority": 0} for column in columns],
        "rows": rows,
    }


def _cells(metrics: Document) -> tuple[str, str]:
    usages = [one["usage"] for one in metrics.get("containers") or (metrics,)]
    nanos = sum(int(one["cpu"].removesuffix("n")) for one in usages)
    kibis = sum(int(one["memory"].removesuffix("Ki")) for one in usages)
    return (f"{nanos}n" if nanos else "0", f"{kibis}Ki" if kibis else "0")
