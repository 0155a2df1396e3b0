"""Views made from short documents, for tests of plans."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from steersman.model.kinds.cronjob import CronJob
from steersman.model.kinds.daemonset import DaemonSet
from steersman.model.kinds.deployment import Deployment
from steersman.model.kinds.job import Job
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.replicaset import ReplicaSet

NOW = 1_767_225_600.0
LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "web", "image": "a"}]}}


def time(seconds_ago: float) -> str:
    """Returns a time before NOW as documents hold it."""
    moment = datetime.fromtimestamp(NOW - seconds_ago, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def decoded(document: dict[str, Any], kind: type[Any]) -> Any:
    """Returns a document as a view."""
    return msgspec.json.decode(msgspec.json.encode(document), type=kind)


def owned_by(owner: Any, kind: str) -> list[dict[str, Any]]:
    """Returns the owner references of an object that an owner manages."""
    return [
        {
            "kind": kind,
            "name": owner.metadata.name,
            "uid": owner.metadata.uid,
            "controller": True,
            "apiVersion": "apps/v1",
        }
    ]


def pod(
    name: str,
    *,
    ready: float | None = None,
    node: str = "node-1",
    phase: str = "Running",
    deleted: bool = False,
    born: float = 100.0,
    spec: Any = None,
    status: Any = None,
    **metadata: Any,
) -> Pod:
    """Returns a pod; `ready` and `born` are seconds ago."""
    metadata = {"labels": LABELS, **metadata}
    if deleted:
        metadata["deletionTimestamp"] = time(0)
    condition = {"type": "Ready", "status": "False" if ready is None else "True"}
    if ready is not None:
        condition["lastTransitionTime"] = time(ready)
    document = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": time(born),
            "resourceVersion": "5",
            **metadata,
        },
        "spec": {"nodeName": node, **(spec or {})},
        "status": {"phase": phase, "conditions": [condition], **(status or {})},
    }
    found: Pod = decoded(document, Pod)
    return found


def replica_set(name: str, replicas: int, *, template: Any = TEMPLATE, **fields: Any) -> ReplicaSet:
    """Returns a set whose status is settled; `fields` are metadata, spec and status."""
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": time(100),
        **fields.get("metadata", {}),
    }
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": LABELS},
        "template": template,
        **fields.get("spec", {}),
    }
    counts = {"replicas": replicas, "observedGeneration": 1, "availableReplicas": replicas}
    status = {**counts, "readyReplicas": replicas, **fields.get("status", {})}
    document = {"metadata": metadata, "spec": spec, "status": status}
    found: ReplicaSet = decoded(document, ReplicaSet)
    return found


def deployment(replicas: int = 3, *, surge: Any = 1, missing: Any = 0, **fields: Any) -> Deployment:
    """Returns a deployment; `fields` are metadata, spec and status."""
    rolling = {"maxSurge": surge, "maxUnavailable": missing}
    document = {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "uid-web",
            "generation": 1,
            "resourceVersion": "9",
            **fields.get("metadata", {}),
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "template": TEMPLATE,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            **fields.get("spec", {}),
        },
        "status": fields.get("status", {}),
    }
    found: Deployment = decoded(document, Deployment)
    return found


def daemon_set(**fields: Any) -> DaemonSet:
    """Returns a daemon set; `fields` add to its spec."""
    document = {
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-web", "generation": 1},
        "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, **fields},
    }
    found: DaemonSet = decoded(document, DaemonSet)
    return found


def job(*, metadata: Any = None, status: Any = None, **spec: Any) -> Job:
    """Returns a job of one completion; `spec` adds to its spec."""
    document = {
        "metadata": {
            "name": "sum",
            "namespace": "default",
            "uid": "uid-sum",
            "resourceVersion": "9",
            **(metadata or {}),
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "selector": {"matchLabels": LABELS},
            "template": TEMPLATE,
            **spec,
        },
        "status": status or {},
    }
    found: Job = decoded(document, Job)
    return found


def cron_job(*, metadata: Any = None, status: Any = None, **spec: Any) -> CronJob:
    """Returns a cron job that is due every hour, made an hour and a half before NOW."""
    document = {
        "metadata": {
            "name": "hourly",
            "namespace": "default",
            "uid": "uid-hourly",
            "resourceVersion": "9",
            "creationTimestamp": time(5400),
            **(metadata or {}),
        },
        "spec": {
            "schedule": "0 * * * *",
            "jobTemplate": {"spec": {"template": TEMPLATE}},
            **spec,
        },
        "status": status or {},
    }
    found: CronJob = decoded(document, CronJob)
    return found


def node(name: str, **fields: Any) -> Node:
    """Returns a node; `fields` are metadata, spec and status."""
    metadata = {"name": name, "uid": f"uid-{name}", **fields.get("metadata", {})}
    document = {**fields, "metadata": metadata}
    found: Node = decoded(document, Node)
    return found
