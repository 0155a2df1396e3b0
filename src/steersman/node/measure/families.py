"""`/metrics/resource`, `/metrics/cadvisor` and what `/metrics` tells of the present, by kubelet's
names; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from steersman.model.figures import Family, Labels, Sample, Type
from steersman.node.measure.counts import gauge
from steersman.node.measure.files import Filled, MeasuredFiles
from steersman.node.measure.measuring import Machine, MeasuredPod
from steersman.node.measure.reading import Reading, Traffic
from steersman.node.observed import Observed

_VOLUMES: Final[Sequence[tuple[str, str, Callable[[Filled], int | None]]]] = (
    ("available_bytes", "Number of available bytes in the volume", lambda it: it.available_bytes),
    ("capacity_bytes", "Capacity in bytes of the volume", lambda it: it.capacity_bytes),
    ("inodes", "Maximum number of inodes in the volume", lambda it: it.inodes),
    ("inodes_free", "Number of free inodes in the volume", lambda it: it.inodes_free),
    ("inodes_used", "Number of used inodes in the volume", lambda it: it.inodes_used),
    ("used_bytes", "Number of used bytes in the volume", lambda it: it.used_bytes),
)


def agent_metrics(
    node: str, pods: Sequence[Observed], files: Mapping[str, MeasuredFiles]
) -> list[Family]:
    """Returns what the agent has now: pods with a sandbox, their containers by state, and how full
    the volumes of claims are (volume_stats.go)."""
    states = Counter(
        run.state for pod in pods for it in pod.containers.values() if (run := it.run) is not None
    )
    return [
        gauge("kubelet_node_name", "The node's name. The count is always 1.", {
            (("node", node),): 1,
        }),
        gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", {
            (): len(pods),
        }),
        gauge("kubelet_running_containers", "Number of containers currently running", {
            (("container_state", state),): states[state] for state in ("exited", "running")
        }),
        *_claims(pods, files),
    ]  # fmt: skip


def _claims(pods: Sequence[Observed], files: Mapping[str, MeasuredFiles]) -> Iterator[Family]:
    known: dict[Labels, Filled] = {
        (("namespace", pod.namespace), ("persistentvolumeclaim", volume.claim)): volume.filled
        for pod in pods
        if pod.uid in files
        for volume in files[pod.uid].volumes
        if volume.claim
    }
    for name, told, read in _VOLUMES:
        values = {labels: read(it) for labels, it in sorted(known.items(), key=lambda it: it[0])}
        given = {labels: float(it) for labels, it in values.items() if it is not None}
        yield gauge(f"kubelet_volume_stats_{name}", told, given)


def resource_metrics(machine: Machine, pods: Sequence[MeasuredPod]) -> list[Family]:
    """Returns what autoscalers need (KEP-727), by upstream's names."""
    whole = machine.whole
    containers = [
        (_of_container(pod, one.name), one.reading, one.began)
        for pod in pods
        for one in pod.containers
    ]
    sums = [(_of_pod(pod), pod.whole) for pod in pods if pod.whole is not None]
    return [
        Family(
            "container_cpu_usage_seconds_total",
            "Cumulative cpu time consumed by the container in core-seconds",
            "counter",
            [_cpu(labels, one) for labels, one, _ in containers],
            "STABLE",
        ),
        Family(
            "container_memory_working_set_bytes",
            "Current working set of the container in bytes",
            "gauge",
            [_memory(labels, one) for labels, one, _ in containers],
            "STABLE",
        ),
        Family(
            "container_start_time_seconds",
            "Start time of the container since unix epoch in seconds",
            "gauge",
            [Sample(labels, began) for labels, _, began in containers],
            "STABLE",
        ),
        Family(
            "node_cpu_usage_seconds_total",
            "Cumulative cpu time consumed by the node in core-seconds",
            "counter",
            [_cpu((), whole)],
            "STABLE",
        ),
        Family(
            "node_memory_working_set_bytes",
            "Current working set of the node in bytes",
            "gauge",
            [_memory((), whole)],
            "STABLE",
        ),
        Family(
            "pod_cpu_usage_seconds_total",
            "Cumulative cpu time consumed by the pod in core-seconds",
            "counter",
            [_cpu(labels, one) for labels, one in sums],
            "STABLE",
        ),
        Family(
            "pod_memory_working_set_bytes",
            "Current working set of the pod in bytes",
            "gauge",
            [_memory(labels, one) for labels, one in sums],
            "STABLE",
        ),
        *_swap_families(containers, whole, sums),
        Family(
            "resource_scrape_error",
            "1 if there was an error while getting container metrics, 0 otherwise",
            "gauge",
            [Sample((), 0)],
            "STABLE",
        ),
    ]


