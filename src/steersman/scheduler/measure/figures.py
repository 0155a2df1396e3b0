"""What the scheduler counts, by upstream's names (pkg/scheduler/metrics)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from steersman.model.figures import Family, Histogram, Labels, Sample, Type, exponential

SCHEDULED, UNSCHEDULABLE, ERROR = "scheduled", "unschedulable", "error"
ATTEMPT_SECONDS: Final = exponential(0.001, 2, 15)
SLI_SECONDS: Final = exponential(0.01, 2, 20)
ATTEMPTS: Final = exponential(1, 2, 5)
VICTIMS: Final = exponential(1, 2, 7)
# Pods that were tried more often are told apart no more
MOST_ATTEMPTS: Final = 15
GATED: Final = "gated"
# The parts of the queue, by what they are called in it; pods with gates are in no part, and counted
QUEUES: Final = ("active", "backoff", "unschedulable", GATED)


class Figures:
    """What was counted since the scheduler's start."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, str], Histogram] = {}  # by profile and result
        self._latencies: dict[str, Histogram] = {}  # by the number of attempts
        self._tries = Histogram(ATTEMPTS)
        self._victims = Histogram(VICTIMS)
        self._preemptions = 0
        self._incoming: dict[tuple[str, str], int] = {}  # by event and queue

    def attempt(self, profile: str, result: str, seconds: float) -> None:
        """Counts an attempt to place a pod, which took so long."""
        key = (profile, result)
        if (found := self._attempts.get(key)) is None:
            found = self._attempts[key] = Histogram(ATTEMPT_SECONDS)
        found.observe(seconds)

    def placed(self, attempts: int, seconds: float) -> None:
        """Counts a pod that was placed: after so many attempts, so long after it came."""
        label = f"{MOST_ATTEMPTS}+" if attempts >= MOST_ATTEMPTS else str(attempts)
        if (found := self._latencies.get(label)) is None:
            found = self._latencies[label] = Histogram(SLI_SECONDS)
        found.observe(seconds)
        self._tries.observe(attempts)

    def preempting(self) -> None:
        """Counts an attempt to make room."""
        self._preemptions += 1

    def preempted(self, victims: int) -> None:
        """Counts that so many victims are to make room."""
        self._victims.observe(victims)

    def came(self, event: str, queue: str) -> None:
        """Counts a pod that came to a part of the queue."""
        key = (event, queue)
        self._incoming[key] = self._incoming.get(key, 0) + 1

    def families(self, pending: Mapping[str, int]) -> Iterator[Family]:
        """Yields what was counted; `pending` is how many pods are in which part of the queue."""
        attempts = [
            ((("profile", profile), ("result", result)), found)
            for (profile, result), found in sorted(self._attempts.items())
        ]
        yield _family(
            "pending_pods",
            "gauge",
            "Number of pending pods, by the queue type.",
            [((("queue", queue),), pending.get(queue, 0)) for queue in QUEUES],
        )
        yield _family(
            "pod_scheduling_attempts",
            "histogram",
            "Number of attempts to successfully schedule a pod.",
            [((), self._tries)],
        )
        yield _family(
            "pod_scheduling_sli_duration_seconds",
            "histogram",
            "E2e latency for a pod being scheduled, from the time the pod enters the scheduling "
            "queue, which might involve multiple scheduling attempts.",
            [((("attempts", label),), one) for label, one in sorted(self._latencies.items())],
            "BETA",
        )
        yield _family(
            "preemption_attempts_total",
            "counter",
            "Total preemption attempts in the cluster till now",
            [((), self._preemptions)],
        )
        yield _family(
            "preemption_victims",
            "histogram",
            "Number of selected preemption victims",
            [((), self._victims)],
        )
        yield _family(
            "queue_incoming_pods_total",
            "counter",
            "Number of pods added to scheduling queues by event and queue type.",
            [
                ((("event", event), ("queue", queue)), count)
                for (event, queue), count in sorted(self._incoming.items())
            ],
        )
        yield _family(
            "schedule_attempts_total",
            "counter",
            "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could "
            "not be scheduled, while 'error' means an internal scheduler problem.",
            [(labels, found.count) for labels, found in attempts],
        )
        yield _family(
            "scheduling_attempt_duration_seconds",
            "histogram",
            "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
            attempts,
        )


def _family(
    name: str,
    kind: Type,
    text: str,
    values: Iterable[tuple[Labels, float | Histogram]],
    stability: str = "STABLE",
) -> Family:
    samples = [Sample(labels, value) for labels, value in values]
    return Family(f"scheduler_{name}", text, kind, samples, stability)
