"""`/metrics/resource` and `/metrics/cadvisor`: kubelet's names, Prometheus' text; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from steersman.node.measure.measuring import Machine, MeasuredPod
from steersman.node.measure.reading import Reading, Traffic

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Value(NamedTuple):
    """One value of a metric; a time of 0 is not written."""

    labels: Labels
    value: float
    time: float = 0.0


class Family(NamedTuple):
    """A metric: its name, what it is, whether it grows for ever, and its values."""

    name: str
    help: str
    type: str
    values: Sequence[Value]


def render(families: Iterable[Family]) -> bytes:
    """Returns metrics as Prometheus reads them; those without a value are left out."""
    lines = []
    for family in families:
        if family.values:
            lines.append(f"# HELP {family.name} {family.help}")
            lines.append(f"# TYPE {family.name} {family.type}")
        lines += [_line(family.name, value) for value in family.values]
    return "".join(f"{line}\n" for line in lines).encode()


def _line(name: str, value: Value) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in value.labels)
    time = f" {round(value.time * 1000)}" if value.time else ""
    return (
        f"{name}{{{told}}} {value.value:.15g}{time}"
        if told
        else (f"{name} {value.value:.15g}{time}")
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


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
            "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
            "counter",
            [_cpu(labels, one) for labels, one, _ in containers],
        ),
        Family(
            "container_memory_working_set_bytes",
            "[STABLE] Current working set of the container in bytes",
            "gauge",
            [_memory(labels, one) for labels, one, _ in containers],
        ),
        Family(
            "container_start_time_seconds",
            "[STABLE] Start time of the container since unix epoch in seconds",
            "gauge",
            [Value(labels, began) for labels, _, began in containers],
        ),
        Family(
            "node_cpu_usage_seconds_total",
            "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
            "counter",
            [_cpu((), whole)],
        ),
        Family(
            "node_memory_working_set_bytes",
            "[STABLE] Current working set of the node in bytes",
            "gauge",
            [_memory((), whole)],
        ),
        Family(
            "pod_cpu_usage_seconds_total",
            "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
            "counter",
            [_cpu(labels, one) for labels, one in sums],
        ),
        Family(
            "pod_memory_working_set_bytes",
            "[STABLE] Current working set of the pod in bytes",
            "gauge",
            [_memory(labels, one) for labels, one in sums],
        ),
        Family(
            "resource_scrape_error",
            "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
            "gauge",
            [Value((), 0)],
        ),
    ]


def _cpu(labels: Labels, reading: Reading) -> Value:
    return Value(labels, reading.cpu_nanos / 1e9, reading.time)


def _memory(labels: Labels, reading: Reading) -> Value:
    return Value(labels, reading.working_set_bytes, reading.time)


def _of_pod(pod: MeasuredPod) -> Labels:
    return (("namespace", pod.namespace), ("pod", pod.name))


def _of_container(pod: MeasuredPod, name: str) -> Labels:
    return (("container", name), *_of_pod(pod))


_READINGS: Final[Sequence[tuple[str, str, str, Callable[[Reading], float]]]] = (
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
        path = f"{root}/pod{pod.uid}"
        if pod.whole is not None:
            found.append((_cadvisor(pod, "", path), pod.whole, pod.began))
        for one in pod.containers:
            labels = _cadvisor(pod, one.name, f"{path}/{one.id}")
            found.append((labels, one.reading, one.began))
        traffic += [
            ((*_cadvisor(pod, "", path), ("interface", link.name)), link) for link in pod.traffic
        ]
    return [
        *(
            Family(
                f"container_{name}",
                told,
                kind,
                [Value(labels, read(one), one.time) for labels, one, _ in found],
            )
            for name, told, kind, read in _READINGS
        ),
        Family(
            "container_start_time_seconds",
            "Start time of the container since unix epoch in seconds.",
            "gauge",
            [Value(labels, began) for labels, _, began in found],
        ),
        *(
            Family(
                f"container_network_{name}_total",
                f"Cumulative count of {told}",
                "counter",
                [Value(labels, read(link)) for labels, link in traffic],
            )
            for name, told, read in _LINKS
        ),
    ]


def _cadvisor(pod: MeasuredPod, container: str, path: str) -> Labels:
    name = path.rpartition("/")[2]
    return (("container", container), ("id", path), ("image", ""), ("name", name), *_of_pod(pod))