def _swap_families(
    containers: Sequence[tuple[Labels, Reading, float]],
    whole: Reading,
    sums: Sequence[tuple[Labels, Reading]],
) -> list[Family]:
    """Returns the swap in use, and how much of it a container may use (KEP-2400)."""
    ones = [(labels, one) for labels, one, _ in containers]
    each = (
        (
            "container_swap_usage_bytes",
            "Current amount of the container swap usage in bytes.",
            ones,
        ),
        ("node_swap_usage_bytes", "Current swap usage of the node in bytes", [((), whole)]),
        ("pod_swap_usage_bytes", "Current amount of the pod swap usage in bytes", sums),
    )
    found = [
        Family(
            name,
            f"{text}{_SWAP_ENDING}",
            "gauge",
            [_swap(*it) for it in whose if _counts(it)],
            "ALPHA",
        )
        for name, text, whose in each
    ]
    bounds = [
        Sample(labels, one.swap_limit_bytes, one.time)
        for labels, one in ones
        if one.swap_limit_bytes is not None
    ]
    text = f"Current amount of the container swap limit in bytes{_SWAP_ENDING}"
    return [*found, Family("container_swap_limit_bytes", text, "gauge", bounds, "ALPHA")]


_SWAP_ENDING: Final = ". Reported only on non-windows systems"


def _counts(told: tuple[Labels, Reading]) -> bool:
    return told[1].swap_bytes is not None


def _swap(labels: Labels, reading: Reading) -> Sample:
    return Sample(labels, reading.swap_bytes or 0, reading.time)


def _cpu(labels: Labels, reading: Reading) -> Sample:
    return Sample(labels, reading.cpu_nanos / 1e9, reading.time)


def _memory(labels: Labels, reading: Reading) -> Sample:
    return Sample(labels, reading.working_set_bytes, reading.time)


def _of_pod(pod: MeasuredPod) -> Labels:
    return (("namespace", pod.namespace), ("pod", pod.name))


def _of_container(pod: MeasuredPod, name: str) -> Labels:
    return (("container", name), *_of_pod(pod))


_READINGS: Final[Sequence[tuple[str, str, Type, Callable[[Reading], float]]]] = (
    (
        "cpu_usage_seconds_total",
        "Cumulative cpu time consumed in seconds.",
        "counter",
        lambda one: one.cpu_nanos / 1e9,
    ),
    (
        "memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        "gauge",
        lambda one: one.usage_bytes,
    ),
    (
        "memory_working_set_bytes",
        "Current working set in bytes.",
        "gauge",
        lambda one: one.working_set_bytes,
    ),
    ("memory_rss", "Size of RSS in bytes.", "gauge", lambda one: one.rss_bytes),
    (
        "spec_memory_limit_bytes",
        "Memory limit for the container.",
        "gauge",
        lambda one: one.limit_bytes,
    ),
    (
        "processes",
        "Number of processes running inside the container.",
        "gauge",
        lambda one: one.processes,
    ),
)
# Of those that have a quota
_QUOTAS: Final[Sequence[tuple[str, str, Callable[[Reading], float]]]] = (
    (
        "periods",
        "Number of elapsed enforcement period intervals.",
        lambda one: one.periods or 0,
    ),
    (
        "throttled_periods",
        "Number of throttled period intervals.",
        lambda one: one.throttled_periods,
    ),
    (
        "throttled_seconds",
        "Total time duration the container has been throttled.",
        lambda one: one.throttled_nanos / 1e9,
    ),
)
_LINKS: Final[Sequence[tuple[str, str, Callable[[Traffic], float]]]] = (
    ("receive_bytes", "bytes received", lambda link: link.received_bytes),
    ("receive_errors", "errors encountered while receiving", lambda link: link.received_errors),
    ("transmit_bytes", "bytes transmitted", lambda link: link.sent_bytes),
    ("transmit_errors", "errors encountered while transmitting", lambda link: link.sent_errors),
)


def container_metrics(root: str, pods: Sequence[MeasuredPod]) -> list[Family]:
    """Returns what dashboards read: cAdvisor's names for what is known here."""
    found: list[tuple[Labels, Reading, float]] = []
    traffic = []
    for pod in pods:
        path = f"{root}/{pod.group}"
        if pod.whole is not None:
            found.append((_cadvisor(pod, path), pod.whole, pod.began))
        for one in pod.containers:
            labels = _cadvisor(pod, f"{path}/{one.id}", one.name, one.image, one.shown_id)
            found.append((labels, one.reading, one.began))
        traffic += [
            ((*_cadvisor(pod, path), ("interface", link.name)), link) for link in pod.traffic
        ]
    return [
        *(
            Family(
                f"container_{name}",
                told,
                kind,
                [Sample(labels, read(one), one.time) for labels, one, _ in found],
            )
            for name, told, kind, read in _READINGS
        ),
        *(
            Family(
                f"container_cpu_cfs_{name}_total",
                told,
                "counter",
                [Sample(it, read(one), one.time) for it, one, _ in found if one.periods],
            )
            for name, told, read in _QUOTAS
        ),
        Family(
            "container_start_time_seconds",
            "Start time of the container since unix epoch in seconds.",
            "gauge",
            [Sample(labels, began) for labels, _, began in found],
        ),
        *(
            Family(
                f"container_network_{name}_total",
                f"Cumulative count of {told}",
                "counter",
                [Sample(labels, read(link)) for labels, link in traffic],
            )
            for name, told, read in _LINKS
        ),
    ]


def _cadvisor(
    pod: MeasuredPod, path: str, container: str = "", image: str = "", name: str = ""
) -> Labels:
    """Returns the labels of a container, or of a pod, which has no image and no name: by these
    dashboards tell them from each other."""
    own = (("container", container), ("id", path), ("image", image), ("name", name))
    return (*own, *_of_pod(pod))
