"""What the agent counts of its own work, for `/metrics`: by kubelet's names and bounds
(pkg/kubelet/metrics/metrics.go). Counted from the start of the agent on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from steersman.model.figures import Family, Histogram, Labels, Sample, Type

_STARTS: Final = (
    *(0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45),
    *(60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600),
)  # podStartupDurationBuckets
_USUAL: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # prometheus.DefBuckets


class Counts:
    """See the module."""

    def __init__(self) -> None:
        self._starts = Histogram(_STARTS)
        self._work: dict[str, Histogram] = {}
        self._operations: dict[str, Histogram] = {}
        self._failed: Counter[str] = Counter()
        self._evictions: Counter[str] = Counter()

    def started(self, seconds: float) -> None:
        """A pod runs, so long after the node saw it."""
        self._starts.observe(seconds)

    def worked(self, kind: str, seconds: float) -> None:
        """The worker of a pod has done something: of a kind create, update, sync or kill."""
        self._work.setdefault(kind, Histogram(_USUAL)).observe(seconds)

    def operated(self, operation: str, seconds: float, *, failed: bool) -> None:
        """The runtime was asked for something."""
        self._operations.setdefault(operation, Histogram(_USUAL)).observe(seconds)
        if failed:
            self._failed[operation] += 1

    def evicted(self, signal: str) -> None:
        """A pod was given up for a signal of the node, or for a bound of its own."""
        self._evictions[signal] += 1

    def families(self) -> Iterator[Family]:
        """Yields what was counted."""
        yield _family(
            "kubelet_pod_start_duration_seconds",
            "Duration in seconds from kubelet seeing a pod for the first time to the pod starting "
            "to run",
            "histogram",
            [Sample((), self._starts)],
        )
        yield _family(
            "kubelet_pod_worker_duration_seconds",
            "Duration in seconds to sync a single pod. Broken down by operation type: create, "
            "update, or sync",
            "histogram",
            _samples("operation_type", self._work),
        )
        totals = {name: times.count for name, times in self._operations.items()}
        yield _family(
            "kubelet_runtime_operations_total",
            "Cumulative number of runtime operations by operation type.",
            "counter",
            _samples("operation_type", totals),
        )
        yield _family(
            "kubelet_runtime_operations_errors_total",
            "Cumulative number of runtime operation errors by operation type.",
            "counter",
            _samples("operation_type", self._failed),
        )
        yield _family(
            "kubelet_runtime_operations_duration_seconds",
            "Duration in seconds of runtime operations. Broken down by operation type.",
            "histogram",
            _samples("operation_type", self._operations),
        )
        yield _family(
            "kubelet_evictions",
            "Cumulative number of pod evictions by eviction signal",
            "counter",
            _samples("eviction_signal", self._evictions),
        )


def _samples(label: str, values: Mapping[str, float] | Mapping[str, Histogram]) -> list[Sample]:
    return [Sample(((label, name),), values[name]) for name in sorted(values)]


def _family(name: str, told: str, kind: Type, samples: list[Sample]) -> Family:
    return Family(name, told, kind, samples, "ALPHA")


def gauge(name: str, told: str, values: Mapping[Labels, float]) -> Family:
    """Returns a metric of what is now."""
    return _family(name, told, "gauge", [Sample(*it) for it in values.items()])
