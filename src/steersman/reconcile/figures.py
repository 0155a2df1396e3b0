"""What is counted of the queues of controllers, by the names of client-go's work queues.

Follows client-go's util/workqueue and component-base's metrics/prometheus/workqueue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from steersman.model.figures import Family, Histogram, Sample, Type, exponential

if TYPE_CHECKING:
    from steersman.reconcile.queue import Queue

SECONDS: Final = exponential(10e-9, 10, 10)
_UNFINISHED: Final = (
    "How many seconds of work has done that is in progress and hasn't been observed by "
    "work_duration. Large values indicate stuck threads. One can deduce the number of stuck "
    "threads by observing the rate at which this increases."
)
# What upstream's controllers call their queues, where that is not their own name
_NAMES: Final[Mapping[str, str]] = {
    "attachdetach-controller": "pvcs",
    "bootstrap-signer-controller": "bootstrap_signer_queue",
    "clusterrole-aggregation-controller": "ClusterRoleAggregator",
    "cronjob-controller": "cronjob",
    "daemon-set-controller": "daemonset",
    "deployment-controller": "deployment",
    "disruption-controller": "disruption",
    "endpoint-controller": "endpoint",
    "endpointslice-controller": "endpoint_slice",
    "endpointslicemirroring-controller": "endpoint_slice_mirroring",
    "ephemeral-volume-controller": "ephemeral_volume",
    "expand-controller": "volume_expand",
    "generic-garbage-collector": "garbage_collector_attempt_to_delete",
    "horizontal-pod-autoscaler": "horizontalpodautoscaler",
    "job-controller": "job",
    "namespace-controller": "namespace",
    "node-controller": "node_lifecycle_controller",
    "persistent-volume-binder": "claims",
    "pv-protection-controller": "pvprotection",
    "pvc-protection-controller": "pvcprotection",
    "replicaset-controller": "replicaset",
    "replication-controller": "replicationmanager",
    "resource-claim-controller": "resource_claim",
    "resourcequota-controller": "resourcequota_primary",
    "root-ca-cert-publisher": "root_ca_cert_publisher",
    "service-account-controller": "serviceaccount",
    "service-controller": "service",
    "statefulset-controller": "statefulset",
    "taint-eviction-controller": "noexec_taint_pod",
    "token-cleaner-controller": "token_cleaner",
    "ttl-after-finished-controller": "ttl_jobs_to_delete",
    "ttl-controller": "ttlcontroller",
}


class Figures:
    """What is counted of one queue."""

    __slots__ = ("adds", "retries", "waited", "worked")

    def __init__(self) -> None:
        self.adds = 0
        self.retries = 0
        self.waited = Histogram(SECONDS)
        self.worked = Histogram(SECONDS)


def queue_name(controller: str) -> str:
    """Returns what a controller's queue is called."""
    return _NAMES.get(controller, controller)


def families(queues: Mapping[str, Queue[Any]], now: float) -> Iterator[Family]:
    """Yields what is known of queues, which are given by their controllers' names; `now` is wire
    time."""
    named = {(("name", queue_name(name)),): queue for name, queue in sorted(queues.items())}
    running = {
        labels: [now - since for since in queue.working.values()] for labels, queue in named.items()
    }

    def family(name: str, kind: Type, text: str, samples: Iterator[Sample]) -> Family:
        return Family(f"workqueue_{name}", text, kind, list(samples), "BETA")

    counted = [(labels, queue.figures) for labels, queue in named.items()]
    yield family(
        "adds_total",
        "counter",
        "Total number of adds handled by workqueue",
        (Sample(labels, one.adds) for labels, one in counted),
    )
    yield family(
        "depth",
        "gauge",
        "Current depth of workqueue",
        (Sample(labels, queue.depth) for labels, queue in named.items()),
    )
    yield family(
        "longest_running_processor_seconds",
        "gauge",
        "How many seconds has the longest running processor for workqueue been running.",
        (Sample(labels, max(found, default=0)) for labels, found in running.items()),
    )
    yield family(
        "queue_duration_seconds",
        "histogram",
        "How long in seconds an item stays in workqueue before being requested.",
        (Sample(labels, one.waited) for labels, one in counted),
    )
    yield family(
        "retries_total",
        "counter",
        "Total number of retries handled by workqueue",
        (Sample(labels, one.retries) for labels, one in counted),
    )
    yield family(
        "unfinished_work_seconds",
        "gauge",
        _UNFINISHED,
        (Sample(labels, sum(found)) for labels, found in running.items()),
    )
    yield family(
        "work_duration_seconds",
        "histogram",
        "How long in seconds processing an item from workqueue takes.",
        (Sample(labels, one.worked) for labels, one in counted),
    )
